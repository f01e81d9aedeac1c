"""A DAG file that version 0.1 exported loads, and the triggers that it stored are found."""

from __future__ import annotations

import pkgutil
import shutil
from pathlib import Path

import pytest

from airflow_bridge.in_airflow.compat import AIRFLOW_3
from airflow_bridge.in_airflow.operators import MaterializeAssets
from airflow_bridge.in_airflow.triggers import DagsterTrigger

EXPORTED = Path(__file__).parents[1] / "airflow_bridge" / "data" / "fraud_close_day-0.1.py.txt"


@pytest.mark.skipif(not AIRFLOW_3, reason="the stored file is an export for Airflow 3")
def test_a_dag_file_loads(_database: None, tmp_path: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    shutil.copy(EXPORTED, tmp_path / "fraud_close_day.py")
    bag = DagBag(str(tmp_path))
    assert bag.import_errors == {}
    (task,) = bag.dags["fraud_close_day"].tasks
    assert type(task) is MaterializeAssets
    assert (task.task_id, task.asset_keys, task.wait_for) == (
        "high_risk_customers",
        ["fintech/high_risk_customers"],
        [("fintech/fraud_reports", -1)],
    )
    assert (task.job_name, task.dagster_conn_id, task.deferrable) == ("fraud_detection", "dagster_default", True)


def test_the_operator_is_the_same_class() -> None:
    assert pkgutil.resolve_name("airflow_bridge.operators:MaterializeAssets") is MaterializeAssets


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("RunTrigger", {"run_id": "a run"}), ("PartitionsTrigger", {"waits": [["sample/plain", "2026-01-01"]]})],
)
def test_a_stored_trigger_is_made_again(name: str, arguments: dict[str, object]) -> None:
    """Airflow stores the path of the class and the arguments."""
    arguments = {"dagster_conn_id": "dagster_default", "deadline": 12.5, **arguments}
    trigger: DagsterTrigger = pkgutil.resolve_name(f"airflow_bridge.triggers.{name}")(**arguments)
    assert trigger.serialize() == (f"airflow_bridge.in_airflow.triggers.{name}", arguments)
