"""What Dagster's records say of a run: which days it brings, and why it failed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import dagster as dg

from hive_io import Span

FIRST_TAG, LAST_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
_DAY_TAG = "dagster/partition"


def days_of(run: dg.DagsterRun) -> list[str]:
    """The days that a run brings, `2026-01-31`: its partition, or its range of them; none where it has neither."""
    partition = run.tags.get(_DAY_TAG)
    if partition is not None:
        return [partition]
    if FIRST_TAG not in run.tags or LAST_TAG not in run.tags:
        return []
    span = Span.days(*(dt.date.fromisoformat(run.tags[tag]) for tag in (FIRST_TAG, LAST_TAG)))
    return [day.isoformat() for day in span.each_day()]


def what_failed(events: Iterable[dg.DagsterEvent]) -> str:
    """What the failed steps and checks of a run said, a line each."""
    said = []
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed:
                said.append(f"{check.asset_key.path[-1]}: check {check.check_name} failed. {check.description or ''}".strip())
        elif event.is_step_failure:
            why = _root_cause(event.step_failure_data.error)
            # a step that failed because of a check has been told of, and several may fail for the same reason
            if _FAILED_CHECK not in why and not any(line.endswith(why) for line in said):
                said.append(f"{event.step_key}: {why}")
        elif event.event_type == dg.DagsterEventType.RUN_FAILURE and not said:
            said.append(f"{event.message} {_root_cause(event.job_failure_data.error)}")
    return "\n".join(said) or "The run ended without success"


_FAILED_CHECK = "blocking asset check"


def _root_cause(error: Any) -> str:
    """What the first error said that is not Dagster's own wrapping, without the name of its class."""
    while error is not None and error.cause is not None and str(error.cls_name).startswith("Dagster"):
        error = error.cause
    message = error.message.strip() if error else ""
    return message.partition(": ")[2] or message
