"""Airflow takes the exported files: no error, no warning, and the tasks and edges of the asset graph."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_bridge.export.graph import Grain, read_graph, tasks
from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.settings import read_settings
from tests.airflow.sites import CLOSE, REFRESH, export_dags
from tests.services.airflow import Airflow

# 3.3 and 2.11 have the class in different modules
_LOAD = """
import json, sys, warnings
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models import DagBag
warnings.simplefilter("always")
bag = DagBag(sys.argv[1])
told = {
    "errors": bag.import_errors,
    "warnings": {file: list(map(str, found)) for file, found in bag.captured_warnings.items()},
    "dags": {
        dag.dag_id: {
            "edges": sorted([task.task_id, after] for task in dag.tasks for after in task.downstream_task_ids),
            "tasks": {task.task_id: [list(task.asset_keys), task.owner, task.doc_md] for task in dag.tasks},
            "max_active_runs": dag.max_active_runs,
            "timetable": type(dag.timetable).__name__,
        }
        for dag in bag.dags.values()
    },
}
print("\\n" + json.dumps(told))
"""


@pytest.fixture(scope="module")
def loaded(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What Airflow's own loader found in the exported folder."""
    airflow = Airflow(environment, tmp_path_factory.mktemp("airflow"), {})
    export_dags(airflow)
    return {**json.loads(airflow.python(_LOAD, str(airflow.dags)).splitlines()[-1]), "version": airflow.version}


def test_without_error_and_without_warning(loaded: Any) -> None:
    assert loaded["errors"] == {}
    assert loaded["warnings"] == {}
    assert sorted(loaded["dags"]) == [CLOSE, REFRESH]


def test_with_the_tasks_and_edges_of_the_asset_graph(loaded: Any) -> None:
    wanted = tasks(read_graph(build_definitions(read_settings()), JOB), Grain.STEP)
    edges = sorted([before, task.name] for task in wanted for before in (*task.upstream, *task.after))
    for dag in loaded["dags"].values():
        assert dag["edges"] == edges
        assert {name: keys for name, (keys, _, _) in dag["tasks"].items()} == {
            t.name: [a.key for a in t.assets] for t in wanted
        }
        assert dag["max_active_runs"] == 1
        assert ("Partition" in dag["timetable"]) is (loaded["version"] == 3)


def test_with_owners_and_a_document_for_each_task(loaded: Any) -> None:
    for dag in loaded["dags"].values():
        assert {owner for _, owner, _ in dag["tasks"].values()} == {"data-platform", "fraud-analytics"}
        for name, (keys, _, doc) in dag["tasks"].items():
            assert all(f"/assets/{key})" in doc for key in keys), name
            assert not any(line.startswith("    ") for line in doc.split("\n")), "indented by four, it would be code"


def test_without_dagster_and_without_the_pipeline(environment: Path, tmp_path: Path) -> None:
    airflow = Airflow(environment, tmp_path / "airflow", {})
    with pytest.raises(RuntimeError, match="No module named 'dagster'"):
        airflow.python("import dagster")
    code = "import sys, airflow_bridge.operators; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    imported = set(ast.literal_eval(airflow.python(code).splitlines()[-1]))
    assert "airflow_bridge" in imported
    assert imported.isdisjoint({"dagster", "fraud_assets", "hive_io", "mock_sources"})
