"""Consistency checks between tables. Each is one query over the days of a run, however many tables it reads."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import dagster as dg
from sqlglot import exp

from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.checks import advisory, blocking
from fraud_assets.defs.daily_results import DailyResult
from fraud_assets.detection.alerts_query import high_scores
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.sources import CUSTOMERS, TRANSACTIONS
from fraud_assets.sql.windows import hiveql, table_node, union_all, within
from hive_io import PARTITION, HiveQL, Span, Table, Warehouse
from hive_io.dagster.io_manager import WarehouseResource
from hive_io.dialect import literal
from hive_io.table import DAY

HITS = "hits_have_transactions"
ALERTS = "alerts_are_the_active_hits"
CUSTOMERS_KNOWN = "customers_are_known"

STARTED_BY = "fraud/started_by"
"""Tag of a run that names the command which started it."""
PAUSES: Sequence[float] = (1, 2, 4, 8, 16)
"""Seconds between two attempts of a check that finds a violation. The live path, or another run, writes its tables one after
the other, and a query reads them at different moments: rows written in between look inconsistent once. A real violation is
found by every attempt."""
PAUSES_LIVE: Sequence[float] = (1, 2)
"""The same in a run that `fraud watch` waits for: the live path writes nothing meanwhile."""
NAMED = 3
"""Transactions that a failed check names at most."""

_Row: TypeAlias = tuple[str, str, str]
"""The table or side that a violation is on, its day, its transaction."""


# --- hits -------------------------------------------------------------------------------------------------------------


def hits_spec(rule: Table, partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    description = f"Every hit has its transaction, on the same day. {_RETRIES}"
    return blocking(rule, HITS, description, partitions)


def pauses_of(tags: Mapping[str, str], lake: WarehouseResource) -> Sequence[float]:
    """Pauses between two attempts of a check in a run with these tags."""
    return PAUSES_LIVE if tags.get(STARTED_BY) == "watch" and lake.since is None else PAUSES


def hits_have_transactions(
    warehouse: Warehouse, rules: Sequence[Table], span: Span, pauses: Sequence[float] | None = None
) -> Iterator[DailyResult]:
    """Check the hits of all these rules with one query; yields one result for each rule.

    Args:
        pauses: seconds between two attempts; by default `PAUSES`.
    """
    query = hits_without_transaction_query(rules, span)
    violations = _confirmed(lambda: _rows(warehouse, query), pauses)
    for rule in rules:
        own = [row for row in violations if row[0] == rule.name]
        description = f"{_count(own, 'hit')} of {span} without a transaction{_named(own)}. {_RERUN}" if own else None
        yield DailyResult(
            check_name=HITS,
            asset_key=key(rule.name),
            failed_days=_days(own),
            description=description,
            metadata={"hits without a transaction": len(own)},
        )


def hits_without_transaction_query(rules: Sequence[Table], span: Span) -> HiveQL:
    """Hits (`side`, the rule; `ds`; `transaction_id`) on the days of the span without a transaction on the same day."""
    hits = union_all([_ids(rule, span, literal(rule.name).as_("side")) for rule in rules])
    tree = exp.select("h.side", f"h.{PARTITION}", "h.transaction_id").from_(hits.subquery("h"))
    transactions = _ids(TRANSACTIONS.table, span).subquery("t")
    same = f"t.{PARTITION} = h.{PARTITION} AND t.transaction_id = h.transaction_id"
    return hiveql(tree.join(transactions, on=same, join_type="left").where("t.transaction_id IS NULL"))


# --- alerts -----------------------------------------------------------------------------------------------------------


def alerts_spec(partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    description = (
        "The alerts of a day are exactly the transactions of that day that an active rule hit, or that have a high score "
        f"(FRAUD_ALERT_SCORE, FRAUD_ALERTS_A_DAY). Hits of shadow and retired rules do not count. {_RETRIES}"
    )
    return blocking(FRAUD_ALERTS, ALERTS, description, partitions)


def alerts_are_the_active_hits(
    warehouse: Warehouse,
    rules: Sequence[Table],
    span: Span,
    pauses: Sequence[float] | None = None,
    alert_score: float = 1,
    by_day: bool = False,
) -> DailyResult:
    """Compare the alerts with the hits and the high scores.

    Args:
        rules: the tables of the active rules.
        pauses: seconds between two attempts; by default `PAUSES`.
        alert_score: score from which a transaction without a hit is an alert; 1 for none.
        by_day: as for `high_scores`.
    """
    query = alerts_that_differ_query(rules, span, alert_score, by_day)
    different = _confirmed(lambda: _rows(warehouse, query), pauses)
    hits = [row for row in different if row[0] == "hit"]
    alerts = [row for row in different if row[0] == "alert"]
    description = (
        f"{span}: {_count(hits, 'transaction')} with a hit or a high score and no alert{_named(hits)}; "
        f"{_count(alerts, 'alert')} without either{_named(alerts)}. {_RERUN} "
        "If the check fails again, a running `fraud watch` may have been started with other rules."
    )
    return DailyResult(
        check_name=ALERTS,
        asset_key=key(FRAUD_ALERTS.name),
        failed_days=_days(different),
        description=description if different else None,
        metadata={"hits without an alert": len(hits), "alerts without a hit": len(alerts)},
    )


def alerts_that_differ_query(rules: Sequence[Table], span: Span, alert_score: float = 1, by_day: bool = False) -> HiveQL:
    """Transactions (`side`, `ds`, `transaction_id`) of the span's days that have only an alert, or only a hit or high score."""
    sides = [(FRAUD_ALERTS, 1, 0), *((rule, 0, 1) for rule in rules)]
    each = [_ids(table, span, literal(alerts).as_("alerts"), literal(hits).as_("hits")) for table, alerts, hits in sides]
    if by_day or alert_score < 1:
        sides_of_scores = literal(0).as_("alerts"), literal(1).as_("hits")
        scored = high_scores(span.whole_days(), alert_score, by_day).subquery("s")
        each.append(exp.select(*sides_of_scores, PARTITION, "transaction_id").from_(scored))
    rows = union_all(each)
    no_alert, no_hit = (exp.func("SUM", exp.column(name)).eq(0) for name in ("alerts", "hits"))
    side = exp.case().when(no_hit, literal("alert")).else_(literal("hit"))
    tree = exp.select(side.as_("side"), PARTITION, "transaction_id").from_(rows.subquery("sides"))
    return hiveql(tree.group_by(PARTITION, "transaction_id").having(exp.or_(no_alert, no_hit)))


