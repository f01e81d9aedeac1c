"""Retention of runs: which ones are superseded, and the moment from which they are deleted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from fraud_assets.clock import Clock
from fraud_assets.monitoring.run_history import FIRST_TAG, LAST_TAG
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.runs.retention import delete_old_runs
from fraud_assets.settings import read_settings

KEEP = dt.timedelta(days=1)
TAG = {"started_by": "test"}
MOMENT = dt.timedelta(microseconds=1)
MUCH_LATER = dt.timedelta(days=3_650)
SUCCESS, FAILURE, STARTED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED


@dg.job
def _job() -> None:
    """A job without steps, whose runs are only recorded."""


@pytest.fixture
def instance(records: str, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dagster_instance(read_settings(warehouse=str(tmp_path))) as instance:
        yield instance


def add_run(
    instance: dg.DagsterInstance, first: str, last: str, status: dg.DagsterRunStatus = SUCCESS, tags: dict[str, str] = TAG
) -> str:
    run = instance.create_run_for_job(_job, status=status, tags={**tags, FIRST_TAG: first, LAST_TAG: last})
    return run.run_id


def created(instance: dg.DagsterInstance, run_id: str) -> dt.datetime:
    record = instance.get_run_record_by_id(run_id)
    assert record is not None
    return record.create_timestamp


def kept(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def test_a_superseded_run_is_deleted_once_it_is_older_than_its_retention(instance: dg.DagsterInstance) -> None:
    old = add_run(instance, "2026-01-05", "2026-01-05")
    new = add_run(instance, "2026-01-05", "2026-01-06")
    expires = created(instance, old) + KEEP
    assert delete_old_runs(instance, TAG, KEEP, Clock(lambda: expires)) == 0
    assert kept(instance) == {old, new}
    assert delete_old_runs(instance, TAG, KEEP, Clock(lambda: expires + MOMENT)) == 1
    assert kept(instance) == {new}


def test_the_last_run_that_succeeded_for_a_day_is_kept_however_old(instance: dg.DagsterInstance) -> None:
    both_days = add_run(instance, "2026-01-05", "2026-01-06")
    first_day = add_run(instance, "2026-01-05", "2026-01-05")
    add_run(instance, "2026-01-06", "2026-01-06", FAILURE)
    running = add_run(instance, "2026-01-05", "2026-01-06", STARTED)
    another = add_run(instance, "2026-01-05", "2026-01-05", FAILURE, tags={"started_by": "another"})
    clock = Clock(lambda: created(instance, another) + MUCH_LATER)
    assert delete_old_runs(instance, TAG, KEEP, clock) == 1
    assert kept(instance) == {both_days, first_day, running, another}, "only the failed run is deleted"
