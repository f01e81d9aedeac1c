"""The operator of the exported DAGs. Runs in Airflow 3.3 and 2.11; needs neither Dagster nor the assets' code."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from airflow_bridge.compat import AirflowException, AirflowFailException, BaseHook, BaseOperator, partition_of, task_try
from airflow_bridge.connection import read_connection
from airflow_bridge.dagster_graphql import Address, DagsterClient
from airflow_bridge.errors import BridgeError
from airflow_bridge.task_runs import Work, take_over_or_launch
from airflow_bridge.triggers import pauses

LONGEST = dt.timedelta(hours=24)
"""How long a task waits that has no execution_timeout."""


@contextmanager
def told_to_airflow() -> Iterator[None]:
    """Ends the task with what happened in Dagster; without further tries where none can help."""
    try:
        yield
    except BridgeError as error:
        failure = AirflowException if error.retry_may_cure else AirflowFailException
        raise failure(f"{type(error).__name__}: {error}") from error


class MaterializeAssets(BaseOperator):
    """Has Dagster materialize assets, with their checks, and waits until it has."""

    template_fields: Sequence[str] = ("partition_key",)

    def __init__(
        self,
        *,
        asset_keys: Sequence[str],
        job_name: str | None = None,
        partition_key: str | None = None,
        dagster_conn_id: str = "dagster_default",
        mode: str | None = None,
        deferrable: bool = True,
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
        self.wait_for = wait_for

    def execute(self, context: Any) -> dict[str, Any]:
        with told_to_airflow():
            address = read_connection(BaseHook.get_connection(self.dagster_conn_id), self.mode)
            assert isinstance(address, Address)
            work = Work(self.asset_keys, self.partition_key or partition_of(context), self.job_name)
            deadline = time.time() + (self.execution_timeout or LONGEST).total_seconds()
            with DagsterClient(address) as client:
                run = take_over_or_launch(client, task_try(context), work, deadline, self.log)
                self.log.info("Dagster run: %s", address.run_url(run.run_id))
                for pause in pauses():
                    run = client.run(run.run_id)
                    if run.ended:
                        break
                    time.sleep(pause)
                if run.status != "SUCCESS":
                    raise client.failure(run)
        return {"run_id": run.run_id, "partition": work.partition, "url": address.run_url(run.run_id)}
