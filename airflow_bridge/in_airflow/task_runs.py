"""Keeps one Dagster run per task instance: a try takes over or stops earlier runs. Needs neither Airflow nor Dagster."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_bridge.errors import LaunchRefused, RunTimedOut
from airflow_bridge.in_airflow.dagster_graphql import PARTITION_TAG, DagsterClient, Run

TRY_TAG = "airflow/try_number"


@dataclass(frozen=True)
class TaskTry:
    """One try of a task instance.

    Attributes:
        map_index: -1 for a task that is not mapped.
        first_try: number of the first try since the task was last cleared. A try takes over the runs of tries from there
            on; clearing a task means that its assets are to be materialized again.
        since: when the DAG run started or was last cleared; None if unknown.
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    try_number: int
    first_try: int
    since: dt.datetime | None = None

    @property
    def tags(self) -> dict[str, str]:
        """Tags that identify the Dagster runs of all tries of the task instance."""
        return {
            "airflow/dag_id": self.dag_id,
            "airflow/task_id": self.task_id,
            "airflow/run_id": self.run_id,
            "airflow/map_index": str(self.map_index),
        }


@dataclass(frozen=True)
class Work:
    """Assets, partition and job of a task; `partition` is None for assets without partitions."""

    assets: Sequence[str]
    partition: str | None
    job: str | None


def take_over_or_launch(client: DagsterClient, task: TaskTry, work: Work, deadline: float, log: logging.Logger) -> Run:
    """Return the run of an earlier try if it is running or has succeeded, otherwise launch a new run.

    A run that failed or was canceled is never taken over. A run from before the task was cleared is stopped, and its end
    awaited, since two concurrent runs of a partition would conflict.

    Args:
        deadline: epoch seconds.

    Raises:
        UnknownAsset, NoPartition, LaunchRefused: as for `DagsterClient.launch`.
        RunTimedOut: an earlier run did not stop before the deadline.
    """
    runs = client.find_runs(task.tags)
    kept = next((run for run in runs if _is_ours(run, task, work)), None)
    stopped = [run for run in runs if not run.ended and run is not kept]
    for run in stopped:
        log.warning(
            "Stopping run %s of an earlier try, status %s: %s", run.run_id, run.status, client.address.run_url(run.run_id)
        )
        client.terminate(run.run_id)
    for run in stopped:
        _wait_until_ended(client, run, deadline)
    if kept:
        log.info("Taking over the run of an earlier try, status %s", kept.status)
        return kept
    tags = {**task.tags, TRY_TAG: str(task.try_number)}
    return client.launch(work.assets, job=work.job, partition=work.partition, tags=tags)


def stop_runs(client: DagsterClient, task: TaskTry) -> list[str]:
    """Ask every run of the task that has not ended to stop, and return their ids."""
    active = [run.run_id for run in client.find_runs(task.tags) if not run.ended]
    for run_id in active:
        client.terminate(run_id)
    return active


def not_ready(client: DagsterClient, waits: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs (asset, partition) that are not materialized yet."""
    return [(asset, partition) for asset, partition in waits if not client.partition_state(asset, partition).ready]


class RunWatch:
    """Polls whether a run has ended."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._began = time.monotonic()

    def has_ended(self, client: DagsterClient) -> bool:
        """True if the run has ended.

        Raises:
            LaunchRefused: Dagster created the run and did not start it within the launch timeout.
            RunFailed: the run was deleted in Dagster.
        """
        run = client.run(self.run_id)
        if run.status == "NOT_STARTED" and time.monotonic() - self._began > client.address.launch_timeout:
            raise LaunchRefused(
                f"Dagster created run {run.run_id} and did not start it; the webserver may have stopped in between. "
                f"The next try launches a new run. {client.address.run_url(run.run_id)}"
            )
        return run.ended


def _is_ours(run: Run, task: TaskTry, work: Work) -> bool:
    if run.assets != frozenset(work.assets) or run.tags.get(PARTITION_TAG) != work.partition:
        return False
    if int(run.tags.get(TRY_TAG, 0)) < task.first_try:
        return False
    # a DAG run that was deleted and created again has the same id and try numbers
    before = task.since is not None and run.created < task.since.timestamp()
    if run.status == "SUCCESS":
        return not before
    # not NOT_STARTED: the webserver stopped between creating the run and starting it, so the run never starts
    return run.status in ("QUEUED", "STARTING", "STARTED")


def _wait_until_ended(client: DagsterClient, run: Run, deadline: float) -> None:
    while not client.run(run.run_id).ended:
        if time.time() > deadline:
            raise RunTimedOut(
                f"Run {run.run_id} of an earlier try did not stop; end it in Dagster. {client.address.run_url(run.run_id)}"
            )
        time.sleep(1)
