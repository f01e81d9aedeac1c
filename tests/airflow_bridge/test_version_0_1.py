"""DAG files that version 0.1 exported and triggers that it stored still find their classes.

Airflow is not installed here, so the classes are found in the source. tests/airflow_runtime loads the same file in Airflow.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import airflow_bridge
from airflow_bridge.export.files import write

EXPORTED = Path(__file__).parent / "data" / "fraud_close_day-0.1.py.txt"
"""The export of version 0.1 for Airflow 3, cut down to one task."""


def class_of(module: str, name: str) -> ast.ClassDef:
    """The definition of a class, found through the modules that import it."""
    file = Path(airflow_bridge.__file__).parents[1].joinpath(*module.split("."))
    source = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.asname or alias.name for alias in node.names}:
            return class_of(node.module, name)
    raise LookupError(f"{module} has no class {name}")


def parameters(definition: ast.ClassDef) -> set[str]:
    """Names of the constructor's parameters."""
    (constructor,) = [node for node in definition.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    return {argument.arg for argument in (*constructor.args.args, *constructor.args.kwonlyargs)}


def test_a_dag_file_imports_names_that_exist() -> None:
    tree = ast.parse(EXPORTED.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "airflow_bridge" in str(node.module)]
    names = [(node.module, alias.name) for node in imports for alias in node.names]
    assert names == [("airflow_bridge.operators", "MaterializeAssets")]
    for module, name in names:
        assert class_of(str(module), name).name == name


def test_a_dag_file_gives_arguments_that_the_operator_takes() -> None:
    given: set[str | None] = set()
    for node in ast.walk(ast.parse(EXPORTED.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "MaterializeAssets":
            given |= {keyword.arg for keyword in node.keywords}
        if isinstance(node, ast.keyword) and node.arg == "default_args" and isinstance(node.value, ast.Dict):
            given |= {ast.literal_eval(key) for key in node.value.keys if key}
    of_airflow = {"doc_md", "execution_timeout", "outlets", "owner", "retries", "retry_delay", "task_id"}
    ours = {"asset_keys", "dagster_conn_id", "deferrable", "job_name", "wait_for"}
    assert given == of_airflow | ours
    assert ours <= parameters(class_of("airflow_bridge.operators", "MaterializeAssets"))


@pytest.mark.parametrize(("name", "argument"), [("RunTrigger", "run_id"), ("PartitionsTrigger", "waits")])
def test_a_stored_trigger_is_found_with_its_arguments(name: str, argument: str) -> None:
    assert parameters(class_of("airflow_bridge.triggers", name)) == {"self", "dagster_conn_id", "deadline", argument}


def test_an_export_replaces_the_files_of_version_0_1(tmp_path: Path) -> None:
    """The export recognizes them by the line that it writes into every file."""
    obsolete = tmp_path / "fraud_of_another_job.py"
    obsolete.write_bytes(EXPORTED.read_bytes())
    assert write(tmp_path, {}) == [obsolete]
    assert not obsolete.exists()
