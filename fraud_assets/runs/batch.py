"""Running the asset graph from the command line: one Dagster run for a range of days, and a source to run it against."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.defs.maintenance import UPKEEP
from fraud_assets.errors import FraudError, SettingsError
from fraud_assets.monitoring.run_history import FIRST_TAG, LAST_TAG, what_failed
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import Settings
from hive_io import Span

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunFailed(FraudError):
    """A run ended without success; the message has what its steps and checks said."""


@dataclass(frozen=True)
class StepTime:
    """How long a step took, in seconds, computing and writing."""

    step: str
    seconds: float


@dataclass(frozen=True)
class RunReport:
    """A run that succeeded.

    Attributes:
        seconds: wall time of the whole run.
        steps: in the order they ended; what is missing to `seconds` is Dagster's own bookkeeping.
    """

    run_id: str
    seconds: float
    steps: Sequence[StepTime]


def run_days(
    settings: Settings,
    span: Span,
    on_step: Callable[[str, int, int], None] = lambda *_: None,
    tags: Mapping[str, str] | None = None,
) -> RunReport:
    """Materialize every asset for a range of whole days, in one Dagster run, in this process.

    Args:
        tags: of the run, besides those of its range.
        on_step: told after each step: its name, how many are done, how many there are.

    Raises:
        RunFailed: with what failed and why; what was written before is kept, the rest is as it was.
        SettingsError: days before the first partition.
        RuleError, NotAWarehouse: nothing was started.
    """
    if span.first_day < settings.first_day:
        raise SettingsError(f"{span.first_day} is before the first partition, {settings.first_day}; FRAUD_FIRST_DAY sets it")
    today = dt.datetime.now(dt.UTC).date()
    if span.last_day > today:
        raise SettingsError(f"{span.last_day} is after today, {today} (UTC), which is the last partition")
    job = build_definitions(settings).resolve_job_def(JOB)
    total = len(list(job.nodes))
    steps: list[StepTime] = []

    def listen(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is not None and event.event_type == dg.DagsterEventType.STEP_SUCCESS:
            steps.append(StepTime(str(event.step_key), event.step_success_data.duration_ms / 1000))
            on_step(str(event.step_key), len(steps), total)

    with dagster_instance(settings) as instance:
        run_id = str(uuid.uuid4())
        instance.add_event_listener(run_id, listen)
        began = time.monotonic()
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            tags={**(tags or {}), FIRST_TAG: span.first_ds, LAST_TAG: span.last_ds},
            run_config=_QUIET,
            raise_on_error=False,
        )
        if not result.success:
            raise RunFailed(what_failed(result.all_events))
        return RunReport(run_id, time.monotonic() - began, steps)


def run_upkeep(settings: Settings) -> list[dg.AssetObservation]:
    """Put small files together and delete those whose time is over, in one Dagster run, in this process.

    Returns:
        The figures of each table.

    Raises:
        RunFailed: with why; no row is changed.
        RuleError, NotAWarehouse: nothing was started.
    """
    job = build_definitions(settings).resolve_job_def(UPKEEP)
    with dagster_instance(settings) as instance:
        result = job.execute_in_process(instance=instance, run_config=_QUIET, raise_on_error=False)
    if not result.success:
        raise RunFailed(what_failed(result.all_events))
    observed = [event for event in result.all_events if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION]
    return [event.asset_observation_data.asset_observation for event in observed]
