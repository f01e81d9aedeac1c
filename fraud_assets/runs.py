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
from fraud_assets.errors import FraudError, SettingsError, SourceError
from fraud_assets.settings import Settings
from hive_io import Span
from hive_io.io_manager import open_warehouse

_FIRST = "dagster/asset_partition_range_start"
_LAST = "dagster/asset_partition_range_end"
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
            tags={**(tags or {}), _FIRST: span.first_ds, _LAST: span.last_ds},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        if not result.success:
            raise RunFailed(_what_failed(result))
        return RunReport(run_id, time.monotonic() - began, steps)


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
    brought: set[dt.date] = set()
    old: list[str] = []
    long_ago = dt.datetime.now(dt.UTC) - keep
    for record in instance.get_run_records(filters=dg.RunsFilter(tags=dict(tags))):  # the newest first
        run = record.dagster_run
        days = set(Span.days(*(dt.date.fromisoformat(run.tags[tag]) for tag in (_FIRST, _LAST))).each_day())
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


def _what_failed(result: dg.ExecuteInProcessResult) -> str:
    said = []
    for event in result.all_events:
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
