"""How much each rule could judge: told on each day's materialization, and held against the days before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from fraud_assets.defs.checks import advisory
from fraud_assets.defs.partitions import key
from fraud_assets.rule_book import Rule
from hive_io import PARTITION
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


def told(counted: Mapping[str, int]) -> dict[str, int]:
    """The metadata of a day, of a row of `Engine.coverage`."""
    return {
        "hits": int(counted["hits"]),
        _JUDGED: int(counted["judged"]),
        _NOT_JUDGED: int(counted["transactions"] - counted["judged"]),
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
        coverage: rows of `Engine.coverage`.
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
