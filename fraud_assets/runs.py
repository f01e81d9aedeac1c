"""Running the asset graph from the command line: one Dagster run for a range of days, and a source to run it against."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from fraud_assets.dagster_storage import KeptSqliteEventLogStorage
from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.defs.upkeep import UPKEEP
from fraud_assets.errors import FraudError, SettingsError, SourceError
from fraud_assets.run_records import FIRST_TAG, LAST_TAG, days_of, what_failed
from fraud_assets.settings import Settings
from hive_io import Span
from hive_io.io_manager import open_warehouse

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_OURS = "# Written by the fraud command; delete this line to keep your own changes.\n"


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


def dagster_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance that belongs to the warehouse; made if it is missing.

    Raises:
        SettingsError: its folder cannot be made.
    """
    # claims the folder, or says what is wrong with it, before Dagster writes there
    open_warehouse(settings.warehouse, settings.warehouse_password).close()
    home = settings.dagster_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        config = home / "dagster.yaml"
        if not config.exists() or config.read_text(encoding="utf-8").startswith(_OURS):
            config.write_text(_OURS + yaml.safe_dump(_dagster_config(home)), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{home} cannot keep Dagster's records: {error.strerror}; DAGSTER_HOME names another") from None
    return dg.DagsterInstance.from_config(str(home))


def _dagster_config(home: Path) -> dict[str, Any]:
    return {
        # no usage data are sent, and no newsletter box covers the pages
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        # what a HiveServer2 was asked, in the log of the run that asked
        "python_logs": {"managed_python_loggers": ["hive_io"], "python_log_level": "INFO"},
        # a long backfill leaves room for the runs of today
        "concurrency": {"runs": {"tag_concurrency_limits": [{"key": "dagster/backfill", "limit": 1}]}},
        "event_log_storage": {
            "module": KeptSqliteEventLogStorage.__module__,
            "class": KeptSqliteEventLogStorage.__name__,
            "config": {"base_dir": str(home / "history" / "runs")},
        },
    }


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


@contextmanager
def source_process(arguments: Sequence[str]) -> Iterator[str]:
    """A source served by a process of its own, `fraud sources …`, as long as the block lasts; gives its address.

    Raises:
        SourceError: it did not start, with what it said.
    """
    command = [sys.executable, "-m", "fraud_assets", "sources", *arguments, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise SourceError(process.stderr.read().strip().removeprefix("Error: "))
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()
        process.stderr.close()
