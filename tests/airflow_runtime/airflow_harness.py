"""Runs the sample dags by Airflow's own `dag.test()`, in this process, triggers included."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from dags.sample_dags import DAGS, FAILURES
from webserver import Webserver

from airflow_bridge.compat import AIRFLOW_3
from airflow_bridge.dagster_graphql import Address, DagsterClient, Run


@dataclass(frozen=True)
class Ended:
    """How a dag run of one task ended.

    Attributes:
        state: of the task.
        tries: how many it took.
        error: what the last try failed with.
    """

    state: str
    tries: int
    error: BaseException | None

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
        connection = {"conn_type": "http", "host": "127.0.0.1", "port": self.dagster.port, "extra": extra, **fields}
        self._monkeypatch.setenv("AIRFLOW_CONN_DAGSTER_DEFAULT", json.dumps(connection))

    @property
    def client(self) -> DagsterClient:
        return DagsterClient(Address(self.dagster.url))

    def run(self, dag_id: str, day: str, conf: dict[str, Any] | None = None) -> Ended:
        """The dag's run for a day."""
        FAILURES.pop(dag_id, None)
        # the interval of a daily run ends at its logical date, when it is made by hand
        end = dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC) + dt.timedelta(days=1)
        when = {"logical_date": end} if AIRFLOW_3 else {"execution_date": end}
        run = DAGS[dag_id].test(**when, run_conf=conf)
        with create_session() as session:
            ti = session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run.run_id, task_id="task").one()
            return Ended(str(ti.state), ti.try_number, FAILURES.get(dag_id))

    def runs(self, dag_id: str, partition: str) -> list[Run]:
        """The Dagster runs that a dag has launched for a partition, newest first."""
        with self.client as client:
            return client.find_runs({"airflow/dag_id": dag_id, "dagster/partition": partition})

    def materialized(self, asset: str, partition: str) -> bool:
        with self.client as client:
            return client.partition_state(f"sample/{asset}", partition).materialized
