"""Deletes runs that are no longer needed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from fraud_assets.monitoring.run_history import days_of


def delete_old_runs(instance: dg.DagsterInstance, tags: Mapping[str, str], keep: dt.timedelta) -> int:
    """Delete runs over ranges of days, with all they recorded, that ended long ago and that nobody misses.

    A run that succeeded is kept while it is the last that brought one of its days, for then it is what Dagster knows of
    that day.

    Args:
        tags: which runs; they are `run_days`'s.
        keep: how long every run is kept.

    Returns:
        How many were deleted.
    """
    brought: set[str] = set()
    old: list[str] = []
    long_ago = dt.datetime.now(dt.UTC) - keep
    for record in instance.get_run_records(filters=dg.RunsFilter(tags=dict(tags))):  # the newest first
        run = record.dagster_run
        days = set(days_of(run))
        needed = run.is_success and not days <= brought
        if run.is_finished and record.create_timestamp < long_ago and not needed:
            old.append(run.run_id)
        if run.is_success:
            brought |= days
    for run_id in old:
        instance.delete_run(run_id)
    return len(old)
