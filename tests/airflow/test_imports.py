"""Airflow loads the exported files without errors or warnings, with the tasks and edges of the asset graph."""

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

# the module of the class differs between 3.3 and 2.11
_LOAD = """
import json, sys, warnings
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models import DagBag
warnings.simplefilter("always")
bag = DagBag(sys.argv[1])
report = {
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
print("\\n" + json.dumps(report))
"""


@pytest.fixture(scope="module")
def loaded(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Result of Airflow's loader for the exported folder."""
    airflow = Airflow(environment, tmp_path_factory.mktemp("airflow"), {})
    export_dags(airflow)
    return {**json.loads(airflow.python(_LOAD, str(airflow.dags)).splitlines()[-1]), "version": airflow.version}


def test_without_error_and_without_warning(loaded: Any) -> None:
    assert loaded["errors"] == {}
    assert loaded["warnings"] == {}
    assert sorted(loaded["dags"]) == [CLOSE, REFRESH]


def test_with_the_tasks_and_edges_of_the_asset_graph(loaded: Any) -> None:
    expected = tasks(read_graph(build_definitions(read_settings()), JOB), Grain.STEP)
    edges = sorted([before, task.name] for task in expected for before in (*task.upstream, *task.after))
    for dag in loaded["dags"].values():
        assert dag["edges"] == edges
        assert {name: keys for name, (keys, _, _) in dag["tasks"].items()} == {
            t.name: [a.key for a in t.assets] for t in expected
        }
        assert dag["max_active_runs"] == 1
        assert ("Partition" in dag["timetable"]) is (loaded["version"] == 3)


def test_with_owners_and_documentation_of_each_task(loaded: Any) -> None:
    for dag in loaded["dags"].values():
        assert {owner for _, owner, _ in dag["tasks"].values()} == {"data-platform", "fraud-analytics"}
        for name, (keys, _, doc) in dag["tasks"].items():
            assert all(f"/assets/{key})" in doc for key in keys), name
            assert not any(line.startswith("    ") for line in doc.split("\n")), "Markdown shows such lines as code"


def test_without_dagster_and_without_the_pipeline(environment: Path, tmp_path: Path) -> None:
    airflow = Airflow(environment, tmp_path / "airflow", {})
    with pytest.raises(RuntimeError, match="No module named 'dagster'"):
        airflow.python("import dagster")
    modules = "airflow_bridge.in_airflow.operators, airflow_bridge.operators, airflow_bridge.triggers"
    code = f"import sys, {modules}; print(sorted({{name.partition('.')[0] for name in sys.modules}}))"
    imported = set(ast.literal_eval(airflow.python(code).splitlines()[-1]))
    assert "airflow_bridge" in imported
    assert imported.isdisjoint({"dagster", "fraud_assets", "hive_io", "mock_sources"})
