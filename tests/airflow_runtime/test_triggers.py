"""Triggers without a task: their events, and the Dagster run after a cancellation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.utils.session import create_session
from airflow_harness import Harness

from airflow_bridge.in_airflow.compat import AIRFLOW_3
from airflow_bridge.in_airflow.dagster_graphql import Run
from airflow_bridge.in_airflow.triggers import FIRST_POLL, DagsterTrigger, PartitionsTrigger, RunTrigger

CONN = "dagster_default"


@pytest.fixture
def slow_run(airflow: Harness) -> Iterator[Run]:
    """A Dagster run that takes minutes."""
    with airflow.client as client:
        run = client.launch(["sample/slow"], job="sample_job", partition="2026-01-28", tags={})
        airflow.status_within(run, 120, "STARTED")
        yield run
        client.terminate(run.run_id)


def events(trigger: DagsterTrigger) -> list[Any]:
    async def collect() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    return asyncio.run(collect())


def cancelled(trigger: DagsterTrigger, killed: bool = False) -> None:
    """Cancel the trigger after 3 s, as the triggerer does when it stops or, if `killed`, when a user changes the task."""

    async def run() -> None:
        task = asyncio.create_task(anext(trigger.run()))
        await asyncio.sleep(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if killed and AIRFLOW_3:
            await trigger.on_kill()

    asyncio.run(run())


@pytest.mark.parametrize(
    "trigger", [RunTrigger(CONN, 12.5, "a run"), PartitionsTrigger(CONN, 12.5, [["sample/plain", "2026-01-01"]])]
)
def test_a_trigger_survives_serialization(trigger: DagsterTrigger) -> None:
    name, arguments = trigger.serialize()
    again = type(trigger)(**arguments)
    assert name == f"airflow_bridge.in_airflow.triggers.{type(trigger).__name__}"
    assert again.serialize() == (name, arguments)


def test_the_end_of_a_run_is_an_event(airflow: Harness) -> None:
    with airflow.client as client:
        run = client.launch(["sample/plain"], job="sample_job", partition="2026-01-28", tags={})
    assert airflow.status_within(run, 60, "SUCCESS") == "SUCCESS"
    began = time.monotonic()
    (event,) = events(RunTrigger(CONN, time.time() + 120, run.run_id))
    assert time.monotonic() - began >= FIRST_POLL, "the scheduler must see the worker end first"
    assert event["status"] == "done"
    assert event["run_id"] == run.run_id


def test_the_deadline_is_an_event_and_the_run_is_left_to_the_task(airflow: Harness, slow_run: Run) -> None:
    (event,) = events(RunTrigger(CONN, time.time() + 3, slow_run.run_id))
    assert event["status"] == "deadline"
    assert airflow.status_within(slow_run, 0, "STARTED") == "STARTED"


def test_an_error_is_an_event(airflow: Harness) -> None:
    (event,) = events(RunTrigger(CONN, time.time() + 60, "00000000-0000-0000-0000-000000000000"))
    assert (event["status"], event["error"]) == ("error", "RunFailed")
    airflow.connect({"patience": 1}, port=1)
    (event,) = events(PartitionsTrigger(CONN, time.time() + 60, [["sample/plain", "2026-01-28"]]))
    assert (event["status"], event["error"]) == ("error", "DagsterUnreachable")


def test_a_triggerer_that_stops_leaves_the_run(airflow: Harness, slow_run: Run) -> None:
    trigger = RunTrigger(CONN, time.time() + 120, slow_run.run_id)
    with airflow.deferred(trigger, "2026-01-25"):
        cancelled(trigger)
    time.sleep(3)
    assert airflow.status_within(slow_run, 0, "STARTED") == "STARTED"


def test_a_user_who_changes_a_deferred_task_stops_the_run(airflow: Harness, slow_run: Run) -> None:
    trigger = RunTrigger(CONN, time.time() + 120, slow_run.run_id)
    with airflow.deferred(trigger, "2026-01-26") as ti:
        with create_session() as session:
            session.merge(ti).state = "failed"
        cancelled(trigger, killed=True)
    assert airflow.status_within(slow_run, 60, "CANCELED") == "CANCELED"
