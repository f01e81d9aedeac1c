"""Dagster's own schedules: the day of each tick, and that there are none with Airflow as the scheduler."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.defs.maintenance import MAINTENANCE
from fraud_assets.settings import read_settings


def runs_of(schedule: str, tick: str) -> list[dg.RunRequest]:
    repository = build_definitions(read_settings()).get_repository_def()
    context = dg.build_schedule_context(scheduled_execution_time=dt.datetime.fromisoformat(tick), repository_def=repository)
    return list(repository.get_schedule_def(schedule).evaluate_tick(context).run_requests or [])


@pytest.mark.parametrize(
    ("schedule", "tick", "day"),
    [
        ("close_yesterday", "2026-03-01T00:05:00+00:00", "2026-02-28"),
        ("close_yesterday", "2026-03-01T01:05:00+01:00", "2026-02-28"),
        ("refresh_today", "2026-03-01T00:30:00+00:00", "2026-03-01"),
        ("refresh_today", "2026-03-01T23:30:00+00:00", "2026-03-01"),
        ("refresh_today", "2026-03-02T00:30:00+01:00", "2026-03-01"),
    ],
)
def test_the_day_of_a_tick_is_its_utc_day(schedule: str, tick: str, day: str) -> None:
    (run,) = runs_of(schedule, tick)
    assert run.partition_key == day
    assert run.tags["dagster/partition"] == day
    assert run.tags["dagster/priority"] == "10", "ahead of backfills"


def test_cron_expressions_and_jobs() -> None:
    schedules = build_definitions(read_settings()).get_repository_def().schedule_defs
    assert {(s.name, s.cron_schedule, s.execution_timezone, s.job.name) for s in schedules} == {
        ("close_yesterday", "5 0 * * *", "UTC", JOB),
        ("refresh_today", "30 * * * *", "UTC", JOB),
        ("daily_upkeep", "15 3 * * *", "UTC", MAINTENANCE),
    }


@pytest.mark.parametrize(("schedules", "status"), [(None, "STOPPED"), ("off", "STOPPED"), ("on", "RUNNING")])
def test_schedules_are_stopped_unless_turned_on(schedules: str | None, status: str) -> None:
    for schedule in build_definitions(read_settings(schedules=schedules)).get_repository_def().schedule_defs:
        assert schedule.default_status is dg.DefaultScheduleStatus(status)


def test_with_airflow_there_are_no_schedules() -> None:
    repository = build_definitions(read_settings(scheduler="airflow")).get_repository_def()
    assert list(repository.schedule_defs) == []
    assert repository.get_job(JOB) and repository.get_job(MAINTENANCE)
