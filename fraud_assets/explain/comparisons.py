"""A condition of a rule's SELECT as its comparisons, each with what stood on both sides for one transaction.

Nothing here knows a rule: what a comparison compares is read from the syntax tree, and every value is computed by the
engine that computes the rule, in columns that are added to its SELECT.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from sqlglot import exp

from fraud_assets.explain.query_tree import Place, add_column, is_of_the_lake, is_params, key_of, plain_sql, tables_in
from fraud_assets.sql.files import FrontMatter, SqlFile
from hive_io import PARTITION

Row: TypeAlias = Mapping[str, Any]
How: TypeAlias = Literal["all", "any"]
ADDED = "explained_"
"""How the columns begin that are added to a rule's SELECT."""


@dataclass(frozen=True)
class Condition:
    """A condition, and whether it holds for the transaction.

    Attributes:
        text: a comparison with its values; of several, how they are put together.
        holds: None where a value is not known.
        off: by how much it does not hold, of two numbers that were compared.
        how: whether all of its parts must hold, or any; None of a comparison.
    """

    text: str
    holds: bool | None
    off: str | None = None
    how: How | None = None
    parts: Sequence[Condition] = ()

    def __str__(self) -> str:
        if self.how:
            return f"({(' and ' if self.how == 'all' else ' or ').join(map(str, self.parts))})"
        return f"{self.text}: {said(self.holds)}" + (f", by {self.off}" if self.off else "")


@dataclass(frozen=True)
class Value:
    """Stands in a text for what the engine gives in a column."""

    column: str


Text: TypeAlias = list[str | Value]


@dataclass(frozen=True)
class Probed:
    """A condition before its values are known.

    Attributes:
        sides: of a comparison of what can be subtracted.
        sources: the aliases that it reads.
    """

    text: Text
    holds: Value
    sides: tuple[Value, Value] | None = None
    how: How | None = None
    parts: Sequence[Probed] = ()
    asks_for_null: bool = False

    def answered(self, row: Row) -> Condition:
        """The condition for the transaction whose row was computed."""
        holds = row[self.holds.column]
        if self.how is None:
            off = _gap(*(row[side.column] for side in self.sides)) if self.sides and holds is False else None
            return Condition(text_of(self.text, row), holds, off)
        parts = [part.answered(row) for part in self.parts]
        if self.how == "any":
            # "no currency, or one of these": that there is one goes without saying
            told = [part for part, asked in zip(parts, self.parts, strict=True) if part.holds or not asked.asks_for_null]
            parts = told or parts
        if len(parts) == 1:
            return parts[0]
        flat = [inner for part in parts for inner in (part.parts if part.how == self.how else [part])]
        return Condition(f"{self.how} of {len(flat)}", holds, None, self.how, flat)


_OPERATORS: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NullSafeEQ: "=", exp.NEQ: "≠", exp.GT: ">", exp.GTE: "≥", exp.LT: "<", exp.LTE: "≤",
}  # fmt: skip
_ORDERS = (exp.GT, exp.GTE, exp.LT, exp.LTE)
_ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "−", exp.Mul: "×", exp.Div: "/"}
_TRUTHS = (exp.Connector, exp.Predicate, exp.Not, exp.Boolean)


