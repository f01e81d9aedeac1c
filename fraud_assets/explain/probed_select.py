"""A SELECT with probe columns, which return the values behind its conditions along with its own result.

Nothing here depends on a particular rule: comparisons are read from the syntax tree, and the engine that runs the rule
computes every value.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from fraud_assets.explain.comparisons import Probed, Text, Value, shown
from fraud_assets.explain.query_tree import Lookup, Scope, Term, is_params, plain_sql
from hive_io import PARTITION
from hive_io.dialect import Value as Param

PROBE = "explained_"
"""Prefix of the names of probe columns."""
_OPERATORS: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NullSafeEQ: "=", exp.NEQ: "≠", exp.GT: ">", exp.GTE: "≥", exp.LT: "<", exp.LTE: "≤",
}  # fmt: skip
_ORDERS = (exp.GT, exp.GTE, exp.LT, exp.LTE)
_ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "−", exp.Mul: "×", exp.Div: "/"}
_TRUTHS = (exp.Connector, exp.Predicate, exp.Not, exp.Boolean)


class ProbedSelect:
    """Adds probe columns to a SELECT.

    Args:
        select: the query, which is changed in place.
        params: values of `:name`.
    """

    def __init__(self, select: exp.Select, params: Mapping[str, Param]) -> None:
        self.scope = Scope(select)
        self._params = params
        self._count = 0

    def value(self, term: Term) -> Value:
        """Add a probe for the value of an expression."""
        self._count += 1
        name = f"{PROBE}{self._count}"
        term.scope.add_column(term.node, name)
        return Value(name)

    def condition(self, term: Term) -> Probed:
        """Add probes for a condition and for the comparisons that it is made of, also in the SELECTs below."""
        term = term.sibling(_truth_in(term.node))
        if isinstance(term.node, (exp.And, exp.Or)):
            parts = [self.condition(term.sibling(part)) for part in term.node.flatten() if part is not term.node]
            return Probed([], self.value(term), how="all" if isinstance(term.node, exp.And) else "any", parts=parts)
        below = _decided_below(term)
        return self.condition(below) if below else self._comparison(term)

    def lookup_words(self, lookup: Lookup, found: bool) -> Text:
        """Add probes for the key of a lookup; the text says that a row was found, or that none was."""
        params, tables = lookup.params, lookup.tables
        names = tables or params
        thing = "amount" if params else "row"
        article = "no" if not found else "an" if params else "a"
        text: Text = [f"{' and '.join(names)} {'has' if len(names) <= 1 else 'have'} {article} {thing}"]
        separator = " for " if params else " with "
        for column, term in lookup.keys:
            if column == PARTITION:
                text.append(" on ")
            else:
                text.append(f"{separator}{column} ")
                separator = ", "
            text.append(self.value(term))
        if lookup.others:
            text.append(f" and {' and '.join(plain_sql(other) for other in lookup.others)}")
        return text

    def _comparison(self, term: Term) -> Probed:
        node = term.node
        holds = self.value(term)
        positive = node.this.unnest() if isinstance(node, exp.Not) else node
        if isinstance(positive, exp.Is) and isinstance(positive.expression, exp.Null):
            return self._presence(term.sibling(positive.this.unnest()), isinstance(node, exp.Not), holds)
        negated = "not " if isinstance(node, exp.Not) or positive.args.get("negate") else ""
        if isinstance(positive, exp.In) and positive.expressions:
            among = ", ".join(_plain(each) for each in positive.expressions)
            return Probed([*self._side(term.sibling(positive.this)), f" {negated}among {among}"], holds)
        if isinstance(positive, exp.Between):
            low, high = (self._side(term.sibling(positive.args[bound])) for bound in ("low", "high"))
            return Probed([*self._side(term.sibling(positive.this)), f" {negated}between ", *low, " and ", *high], holds)
        if isinstance(positive, exp.Like):
            like = [f" {negated}like ", *self._side(term.sibling(positive.expression))]
            return Probed([*self._side(term.sibling(positive.this)), *like], holds)
        if type(node) in _OPERATORS:
            left, right = term.sibling(node.this), term.sibling(node.expression)
            text = [*self._side(left), f" {_OPERATORS[type(node)]} ", *self._side(right)]
            sides = (self.value(left), self.value(right)) if isinstance(node, _ORDERS) else None
            return Probed(text, holds, sides)
        return Probed([plain_sql(node)], holds)

    def _presence(self, subject: Term, wanted: bool, holds: Value) -> Probed:
        """`IS NOT NULL` if wanted, else `IS NULL`."""
        if isinstance(subject.node, exp.Column):
            lookup = subject.scope.lookup_of(subject.node)
            # the key column of an outer join is NULL exactly where no row was found
            if lookup and lookup.join.side == "LEFT" and subject.node.name in dict(lookup.keys):
                return Probed(self.lookup_words(lookup, wanted), holds)
        return Probed([f"{_name(subject)} is {'' if wanted else 'not '}given"], holds, asks_for_null=not wanted)

    def _side(self, term: Term) -> Text:
        """A side of a comparison: each name in it with its value, then the result if it is computed."""
        text = self._spelled(term)
        inner = _bare(term.node)
        if isinstance(inner, (exp.Column, exp.Placeholder, exp.Literal, exp.Boolean)):
            return text
        return [*text, " = " if type(inner) in _ARITHMETIC else " ", self.value(term)]

    def _spelled(self, term: Term) -> Text:
        inner = _bare(term.node)
        if isinstance(inner, exp.Column):
            return [f"{_name(term.sibling(inner))} ", self.value(term.sibling(inner))]
        if isinstance(inner, exp.Placeholder):
            return [f"{inner.name} {shown(self._params[inner.name])}"]
        if isinstance(inner, (exp.Literal, exp.Boolean)):
            return [_plain(inner)]
        if type(inner) in _ARITHMETIC:
            left, right = self._spelled(term.sibling(inner.this)), self._spelled(term.sibling(inner.expression))
            text = [*left, f" {_ARITHMETIC[type(inner)]} ", *right]
            return ["(", *text, ")"] if isinstance(term.node, exp.Paren) else text
        return [plain_sql(inner)]


def _decided_below(term: Term) -> Term | None:
    """The condition in a SELECT below whose result this column passes on, as a truth value or as 1; None if there is none."""
    node = term.node
    if isinstance(node, exp.Column):
        found = term.origin
        return found if found and isinstance(_truth_in(found.node), _TRUTHS) else None
    if isinstance(node, exp.EQ) and isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Literal):
        found = term.sibling(node.this).origin
        if found and isinstance(found.node, exp.Case) and not found.node.this:
            cases, default = found.node.args["ifs"], found.node.args.get("default")
            if len(cases) == 1 and cases[0].args["true"] == node.expression and default != node.expression:
                return found.sibling(cases[0].this)
    return None


def _name(term: Term) -> str:
    """A column by its name, or by the param's name if it holds the amount of a param; other expressions as HiveQL."""
    at: Term | None = term
    while at and isinstance(at.node, exp.Column):
        found = at.scope.source_of(at.node)
        if found and isinstance(found[1], exp.Table) and is_params(found[1]) and at.node.name == "amount":
            return found[1].name
        at = at.definition
    return term.node.name if isinstance(term.node, exp.Column) else plain_sql(term.node)


def _truth_in(expression: exp.Expr) -> exp.Expr:
    """A condition without brackets and without `COALESCE(…, FALSE)`."""
    inner = expression.unnest()
    while isinstance(inner, exp.Coalesce) and [*map(_is_false, inner.expressions)] == [True]:
        inner = inner.this.unnest()
    return inner


def _is_false(expression: exp.Expr) -> bool:
    return isinstance(expression, exp.Boolean) and not expression.this


def _bare(expression: exp.Expr) -> exp.Expr:
    """An expression without brackets and casts."""
    inner = expression.unnest()
    while isinstance(inner, exp.Cast):
        inner = inner.this.unnest()
    return inner


def _plain(expression: exp.Expr) -> str:
    return expression.name if isinstance(expression, exp.Literal) else plain_sql(expression)
