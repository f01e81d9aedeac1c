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

    yesterday, today = dt.timedelta(days=-1), dt.timedelta()
    return [
        _daily(
            "close_yesterday", job, CLOSE_YESTERDAY, yesterday, "Yesterday's partition of every asset, once the day is over."
        ),
        _daily("refresh_today", job, REFRESH_TODAY, today, "Today's partition of every asset, as far as the day has come."),
    ]


def _daily(name: str, job: Any, cron: str, offset: dt.timedelta, description: str) -> dg.ScheduleDefinition:
    """Runs one day: that of the tick, not of the clock, for a late daemon closes the day that it should have closed."""

    @dg.schedule(name=name, job=job, cron_schedule=cron, execution_timezone="UTC", description=description)
    def of_a_day(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        tick = context.scheduled_execution_time.astimezone(dt.UTC)
        return dg.RunRequest(partition_key=(tick.date() + offset).isoformat())

    return of_a_day
