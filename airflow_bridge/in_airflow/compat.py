"""Differences between Airflow 3.3 and 2.11, all in this module."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from typing import Any

from airflow import __version__
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_bridge.errors import NoPartition
from airflow_bridge.in_airflow.task_runs import TaskTry

AIRFLOW_3 = not __version__.startswith("2.")

if AIRFLOW_3:
    from airflow.sdk import BaseHook, BaseOperator, BaseOperatorLink, get_current_context
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferralError, TaskDeferralTimeout
    from airflow.sdk.execution_time.xcom import XCom

    DEFERRAL_FAILED: tuple[type[Exception], ...] = (TaskDeferralError, TaskDeferralTimeout)
else:
    from airflow.exceptions import AirflowException, AirflowFailException, TaskDeferralError
    from airflow.hooks.base import BaseHook
    from airflow.models.baseoperator import BaseOperator
    from airflow.models.baseoperatorlink import BaseOperatorLink
    from airflow.models.xcom import XCom
    from airflow.operators.python import get_current_context

    DEFERRAL_FAILED = (TaskDeferralError,)

__all__ = [
    "AIRFLOW_3",
    "DEFERRAL_FAILED",
    "AirflowException",
    "AirflowFailException",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseTrigger",
    "TriggerEvent",
    "XCom",
    "get_current_context",
]


def partition_of(context: Mapping[str, Any]) -> str:
    """The Dagster partition of an Airflow run: its partition key, otherwise the UTC day on which its data interval starts.

    Raises:
        NoPartition: the run has neither.
    """
    run = context["dag_run"]
    if key := getattr(run, "partition_key", None):
        return str(key)
    start: dt.datetime | None = context.get("data_interval_start")
    if start is None:
        raise NoPartition(
            f"The Airflow run {run.run_id} has neither a partition key nor a data interval, so it has no day; "
            "trigger it with a partition key or a logical date, or set partition_key of the task"
        )
    return start.astimezone(dt.UTC).strftime("%Y-%m-%d")


def task_try(context: Mapping[str, Any]) -> TaskTry:
    """The current try of the task instance."""
    ti = context["ti"]
    # clearing a task sets max_tries = try_number + retries, in both versions
    first_try = ti.max_tries - (context["task"].retries or 0) + 1
    return TaskTry(
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
        first_try=first_try,
        since=context["dag_run"].start_date,
    )


async def get_connection_async(conn_id: str) -> Any:
    """Return the Connection, from inside a trigger."""
    if AIRFLOW_3:
        return await BaseHook.aget_connection(conn_id)
    return await asyncio.to_thread(BaseHook.get_connection, conn_id)


def was_killed(trigger: BaseTrigger) -> bool:
    """True if a user changed the task of a canceled trigger; False if the triggerer stops, which leaves the task deferred.

    For 2.11; Airflow 3 calls `on_kill` instead. Blocks on the database.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    ti = trigger.task_instance
    with create_session() as session:
        now = session.get(
            TaskInstance, {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}
        )
        return now is None or now.state != "deferred" or now.trigger_id != trigger.trigger_id
