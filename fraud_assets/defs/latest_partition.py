"""The check that a table's latest partition is there: freshness looks at any partition, old ones too."""

import datetime as dt
from collections.abc import Iterator, Sequence

import dagster as dg

from fraud_assets.defs.checks import advisory
from hive_io.table import DAY

LATEST_DAY = "latest_day_is_there"
DUE_AFTER = dt.timedelta(hours=2)
"""So long after midnight the new day is expected: two ticks of the schedule that refreshes it."""


def latest_partition_checks(tables: Sequence[str]) -> dg.AssetChecksDefinition:
    """The check, for each table.

    It is not of the job of all assets: `Bulletin` evaluates it every minute, and records it where it changes. Runs of a few
    assets have it, as Dagster selects all checks of an asset, and it can be run by hand.
    """
    about = f"The partition of the day is there, {DUE_AFTER} (h:mm:ss) after midnight UTC; before, that of the day before."

    @dg.multi_asset_check(
        name=LATEST_DAY, specs=[advisory(table, LATEST_DAY, about, None) for table in tables], can_subset=True
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        for check in sorted(context.selected_asset_check_keys, key=lambda check: check.asset_key):
            found = latest_partition(context.instance, check.asset_key, dt.datetime.now(dt.UTC))
            yield dg.AssetCheckResult(
                asset_key=found.asset_key, check_name=LATEST_DAY, passed=found.passed, description=found.description
            )

    return checks


def latest_partition(instance: dg.DagsterInstance, asset: dg.AssetKey, now: dt.datetime) -> dg.AssetCheckEvaluation:
    """Whether the asset has the partition that is expected by now."""
    day = (now - DUE_AFTER).date()
    # today's may be there before it is due
    days = [day.isoformat(), (day + DAY).isoformat()]
    records = instance.fetch_materializations(dg.AssetRecordsFilter(asset, asset_partitions=days), limit=1).records
    said = f"{asset.path[-1]} has its partition of {day}." if records else f"{asset.path[-1]} has no partition of {day}."
    return dg.AssetCheckEvaluation(asset, LATEST_DAY, passed=bool(records), metadata={}, description=said, blocking=False)
