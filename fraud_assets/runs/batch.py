"""Dagster runs in this process: all assets for a range of days, and the maintenance job."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.defs.maintenance import MAINTENANCE
from fraud_assets.errors import FraudError, SettingsError
from fraud_assets.monitoring.run_history import FIRST_TAG, LAST_TAG, what_failed
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import Settings
from hive_io import Span

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunFailed(FraudError):
    """A run did not succeed; the message has the errors of its steps and checks."""


@dataclass(frozen=True)
class StepTime:
    """The duration of a step in seconds, for computing and writing."""

    step: str
    seconds: float


@dataclass(frozen=True)
class RunReport:
    """A run that succeeded.

    Attributes:
        seconds: wall time of the whole run.
        steps: in the order they ended; the rest of `seconds` is Dagster's own overhead.
    """

    run_id: str
    seconds: float
    steps: Sequence[StepTime]


def run_days(
    settings: Settings,
    span: Span,
    on_step: Callable[[str, int, int], None] = lambda *_: None,
    tags: Mapping[str, str] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> RunReport:
    """Materialize every asset for a range of whole days, in one Dagster run, in this process.

    Args:
        on_step: called after each step with its name, the number of steps that are done, and their total.
        tags: tags of the run, besides those of its partition range.
        clock: determines today, the last day that can be materialized.

    Raises:
        RunFailed: with what failed and why. Tables written before the failure keep their new rows, the others their old ones.
        SettingsError: a day before the first partition, or after today; nothing was started.
        RuleError, NotAWarehouse: nothing was started.
    """
    if span.first_day < settings.first_day:
        raise SettingsError(f"{span.first_day} is before the first partition, {settings.first_day}, which FRAUD_FIRST_DAY sets")
    today = clock.today()
    if span.last_day > today:
        raise SettingsError(f"{span.last_day} is after today, {today} (UTC), the last partition")
    job = build_definitions(settings, clock).resolve_job_def(JOB)
    total = len(list(job.nodes))
    steps: list[StepTime] = []

    def record_step(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is not None and event.event_type == dg.DagsterEventType.STEP_SUCCESS:
            steps.append(StepTime(str(event.step_key), event.step_success_data.duration_ms / 1000))
            on_step(str(event.step_key), len(steps), total)

    with dagster_instance(settings) as instance:
        run_id = str(uuid.uuid4())
        instance.add_event_listener(run_id, record_step)
        started = time.monotonic()
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            tags={**(tags or {}), FIRST_TAG: span.first_ds, LAST_TAG: span.last_ds},
            run_config=_QUIET,
            raise_on_error=False,
        )
        if not result.success:
            raise RunFailed(what_failed(result.all_events))
        return RunReport(run_id, time.monotonic() - started, steps)


def run_maintenance(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> list[dg.AssetObservation]:
    """Compact small files and delete replaced files after their retention, in one Dagster run, in this process.

    Returns:
        An observation of each table, with its figures.

    Raises:
        RunFailed: with the reason; no row was changed.
        RuleError, NotAWarehouse: nothing was started.
    """
    job = build_definitions(settings, clock).resolve_job_def(MAINTENANCE)
    with dagster_instance(settings) as instance:
        result = job.execute_in_process(instance=instance, run_config=_QUIET, raise_on_error=False)
    if not result.success:
        raise RunFailed(what_failed(result.all_events))
    events = [event for event in result.all_events if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION]
    return [event.asset_observation_data.asset_observation for event in events]
