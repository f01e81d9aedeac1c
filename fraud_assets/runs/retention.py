"""Retention of Dagster runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.monitoring.run_history import days_of


def delete_old_runs(
    instance: dg.DagsterInstance, tags: Mapping[str, str], keep: dt.timedelta, clock: Clock = SYSTEM_CLOCK
) -> int:
    """Delete old runs of `run_days`, with everything they recorded, that later runs have superseded.

    A run that succeeded is kept as long as it is the last one for any of its days: Dagster's records of that day belong to it.

    Args:
        tags: tags of the runs to consider.
        keep: age up to which every run is kept.

    Returns:
        The number of deleted runs.
    """
    covered: set[str] = set()
    superseded: list[str] = []
    oldest_kept = clock.now() - keep
    for record in instance.get_run_records(filters=dg.RunsFilter(tags=dict(tags))):  # newest first
        run = record.dagster_run
        days = set(days_of(run))
        needed = run.is_success and not days <= covered
        if run.is_finished and record.create_timestamp < oldest_kept and not needed:
            superseded.append(run.run_id)
        if run.is_success:
            covered |= days
    for run_id in superseded:
        instance.delete_run(run_id)
    return len(superseded)


def cancel_abandoned_runs(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> int:
    """Close the records of runs whose process has ended: they would be shown as running for ever.

    Args:
        tags: tags of runs that no living process executes.

    Returns:
        The number of runs.
    """
    unfinished = [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    runs = instance.get_runs(dg.RunsFilter(tags=dict(tags), statuses=unfinished))
    for run in runs:
        instance.report_run_canceled(run, "Its process ended before the run was complete. Run its days again.")
    return len(runs)
