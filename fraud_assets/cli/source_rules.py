"""Which rules will be able to judge, given the tables that a source has and the columns that it fills."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from fraud_assets.detection.rule import Rule
from fraud_assets.detection.rule_book import RuleBook
from fraud_assets.schemas.sources import API_TABLES

_OF_LOADS = "_loads"
_THRESHOLDS = "thresholds"
_MOST_ABOVE = 0.1
"""Share of amounts above a threshold from which the threshold looks wrong."""
_ENOUGH = 50
"""Fewest amounts for a statement about shares."""


@dataclass(frozen=True)
class Outlook:
    """Whether a rule will judge.

    Attributes:
        judges: `yes`, `partly`, or `no`.
        why: what is missing, and what it changes.
    """

    rule: str
    judges: str
    why: str


def outlooks(
    book: RuleBook, absent: Collection[str], empty: Collection[str], currencies: Collection[str | None]
) -> list[Outlook]:
    """What to expect of each rule.

    Args:
        absent: source tables that the source does not have.
        empty: columns of transactions that are always NULL.
        currencies: the currencies of the transactions; None for transactions without one.
    """
    return [_outlook(rule, book, absent, empty, currencies) for rule in book.evaluated]


def _outlook(
    rule: Rule, book: RuleBook, absent: Collection[str], empty: Collection[str], currencies: Collection[str | None]
) -> Outlook:
    tree = rule.file.tree()
    needed = {source for table in _required_tables(tree) for source in _sources(table, book)} & {*absent}
    # a feature of several sources exists without some of them
    needed = {source for source in needed if source in {_base(table) for table in _required_tables(tree)}}
    columns = sorted(_required_columns(tree) & {*empty})
    if needed or columns:
        parts = [f"there is no table {table}" for table in sorted(needed)]
        parts += [f"{column} is always NULL" for column in columns]
        return Outlook(rule.name, "no", "; ".join(parts))
    notes: list[str] = []
    for name, amounts in rule.file.relations().items():
        missing = [currency for currency in currencies if currency not in amounts]
        if missing and len(missing) == len(currencies):
            return Outlook(rule.name, "no", f"no amount for {_named(missing)} in {name}; set it in FRAUD_RULES_FILE")
        if missing:
            notes.append(f"no amount for {_named(missing)} in {name}; set it in FRAUD_RULES_FILE")
    used = {source for table in rule.file.tables() for source in _sources(table, book)} & {*absent}
    if used:
        notes.append(f"without {', '.join(sorted(used))}")
    unfilled = sorted(
        column.name
        for column in {column.name: column for column in tree.find_all(exp.Column)}.values()
        if column.name in empty and column.name != "currency"
    )
    if unfilled:
        notes.append(f"without {', '.join(unfilled)}")
    history = (
        "; after days of history"
        if any(table.endswith(("_profiles", "_anomalies", "_countries")) for table in rule.file.tables())
        else ""
    )
    return Outlook(rule.name, "partly" if notes else "yes", ("; ".join(notes) + history).removeprefix("; "))


def scale_warnings(book: RuleBook, rows: pa.Table) -> Iterator[str]:
    """What to say of thresholds that an unlikely share of the amounts exceeds, as in a currency with many zeros.

    Args:
        rows: transactions.
    """
    currencies = rows.column("currency")
    for rule in book.evaluated:
        for currency, threshold in rule.file.relations().get(_THRESHOLDS, {}).items():
            same = pc.is_null(currencies) if currency is None else pc.equal(currencies, currency)
            amounts = rows.column("amount").filter(same).drop_null().cast(pa.float64())
            if len(amounts) < _ENOUGH:
                continue
            share = pc.mean(pc.greater(amounts, float(threshold)).cast(pa.float64())).as_py()
            if share > _MOST_ABOVE:
                high, name = pc.quantile(amounts, 0.99)[0].as_py(), _named([currency])
                yield (
                    f"{rule.name}: {share:.0%} of the amounts in {name} are above its threshold of {threshold:,}; "
                    f"the 99th percentile is {high:,.2f}. Set {_THRESHOLDS} in FRAUD_RULES_FILE"
                )


def _named(currencies: Collection[str | None]) -> str:
    return ", ".join("an unnamed currency" if currency is None else currency for currency in currencies)


def _base(table: str) -> str:
    return table.removesuffix(_OF_LOADS)


def _sources(table: str, book: RuleBook) -> set[str]:
    """The source tables that a table is made of."""
    table = _base(table)
    if table in API_TABLES:
        return {table}
    if table in book.features:
        return {source for read in book.features[table].tables() for source in _sources(read, book)}
    return set()


def _required_tables(tree: exp.Expr) -> set[str]:
    """Tables in FROM and inner joins, at every depth: without their rows there is no row to judge."""
    found: set[str] = set()
    for select in _selects(tree):
        from_ = select.args.get("from_") or select.args.get("from")
        parts = [from_.this] if from_ is not None else []
        parts += [join.this for join in select.args.get("joins") or () if str(join.side).upper() != "LEFT"]
        for part in parts:
            if isinstance(part, exp.Table):
                found.add(part.name)
            elif isinstance(part, exp.Subquery):
                found |= _required_tables(part.this)
    return found


def _selects(tree: exp.Expr) -> Iterator[exp.Select]:
    """The SELECT, or those of a UNION."""
    if isinstance(tree, exp.Select):
        yield tree
    elif isinstance(tree, exp.SetOperation):
        yield from _selects(tree.left)
        yield from _selects(tree.right)


def _required_columns(tree: exp.Expr) -> set[str]:
    """Columns that a WHERE wants to be given."""
    found = set()
    for where in tree.find_all(exp.Where):
        conditions = where.this.flatten() if isinstance(where.this, exp.And) else [where.this]
        for condition in conditions:
            inner = condition.this if isinstance(condition, exp.Not) else condition
            given = isinstance(condition, exp.Not) and isinstance(inner, exp.Is) and isinstance(inner.expression, exp.Null)
            if (given or isinstance(inner, (exp.In, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE))) and isinstance(
                inner.this, exp.Column
            ):
                found.add(inner.this.name)
    return found


def filled_columns(null_shares: Mapping[str, float]) -> set[str]:
    """Columns of transactions that have a value in at least one row."""
    return {name for name, share in null_shares.items() if share < 1}
