"""The operator of the exported DAGs. Runs in Airflow 3.3 and 2.11; needs neither Dagster nor the assets' code."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from airflow_bridge import errors
from airflow_bridge.errors import BridgeError, NoPartition, PartitionNotReady, RunTimedOut
from airflow_bridge.in_airflow.compat import (
    AIRFLOW_3,
    DEFERRAL_FAILED,
    AirflowException,
    AirflowFailException,
    BaseHook,
    BaseOperator,
    BaseOperatorLink,
    XCom,
    get_current_context,
    partition_of,
    task_try,
)
from airflow_bridge.in_airflow.connection import LocalDagster, read_connection, remote
from airflow_bridge.in_airflow.dagster_graphql import PARTITION_TAG, Address, DagsterClient, Run
from airflow_bridge.in_airflow.local import LocalRun
from airflow_bridge.in_airflow.task_runs import RunWatch, TaskTry, Work, not_ready, stop_runs, take_over_or_launch
from airflow_bridge.in_airflow.triggers import DEADLINE, ERROR, PartitionsTrigger, RunTrigger, pauses

LONGEST = dt.timedelta(hours=24)
"""Deadline of a task without execution_timeout."""

KILL_POLLS = 4
"""Polls, one per second, for a run that a killed task may have launched. Airflow 3 ends a killed task after five seconds."""

DEFER_AFTER = 20.0
"""Seconds for which a worker waits for a Dagster run before the task is deferred. Most steps end within that time, and a
deferral costs more: two scheduler loops and another worker process."""

LINK_KEY = "dagster_run_url"


class DagsterRunLink(BaseOperatorLink):
    """Button of the task that opens the Dagster run."""

    name = "Dagster run"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        return XCom.get_value(ti_key=ti_key, key=LINK_KEY) or ""


@contextmanager
def as_airflow_failure() -> Iterator[None]:
    """Fail the task with the bridge's error, without retries if they would fail the same way."""
    try:
        yield
    except BridgeError as error:
        failure = AirflowException if error.retry_may_cure else AirflowFailException
        raise failure(f"{type(error).__name__}: {error}") from error


