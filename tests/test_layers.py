"""Which package may know which: a world that knows the rules, or the other way round, would prove nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"airflow_bridge", "fraud_assets", "hive_io", "mock_sources"}


def imported(file: Path) -> set[str]:
    """The packages that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize(
    ("package", "knowing"), [("hive_io", {}), ("mock_sources", {}), ("airflow_bridge", {"cli.py": {"fraud_assets"}})]
)
def test_what_a_package_knows_of_the_others(package: str, knowing: dict[str, set[str]]) -> None:
    known = {file.name: imported(file) & (OURS - {package}) for file in files(package)}
    assert known and {name: others for name, others in known.items() if others} == knowing


def test_sources_know_no_dagster_and_no_warehouse() -> None:
    assert not {"dagster", "deltalake", "duckdb"} & set[str]().union(*(imported(file) for file in files("mock_sources")))


def test_only_the_command_line_serves_worlds() -> None:
    """What decides about transactions never sees the world that made them."""
    knowing = {file.name for file in files("fraud_assets") if "mock_sources" in imported(file)}
    assert knowing == {"cli.py"}
