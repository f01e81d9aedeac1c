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
"""How long a task waits that has no execution_timeout."""

KILL_LOOKS = 4
"""Airflow 3 allows a killed task five seconds."""

DEFER_AFTER = 20.0
"""Seconds that a worker waits for a Dagster run before the triggerer does: most steps end within, and a deferral costs more
than such a wait: two rounds of the scheduler and another process of a worker."""

LINK_KEY = "dagster_run_url"


class DagsterRunLink(BaseOperatorLink):
    """The Dagster run, as a button of the task."""

    name = "Dagster run"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        return XCom.get_value(ti_key=ti_key, key=LINK_KEY) or ""


@contextmanager
def told_to_airflow() -> Iterator[None]:
    """Ends the task with what happened in Dagster; without further tries where none can help."""
    try:
        yield
    except BridgeError as error:
        failure = AirflowException if error.retry_may_cure else AirflowFailException
        raise failure(f"{type(error).__name__}: {error}") from error


class MaterializeAssets(BaseOperator):
    """Has Dagster materialize assets, with their checks, and waits until it has. Fails when a step or a blocking check does.

    Args:
        asset_keys: `["fintech/transactions"]`; they run together, in one Dagster run.
        job_name: the Dagster job that has them; None for Dagster's own job of all assets.
        partition_key: the Dagster partition, templated; None for that of the Airflow run: its partition key, else the UTC
            day on which its data interval begins.
        dagster_conn_id: the Airflow Connection that says where Dagster is.
        mode: "remote" or "local", instead of what the Connection says.
        deferrable: whether the triggerer waits, instead of a worker; remote mode only.
        defer_after: seconds that the worker waits for a run even so.
        wait_for: asset key and offset in days: these earlier partitions must be there before the run is launched.
            Days before the asset's first partition count as there.

    The deadline for all of it is `execution_timeout`, or 24 hours; less a minute, or a fifth where that is less, so that
    the task ends before Airflow ends it, and can say why. In the end the result, in the XCom, has the Dagster
    run's `run_id` and `url`, and the `partition`.
    """

    template_fields: Sequence[str] = ("partition_key",)
    # 2.11 shows links of plugins and providers only; there the log has the link
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
        # for on_kill, which is called within a signal handler and can ask Airflow nothing
        self._to_stop: tuple[Address, TaskTry] | LocalRun | None = None
        self._launching = False
        self._killed = False

    # What Airflow calls

    def execute(self, context: Any) -> dict[str, Any]:
        with told_to_airflow():
            return self._proceed(context, time.time() + self._seconds())

    def after_partitions(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Goes on when the earlier partitions are there, or will not be in time."""
        with told_to_airflow():
            _raise_error(event)
            return self._proceed(context, event["deadline"])

    def after_run(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Goes on when the Dagster run has ended, or is late."""
        with told_to_airflow():
            _raise_error(event)
            with DagsterClient(self._remote(context)) as client:
                run = client.run(event["run_id"])
                if event["status"] == DEADLINE and not run.ended:
                    self._stop_late(client, run)
                return self._result(client, run)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Airflow itself ends a deferral when its trigger breaks, or is late because no triggerer runs."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except DEFERRAL_FAILED as error:
            with told_to_airflow(), DagsterClient(self._remote(context)) as client:
                stopped = stop_runs(client, task_try(context))
                raise RunTimedOut(
                    f"Airflow's triggerer did not wait to the end: {error}; does it run, and has it this package? "
                    f"Stopped in Dagster: {', '.join(stopped) or 'nothing'}"
                ) from error

    def on_kill(self) -> None:
        """Stops what runs in Dagster for this task."""
        self._killed = True
        if isinstance(self._to_stop, LocalRun):
            self._to_stop.stop()
            return
        if self._to_stop is None:
            # Airflow 2.11 ends a task that resumes after its execution_timeout before any of its methods is called
            self._remote(get_current_context())
        if isinstance(self._to_stop, tuple):
            address, task = self._to_stop
            with DagsterClient(address, patience=5) as client:
                stopped = stop_runs(client, task)
                for _ in range(KILL_LOOKS):
                    if stopped or not self._launching:
                        break
                    # Dagster has been asked for a run and may not have made it yet
                    time.sleep(1)
                    stopped = stop_runs(client, task)
            self.log.info("Told to stop in Dagster: %s", ", ".join(stopped) or "nothing that still runs")

    # The way of a task

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
                f"{', '.join(work.assets)} of {work.partition} reads {names}, which is not materialized and did not become so "
                "in time; run that day first"
            )
        self.log.info("Waiting for %s", names)
        if self.deferrable:
            self.defer(
                trigger=PartitionsTrigger(self.dagster_conn_id, deadline, missing),
                method_name="after_partitions",
                timeout=_until(deadline),
            )
        self._look(lambda: not not_ready(client, missing), deadline)
        # says what is missing when the time is over
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
        in_time = self._look(lambda: watch.has_ended(client), until)
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

    def _look(self, done: Callable[[], bool], deadline: float) -> bool:
        """Looks until it is done, or killed, or late; whether it was in time."""
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
            f"Run {run.run_id} was {run.status} when the task's time was over, and was told to stop{hint} "
            f"{client.address.run_url(run.run_id)}"
        )

    def _end_if_killed(self, client: DagsterClient, run: Run) -> None:
        """Airflow 3 goes on in the task after `on_kill`."""
        if self._killed:
            client.terminate(run.run_id)
            raise AirflowException(f"The task was killed, and with it the Dagster run {run.run_id}")

    def _remote(self, context: Any) -> Address:
        address = remote(BaseHook.get_connection(self.dagster_conn_id))
        self._to_stop = (address, task_try(context))
        return address

    def _seconds(self) -> float:
        """Until the deadline: before Airflow's own, which knows nothing of what to say."""
        longest: float = (self.execution_timeout or LONGEST).total_seconds()
        return longest - min(60.0, longest / 5)


def earlier_partitions(wait_for: Sequence[tuple[str, int]], work: Work) -> list[tuple[str, str]]:
    """Asset and partition for each asset and offset in days.

    Raises:
        NoPartition: the task's own partition is not a day.
    """
    if not wait_for:
        return []
    try:
        day = dt.date.fromisoformat(work.partition or "")
    except ValueError:
        raise NoPartition(
            f"{', '.join(work.assets)} waits for earlier days, and its partition {work.partition} is not a day, YYYY-MM-DD"
        ) from None
    return [(asset, (day + dt.timedelta(days=offset)).isoformat()) for asset, offset in wait_for]


def _raise_error(event: Mapping[str, Any]) -> None:
    """What the trigger met: its event can hold names only."""
    if event["status"] == ERROR:
        raise getattr(errors, event["error"])(event["message"])


def _until(deadline: float) -> dt.timedelta:
    """The trigger keeps the deadline; Airflow does a minute later, in case no triggerer runs."""
    return dt.timedelta(seconds=max(0.0, deadline - time.time()) + 60)
