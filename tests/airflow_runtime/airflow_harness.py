"""Runs the sample DAGs with Airflow's `dag.test()` in this process, including triggers."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from dags.sample_dags import DAGS, FAILURES
from webserver import Webserver

from airflow_bridge.in_airflow.compat import AIRFLOW_3, BaseTrigger
from airflow_bridge.in_airflow.dagster_graphql import Address, DagsterClient, Run

if AIRFLOW_3:
    from airflow.models.xcom import XComModel as XCom
else:
    from airflow.models.xcom import XCom

T = TypeVar("T")

PATIENCE = 120
"""Seconds for Dagster to start a run, on a busy machine."""


@dataclass(frozen=True)
class Ended:
    """Result of a DAG run with one task.

    Attributes:
        state: final state of the task.
        tries: number of tries.
        error: exception of the last try.
        xcoms: XComs of the task, by key.
    """

    state: str
    tries: int
    error: BaseException | None
    xcoms: Mapping[str, str]

    @property
    def message(self) -> str:
        return str(self.error)


class Harness:
    def __init__(self, dagster: Webserver, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dagster = dagster
        self._monkeypatch = monkeypatch
        self.connect({})

    def connect(self, extra: dict[str, Any], **fields: Any) -> None:
        """Set the Airflow Connection to Dagster."""
        connection = {"conn_type": "http", "host": "127.0.0.1", "port": self.dagster.port, "extra": extra} | fields
        self._monkeypatch.setenv("AIRFLOW_CONN_DAGSTER_DEFAULT", json.dumps(connection))

    @property
    def client(self) -> DagsterClient:
        return DagsterClient(Address(self.dagster.url))

    def run(self, dag_id: str, day: str, conf: dict[str, Any] | None = None) -> Ended:
        """Run a DAG for a day."""
        FAILURES.pop(dag_id, None)
        run = run_dag(dag_id, day, conf)
        with create_session() as session:
            ti = session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run.run_id, task_id="task").one()
            rows = session.query(XCom.key, XCom.value).filter_by(dag_id=dag_id, run_id=run.run_id).all()
            return Ended(str(ti.state), ti.try_number, FAILURES.get(dag_id), {key: str(value) for key, value in rows})

    @contextmanager
    def deferred(self, trigger: BaseTrigger, day: str) -> Iterator[TaskInstance]:
        """A task instance that is deferred with the trigger, according to the database."""
        run = run_dag("plain_waiting", day)
        with create_session() as session:
            row = Trigger(classpath=trigger.serialize()[0], kwargs={})
            session.add(row)
            session.flush()
            ti = session.query(TaskInstance).filter_by(dag_id="plain_waiting", run_id=run.run_id).one()
            ti.state, ti.trigger_id = "deferred", row.id
            trigger.trigger_id = row.id
            session.commit()
            session.expunge_all()
        trigger.task_instance = ti
        yield ti

    def runs(self, dag_id: str, partition: str) -> list[Run]:
        """Dagster runs that a DAG has launched for a partition, newest first."""
        with self.client as client:
            return client.find_runs({"airflow/dag_id": dag_id, "dagster/partition": partition})

    def materialized(self, asset: str, partition: str) -> bool:
        with self.client as client:
            return client.partition_state(f"sample/{asset}", partition).materialized

    def all_runs(self, partition: str) -> list[Run]:
        """All Dagster runs of a partition, newest first."""
        with self.client as client:
            return client.find_runs({"dagster/partition": partition})

    def launch(self, asset: str, partition: str) -> None:
        """Materialize an asset in Dagster, without Airflow."""
        with self.client as client:
            client.launch([f"sample/{asset}"], job="sample_job", partition=partition, tags={})

    def started(self, dag_id: str, partition: str) -> Run:
        """Wait until a DAG's Dagster run has started, and return it."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for run in self.runs(dag_id, partition):
                if run.status == "STARTED":
                    return run
            time.sleep(0.3)
        raise TimeoutError(f"{dag_id} started no run for {partition} in {PATIENCE} s")

    def until(self, poll: Callable[[], T]) -> T:
        """Poll until the result is true, and return it."""
        end = time.monotonic() + PATIENCE
        while not (result := poll()):
            if time.monotonic() > end:
                raise TimeoutError(f"The condition did not hold within {PATIENCE} s")
            time.sleep(0.3)
        return result

    def restart(self, dag_id: str, partition: str, away: float) -> None:
        """Kill Dagster's webserver when a DAG's run has started, and restart it after `away` seconds. The run continues."""
        self.started(dag_id, partition)
        self.dagster.kill_only_itself()
        time.sleep(away)
        self.dagster.start()

    def status_within(self, run: Run, seconds: float, expected: str) -> str:
        """Wait until a run has the expected status, at most `seconds`, and return its status."""
        until = time.monotonic() + seconds
        with self.client as client:
            while (status := client.run(run.run_id).status) != expected and time.monotonic() < until:
                time.sleep(0.3)
        return status

    @contextmanager
    def later(self, seconds: float, do: Callable[[], None]) -> Iterator[None]:
        """Call `do` in a thread after some seconds, while the block runs. Its exception is raised at the end of the block."""
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(lambda: (time.sleep(seconds), do()))
            yield
            done.result()

    @contextmanager
    def in_a_process(self, dag_id: str, day: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a DAG for a day in a process that can be killed."""
        here = Path(__file__)
        path = os.pathsep.join([str(here.parent), str(here.parents[2])])
        process = subprocess.Popen([sys.executable, here, dag_id, day], env={**os.environ, "PYTHONPATH": path})
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=60)


def run_dag(dag_id: str, day: str, conf: dict[str, Any] | None = None) -> Any:
    """Run a DAG for a day and return Airflow's DagRun."""
    # the data interval of a manual run ends at its logical date
    end = dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC) + dt.timedelta(days=1)
    when = {"logical_date": end} if AIRFLOW_3 else {"execution_date": end}
    return DAGS[dag_id].test(**when, run_conf=conf)


if __name__ == "__main__":
    run_dag(*sys.argv[1:])
