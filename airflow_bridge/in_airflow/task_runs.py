"""One task instance has one Dagster run: which one a try takes over, and which it stops. Needs neither Airflow nor Dagster."""

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
        first_try: the number of the first try since the task was last cleared. Tries from there on belong together:
            what one of them started, the next takes over. Who clears a task wants its work done again.
        since: when the DAG run began, or was cleared; None where that is not known.
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
        """Tags that the runs of all tries have, and no others."""
        return {
            "airflow/dag_id": self.dag_id,
            "airflow/task_id": self.task_id,
            "airflow/run_id": self.run_id,
            "airflow/map_index": str(self.map_index),
        }


@dataclass(frozen=True)
class Work:
    """What a task wants of Dagster; `partition` is None for assets without partitions."""

    assets: Sequence[str]
    partition: str | None
    job: str | None


def take_over_or_launch(client: DagsterClient, task: TaskTry, work: Work, deadline: float, log: logging.Logger) -> Run:
    """The run of this task: that of an earlier try, if it goes on or has succeeded, else a new one.

    A run that failed or was canceled is never taken over. Nor is one from before the task was cleared: it is stopped,
    and waited for, since two runs of one partition would disturb each other.

    Args:
        deadline: epoch seconds.

    Raises:
        UnknownAsset, NoPartition, LaunchRefused: as `DagsterClient.launch`.
        RunTimedOut: an earlier run did not stop.
    """
    runs = client.find_runs(task.tags)
    kept = next((run for run in runs if _is_ours(run, task, work)), None)
    stopped = [run for run in runs if not run.ended and run is not kept]
    for run in stopped:
        log.warning("Stopping %s of an earlier try: it is %s. %s", run.run_id, run.status, client.address.run_url(run.run_id))
        client.terminate(run.run_id)
    for run in stopped:
        _wait_until_ended(client, run, deadline)
    if kept:
        log.info("Taking over the run of an earlier try, which is %s", kept.status)
        return kept
    tags = {**task.tags, TRY_TAG: str(task.try_number)}
    return client.launch(work.assets, job=work.job, partition=work.partition, tags=tags)


def stop_runs(client: DagsterClient, task: TaskTry) -> list[str]:
    """Tell every run of the task that still goes to stop; gives their ids."""
    going = [run.run_id for run in client.find_runs(task.tags) if not run.ended]
    for run_id in going:
        client.terminate(run_id)
    return going


def not_ready(client: DagsterClient, waits: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those (asset, partition) that are still to come."""
    return [(asset, partition) for asset, partition in waits if not client.partition_state(asset, partition).ready]


class RunWatch:
    """Looks at a run until it has ended."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._began = time.monotonic()

    def has_ended(self, client: DagsterClient) -> bool:
        """Whether it has.

        Raises:
            LaunchRefused: Dagster has made the run and does not start it.
            RunFailed: Dagster does not have the run any more.
        """
        run = client.run(self.run_id)
        if run.status == "NOT_STARTED" and time.monotonic() - self._began > client.address.launch_timeout:
            raise LaunchRefused(
                f"Dagster made run {run.run_id} and has not started it; it may have gone away in between. "
                f"The next try launches another. {client.address.run_url(run.run_id)}"
            )
        return run.ended


def _is_ours(run: Run, task: TaskTry, work: Work) -> bool:
    if run.assets != frozenset(work.assets) or run.tags.get(PARTITION_TAG) != work.partition:
        return False
    if int(run.tags.get(TRY_TAG, 0)) < task.first_try:
        return False
    # a DAG run that was deleted and made again has the same id and numbers
    before = task.since is not None and run.created < task.since.timestamp()
    if run.status == "SUCCESS":
        return not before
    # NOT_STARTED: the webserver went away between making the run and starting it, and nobody will
    return run.status in ("QUEUED", "STARTING", "STARTED")


def _wait_until_ended(client: DagsterClient, run: Run, deadline: float) -> None:
    while not client.run(run.run_id).ended:
        if time.time() > deadline:
            raise RunTimedOut(
                f"Run {run.run_id} of an earlier try does not stop; end it in Dagster. {client.address.run_url(run.run_id)}"
            )
        time.sleep(1)
