"""Filters: the joins and conditions of a rule's SELECT that can leave a transaction out of what the rule judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from fraud_assets.explain.comparisons import Probed, Row, Text, Value, text_of
from fraud_assets.explain.probed_select import ProbedSelect
from fraud_assets.explain.query_tree import Lookup, Scope, Term, aliases_in, conjuncts
from hive_io import Table
from hive_io.dialect import Value as Param
from hive_io.dialect import literal

_MATCHED = "matched_"
_TIME = "event_time"
_ID = "transaction_id"


@dataclass(frozen=True)
class Step:
    """A SELECT that the transaction comes through, and the expressions of the transaction's id and time in it."""

    scope: Scope
    key: Mapping[str, exp.Expr]

    @property
    def below(self) -> Step | None:
        """The SELECT below that id and time come from; None where they are read from a table."""
        found = {name: Term(self.scope, node).definition for name, node in self.key.items()}
        definitions = {name: term for name, term in found.items() if term}
        if definitions.keys() != self.key.keys():
            return None
        return Step(definitions[_ID].scope, {name: term.node for name, term in definitions.items()})

    def keyed(self) -> exp.Select:
        """The SELECT as a query of its own that returns only id and time."""
        copy = self.scope.select.copy()
        copy.set("expressions", [exp.alias_(node.copy(), name) for name, node in self.key.items()])
        with_ = self.scope.root.args.get("with_")
        if with_ is not None:
            copy.set("with_", with_.copy())
        return copy


def steps_of(query: exp.Select) -> list[Step]:
    """The SELECTs that the transaction comes through, from the outermost to the innermost."""
    scope = Scope(query)
    step: Step | None = Step(scope, {name: scope.projection(name).node for name in (_ID, _TIME)})
    steps: list[Step] = []
    while step:
        steps.append(step)
        step = step.below
    return steps


@dataclass(frozen=True)
class Filter:
    """A join that must find a row, or a condition that must hold.

    Attributes:
        passes: column that is true if the row stays.
        needs: aliases that it reads.
        words: for a join, that it found no row; for a condition, its probes.
        alias: name of the row that a join finds; empty for a condition.
        by_day: tables of the lake that a join reads by day.
    """

    passes: Value
    needs: frozenset[str]
    words: Text | Probed
    alias: str = ""
    by_day: Sequence[str] = ()

    def lets_through(self, row: Row) -> bool | None:
        """True if the filter keeps the row; None if it depends on an unknown value."""
        passes: bool | None = row[self.passes.column]
        return passes

    def reason(self, row: Row) -> str:
        """Why the filter drops the row."""
        if not isinstance(self.words, Probed):
            return text_of(self.words, row)
        condition = self.words.answered(row)
        # a single comparison that does not hold needs no "no" behind it
        return f"condition not met: {condition.text if condition.holds is False and not condition.parts else condition}"


class RelaxedSelect(ProbedSelect):
    """A step whose joins and conditions are reported in probe columns instead of applied.

    Args:
        step: the SELECT, which is copied.
        params: values of `:name`.
        tables: the tables of the lake by name, for their descriptions.

    Attributes:
        filters: joins first, then the conditions of WHERE.
    """

    def __init__(self, step: Step, params: Mapping[str, Param], tables: Mapping[str, Table]) -> None:
        select = step.keyed()
        where = select.args.get("where")
        for clause in ("where", "group", "having", "distinct", "qualify"):
            select.set(clause, None)
        super().__init__(select, params)
        self._tables = tables
        self.filters: list[Filter] = []
        for number, join in enumerate(self.scope.joins):
            lookup = Lookup(self.scope, join)
            if not lookup.is_optional:
                self.filters.append(self._required_row(lookup, f"{_MATCHED}{number}"))
        for part in conjuncts(where.this if where is not None else None):
            condition = self.condition(Term(self.scope, part))
            self.filters.append(Filter(condition.holds, frozenset(aliases_in(part)), condition))

    def failing(self, row: Row) -> list[Filter]:
        """The filters that drop a row."""
        return [each for each in self.filters if each.lets_through(row) is not True]

    def nearest(self, rows: Sequence[Row]) -> Row:
        """The row that the fewest filters drop: a lookup can find several for one transaction."""
        return min(rows, key=lambda row: len(self.failing(row)))

    def causes(self, row: Row) -> list[Filter]:
        """The failing filters that do not merely follow from another one's missing row; definite failures if there are any."""
        failing = self.failing(row)
        missing = {each.alias for each in failing if each.alias}
        own = [each for each in failing if not each.needs & missing]
        return [each for each in own if each.lets_through(row) is False] or own

    def _required_row(self, lookup: Lookup, mark: str) -> Filter:
        """Turn an inner join into an outer one that marks the rows it finds."""
        words = self._no_row(lookup)
        by_day = lookup.tables if lookup.reads_by_day else []
        needs = lookup.needs
        _make_outer(lookup.join, mark)
        matched = exp.column(mark, table=lookup.alias).is_(exp.null()).not_()
        return Filter(self.value(Term(self.scope, matched)), needs, words, lookup.alias, by_day)

    def _no_row(self, lookup: Lookup) -> Text:
        """That the lookup found no row, with the beginning of the table's description."""
        tables = lookup.tables
        description = self._tables[tables[0]].description if len(tables) == 1 else ""
        first = description.partition(":")[0].partition(";")[0].rstrip(".")
        return [*self.lookup_words(lookup, found=False), *([f" ({first[0].lower()}{first[1:]})"] if first else [])]


def _make_outer(join: exp.Join, mark: str) -> None:
    """Keep rows for which a join finds nothing; in the others, the column `mark` is 1."""
    alias = join.this.alias_or_name
    source = join.this.copy()
    source.set("alias", exp.TableAlias(this=exp.to_identifier("found")))
    marked = exp.select(exp.alias_(literal(1), mark), "found.*").from_(source)
    join.set("this", marked.subquery(alias))
    join.set("side", "LEFT")
    join.set("kind", None)
    if join.args.get("on") is None and not join.args.get("using"):
        join.set("on", exp.true())