class MaterializeAssets(BaseOperator):
    """Materializes assets and evaluates their checks in one Dagster run, and waits for its end. Fails if the run fails.

    Args:
        asset_keys: asset keys, `["fintech/transactions"]`.
        job_name: Dagster job that contains the assets; None for Dagster's built-in job of all assets.
        partition_key: Dagster partition, templated. None for the partition of the Airflow run: its partition key, otherwise
            the UTC day on which its data interval starts.
        dagster_conn_id: Airflow Connection that locates Dagster.
        mode: "remote" or "local". Takes precedence over the Connection's mode.
        deferrable: True if the task waits in the triggerer, without a worker slot. Remote mode only.
        defer_after: seconds for which the worker waits for a run before the task is deferred.
        wait_for: pairs of asset key and offset in days. These earlier partitions must be materialized before the run is
            launched. Days before the asset's first partition count as materialized.

    The deadline is `execution_timeout`, by default 24 hours, minus a fifth but at most one minute, so that the task can
    report an error before Airflow ends it. The XCom `return_value` has the `run_id` and `url` of the Dagster run and the
    `partition`.
    """

    template_fields: Sequence[str] = ("partition_key",)
    # 2.11 shows only the links of plugins and providers; the task's log has the URL
    operator_extra_links = (DagsterRunLink(),) if AIRFLOW_3 else ()
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        asset_keys: Sequence[str],
        job_name: str | None = None,
        partition_key: str | None = None,
        dagster_conn_id: str = "dagster_default",
        mode: str | None = None,
        deferrable: bool = True,
        defer_after: float = DEFER_AFTER,
        wait_for: Sequence[tuple[str, int]] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.asset_keys = asset_keys
        self.job_name = job_name
        self.partition_key = partition_key
        self.dagster_conn_id = dagster_conn_id
        self.mode = mode
        self.deferrable = deferrable
        self.defer_after = defer_after
        self.wait_for = wait_for
        # on_kill needs these: it is called in a signal handler, where Airflow's API is not available
        self._to_stop: tuple[Address, TaskTry] | LocalRun | None = None
        self._launching = False
        self._killed = False

    # Methods that Airflow calls

    def execute(self, context: Any) -> dict[str, Any]:
        with as_airflow_failure():
            return self._proceed(context, time.time() + self._seconds())

    def after_partitions(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Resume after PartitionsTrigger: the earlier partitions are materialized, or the deadline has passed."""
        with as_airflow_failure():
            _raise_error(event)
            return self._proceed(context, event["deadline"])

    def after_run(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Resume after RunTrigger: the Dagster run has ended, or the deadline has passed."""
        with as_airflow_failure():
            _raise_error(event)
            with DagsterClient(self._remote(context)) as client:
                run = client.run(event["run_id"])
                if event["status"] == DEADLINE and not run.ended:
                    self._stop_late(client, run)
                return self._result(client, run)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Resume after a deferral. Stops the Dagster run if the trigger failed, or timed out since no triggerer is running."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except DEFERRAL_FAILED as error:
            with as_airflow_failure(), DagsterClient(self._remote(context)) as client:
                stopped = stop_runs(client, task_try(context))
                raise RunTimedOut(
                    f"Airflow's triggerer failed: {error}; check that it is running and has airflow_bridge installed. "
                    f"Stopped in Dagster: {', '.join(stopped) or 'no run'}"
                ) from error

    def on_kill(self) -> None:
        """Stop this task's Dagster runs."""
        self._killed = True
        if isinstance(self._to_stop, LocalRun):
            self._to_stop.stop()
            return
        if self._to_stop is None:
            # if execution_timeout passed during a deferral, Airflow 2.11 kills the resumed task before calling its methods
            self._remote(get_current_context())
        if isinstance(self._to_stop, tuple):
            address, task = self._to_stop
            with DagsterClient(address, patience=5) as client:
                stopped = stop_runs(client, task)
                for _ in range(KILL_POLLS):
                    if stopped or not self._launching:
                        break
                    # the launch was sent, and Dagster may not have created the run yet
                    time.sleep(1)
                    stopped = stop_runs(client, task)
            self.log.info("Stopping in Dagster: %s", ", ".join(stopped) or "no active run")

    # Steps of a task

    def _proceed(self, context: Any, deadline: float) -> dict[str, Any]:
        work = Work(self.asset_keys, self.partition_key or partition_of(context), self.job_name)
        waits = earlier_partitions(self.wait_for, work)
        site = read_connection(BaseHook.get_connection(self.dagster_conn_id), self.mode)
        if isinstance(site, LocalDagster):
            self._to_stop = here = LocalRun(site, work, self.log)
            return here.materialize(waits, deadline)
        self._to_stop = (site, task_try(context))
        with DagsterClient(site) as client:
            self._wait_for_partitions(client, work, waits, deadline)
            run = self._launch(client, context, work, deadline)
            if not run.ended:
                run = self._wait_for_run(client, run, deadline)
            return self._result(client, run)

    def _wait_for_partitions(
        self, client: DagsterClient, work: Work, waits: Sequence[tuple[str, str]], deadline: float
    ) -> None:
        missing = not_ready(client, waits)
        if not missing:
            return
        names = ", ".join(f"{asset} of {partition}" for asset, partition in missing)
        if time.time() > deadline:
            raise PartitionNotReady(
                f"{', '.join(work.assets)} of {work.partition} reads {names}, which was not materialized before the deadline; "
                "run that day first"
            )
        self.log.info("Waiting for %s", names)
        if self.deferrable:
            self.defer(
                trigger=PartitionsTrigger(self.dagster_conn_id, deadline, missing),
                method_name="after_partitions",
                timeout=_until(deadline),
            )
        self._poll(lambda: not not_ready(client, missing), deadline)
        # after the deadline, this raises an error that names the missing partitions
        self._wait_for_partitions(client, work, missing, deadline)

    def _launch(self, client: DagsterClient, context: Any, work: Work, deadline: float) -> Run:
        self._launching = True
        run = take_over_or_launch(client, task_try(context), work, deadline, self.log)
        self._launching = False
        url = client.address.run_url(run.run_id)
        self.log.info("Dagster run of %s, partition %s: %s", ", ".join(work.assets), work.partition, url)
        context["ti"].xcom_push(key=LINK_KEY, value=url)
        self._end_if_killed(client, run)
        return run

    def _wait_for_run(self, client: DagsterClient, run: Run, deadline: float) -> Run:
        watch = RunWatch(run.run_id)
        until = min(deadline, time.time() + self.defer_after) if self.deferrable else deadline
        in_time = self._poll(lambda: watch.has_ended(client), until)
        self._end_if_killed(client, run)
        if not in_time and until < deadline:
            self.defer(
                trigger=RunTrigger(self.dagster_conn_id, deadline, run.run_id),
                method_name="after_run",
                timeout=_until(deadline),
            )
        run = client.run(run.run_id)
        if not in_time and not run.ended:
            self._stop_late(client, run)
        return run

    def _poll(self, done: Callable[[], bool], deadline: float) -> bool:
        """Poll until the condition holds or the task is killed; False if the deadline passes first."""
        for pause in pauses():
            if done() or self._killed:
                return True
            if time.time() > deadline:
                return False
            time.sleep(max(0.0, min(pause, deadline - time.time())))
        raise AssertionError("pauses never end")

    def _result(self, client: DagsterClient, run: Run) -> dict[str, Any]:
        if run.status != "SUCCESS":
            raise client.failure(run)
        partition = run.tags.get(PARTITION_TAG)
        return {"run_id": run.run_id, "partition": partition, "url": client.address.run_url(run.run_id)}

    def _stop_late(self, client: DagsterClient, run: Run) -> NoReturn:
        client.terminate(run.run_id)
        hint = "; is Dagster's daemon running?" if run.status == "QUEUED" else ""
        raise RunTimedOut(
            f"Run {run.run_id} was {run.status} at the task's deadline and is being stopped{hint} "
            f"{client.address.run_url(run.run_id)}"
        )

    def _end_if_killed(self, client: DagsterClient, run: Run) -> None:
        """End a killed task. Airflow 3 continues its code after `on_kill`."""
        if self._killed:
            client.terminate(run.run_id)
            raise AirflowException(f"The task was killed, so the Dagster run {run.run_id} is being stopped")

    def _remote(self, context: Any) -> Address:
        address = remote(BaseHook.get_connection(self.dagster_conn_id))
        self._to_stop = (address, task_try(context))
        return address

    def _seconds(self) -> float:
        """Seconds until the deadline, which is before Airflow's own, so that the error comes from here."""
        longest: float = (self.execution_timeout or LONGEST).total_seconds()
        return longest - min(60.0, longest / 5)


def earlier_partitions(wait_for: Sequence[tuple[str, int]], work: Work) -> list[tuple[str, str]]:
    """Convert pairs of asset and offset in days to pairs of asset and partition.

    Raises:
        NoPartition: the task's own partition is not a date.
    """
    if not wait_for:
        return []
    try:
        day = dt.date.fromisoformat(work.partition or "")
    except ValueError:
        raise NoPartition(
            f"{', '.join(work.assets)} waits for earlier days, but its partition {work.partition} is not a date; use YYYY-MM-DD"
        ) from None
    return [(asset, (day + dt.timedelta(days=offset)).isoformat()) for asset, offset in wait_for]


def _raise_error(event: Mapping[str, Any]) -> None:
    """Raise the trigger's error, which its event holds as class name and message."""
    if event["status"] == ERROR:
        raise getattr(errors, event["error"])(event["message"])


def _until(deadline: float) -> dt.timedelta:
    """Timeout of a deferral. The trigger itself keeps the deadline; Airflow acts a minute later if no triggerer is running."""
    return dt.timedelta(seconds=max(0.0, deadline - time.time()) + 60)
