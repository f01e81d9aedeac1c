"""Claims that hold between tables: each is one query over the days of a run, however many tables it reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import dagster as dg
from sqlglot import exp

from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.checks import advisory, blocking
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.sources import CUSTOMERS, TRANSACTIONS
from fraud_assets.sql.windows import hiveql, union_all, within
from hive_io import PARTITION, HiveQL, Span, Table, Warehouse
from hive_io.dialect import literal
from hive_io.table import DAY

HITS = "hits_have_transactions"
ALERTS = "alerts_are_the_active_hits"
CUSTOMERS_KNOWN = "customers_are_known"

PAUSES: Sequence[float] = (1, 2, 4, 8, 16)
"""Seconds between looks at what seems broken. The live path, or another run, writes its tables one after the other, and a
query reads them at moments of its own: what was written in between looks broken once. What is broken is so in every look."""
NAMED = 3
"""Transactions that a failure names, of however many."""

_Row: TypeAlias = tuple[str, str, str]
"""A rule or a side, a day, a transaction."""


# --- hits -------------------------------------------------------------------------------------------------------------


def hits_spec(rule: Table, partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    about = f"Every hit is of a transaction that is there, on the same day. {_LOOKS}"
    return blocking(rule, HITS, about, partitions)


def hits_have_transactions(warehouse: Warehouse, rules: Sequence[Table], span: Span) -> Iterator[dg.AssetCheckResult]:
    """Look at the hits of all these rules at once; a result each."""
    query = hits_without_transaction_query(rules, span)
    lost = _broken_in_every_look(lambda: _rows(warehouse, query))
    for rule in rules:
        own = [row for row in lost if row[0] == rule.name]
        said = f"{_count(own, 'hit')} of {span} without a transaction{_named(own)}. {_AGAIN}" if own else None
        yield dg.AssetCheckResult(
            check_name=HITS,
            asset_key=key(rule.name),
            passed=not own,
            description=said,
            metadata={"hits without a transaction": len(own)},
        )


def hits_without_transaction_query(rules: Sequence[Table], span: Span) -> HiveQL:
    """The hits (`side`, the rule; `ds`; `transaction_id`) on the days of the span whose transaction is not there."""
    hits = union_all([_ids(rule, span, exp.alias_(literal(rule.name), "side")) for rule in rules])
    tree = exp.select("h.side", f"h.{PARTITION}", "h.transaction_id").from_(hits.subquery("h"))
    transactions = _ids(TRANSACTIONS.table, span).subquery("t")
    same = f"t.{PARTITION} = h.{PARTITION} AND t.transaction_id = h.transaction_id"
    return hiveql(tree.join(transactions, on=same, join_type="left").where("t.transaction_id IS NULL"))


# --- alerts -----------------------------------------------------------------------------------------------------------


def alerts_spec(partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    about = (
        "The alerts of a day are the transactions that an active rule hit on it, those and no others; hits of shadow and "
        f"retired rules do not count. {_LOOKS}"
    )
    return blocking(FRAUD_ALERTS, ALERTS, about, partitions)


def alerts_are_the_active_hits(warehouse: Warehouse, rules: Sequence[Table], span: Span) -> dg.AssetCheckResult:
    """Hold the alerts against the hits.

    Args:
        rules: the tables of the active rules.
    """
    query = alerts_that_differ_query(rules, span)
    different = _broken_in_every_look(lambda: _rows(warehouse, query))
    hits = [row for row in different if row[0] == "hit"]
    alerts = [row for row in different if row[0] == "alert"]
    said = (
        f"On {span}: {_count(hits, 'transaction')} with a hit and no alert{_named(hits)}; "
        f"{_count(alerts, 'alert')} without a hit{_named(alerts)}. {_AGAIN} "
        "If it stays so: does a `fraud watch` run that was started with other rules?"
    )
    return dg.AssetCheckResult(
        check_name=ALERTS,
        asset_key=key(FRAUD_ALERTS.name),
        passed=not different,
        description=said if different else None,
        metadata={"hits without an alert": len(hits), "alerts without a hit": len(alerts)},
    )


def alerts_that_differ_query(rules: Sequence[Table], span: Span) -> HiveQL:
    """Transactions (`side`, `ds`, `transaction_id`) on the days of the span that have only a hit, or only an alert."""
    sides = [(FRAUD_ALERTS, 1, 0), *((rule, 0, 1) for rule in rules)]
    rows = union_all(
        [
            _ids(table, span, exp.alias_(literal(alerts), "alerts"), exp.alias_(literal(hits), "hits"))
            for table, alerts, hits in sides
        ]
    )
    alerts, hits = (exp.func("SUM", exp.column(name)) for name in ("alerts", "hits"))
    side = exp.Case().when(exp.EQ(this=hits, expression=literal(0)), literal("alert")).else_(literal("hit"))
    one_is_none = exp.or_(exp.EQ(this=alerts, expression=literal(0)), exp.EQ(this=hits.copy(), expression=literal(0)))
    tree = exp.select(exp.alias_(side, "side"), PARTITION, "transaction_id").from_(rows.subquery("sides"))
    return hiveql(tree.group_by(PARTITION, "transaction_id").having(one_is_none))


# --- customers --------------------------------------------------------------------------------------------------------


def customers_spec(partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    about = (
        "Every transaction of the day before is of a customer of this snapshot, or of the day before's. Who opens an account "
        "during a day is first in the snapshot of the next one: so today's transactions are held against tomorrow's snapshot, "
        "and nothing is claimed of them before. Passes, and says so, where there is no snapshot, or an empty one."
    )
    return advisory(CUSTOMERS.table.name, CUSTOMERS_KNOWN, about, partitions)


def customers_are_known(warehouse: Warehouse, span: Span) -> dg.AssetCheckResult:
    """Hold the transactions of the day before each snapshot of the span against it; failing stops nothing.

    One look is enough: snapshots do not change while transactions come.
    """
    for api in (TRANSACTIONS, CUSTOMERS):
        warehouse.ensure_table(api.table)
    days = warehouse.query(customers_query(span)).to_pylist()
    transactions, unknown = (sum(int(day[name]) for day in days) for name in ("transactions", "unknown"))
    before = Span.days(span.first_day - DAY, span.last_day - DAY)
    if transactions:
        share = unknown / transactions
        said = f"{unknown:,} of {transactions:,} transactions of {before} ({share:.2%}) are of customers whom no snapshot has."
        metadata: dict[str, float] = {"transactions": transactions, "of unknown customers": unknown, "unknown share": share}
    else:
        said = f"Nothing to judge: no snapshot of customers on {span}, an empty one, or no transactions on {before}."
        metadata = {"transactions": 0}
    return dg.AssetCheckResult(
        check_name=CUSTOMERS_KNOWN,
        asset_key=key(CUSTOMERS.table.name),
        passed=not unknown,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata=metadata,
    )


def customers_query(span: Span) -> HiveQL:
    """A row for each day before a snapshot of the span: `ds`, `transactions`, and those of `unknown` customers."""
    before = Span.days(span.first_day - DAY, span.last_day - DAY)
    params = {"first": span.first_ds, "last": span.last_ds, "before": before.first_ds, "last_before": before.last_ds}
    return HiveQL((Path(__file__).parent / "customers_are_known.sql").read_text(encoding="utf-8"), params)


# --- what they share --------------------------------------------------------------------------------------------------

_LOOKS = "What other writers are in the middle of is looked at again, for half a minute, before this fails."
_AGAIN = "Run these days again."


def _broken_in_every_look(look: Callable[[], set[_Row]]) -> list[_Row]:
    broken = look()
    for pause in PAUSES:
        if not broken:
            break
        time.sleep(pause)
        broken &= look()
    return sorted(broken)


def _rows(warehouse: Warehouse, query: HiveQL) -> set[_Row]:
    return {(row["side"], row[PARTITION], row["transaction_id"]) for row in warehouse.query(query).to_pylist()}


def _ids(table: Table, span: Span, *more: exp.Expr) -> exp.Select:
    rows = exp.select(*more, PARTITION, "transaction_id").from_(exp.table_(table.name, db=table.database))
    return within(rows, table, span.whole_days())


def _count(rows: Sequence[_Row], noun: str) -> str:
    return f"{len(rows):,} {noun}{'' if len(rows) == 1 else 's'}"


def _named(rows: Iterable[_Row]) -> str:
    names = sorted({transaction for _, _, transaction in rows})
    return f" ({', '.join(names[:NAMED])}{' …' if len(names) > NAMED else ''})" if names else ""
