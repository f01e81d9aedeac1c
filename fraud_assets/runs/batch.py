"""Dagster runs in this process: all assets for a range of days, and the maintenance job."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.defs.maintenance import MAINTENANCE
from fraud_assets.errors import FraudError, SettingsError
from fraud_assets.errors import RunCancelled as RunCancelled
from fraud_assets.monitoring.run_history import FIRST_TAG, LAST_TAG, what_failed
from fraud_assets.runs.dead_runs import marked_alive
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.runs.interrupts import held_interrupts, noticed_interrupts
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
    cancelled: Callable[[], bool] = lambda: False,
    beside: bool = False,
) -> RunReport:
    """Materialize every asset for a range of whole days, in one Dagster run, in this process.

    Args:
        on_step: called at the beginning and the end of each step with its name, the number of steps that are done, and their
            total; before the first step, with `starting`.
        tags: tags of the run, besides those of its partition range.
        clock: determines today, the last day that can be materialized.
        cancelled: asked at each event of the run; True cancels the run, as Dagster's own signal handler does.
        beside: others write the same days meanwhile, and what they write during the run stays. Not for a HiveServer2.

    Raises:
        RunCancelled: tables written before it keep their new rows, the others their old ones.
        RunFailed: with what failed and why. Tables written before the failure keep their new rows, the others their old ones.
        SettingsError: a day before the first partition, or after today; nothing was started.
        RuleError, NotAWarehouse: nothing was started.
    """
    if span.first_day < settings.first_day:
        raise SettingsError(f"{span.first_day} is before the first partition, {settings.first_day}, which FRAUD_FIRST_DAY sets")
    today = clock.today()
    if span.last_day > today:
        raise SettingsError(f"{span.last_day} is after today, {today} (UTC), the last partition")
    since = dt.datetime.now(dt.UTC) if beside else None
    job = build_definitions(settings, clock, since).resolve_job_def(JOB)
    total = len(list(job.nodes))
    steps: list[StepTime] = []
    interrupted: list[bool] = []
    on_step("starting", 0, total)

    def record_step(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if cancelled() and not interrupted:
            interrupted.append(True)
            raise dg.DagsterExecutionInterruptedError
        if event is not None and event.event_type == dg.DagsterEventType.STEP_START:
            on_step(str(event.step_key), len(steps), total)
        if event is not None and event.event_type == dg.DagsterEventType.STEP_SUCCESS:
            steps.append(StepTime(str(event.step_key), event.step_success_data.duration_ms / 1000))
            on_step(str(event.step_key), len(steps), total)

    run_id = str(uuid.uuid4())
    with dagster_instance(settings) as instance, marked_alive(settings.dagster_home, run_id), noticed_interrupts() as stopped:
        instance.add_event_listener(run_id, record_step)
        started = time.monotonic()
        try:
            if cancelled():
                raise dg.DagsterExecutionInterruptedError
            result = job.execute_in_process(
                instance=instance,
                run_id=run_id,
                tags={**(tags or {}), FIRST_TAG: span.first_ds, LAST_TAG: span.last_ds},
                run_config=_QUIET,
                raise_on_error=False,
            )
        except BaseException as error:
            by_signal = isinstance(error, (KeyboardInterrupt, dg.DagsterExecutionInterruptedError))
            if not by_signal and not stopped() and not cancelled():
                raise
            interrupted.append(True)  # the listener must not interrupt what follows
            _close_as_cancelled(instance, run_id)
            raise RunCancelled(f"The run of {span} was cancelled") from None
        if interrupted or ((stopped() or cancelled()) and not result.success):
            interrupted.append(True)
            _close_as_cancelled(instance, run_id)
            raise RunCancelled(f"The run of {span} was cancelled")
        if not result.success:
            raise RunFailed(what_failed(result.all_events))
        return RunReport(run_id, time.monotonic() - started, steps)


def _close_as_cancelled(instance: dg.DagsterInstance, run_id: str) -> None:
    """Close the record of a run that a signal ended, unless Dagster has done it."""
    with held_interrupts():
        run = instance.get_run_by_id(run_id)
        if run is not None and run.status is not dg.DagsterRunStatus.CANCELED:
            instance.report_run_canceled(run, "The run was cancelled. Run its days again to complete it.")


def run_maintenance(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> list[dg.AssetObservation]:
    """Compact small files and delete replaced files after their retention, in one Dagster run, in this process.

    Returns:
        An observation of each table, with its figures.

    Raises:
        RunFailed: with the reason; no row was changed.
        RuleError, NotAWarehouse: nothing was started.
    """
    job = build_definitions(settings, clock).resolve_job_def(MAINTENANCE)
    run_id = str(uuid.uuid4())
    with dagster_instance(settings) as instance, marked_alive(settings.dagster_home, run_id), noticed_interrupts() as stopped:
        try:
            result = job.execute_in_process(instance=instance, run_id=run_id, run_config=_QUIET, raise_on_error=False)
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            _close_as_cancelled(instance, run_id)
            raise RunCancelled("The maintenance run was cancelled") from None
        if stopped() and not result.success:
            _close_as_cancelled(instance, run_id)
            raise RunCancelled("The maintenance run was cancelled")
    if not result.success:
        raise RunFailed(what_failed(result.all_events))
    events = [event for event in result.all_events if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION]
    return [event.asset_observation_data.asset_observation for event in events]
