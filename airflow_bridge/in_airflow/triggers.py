"""Triggers for deferred tasks. They run in Airflow's triggerer and occupy no worker slot."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from airflow_bridge.errors import BridgeError, DagsterUnreachable
from airflow_bridge.in_airflow.compat import AIRFLOW_3, BaseTrigger, TriggerEvent, get_connection_async, was_killed
from airflow_bridge.in_airflow.connection import remote
from airflow_bridge.in_airflow.dagster_graphql import DagsterClient
from airflow_bridge.in_airflow.task_runs import RunWatch, not_ready

DONE, DEADLINE, ERROR = "done", "deadline", "error"

FIRST_POLL = 10.0
"""Seconds from the deferral to the first poll. If an event arrives before the scheduler has seen the worker process end, the
task runs twice and its final state is rejected (apache/airflow#71580, open in 3.3)."""


def pauses(first: float = 1.0, longest: float = 15.0) -> Iterator[float]:
    """Seconds between polls, growing, so that short runs are noticed soon and long ones put little load on the webserver."""
    pause = first
    while True:
        yield pause
        pause = min(pause * 1.5, longest)


class DagsterTrigger(BaseTrigger):
    """Polls a condition in Dagster. Its single event has the trigger's arguments and a `status`:

    - `done`: the condition holds;
    - `deadline`: the condition did not hold before the deadline;
    - `error`: the condition cannot hold; `error` names a class of `airflow_bridge.errors`, `message` is its message.

    Args:
        dagster_conn_id: the Airflow Connection; its secrets are read in the triggerer and never stored.
        deadline: epoch seconds.
    """

    def __init__(self, dagster_conn_id: str, deadline: float) -> None:
        super().__init__()
        self.dagster_conn_id = dagster_conn_id
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return name, {"dagster_conn_id": self.dagster_conn_id, "deadline": self.deadline}

    @abstractmethod
    def condition(self) -> Callable[[DagsterClient], bool]:
        """Return the condition. It blocks, so it is called in a thread."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        arguments = self.serialize()[1]
        try:
            status = await self._poll_until_deadline(self.condition())
        except BridgeError as error:
            yield TriggerEvent({**arguments, "status": ERROR, "error": type(error).__name__, "message": str(error)})
        else:
            yield TriggerEvent({**arguments, "status": status})

    async def _poll_until_deadline(self, holds: Callable[[DagsterClient], bool]) -> str:
        address = remote(await get_connection_async(self.dagster_conn_id))
        away_since: float | None = None
        await asyncio.sleep(max(0.0, min(FIRST_POLL, self.deadline - time.time())))
        # retries happen in this coroutine: in the client, every deferred task would hold a thread while Dagster is down
        with DagsterClient(address, patience=0) as client:
            for pause in pauses():
                try:
                    if await asyncio.to_thread(holds, client):
                        return DONE
                    away_since = None
                except DagsterUnreachable as error:
                    if away_since is None:
                        self.log.warning("%s; retrying for %.0f s", error, address.patience)
                        away_since = time.monotonic()
                    elif time.monotonic() - away_since > address.patience:
                        raise
                if time.time() > self.deadline:
                    return DEADLINE
                await asyncio.sleep(max(0.0, min(pause, self.deadline - time.time())))
        raise AssertionError("pauses never end")


class PartitionsTrigger(DagsterTrigger):
    """Waits until partitions are materialized.

    Args:
        waits: pairs of asset key and partition.
    """

    def __init__(self, dagster_conn_id: str, deadline: float, waits: Sequence[Sequence[str]]) -> None:
        super().__init__(dagster_conn_id, deadline)
        self.waits = waits

    def serialize(self) -> tuple[str, dict[str, Any]]:
        name, arguments = super().serialize()
        return name, {**arguments, "waits": [list(wait) for wait in self.waits]}

    def condition(self) -> Callable[[DagsterClient], bool]:
        waits = [(asset, partition) for asset, partition in self.waits]
        return lambda client: not not_ready(client, waits)


class RunTrigger(DagsterTrigger):
    """Waits until a Dagster run has ended, with any status.

    Stops the run if a user marks or clears the deferred task. Leaves it running if the triggerer stops.
    """

    def __init__(self, dagster_conn_id: str, deadline: float, run_id: str) -> None:
        super().__init__(dagster_conn_id, deadline)
        self.run_id = run_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        name, arguments = super().serialize()
        return name, {**arguments, "run_id": self.run_id}

    def condition(self) -> Callable[[DagsterClient], bool]:
        return RunWatch(self.run_id).has_ended

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            async for event in super().run():
                yield event
        except asyncio.CancelledError:
            if not AIRFLOW_3 and await asyncio.to_thread(was_killed, self):
                await self.on_kill()
            raise

    async def on_kill(self) -> None:
        """Stop the run. Airflow 3 calls this if a user marks or clears the task; on 2.11, `run` does."""
        self.log.warning("The task was killed: stopping run %s in Dagster", self.run_id)
        address = remote(await get_connection_async(self.dagster_conn_id))
        with DagsterClient(address, patience=10) as client:
            await asyncio.to_thread(client.terminate, self.run_id)
