"""The import table: what each package may import, by full module names; an import that runs back up fails here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = ("airflow_bridge", "fraud_assets", "hive_io", "mock_sources")

F = "fraud_assets."
_DATA = {F + "addresses", F + "errors", F + "schemas", F + "sql", "hive_io"}
_ENGINE = {*_DATA, F + "clock", F + "detection", F + "engine", F + "ingestion", F + "scoring"}
_DEFS = {*_ENGINE, F + "cases", F + "defs", F + "evaluation", F + "lists", F + "workshop"}
_CONFIGURED = {F + "configured_rules", F + "configured_source"}
_RUNS = {*_DEFS, *_CONFIGURED, F + "atomic_write", F + "definitions", F + "monitoring", F + "runs", F + "settings"}

MAY_IMPORT: dict[str, set[str]] = {
    # lowest first
    "hive_io": set(),
    "hive_io.delta": {"hive_io"},
    "hive_io.hive": {"hive_io"},
    "hive_io.locations": {"hive_io", "hive_io.delta", "hive_io.hive"},
    "hive_io.memory": {"hive_io", "hive_io.delta"},
    "hive_io.dagster": {"hive_io", "hive_io.locations"},
    "mock_sources": set(),
    "airflow_bridge": set(),
    "airflow_bridge.export": {"airflow_bridge"},
    "airflow_bridge.in_airflow": {"airflow_bridge"},
    F + "addresses": set(),
    F + "atomic_write": set(),
    F + "checkout": set(),
    F + "clock": set(),
    F + "errors": set(),
    F + "local_hive": {"hive_io"},
    F + "logs": set(),
    F + "settings": {F + "addresses", F + "errors", "hive_io"},
    F + "schemas": {"hive_io"},
    F + "sql": _DATA,
    F + "ingestion": {*_DATA, F + "clock"},
    F + "scoring": _DATA,
    F + "detection": {*_DATA, F + "checkout", F + "scoring"},
    F + "engine": _ENGINE,
    F + "explain": {*_ENGINE, F + "lists"},
    F + "evaluation": _ENGINE,
    F + "cases": {*_ENGINE, F + "explain"},
    F + "desk": {*_ENGINE, F + "atomic_write", F + "cases", F + "evaluation", F + "explain"},
    F + "lists": {*_ENGINE, F + "atomic_write"},
    F + "workshop": {*_ENGINE, F + "atomic_write", F + "evaluation", F + "explain"},
    F + "configured_rules": {*_ENGINE, F + "settings"},
    F + "configured_source": {*_ENGINE, F + "settings"},
    F + "defs": {*_DEFS, "hive_io.dagster"},
    F + "monitoring": {*_DEFS, F + "atomic_write", F + "settings", "hive_io.locations"},
    F + "definitions": {*_DEFS, *_CONFIGURED, F + "monitoring", F + "settings", "hive_io.dagster"},
    F + "runs": {*_RUNS, "hive_io.locations"},
    F + "live": {*_RUNS, F + "live", "hive_io.locations", "hive_io.memory"},
    F + "cli": {
        *_RUNS, F + "checkout", F + "desk", F + "explain", F + "live", F + "local_hive", F + "logs",
        F + "workshop", "airflow_bridge", "airflow_bridge.export", "hive_io.locations", "mock_sources",
    },
}  # fmt: skip
"""A package, and the packages that its modules may import besides itself. The longest name that fits a module counts."""

ALIASES = {"airflow_bridge.operators", "airflow_bridge.triggers", "fraud_assets.dagster_storage"}
"""Modules that hand a name on from the place where version 0.1 had it."""

MAY_NOT_IMPORT = {
    "airflow_bridge.in_airflow": {"dagster"},
    F + "cases": {"click", "dagster", "flask"},
    F + "desk": {"click", "dagster"},
    F + "detection": {"click", "dagster", "deltalake", "duckdb", "httpx", "pyhive"},
    F + "engine": {"click", "dagster"},
    F + "evaluation": {"click", "dagster"},
    F + "explain": {"click", "dagster"},
    F + "ingestion": {"click", "dagster"},
    F + "lists": {"click", "dagster"},
    F + "live": {"click"},
    F + "schemas": {"click", "dagster", "duckdb"},
    F + "sql": {"click", "dagster", "duckdb"},
    F + "workshop": {"click", "dagster"},
    "hive_io": {"dagster"},
    "hive_io.delta": {"dagster"},
    "hive_io.hive": {"dagster"},
    "mock_sources": {"dagster", "deltalake", "duckdb"},
}
"""Libraries that a package does without."""

WHERE_DAGSTER_IS = {"airflow_bridge.in_airflow.supervisor"}
"""Run by the interpreter that has Dagster, as a file; nothing inside Airflow imports it."""


def modules() -> dict[str, Path]:
    """Every module of the project, by its full name."""
    found = {}
    for package in PROJECT:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()
PLACED = sorted(set(MODULES) - {"airflow_bridge", "fraud_assets", "hive_io", "fraud_assets.__main__", *ALIASES})
"""Modules that the table speaks of: not the faces of packages, which hand on names from below."""


def imported(file: Path) -> Iterator[str]:
    """Full names of what a file imports, at its top or inside a function; modules of the project as modules."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{file} has a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def layer_of(module: str) -> str:
    """The entry of the table that a module belongs to."""
    return max((name for name in MAY_IMPORT if module == name or module.startswith(name + ".")), key=len)


