"""Facts from Dagster's records of a run: its days, and why it failed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import dagster as dg

from hive_io import Span

FIRST_TAG, LAST_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
_DAY_TAG = "dagster/partition"


def days_of(run: dg.DagsterRun) -> list[str]:
    """The days of a run (`2026-01-31`): its partition or its partition range; empty if it has neither."""
    partition = run.tags.get(_DAY_TAG)
    if partition is not None:
        return [partition]
    if FIRST_TAG not in run.tags or LAST_TAG not in run.tags:
        return []
    span = Span.days(*(dt.date.fromisoformat(run.tags[tag]) for tag in (FIRST_TAG, LAST_TAG)))
    return [day.isoformat() for day in span.each_day()]


def what_failed(events: Iterable[dg.DagsterEvent]) -> str:
    """The errors of a run's failed steps and checks, one line each."""
    errors: list[str] = []
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            line = f"{check.asset_key.path[-1]}: check {check.check_name} failed. {check.description or ''}".strip()
            # a check of a range of days fails once on each of them, with one description; a warning fails no run
            if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR and line not in errors:
                errors.append(line)
        elif event.is_step_failure:
            cause = _root_cause(event.step_failure_data.error)
            # skip steps that failed because of a check, which is listed already, and repetitions of the same cause
            if _FAILED_CHECK not in cause and not any(line.endswith(cause) for line in errors):
                errors.append(f"{event.step_key}: {cause}")
        elif event.event_type == dg.DagsterEventType.RUN_FAILURE and not errors:
            # a run whose process was killed is closed with a message, without an error
            cause = _root_cause(event.job_failure_data.error) if event.event_specific_data is not None else ""
            errors.append(f"{event.message} {cause}".strip())
    return "\n".join(errors) or "The run did not succeed; its records contain no error"


_FAILED_CHECK = "blocking asset check"


def _root_cause(error: Any) -> str:
    """The message of the first error that is not one of Dagster's wrappers, without its class name."""
    while error is not None and error.cause is not None and str(error.cls_name).startswith("Dagster"):
        error = error.cause
    message = error.message.strip() if error else ""
    return message.partition(": ")[2] or message
