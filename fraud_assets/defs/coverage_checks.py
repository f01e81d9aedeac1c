"""Rule coverage: how many of a day's transactions each rule could judge, recorded per day and compared with a baseline."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from sqlglot import exp

from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.checks import advisory
from fraud_assets.defs.daily_results import DailyResult
from fraud_assets.detection.rule import Rule
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.sql.windows import hiveql, table_node, within
from hive_io import PARTITION, Span, Warehouse
from hive_io.table import DAY

COULD_JUDGE = "could_judge_enough"
MAX_UNJUDGED = 0.5
"""Share of a day's transactions that a rule may leave unjudged without a comparison to the baseline."""
MAX_DROP = 0.25
"""Largest accepted drop below the baseline, as a difference of shares."""
BASELINE_DAYS = 28
"""Baseline window in days; empty days are skipped."""
MIN_BASELINE_DAYS = 3
"""Days with transactions that a baseline needs."""
MIN_TRANSACTIONS = 50
"""Transactions that a day needs for its share to be meaningful."""

_JUDGED, _NOT_JUDGED = "transactions judged", "transactions not judged"


@dataclass(frozen=True)
class _Coverage:
    transactions: int
    judged: int

    @property
    def share(self) -> float:
        return self.judged / self.transactions


def transactions_by_day(warehouse: Warehouse, span: Span) -> dict[str, int]:
    """The number of transactions of each day of the span, by `ds`; days without transactions are absent."""
    table = TRANSACTIONS.table
    warehouse.ensure_table(table)
    number = exp.Count(this=exp.Star()).as_("transactions")
    days = within(exp.select(PARTITION, number).from_(table_node(table)), table, span)
    counted = warehouse.query(hiveql(days.group_by(PARTITION))).to_pylist()
    return {row[PARTITION]: int(row["transactions"]) for row in counted}


class CoverageRecorder:
    """Records each day's counts on the rule's materialization of that day. Called when the rule's hits have been written.

    Args:
        transactions: the number of transactions of each day, by `ds`.

    Attributes:
        days: a row for each day with transactions: `ds`, `transactions`, how many the rule could judge (`judged`), `hits`.
    """

    def __init__(self, context: dg.AssetExecutionContext, rule: str, transactions: Mapping[str, int]) -> None:
        self._context, self._rule, self._transactions = context, rule, transactions
        self.days: list[dict[str, int | str]] = []

    def __call__(self, hits: Mapping[str, int], judged: Mapping[str, int]) -> None:
        for ds, transactions in self._transactions.items():
            of_day = judged.get(ds, 0)
            # a live path may have added transactions since they were counted
            day = {"transactions": max(transactions, of_day), "judged": of_day, "hits": hits.get(ds, 0)}
            self._context.add_asset_metadata(day_metadata(day), asset_key=key(self._rule), partition_key=ds)
            self.days.append({PARTITION: ds, **day})

    @property
    def hits(self) -> int:
        """Hits on all days."""
        return sum(int(day["hits"]) for day in self.days)

    @property
    def judged(self) -> int:
        """Transactions that the rule could judge on all days."""
        return sum(int(day["judged"]) for day in self.days)


def day_metadata(counts: Mapping[str, int]) -> dict[str, int]:
    """Materialization metadata of a day, from its `transactions`, `judged` and `hits`; `could_judge` reads it back."""
    return {
        "hits": counts["hits"],
        _JUDGED: counts["judged"],
        _NOT_JUDGED: counts["transactions"] - counts["judged"],
    }


def could_judge_spec(rule: Rule, partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    description = (
        f"The rule could judge at least {1 - MAX_UNJUDGED:.0%} of a day's transactions, or at most {MAX_DROP:.0%} (as a "
        f"difference of shares) less than its average over the {BASELINE_DAYS} days before. Days with fewer than "
        f"{MIN_TRANSACTIONS} transactions, or with fewer than {MIN_BASELINE_DAYS} days in the baseline, always pass."
    )
    return advisory(rule.name, COULD_JUDGE, description, partitions)


def could_judge(instance: dg.DagsterInstance, rule: str, coverage: Sequence[Mapping[str, int | str]]) -> DailyResult:
    """Check that a rule could judge enough transactions on each day of a run; a failure stops nothing.

    Args:
        instance: holds the counts that were recorded for the days before.
        coverage: `CoverageRecorder.days`.
    """
    days = {str(row[PARTITION]): _Coverage(int(row["transactions"]), int(row["judged"])) for row in coverage}
    low = [ds for ds, day in sorted(days.items()) if day.transactions >= MIN_TRANSACTIONS and 1 - day.share > MAX_UNJUDGED]
    # read the records of earlier days only if a day is low, which is rare
    known = {**_recorded_before(instance, rule, low[0]), **days} if low else {}
    dropped = {
        ds: baseline for ds in low if (baseline := _baseline(known, ds)) is not None and baseline - days[ds].share > MAX_DROP
    }
    transactions, judged = (sum(getattr(day, name) for day in days.values()) for name in ("transactions", "judged"))
    description = f"{judged:,} of {transactions:,} transactions could be judged."
    if dropped:
        ds = max(dropped, key=lambda ds: dropped[ds] - days[ds].share)
        description = (
            f"{ds}: {days[ds].share:.0%} of the transactions could be judged, compared with {dropped[ds]:.0%} on average over "
            f"the {BASELINE_DAYS} days before. Check whether a table that the rule reads lacks rows."
        )
    return DailyResult(
        check_name=COULD_JUDGE,
        asset_key=key(rule),
        failed_days=dropped.keys(),
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
        metadata={"share judged": judged / transactions if transactions else 1.0, "days that are worse": len(dropped)},
    )


def _baseline(known: Mapping[str, _Coverage], ds: str) -> float | None:
    """The share that could be judged in the baseline window of a day; None if the window has too few days."""
    first = (dt.date.fromisoformat(ds) - BASELINE_DAYS * DAY).isoformat()
    before = [day for earlier, day in known.items() if first <= earlier < ds and day.transactions]
    if len(before) < MIN_BASELINE_DAYS:
        return None
    return sum(day.judged for day in before) / sum(day.transactions for day in before)


def _recorded_before(instance: dg.DagsterInstance, rule: str, ds: str) -> dict[str, _Coverage]:
    """The counts last recorded for each day of the baseline window of a day."""
    end = dt.date.fromisoformat(ds)
    days = {(end - back * DAY).isoformat() for back in range(1, BASELINE_DAYS + 1)}
    latest = instance.get_latest_storage_id_by_partition(key(rule), dg.DagsterEventType.ASSET_MATERIALIZATION, days)
    if not latest:
        return {}
    records_filter = dg.AssetRecordsFilter(key(rule), storage_ids=[*latest.values()])
    recorded = {}
    for record in instance.fetch_materializations(records_filter, limit=len(latest)).records:
        event = record.asset_materialization
        if event is not None and event.partition is not None and {_JUDGED, _NOT_JUDGED} <= event.metadata.keys():
            judged, not_judged = (int(str(event.metadata[name].value)) for name in (_JUDGED, _NOT_JUDGED))
            recorded[event.partition] = _Coverage(judged + not_judged, judged)
    return recorded
