"""Why a rule did not judge a transaction: which join of its SELECT found nothing for it, or which condition left it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from fraud_assets.explain.comparisons import ComparisonProbe, Probed, Row, Text, text_of
from fraud_assets.explain.query_tree import Place, aliases_in, conjuncts, is_of_the_lake, key_of, plain_sql, tables_in
from fraud_assets.sql.files import FrontMatter, SqlFile
from hive_io import PARTITION, Table
from hive_io.dialect import literal

Ask = Callable[[exp.Select], Sequence[Row]]
"""Computes a SELECT of a rule's file for the transaction; it returns `transaction_id` and `event_time`."""
_MATCHED = "matched_"
_TIME = "event_time"
_ID = "transaction_id"


@dataclass(frozen=True)
class _Filter:
    """What keeps rows of a SELECT: a join that must find something, or a condition.

    Attributes:
        column: true where the row stays.
        alias: what the join reads; of a condition, empty.
        by_day: the tables of the lake that the join reads, where it reads them by day.
        needs: the aliases that it reads from.
    """

    column: str
    said: Text | Probed
    alias: str
    by_day: Sequence[str]
    needs: frozenset[str]

    def lets_through(self, row: Row) -> bool | None:
        value: bool | None = row[self.column]
        return value

    def words(self, row: Row) -> str:
        if not isinstance(self.said, Probed):
            return text_of(self.said, row)
        condition = self.said.answered(row)
        # what left something out did not hold
        return f"left out by: {condition.text if condition.holds is False and not condition.parts else condition}"


def why_not_judged(
    file: SqlFile[FrontMatter], tables: Mapping[str, Table], ask: Ask, is_empty: Callable[[str], bool]
) -> list[str]:
    """What left the transaction out of what a file's SELECT returns, in words; empty where that cannot be told.

    From the innermost SELECT that has the transaction to the outermost, each is computed as it is, but with every join
    and condition of its own reported instead of applied: the first that has the transaction and would drop it is the one.

    Args:
        is_empty: whether a table has no rows at all on the transaction's day.
    """
    top = file.tree()
    if not isinstance(top, exp.Select):
        return []
    for place, key in reversed([*_ways_of_the_transaction(top)]):
        select = place.select
        relaxed, filters = _relaxed(file, tables, top, select, key)
        rows = ask(relaxed)
        if not rows:
            return []
        row = min(rows, key=lambda r: len(_failing(filters, r)))
        failing = _failing(filters, row)
        if failing:
            return [each.words(row) + _at_all(each.by_day, is_empty) for each in _causes(failing, row)]
        if select.args.get("having") is not None and not ask(_keyed(top, select, key)):
            return [f"left out by HAVING {plain_sql(select.args['having'].this)}"]
    return []


def _ways_of_the_transaction(top: exp.Select) -> Iterator[tuple[Place, dict[str, exp.Expr]]]:
    """The SELECTs through which a transaction comes, from the outermost in, and what its key is in each."""
    place: Place | None = Place(top)
    key = {name: _projection(top, name) for name in (_ID, _TIME)}
    while place is not None:
        yield place, key
        found = {name: place.definition(e) if isinstance(e, exp.Column) else None for name, e in key.items()}
        below = found[_ID]
        place = below[0] if below else None
        key = {name: each[1] for name, each in found.items() if each is not None}
        if key.keys() != {_ID, _TIME}:
            return


def _projection(select: exp.Select, name: str) -> exp.Expr:
    return next(made.unalias() for made in select.selects if made.alias_or_name == name)


def _keyed(top: exp.Select, select: exp.Select, key: Mapping[str, exp.Expr]) -> exp.Select:
    """A SELECT that returns the transaction's key, and nothing else."""
    copy = select.copy()
    copy.set("expressions", [exp.alias_(expression.copy(), name) for name, expression in key.items()])
    if top.args.get("with_") is not None:
        copy.set("with_", top.args["with_"].copy())
    return copy


def _relaxed(
    file: SqlFile[FrontMatter],
    tables: Mapping[str, Table],
    top: exp.Select,
    select: exp.Select,
    key: Mapping[str, exp.Expr],
) -> tuple[exp.Select, list[_Filter]]:
    """The SELECT without what it leaves out, and what that would be, to be read in the columns that it returns."""
    relaxed = _keyed(top, select, key)
    where = relaxed.args.get("where")
    for clause in ("where", "group", "having", "distinct", "qualify"):
        relaxed.set(clause, None)
    asker = ComparisonProbe(file, relaxed)
    place = asker.top
    filters: list[_Filter] = []
    for number, join in enumerate(relaxed.args.get("joins", [])):
        if join.side and join.kind != "SEMI":
            continue  # an outer join leaves nothing out
        text = _without_row(asker, tables, join)
        read = tables_in(join.this, relaxed)
        needs = frozenset().union(*(aliases_in(e) for _, e in key_of(join)[0]), *map(aliases_in, key_of(join)[1]))
        _make_outer(join, f"{_MATCHED}{number}")
        alias = join.this.alias_or_name
        matched = exp.column(f"{_MATCHED}{number}", table=alias).is_(exp.null()).not_()
        by_day = [table.name for table in read if is_of_the_lake(table)] if PARTITION in dict(key_of(join)[0]) else []
        filters.append(_Filter(asker.value(place, matched).column, text, alias, by_day, needs - {alias}))
    for part in conjuncts(where.this if where is not None else None):
        asked = asker.condition(place, part)
        filters.append(_Filter(asked.holds.column, asked, "", [], frozenset(aliases_in(part))))
    return relaxed, filters


def _make_outer(join: exp.Join, mark: str) -> None:
    """Let a join keep rows for which it finds nothing, and mark those for which it finds something."""
    alias = join.this.alias_or_name
    source = join.this.copy()
    source.set("alias", exp.TableAlias(this=exp.to_identifier("found")))
    marked = exp.select(exp.alias_(literal(1), mark), "found.*").from_(source)
    join.set("this", marked.subquery(alias))
    join.set("side", "LEFT")
    join.set("kind", None)
    if join.args.get("on") is None and not join.args.get("using"):
        join.set("on", exp.true())


def _without_row(asker: ComparisonProbe, tables: Mapping[str, Table], join: exp.Join) -> Text:
    """That a join found nothing, with what its table is."""
    text = asker.row_of(asker.top, join, there=False)
    read = [table.name for table in tables_in(join.this, asker.top.select) if is_of_the_lake(table)]
    description = tables[read[0]].description if len(read) == 1 else ""
    first = description.partition(":")[0].partition(";")[0].rstrip(".")
    return [*text, f" ({first[0].lower()}{first[1:]})"] if first else text


def _at_all(by_day: Sequence[str], is_empty: Callable[[str], bool]) -> str:
    empty = [name for name in by_day if is_empty(name)]
    return f"; {' and '.join(empty)} has no rows of that day at all" if empty else ""


def _failing(filters: Sequence[_Filter], row: Row) -> list[_Filter]:
    return [each for each in filters if each.lets_through(row) is not True]


def _causes(failing: Sequence[_Filter], row: Row) -> list[_Filter]:
    """Those that fail by themselves, not because another did not find what they need."""
    missing = {each.alias for each in failing if each.alias}
    own = [each for each in failing if not each.needs & missing]
    refused = [each for each in own if each.lets_through(row) is False]
    return refused or own