class ComparisonProbe:
    """Takes conditions of a query apart, and adds to the query the columns that say how they turned out.

    Args:
        file: whose SELECT it is, for the values of its params.
        top: the query; it gains columns.
    """

    def __init__(self, file: SqlFile[FrontMatter], top: exp.Select) -> None:
        self._params = file.scalars()
        self._count = 0
        self.top = Place(top)

    def value(self, place: Place, expression: exp.Expr) -> Value:
        """Ask for an expression's value."""
        self._count += 1
        name = f"{ADDED}{self._count}"
        add_column(place, expression, name)
        return Value(name)

    def condition(self, place: Place, expression: exp.Expr) -> Probed:
        """Ask for a condition, and for the comparisons that it is made of, as far down as they can be told apart."""
        inner = _truth_in(expression)
        if isinstance(inner, (exp.And, exp.Or)):
            kind = type(inner)
            parts = [self.condition(place, part) for part in inner.flatten() if part is not inner]
            return Probed([], self.value(place, inner), how="all" if kind is exp.And else "any", parts=parts)
        below = self._truth_below(place, inner)
        if below:
            return self.condition(*below)
        return self._comparison(place, inner)

    def row_of(self, place: Place, join: exp.Join, there: bool) -> Text:
        """The words for: a join found a row, or none, and which was looked for."""
        keys, others = key_of(join)
        tables = tables_in(join.this, self.top.select)
        params = [table.name for table in tables if is_params(table)]
        names = [table.name for table in tables if is_of_the_lake(table)]
        verb = "has" if there else "has no"
        thing = "amount" if params else "row"
        text: Text = [f"{' and '.join(names or params)} {verb} {'an ' if there and params else 'a ' if there else ''}{thing}"]
        for number, (column, expression) in enumerate(keys):
            of_day = column == PARTITION
            with_ = " for" if params else " with"
            text += [" on" if of_day else with_ if number == 0 or keys[number - 1][0] == PARTITION else ",", " "]
            text += ["" if of_day else f"{column} ", self.value(place, expression)]
        if others:
            text.append(f" and {' and '.join(plain_sql(other) for other in others)}")
        return text

    def _truth_below(self, place: Place, inner: exp.Expr) -> tuple[Place, exp.Expr] | None:
        """Where a condition is decided by a SELECT below, in a column: true or false, or 1 where something holds."""
        if isinstance(inner, exp.Column):
            found = self._made(place, inner)
            return found if found and isinstance(_truth_in(found[1]), _TRUTHS) else None
        if isinstance(inner, exp.EQ) and isinstance(inner.this, exp.Column) and isinstance(inner.expression, exp.Literal):
            found = self._made(place, inner.this)
            if found and isinstance(found[1], exp.Case) and not found[1].this:
                cases, default = found[1].args["ifs"], found[1].args.get("default")
                if len(cases) == 1 and cases[0].args["true"] == inner.expression and default != inner.expression:
                    return found[0], cases[0].this
        return None

    def _made(self, place: Place, column: exp.Column) -> tuple[Place, exp.Expr] | None:
        """Where a column is made, through any number of SELECTs that only hand it on."""
        found = place.computed_below(column)
        while found and isinstance(found[1], exp.Column):
            further = found[0].computed_below(found[1])
            if not further:
                break
            found = further
        return found

    def _comparison(self, place: Place, inner: exp.Expr) -> Probed:
        holds = self.value(place, inner)
        positive = inner.this.unnest() if isinstance(inner, exp.Not) else inner
        if isinstance(positive, exp.Is) and isinstance(positive.expression, exp.Null):
            return self._given(place, positive.this.unnest(), isinstance(inner, exp.Not), holds)
        negated = "not " if isinstance(inner, exp.Not) or positive.args.get("negate") else ""
        if isinstance(positive, exp.In) and positive.expressions:
            among = ", ".join(_plain(each) for each in positive.expressions)
            return Probed([*self._side(place, positive.this), f" {negated}among {among}"], holds)
        if isinstance(positive, exp.Between):
            low, high = (self._side(place, positive.args[bound]) for bound in ("low", "high"))
            return Probed([*self._side(place, positive.this), f" {negated}between ", *low, " and ", *high], holds)
        if isinstance(positive, exp.Like):
            like = [f" {negated}like ", *self._side(place, positive.expression)]
            return Probed([*self._side(place, positive.this), *like], holds)
        if type(inner) in _OPERATORS:
            left, right = inner.this, inner.expression
            text = [*self._side(place, left), f" {_OPERATORS[type(inner)]} ", *self._side(place, right)]
            sides = (self.value(place, left), self.value(place, right)) if isinstance(inner, _ORDERS) else None
            return Probed(text, holds, sides)
        return Probed([plain_sql(inner)], holds)

    def _given(self, place: Place, subject: exp.Expr, wanted: bool, holds: Value) -> Probed:
        if isinstance(subject, exp.Column):
            join = place.join_of(subject)
            # a column by which the row is looked up is given where there is such a row
            if join and join.side == "LEFT" and subject.name in dict(key_of(join)[0]):
                return Probed(self.row_of(place, join, wanted), holds)
        name = self._name(place, subject) if isinstance(subject, exp.Column) else plain_sql(subject)
        return Probed([f"{name} is {'' if wanted else 'not '}given"], holds, asks_for_null=not wanted)

    def _side(self, place: Place, expression: exp.Expr) -> Text:
        """A side of a comparison: every name in it with its value, and what it comes to."""
        text = self._spelled(place, expression)
        if isinstance(_bare(expression), (exp.Column, exp.Placeholder, exp.Literal, exp.Boolean)):
            return text
        return [*text, " = " if type(_bare(expression)) in _ARITHMETIC else " ", self.value(place, expression)]

    def _spelled(self, place: Place, expression: exp.Expr) -> Text:
        inner = _bare(expression)
        if isinstance(inner, exp.Column):
            return [f"{self._name(place, inner)} ", self.value(place, inner)]
        if isinstance(inner, exp.Placeholder):
            return [f"{inner.name} {shown(self._params[inner.name])}"]
        if isinstance(inner, (exp.Literal, exp.Boolean)):
            return [_plain(inner)]
        if type(inner) in _ARITHMETIC:
            left, right = self._spelled(place, inner.this), self._spelled(place, inner.expression)
            text = [*left, f" {_ARITHMETIC[type(inner)]} ", *right]
            return ["(", *text, ")"] if isinstance(expression, exp.Paren) else text
        return [plain_sql(inner)]

    def _name(self, place: Place, column: exp.Column) -> str:
        """A column's name; that of the param, where it holds an amount of one."""
        at: Place = place
        asked: exp.Expr = column
        while isinstance(asked, exp.Column):
            found = at.source_of(asked)
            if found and isinstance(found[1], exp.Table) and is_params(found[1]) and asked.name == "amount":
                return found[1].name
            below = at.definition(asked)
            if below is None:
                break
            at, asked = below
        return column.name


