"""The check that a table has its latest partition. Freshness does not cover it: any partition resets it, even an old one."""

import datetime as dt
from collections.abc import Iterator, Sequence

import dagster as dg

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.defs.checks import advisory
from hive_io.table import DAY

LATEST_DAY = "latest_day_is_there"
GRACE_PERIOD = dt.timedelta(hours=2)
"""Grace period after midnight UTC before the new day's partition is expected: two ticks of the schedule that refreshes it."""


def latest_partition_checks(tables: Sequence[str], clock: Clock = SYSTEM_CLOCK) -> dg.AssetChecksDefinition:
    """The check, for each table.

    The job of all assets leaves it out: `HealthMonitor` evaluates it every minute and records each change. It can also be run
    by hand, and runs of selected assets include it, since Dagster selects all checks of an asset.
    """
    description = (
        f"Today's partition exists, from {GRACE_PERIOD} (h:mm:ss) after midnight UTC; until then, yesterday's. Runs leave this "
        "check out: `fraud watch` evaluates it every minute, as does the sensor `tell_people` where it is on."
    )

    @dg.multi_asset_check(
        name=LATEST_DAY, specs=[advisory(table, LATEST_DAY, description, None) for table in tables], can_subset=True
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        for check in sorted(context.selected_asset_check_keys, key=lambda check: check.asset_key):
            result = latest_partition(context.instance, check.asset_key, clock.now())
            yield dg.AssetCheckResult(
                asset_key=result.asset_key, check_name=LATEST_DAY, passed=result.passed, description=result.description
            )

    return checks


def latest_partition(instance: dg.DagsterInstance, asset: dg.AssetKey, now: dt.datetime) -> dg.AssetCheckEvaluation:
    """Evaluate whether the asset has the partition that is expected at a time.

    Args:
        now: timezone-aware, in UTC.
    """
    day = (now - GRACE_PERIOD).date()
    # during the grace period, the new day's partition counts, too
    days = [day.isoformat(), (day + DAY).isoformat()]
    records = instance.fetch_materializations(dg.AssetRecordsFilter(asset, asset_partitions=days), limit=1).records
    found = bool(records)
    description = f"{asset.path[-1]} has {'its' if found else 'no'} partition of {day}."
    return dg.AssetCheckEvaluation(asset, LATEST_DAY, passed=found, metadata={}, description=description, blocking=False)