# --- customers --------------------------------------------------------------------------------------------------------


def customers_spec(partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    description = (
        "Every transaction of the day before belongs to a customer in this snapshot or in that of the day before. A customer "
        "who opens an account during a day first appears in the next day's snapshot, so today's transactions are checked "
        "against tomorrow's snapshot. Passes, with a note, if the snapshot is missing or empty."
    )
    return advisory(CUSTOMERS.table.name, CUSTOMERS_KNOWN, description, partitions)


def customers_are_known(warehouse: Warehouse, span: Span) -> DailyResult:
    """Check each snapshot of the span against the transactions of the day before; a failure stops nothing.

    One attempt is enough, since snapshots do not change while transactions arrive.
    """
    for api in (TRANSACTIONS, CUSTOMERS):
        warehouse.ensure_table(api.table)
    days = warehouse.query(customers_query(span)).to_pylist()
    transactions, unknown = (sum(int(day[name]) for day in days) for name in ("transactions", "unknown"))
    before = Span.days(span.first_day - DAY, span.last_day - DAY)
    if transactions:
        share = unknown / transactions
        description = f"{unknown:,} of {transactions:,} transactions of {before} ({share:.2%}) have a customer in no snapshot."
        metadata: dict[str, float] = {"transactions": transactions, "of unknown customers": unknown, "unknown share": share}
    else:
        description = f"Nothing to check: no snapshot of customers on {span}, an empty one, or no transactions on {before}."
        metadata = {"transactions": 0}
    return DailyResult(
        check_name=CUSTOMERS_KNOWN,
        asset_key=key(CUSTOMERS.table.name),
        failed_days=[_day_after(day[PARTITION]) for day in days if day["unknown"]],
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
        metadata=metadata,
    )


def customers_query(span: Span) -> HiveQL:
    """A row for each day before a snapshot of the span: `ds`, `transactions`, and those of `unknown` customers."""
    before = Span.days(span.first_day - DAY, span.last_day - DAY)
    params = {"first": span.first_ds, "last": span.last_ds, "before": before.first_ds, "last_before": before.last_ds}
    return HiveQL((Path(__file__).parent / "customers_are_known.sql").read_text(encoding="utf-8"), params)


# --- shared by the checks ---------------------------------------------------------------------------------------------

_RETRIES = "Repeated for half a minute before it fails, since other writers may be between two tables."
_RERUN = "Rerun these days."


def _confirmed(find: Callable[[], set[_Row]], pauses: Sequence[float] | None) -> list[_Row]:
    """The violations that every attempt finds, sorted."""
    violations = find()
    for pause in PAUSES if pauses is None else pauses:
        if not violations:
            break
        time.sleep(pause)
        violations &= find()
    return sorted(violations)


def _rows(warehouse: Warehouse, query: HiveQL) -> set[_Row]:
    return {(row["side"], row[PARTITION], row["transaction_id"]) for row in warehouse.query(query).to_pylist()}


def _ids(table: Table, span: Span, *more: exp.Expr) -> exp.Select:
    rows = exp.select(*more, PARTITION, "transaction_id").from_(table_node(table))
    return within(rows, table, span.whole_days())


def _days(rows: Iterable[_Row]) -> set[str]:
    return {day for _, day, _ in rows}


def _day_after(ds: str) -> str:
    return (dt.date.fromisoformat(ds) + DAY).isoformat()


def _count(rows: Sequence[_Row], noun: str) -> str:
    return f"{len(rows):,} {noun}{'' if len(rows) == 1 else 's'}"


def _named(rows: Iterable[_Row]) -> str:
    names = sorted({transaction for _, _, transaction in rows})
    return f" ({', '.join(names[:NAMED])}{' …' if len(names) > NAMED else ''})" if names else ""
