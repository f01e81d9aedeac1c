"""When Dagster itself starts runs. With `FRAUD_SCHEDULER=airflow` none of these exist, and nothing is started twice."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg

CLOSE_YESTERDAY = "5 0 * * *"
REFRESH_TODAY = "30 * * * *"
"""Half past, so that it never meets the closing of a day."""


def schedules(job: Any) -> list[dg.ScheduleDefinition]:
    """One that closes each day after it ended, and one that refreshes the day that is under way; both in UTC.

    They are stopped until somebody starts them in Dagster's *Automation* page: a deployment that was only looked at must not
    begin to write.

    Args:
        job: the asset job that both run, partitioned by day.
    """

    @dg.schedule(
        name="close_yesterday",
        job=job,
        cron_schedule=CLOSE_YESTERDAY,
        execution_timezone="UTC",
        description="Yesterday's partition of every asset, once the day is over.",
    )
    def close_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return _day_of(context, -1)

    @dg.schedule(
        name="refresh_today",
        job=job,
        cron_schedule=REFRESH_TODAY,
        execution_timezone="UTC",
        description="Today's partition of every asset, as far as the day has come.",
    )
    def refresh_today(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return _day_of(context, 0)

    return [close_yesterday, refresh_today]


def _day_of(context: dg.ScheduleEvaluationContext, offset: int) -> dg.RunRequest:
    """The day of the tick, not of the clock: a daemon that was late closes the day that it should have closed."""
    tick = context.scheduled_execution_time.astimezone(dt.UTC)
    return dg.RunRequest(partition_key=(tick.date() + dt.timedelta(days=offset)).isoformat())
