"""The check that a table has its latest partition: around midnight UTC and the grace period after it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import dagster as dg
import pytest

from fraud_assets.clock import Clock
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.latest_partition import GRACE_PERIOD, LATEST_DAY, latest_partition, latest_partition_checks
from hive_io.table import DAY as A_DAY
from tests.fraud_fixtures import DAY

NEXT = DAY + A_DAY
MIDNIGHT = dt.datetime.combine(NEXT, dt.time(), dt.UTC)
DUE = MIDNIGHT + GRACE_PERIOD
JUST_BEFORE = -dt.timedelta(microseconds=1)
TABLE = "transactions"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def materialize(instance: dg.DagsterInstance, *days: dt.date) -> None:
    for day in days:
        instance.report_runless_asset_event(dg.AssetMaterialization(key(TABLE), partition=str(day)))


def test_the_grace_period_is_two_hours() -> None:
    assert dt.timedelta(hours=2) == GRACE_PERIOD


@pytest.mark.parametrize(
    ("now", "materialized", "passed", "expected"),
    [
        (MIDNIGHT + JUST_BEFORE, [DAY], True, DAY),
        (MIDNIGHT, [DAY], True, DAY),
        (MIDNIGHT, [DAY - A_DAY], False, DAY),
        (DUE + JUST_BEFORE, [DAY], True, DAY),
        (DUE + JUST_BEFORE, [NEXT], True, DAY),  # the new day counts as soon as it exists
        (DUE, [DAY], False, NEXT),
        (DUE, [NEXT], True, NEXT),
        (DUE, [NEXT, DAY - A_DAY], True, NEXT),  # a backfill of an old day changes nothing
        (DUE, [DAY, DAY - A_DAY], False, NEXT),
        (DUE, [], False, NEXT),
    ],
)
def test_the_partition_that_is_expected(
    instance: dg.DagsterInstance, now: dt.datetime, materialized: list[dt.date], passed: bool, expected: dt.date
) -> None:
    materialize(instance, *materialized)
    result = latest_partition(instance, key(TABLE), now)
    assert (result.passed, result.check_name, result.blocking) == (passed, LATEST_DAY, False)
    assert TABLE in str(result.description) and str(expected) in str(result.description)


@pytest.mark.parametrize(("now", "passed"), [(DUE + JUST_BEFORE, True), (DUE, False)])
def test_the_check_in_dagster_reads_the_clock(instance: dg.DagsterInstance, now: dt.datetime, passed: bool) -> None:
    materialize(instance, DAY)
    checks = latest_partition_checks([TABLE], Clock(lambda: now))
    job = dg.Definitions(asset_checks=[checks]).resolve_implicit_global_asset_job_def()
    (result,) = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    assert (result.check_name, result.asset_key, result.passed) == (LATEST_DAY, key(TABLE), passed)
