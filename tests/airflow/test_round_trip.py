"""dagster-airflow, an independent reader, converts the exported DAGs to Dagster definitions with the same tasks and edges."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from airflow_bridge.export.graph import Grain, read_graph, tasks
from fraud_assets.cli.main import main
from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.settings import read_settings
from tests.airflow.sites import CLOSE, REFRESH
from tests.services.airflow import REPOSITORY

_READ = """
import json, sys
from dagster_airflow import make_dagster_definitions_from_airflow_dags_path

jobs = {}
for job in make_dagster_definitions_from_airflow_dags_path(sys.argv[1]).get_repository_def().get_all_jobs():
    edges = [
        [before.node, node.name]
        for node, inputs in job.dependencies.items()
        for definition in inputs.values()
        for before in definition.get_node_dependencies()
    ]
    jobs[job.name] = {"nodes": sorted(node.name for node in job.nodes), "edges": sorted(edges)}
print("\\n" + json.dumps(jobs))
"""


def test_dagster_airflow_reads_the_same_tasks_and_edges(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    environment = pytestconfig.getoption("--dagster-airflow")
    if not environment:
        pytest.skip("needs an environment: --dagster-airflow DIR")
    exported = CliRunner().invoke(main, ["airflow", "export", "--out", str(tmp_path / "dags"), "--airflow", "2"])
    assert exported.exit_code == 0, exported.output
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "airflow_bridge").symlink_to(REPOSITORY / "airflow_bridge")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(tmp_path / "installed"),
    }
    python = Path(environment).absolute() / "bin" / "python"
    result = subprocess.run([python, "-c", _READ, tmp_path / "dags"], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    jobs = json.loads(result.stdout.splitlines()[-1])
    expected = tasks(read_graph(build_definitions(read_settings()), JOB), Grain.STEP)
    assert sorted(name for name in jobs if name.startswith("fraud_")) == [CLOSE, REFRESH]
    for dag in (CLOSE, REFRESH):
        assert jobs[dag]["nodes"] == sorted(f"{dag}__{task.name}" for task in expected)
        edges = [[f"{dag}__{before}", f"{dag}__{task.name}"] for task in expected for before in (*task.upstream, *task.after)]
        assert jobs[dag]["edges"] == sorted(edges)
