"""Assets for the tests of what runs inside Airflow: one for each outcome of a run."""

import time
from collections.abc import Iterator

import dagster as dg

DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2026-02-01")


@dg.asset(key_prefix="sample", partitions_def=DAYS)
def plain(context: dg.AssetExecutionContext) -> str:
    """Succeeds."""
    return context.partition_key


@dg.asset(key_prefix="sample", partitions_def=DAYS)
def other() -> None:
    """Succeeds too."""


@dg.asset(key_prefix="sample", partitions_def=DAYS)
def raising() -> None:
    """Fails."""
    raise ValueError("the source gave 3 rows: too few")


@dg.multi_asset(
    outs={"checked": dg.AssetOut(key_prefix="sample")},
    partitions_def=DAYS,
    check_specs=[dg.AssetCheckSpec("rows_are_enough", asset=["sample", "checked"], blocking=True)],
)
def checked() -> Iterator[object]:
    """Succeeds, with a blocking check that fails."""
    yield dg.Output(None, "checked")
    yield dg.AssetCheckResult(
        passed=False,
        check_name="rows_are_enough",
        asset_key=["sample", "checked"],
        description="Fewer rows than on any day of the last month",
        metadata={
            "rows": 3,
            "share": 0.25,
            "broken claims": dg.MetadataValue.table([dg.TableRecord({"claim": "amount > 0", "rows": 7})]),
        },
    )


@dg.asset(key_prefix="sample", partitions_def=DAYS, deps=[checked])
def behind_checked() -> str:
    """Must not run if the check fails."""
    return "it did"


@dg.asset(key_prefix="sample", partitions_def=DAYS)
def slow() -> None:
    """Takes five minutes."""
    time.sleep(300)


@dg.asset(key_prefix="sample", partitions_def=DAYS)
def ten_seconds() -> None:
    """Takes ten seconds: long enough to be interrupted, short enough for a test to wait."""
    time.sleep(10)


@dg.asset(key_prefix="sample", partitions_def=DAYS)
def stubborn() -> None:
    """Ends 20 seconds after it is stopped."""
    try:
        time.sleep(300)
    finally:
        time.sleep(20)


@dg.asset(key_prefix="sample")
def unpartitioned() -> None:
    """Has no partitions."""


defs = dg.Definitions(
    assets=[plain, other, raising, checked, behind_checked, slow, ten_seconds, stubborn, unpartitioned],
    jobs=[dg.define_asset_job("sample_job", dg.AssetSelection.all() - dg.AssetSelection.assets(unpartitioned))],
    executor=dg.in_process_executor,
)