def _truth_in(expression: exp.Expr) -> exp.Expr:
    """Without brackets, and without what makes an unknown a no."""
    inner = expression.unnest()
    while isinstance(inner, exp.Coalesce) and [*map(_is_false, inner.expressions)] == [True]:
        inner = inner.this.unnest()
    return inner


def _is_false(expression: exp.Expr) -> bool:
    return isinstance(expression, exp.Boolean) and not expression.this


def _bare(expression: exp.Expr) -> exp.Expr:
    inner = expression.unnest()
    while isinstance(inner, exp.Cast):
        inner = inner.this.unnest()
    return inner


def _plain(expression: exp.Expr) -> str:
    return expression.name if isinstance(expression, exp.Literal) else plain_sql(expression)


def text_of(text: Text, row: Row) -> str:
    return "".join(shown(row[piece.column]) if isinstance(piece, Value) else piece for piece in text)


def said(holds: bool | None) -> str:
    return {True: "yes", False: "no", None: "not known"}[holds]


def shown(value: object) -> str:
    """A value for people: exact, without zeros that say nothing."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return said(value)
    if isinstance(value, Decimal):
        whole, _, digits = f"{value:f}".partition(".")
        digits = digits[:2] + digits[2:].rstrip("0")
        return f"{whole}.{digits}" if digits else whole
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def _gap(left: object, right: object) -> str | None:
    """How far two numbers are from being the other way round."""
    if not (isinstance(left, (int, Decimal, float)) and isinstance(right, (int, Decimal, float))):
        return None
    if isinstance(left, float) or isinstance(right, float):
        left, right = float(left), float(right)
    gap = right - left  # type: ignore[operator]  # int and Decimal subtract
    return shown(abs(gap)) if gap else None
