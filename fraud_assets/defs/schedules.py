"""Dagster's own schedules. With `FRAUD_SCHEDULER=airflow` there are none, so that no run starts twice."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg

CLOSE_YESTERDAY = "5 0 * * *"
REFRESH_TODAY = "30 * * * *"
"""Cron expression: half past each hour, so that it never coincides with `CLOSE_YESTERDAY`."""

MAINTENANCE = "15 3 * * *"
"""Cron expression: at night, when the load is low, and well apart from `CLOSE_YESTERDAY`."""

PRIORITY = {"dagster/priority": "10"}
"""Tag of scheduled runs in the run queue: ahead of backfills, which have priority 0."""


def schedules(job: Any, maintenance: dg.JobDefinition, *, running: bool) -> list[dg.ScheduleDefinition]:
    """Three schedules, in UTC: close the previous day, refresh the current day, maintain the lake.

    Args:
        job: the asset job that the first two run, partitioned by day.
        maintenance: the job that the third runs, once a day.
        running: True to run them from the start. Otherwise they stay stopped until they are started on Dagster's *Automation*
            page: a deployment that was only opened for inspection must not write.
    """
    status = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED

    def daily(name: str, cron: str, days: int, description: str) -> dg.ScheduleDefinition:
        @dg.schedule(
            name=name, job=job, cron_schedule=cron, execution_timezone="UTC", description=description, default_status=status
        )
        def request_day(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
            # derived from the tick, not the clock: a late daemon still closes the day that was due
            tick = context.scheduled_execution_time.astimezone(dt.UTC)
            return dg.RunRequest(partition_key=(tick.date() + dt.timedelta(days=days)).isoformat(), tags=PRIORITY)

        return request_day

    return [
        daily("close_yesterday", CLOSE_YESTERDAY, -1, "Yesterday's partition of every asset, after the end of the day."),
        dg.ScheduleDefinition(
            name="daily_upkeep",
            job=maintenance,
            cron_schedule=MAINTENANCE,
            execution_timezone="UTC",
            description="Compacts small files and deletes replaced files after their retention.",
            default_status=status,
        ),
        daily("refresh_today", REFRESH_TODAY, 0, "Today's partition of every asset, with the transactions so far."),
    ]
