"""When Dagster itself starts runs. With `FRAUD_SCHEDULER=airflow` none of these exist, and nothing is started twice."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg

CLOSE_YESTERDAY = "5 0 * * *"
REFRESH_TODAY = "30 * * * *"
"""Half past, so that it never meets the closing of a day."""

UPKEEP_OF_THE_LAKE = "15 3 * * *"
"""When little happens, and between the closing of a day and the next."""

AHEAD = {"dagster/priority": "10"}
"""In the queue of runs, before backfills, which have 0."""


def schedules(job: Any, upkeep: dg.JobDefinition, *, running: bool) -> list[dg.ScheduleDefinition]:
    """One that closes each day after it ended, one that refreshes the day that is under way, one for the lake; all in UTC.

    Args:
        job: the asset job that the first two run, partitioned by day.
        upkeep: the job that the third runs, once a day.
        running: whether they run from the start. Else they are stopped until somebody starts them in Dagster's *Automation*
            page: a deployment that was only looked at must not begin to write.
    """
    status = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED

    def daily(name: str, cron: str, days: int, description: str) -> dg.ScheduleDefinition:
        @dg.schedule(
            name=name, job=job, cron_schedule=cron, execution_timezone="UTC", description=description, default_status=status
        )
        def of_a_day(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
            # of the tick, not of the clock: a daemon that was late closes the day that it should have closed
            tick = context.scheduled_execution_time.astimezone(dt.UTC)
            return dg.RunRequest(partition_key=(tick.date() + dt.timedelta(days=days)).isoformat(), tags=AHEAD)

        return of_a_day

    return [
        daily("close_yesterday", CLOSE_YESTERDAY, -1, "Yesterday's partition of every asset, once the day is over."),
        dg.ScheduleDefinition(
            name="daily_upkeep",
            job=upkeep,
            cron_schedule=UPKEEP_OF_THE_LAKE,
            execution_timezone="UTC",
            description="Small files put together, files of replaced rows deleted.",
            default_status=status,
        ),
        daily("refresh_today", REFRESH_TODAY, 0, "Today's partition of every asset, as far as the day has come."),
    ]
