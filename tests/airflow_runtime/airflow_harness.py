"""Runs the sample dags by Airflow's own `dag.test()`, in this process, triggers included."""

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
"""Seconds in which Dagster starts a run; the machine may be busy."""


@dataclass(frozen=True)
class Ended:
    """How a dag run of one task ended.

    Attributes:
        state: of the task.
        tries: how many it took.
        error: what the last try failed with.
        xcoms: what it left behind, by key.
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
        """Describes Dagster in the Airflow Connection."""
        connection = {"conn_type": "http", "host": "127.0.0.1", "port": self.dagster.port, "extra": extra} | fields
        self._monkeypatch.setenv("AIRFLOW_CONN_DAGSTER_DEFAULT", json.dumps(connection))

    @property
    def client(self) -> DagsterClient:
        return DagsterClient(Address(self.dagster.url))

    def run(self, dag_id: str, day: str, conf: dict[str, Any] | None = None) -> Ended:
        """The dag's run for a day."""
        FAILURES.pop(dag_id, None)
        run = run_dag(dag_id, day, conf)
        with create_session() as session:
            ti = session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run.run_id, task_id="task").one()
            rows = session.query(XCom.key, XCom.value).filter_by(dag_id=dag_id, run_id=run.run_id).all()
            return Ended(str(ti.state), ti.try_number, FAILURES.get(dag_id), {key: str(value) for key, value in rows})

    @contextmanager
    def deferred(self, trigger: BaseTrigger, day: str) -> Iterator[TaskInstance]:
        """A task instance that the database has as deferred, waiting for the trigger."""
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
        """The Dagster runs that a dag has launched for a partition, newest first."""
        with self.client as client:
            return client.find_runs({"airflow/dag_id": dag_id, "dagster/partition": partition})

    def materialized(self, asset: str, partition: str) -> bool:
        with self.client as client:
            return client.partition_state(f"sample/{asset}", partition).materialized

    def all_runs(self, partition: str) -> list[Run]:
        """The Dagster runs of a partition, whoever launched them."""
        with self.client as client:
            return client.find_runs({"dagster/partition": partition})

    def launch(self, asset: str, partition: str) -> None:
        """Has Dagster materialize an asset, without Airflow."""
        with self.client as client:
            client.launch([f"sample/{asset}"], job="sample_job", partition=partition, tags={})

    def going(self, dag_id: str, partition: str) -> Run:
        """The Dagster run of a dag, as soon as its step has begun."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for run in self.runs(dag_id, partition):
                if run.status == "STARTED":
                    return run
            time.sleep(0.3)
        raise TimeoutError(f"{dag_id} has started no run for {partition}")

    def until(self, look: Callable[[], T]) -> T:
        """What a look gives, as soon as it is something."""
        end = time.monotonic() + PATIENCE
        while not (seen := look()):
            if time.monotonic() > end:
                raise TimeoutError(f"Nothing was seen in {PATIENCE} s")
            time.sleep(0.3)
        return seen

    def restart(self, dag_id: str, partition: str, away: float) -> None:
        """Ends Dagster's webserver as soon as a dag's run has begun, and starts it again; the run goes on."""
        self.going(dag_id, partition)
        self.dagster.kill_only_itself()
        time.sleep(away)
        self.dagster.start()

    def status_within(self, run: Run, seconds: float, wanted: str) -> str:
        """The status of a run: the one that is wanted as soon as it has it, else the last."""
        until = time.monotonic() + seconds
        with self.client as client:
            while (status := client.run(run.run_id).status) != wanted and time.monotonic() < until:
                time.sleep(0.3)
        return status

    @contextmanager
    def later(self, seconds: float, do: Callable[[], None]) -> Iterator[None]:
        """Does something in a thread, while the block runs; what it raises is raised at the end of the block."""
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(lambda: (time.sleep(seconds), do()))
            yield
            done.result()

    @contextmanager
    def in_a_process(self, dag_id: str, day: str) -> Iterator[subprocess.Popen[bytes]]:
        """The dag's run for a day, in a process that can be killed."""
        here = Path(__file__)
        path = os.pathsep.join([str(here.parent), str(here.parents[2])])
        process = subprocess.Popen([sys.executable, here, dag_id, day], env={**os.environ, "PYTHONPATH": path})
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=60)


def run_dag(dag_id: str, day: str, conf: dict[str, Any] | None = None) -> Any:
    """Airflow's DagRun, ended."""
    # the interval of a daily run ends at its logical date, when it is made by hand
    end = dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC) + dt.timedelta(days=1)
    when = {"logical_date": end} if AIRFLOW_3 else {"execution_date": end}
    return DAGS[dag_id].test(**when, run_conf=conf)


if __name__ == "__main__":
    run_dag(*sys.argv[1:])
