"""How much each rule could judge: told on each day's materialization, and held against the days before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from sqlglot import exp

from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.checks import advisory
from fraud_assets.detection.rule import Rule
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.sql.windows import hiveql, within
from hive_io import PARTITION, Span, Warehouse
from hive_io.table import DAY

COULD_JUDGE = "could_judge_enough"
MOST_UNJUDGED = 0.5
"""Share of a day's transactions; a rule that leaves fewer of them is not looked at further."""
CLEARLY = 0.25
"""How much more it could judge before: a difference of shares."""
BEFORE = 28
"""Days before, of which those with transactions count."""
ENOUGH_DAYS = 3
ENOUGH = 50
"""Transactions of a day, of which a share says something."""

_JUDGED, _NOT_JUDGED = "transactions judged", "transactions not judged"


@dataclass(frozen=True)
class _Counted:
    transactions: int
    judged: int

    @property
    def share(self) -> float:
        return self.judged / self.transactions


def transactions(warehouse: Warehouse, span: Span) -> dict[str, int]:
    """How many transactions each day of the span has that has some."""
    table = TRANSACTIONS.table
    warehouse.ensure_table(table)
    number = exp.alias_(exp.Count(this=exp.Star()), "transactions")
    days = within(exp.select(PARTITION, number).from_(exp.table_(table.name, db=table.database)), table, span)
    counted = warehouse.query(hiveql(days.group_by(PARTITION))).to_pylist()
    return {row[PARTITION]: int(row["transactions"]) for row in counted}


class CoverageRecorder:
    """What is told of a rule's days, on the materialization of each, when its hits are written.

    Args:
        there: transactions of each day, by `ds`.

    Attributes:
        days: a row for each day with transactions: `ds`, `transactions`, how many the rule could judge (`judged`), `hits`.
    """

    def __init__(self, context: dg.AssetExecutionContext, rule: str, there: Mapping[str, int]) -> None:
        self._context, self._rule, self._there = context, rule, there
        self.days: list[dict[str, int | str]] = []

    def __call__(self, hits: Mapping[str, int], judged: Mapping[str, int]) -> None:
        for ds, number in self._there.items():
            day = {"transactions": number, "judged": judged.get(ds, 0), "hits": hits.get(ds, 0)}
            self._context.add_asset_metadata(told(day), asset_key=key(self._rule), partition_key=ds)
            self.days.append({PARTITION: ds, **day})

    @property
    def hits(self) -> int:
        return sum(int(day["hits"]) for day in self.days)

    @property
    def judged(self) -> int:
        return sum(int(day["judged"]) for day in self.days)


def told(counted: Mapping[str, int]) -> dict[str, int]:
    """The metadata of a day."""
    return {
        "hits": counted["hits"],
        _JUDGED: counted["judged"],
        _NOT_JUDGED: counted["transactions"] - counted["judged"],
    }


def could_judge_spec(rule: Rule, partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    about = (
        f"It could judge {1 - MOST_UNJUDGED:.0%} of a day's transactions or more; or, if not, at most {CLEARLY:.0%} "
        f"less of them than on average in the {BEFORE} days before. Days with fewer than {ENOUGH} transactions, or after fewer "
        f"than {ENOUGH_DAYS} days with some, are not held against others."
    )
    return advisory(rule.name, COULD_JUDGE, about, partitions)


def could_judge(instance: dg.DagsterInstance, rule: str, coverage: Sequence[Mapping[str, int | str]]) -> dg.AssetCheckResult:
    """Whether a rule, on each day of a run, could judge enough; failing stops nothing.

    Args:
        instance: which knows what was told of the days before.
        coverage: `CoverageRecorder.days`.
    """
    days = {str(row[PARTITION]): _Counted(int(row["transactions"]), int(row["judged"])) for row in coverage}
    poor = [ds for ds, day in sorted(days.items()) if day.transactions >= ENOUGH and 1 - day.share > MOST_UNJUDGED]
    # most days are not poor, and then nobody is asked
    known = {**_told_before(instance, rule, poor[0]), **days} if poor else {}
    worse = {ds: usual for ds in poor if (usual := _usual(known, ds)) is not None and usual - days[ds].share > CLEARLY}
    transactions, judged = (sum(getattr(day, name) for day in days.values()) for name in ("transactions", "judged"))
    said = f"It could judge {judged:,} of {transactions:,} transactions."
    if worse:
        ds = max(worse, key=lambda ds: worse[ds] - days[ds].share)
        said = (
            f"It could judge {days[ds].share:.0%} of the transactions of {ds}, and {worse[ds]:.0%} on average in the "
            f"{BEFORE} days before: does one of the tables that it reads lack rows?"
        )
    return dg.AssetCheckResult(
        check_name=COULD_JUDGE,
        asset_key=key(rule),
        passed=not worse,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata={"share judged": judged / transactions if transactions else 1.0, "days that are worse": len(worse)},
    )


def _usual(known: Mapping[str, _Counted], ds: str) -> float | None:
    """The share that it could judge on the days before; None where there are too few."""
    first = (dt.date.fromisoformat(ds) - BEFORE * DAY).isoformat()
    before = [day for earlier, day in known.items() if first <= earlier < ds and day.transactions]
    if len(before) < ENOUGH_DAYS:
        return None
    return sum(day.judged for day in before) / sum(day.transactions for day in before)


def _told_before(instance: dg.DagsterInstance, rule: str, ds: str) -> dict[str, _Counted]:
    """What was told last of each of the days before."""
    end = dt.date.fromisoformat(ds)
    days = {(end - back * DAY).isoformat() for back in range(1, BEFORE + 1)}
    latest = instance.get_latest_storage_id_by_partition(key(rule), dg.DagsterEventType.ASSET_MATERIALIZATION, days)
    if not latest:
        return {}
    wanted = dg.AssetRecordsFilter(key(rule), storage_ids=[*latest.values()])
    found = {}
    for record in instance.fetch_materializations(wanted, limit=len(latest)).records:
        made = record.asset_materialization
        if made is not None and made.partition is not None and {_JUDGED, _NOT_JUDGED} <= made.metadata.keys():
            judged, not_judged = (int(str(made.metadata[name].value)) for name in (_JUDGED, _NOT_JUDGED))
            found[made.partition] = _Counted(judged + not_judged, judged)
    return found
