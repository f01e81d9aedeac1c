"""Which Dagster run a try of a task takes over or stops, against a real webserver."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from airflow_bridge.errors import LaunchRefused, RunTimedOut
from airflow_bridge.in_airflow.dagster_graphql import DagsterClient, Run
from airflow_bridge.in_airflow.task_runs import RunWatch, TaskTry, Work, not_ready, stop_runs, take_over_or_launch
from tests.airflow_runtime.webserver import Webserver

pytestmark = pytest.mark.slow

LOG = logging.getLogger(__name__)
PLAIN = Work(["sample/plain", "sample/other"], "2026-01-05", "sample_job")
RAISING = Work(["sample/raising"], "2026-01-05", "sample_job")
SLOW = Work(["sample/slow"], "2026-01-05", "sample_job")


@pytest.fixture
def first(request: pytest.FixtureRequest, client: DagsterClient) -> Iterator[TaskTry]:
    """The first try of a task of this test."""
    since = dt.datetime.now(dt.UTC)
    task = TaskTry("dag", request.node.name, "run", map_index=-1, try_number=1, first_try=1, since=since)
    yield task
    stop_runs(client, task)


def second(first: TaskTry) -> TaskTry:
    """The retry."""
    return replace(first, try_number=2)


def cleared(first: TaskTry) -> TaskTry:
    """The first try after the task was cleared."""
    return replace(first, try_number=2, first_try=2)


def proceed(client: DagsterClient, task: TaskTry, work: Work, seconds: float = 120) -> Run:
    return take_over_or_launch(client, task, work, time.time() + seconds, LOG)


def in_status(client: DagsterClient, run: Run, status: str) -> Run:
    until = time.monotonic() + 120
    while (now := client.run(run.run_id)).status != status:
        assert time.monotonic() < until, f"{now} does not become {status}"
        time.sleep(0.2)
    return now


def test_a_retry_takes_over_an_active_run(client: DagsterClient, first: TaskTry) -> None:
    run = in_status(client, proceed(client, first, SLOW), "STARTED")
    assert proceed(client, second(first), SLOW).run_id == run.run_id
    assert len(client.find_runs(first.tags)) == 1


def test_a_retry_takes_over_a_run_that_has_succeeded(client: DagsterClient, first: TaskTry) -> None:
    run = in_status(client, proceed(client, first, PLAIN), "SUCCESS")
    reordered = replace(PLAIN, assets=[*reversed(PLAIN.assets)])
    assert proceed(client, second(first), reordered).run_id == run.run_id


def test_a_retry_does_not_take_over_a_run_that_failed(client: DagsterClient, first: TaskTry) -> None:
    run = in_status(client, proceed(client, first, RAISING), "FAILURE")
    assert proceed(client, second(first), RAISING).run_id != run.run_id


def test_a_retry_does_not_take_over_a_run_that_was_canceled(client: DagsterClient, first: TaskTry) -> None:
    run = in_status(client, proceed(client, first, SLOW), "STARTED")
    assert stop_runs(client, first) == [run.run_id]
    again = proceed(client, second(first), SLOW)
    assert again.run_id != run.run_id
    assert client.run(run.run_id).status == "CANCELED"


def test_clearing_a_task_starts_a_new_run(client: DagsterClient, first: TaskTry) -> None:
    run = in_status(client, proceed(client, first, PLAIN), "SUCCESS")
    again = proceed(client, cleared(first), PLAIN)
    assert again.run_id != run.run_id
    # a retry after that takes over the new run
    in_status(client, again, "SUCCESS")
    assert proceed(client, replace(first, try_number=3, first_try=2), PLAIN).run_id == again.run_id


def test_a_run_from_before_the_task_was_cleared_is_stopped_first(client: DagsterClient, first: TaskTry) -> None:
    run = in_status(client, proceed(client, first, SLOW), "STARTED")
    again = proceed(client, cleared(first), SLOW)
    assert again.run_id != run.run_id
    assert client.run(run.run_id).status == "CANCELED"


def test_a_dag_run_that_was_deleted_and_created_again_starts_a_new_run(client: DagsterClient, first: TaskTry) -> None:
    run = in_status(client, proceed(client, first, PLAIN), "SUCCESS")
    created_again = replace(first, since=dt.datetime.now(dt.UTC))
    assert proceed(client, created_again, PLAIN).run_id != run.run_id


@pytest.mark.parametrize("change", [{"partition": "2026-01-06"}, {"assets": ["sample/slow", "sample/plain"]}])
def test_a_run_of_other_assets_or_partitions_is_stopped_first(
    client: DagsterClient, first: TaskTry, change: dict[str, object]
) -> None:
    run = in_status(client, proceed(client, first, SLOW), "STARTED")
    again = proceed(client, second(first), replace(SLOW, **change))  # type: ignore[arg-type]
    assert again.run_id != run.run_id
    assert client.run(run.run_id).status == "CANCELED"


def test_runs_of_other_tasks_are_left_alone(client: DagsterClient, first: TaskTry) -> None:
    others = [replace(first, run_id="other"), replace(first, task_id="other"), replace(first, map_index=0)]
    run = in_status(client, proceed(client, first, SLOW), "STARTED")
    assert all(proceed(client, other, PLAIN).run_id != run.run_id for other in others)
    assert client.run(run.run_id).status == "STARTED"


def test_not_ready_names_what_is_missing(client: DagsterClient, first: TaskTry) -> None:
    in_status(client, proceed(client, first, replace(PLAIN, partition="2026-01-20")), "SUCCESS")
    waits = [("sample/plain", "2026-01-20"), ("sample/plain", "2026-01-21"), ("sample/plain", "2025-12-31")]
    assert not_ready(client, waits) == [("sample/plain", "2026-01-21")]


def test_a_run_that_does_not_stop_is_named(client: DagsterClient, first: TaskTry) -> None:
    stubborn = Work(["sample/stubborn"], "2026-01-05", "sample_job")
    run = in_status(client, proceed(client, first, stubborn), "STARTED")
    time.sleep(3)  # until the step is in the block that delays its end
    with pytest.raises(RunTimedOut, match=f"Run {run.run_id} of an earlier try did not stop; .*/runs/{run.run_id}"):
        proceed(client, cleared(first), stubborn, seconds=3)
    in_status(client, run, "CANCELED")


def test_a_run_that_was_created_and_is_not_started_is_an_error(webserver: Webserver, client: DagsterClient) -> None:
    run_id = webserver.create_run_without_launching_it()
    with DagsterClient(replace(client.address, launch_timeout=0.5)) as hasty:
        watch = RunWatch(run_id)
        assert not watch.has_ended(hasty)
        time.sleep(1)
        with pytest.raises(LaunchRefused, match=f"created run {run_id} and did not start it"):
            watch.has_ended(hasty)