def is_ours(module: str) -> bool:
    return module.partition(".")[0] in PROJECT


@pytest.mark.parametrize("module", PLACED)
def test_imports_follow_the_table(module: str) -> None:
    layer = layer_of(module)
    allowed = MAY_IMPORT[layer] | {layer}
    wrong = {other for other in imported(MODULES[module]) if is_ours(other) and layer_of(other) not in allowed}
    assert not wrong, f"{module} is in {layer}, which may import {', '.join(sorted(allowed))}; it imports {wrong}"


@pytest.mark.parametrize("module", sorted(ALIASES))
def test_an_alias_only_hands_names_on(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    kinds = [type(node) for node in tree.body]
    assert kinds == [ast.Expr, ast.ImportFrom, ast.Assign]


@pytest.mark.parametrize("layer", sorted(MAY_NOT_IMPORT))
def test_libraries_that_a_package_does_without(layer: str) -> None:
    mine = [name for name in PLACED if layer_of(name) == layer and name not in WHERE_DAGSTER_IS]
    assert mine
    libraries = {name: {other.partition(".")[0] for other in imported(MODULES[name])} for name in mine}
    assert {name: found & MAY_NOT_IMPORT[layer] for name, found in libraries.items() if found & MAY_NOT_IMPORT[layer]} == {}


def test_no_layer_may_import_itself_through_others() -> None:
    """The table itself has no circle, so no order of imports can go round."""
    below = {layer: {other for other in allowed if other != layer} for layer, allowed in MAY_IMPORT.items()}
    # packages of one level share a set in the table; what they really import decides
    real = {
        layer: {
            layer_of(other) for name in PLACED if layer_of(name) == layer for other in imported(MODULES[name]) if is_ours(other)
        }
        - {layer}
        for layer in MAY_IMPORT
    }
    assert all(real[layer] <= below[layer] for layer in real)
    placed: set[str] = set()
    while ready := {layer for layer, others in real.items() if layer not in placed and others <= placed}:
        placed |= ready
    assert placed == set(MAY_IMPORT), f"these import each other in a circle: {sorted(set(MAY_IMPORT) - placed)}"


def test_nothing_imports_the_command_line() -> None:
    importers = {name for name, file in MODULES.items() if any(other.startswith(F + "cli") for other in imported(file))} - {
        name for name in MODULES if name.startswith(F + "cli")
    }
    assert importers == {F + "__main__"}


def test_only_the_command_line_serves_worlds() -> None:
    """What decides about transactions never sees the world that made them."""
    knowing = {name for name, file in MODULES.items() if any(other.startswith("mock_sources") for other in imported(file))}
    assert {name for name in knowing if not name.startswith("mock_sources")} == {F + "cli.main", F + "cli.sources"}


def test_private_parts_of_dagster_are_imported_in_three_places() -> None:
    private = {name for name, file in MODULES.items() if any(other.startswith("dagster._") for other in imported(file))}
    assert private == {"hive_io.dagster.layers", F + "runs.event_log", F + "runs.postgresql_records"}
