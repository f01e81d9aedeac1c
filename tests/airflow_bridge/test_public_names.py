"""The public names of `airflow_bridge`, and those that stay where version 0.1 had them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import airflow_bridge
from tests.public_names import assert_public_names, in_order

PACKAGE = Path(airflow_bridge.__path__[0])


def test_public_names_are_sorted_complete_and_documented() -> None:
    assert_public_names("airflow_bridge")


@pytest.mark.parametrize("name", ["operators", "triggers"])
def test_names_inside_airflow_are_sorted_and_documented(name: str) -> None:
    """Read, not imported: these modules need Airflow."""
    alias = ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
    classes = {
        node.name: ast.get_docstring(node)
        for node in ast.parse((PACKAGE / "in_airflow" / f"{name}.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    (names,) = [ast.literal_eval(node.value) for node in alias.body if isinstance(node, ast.Assign)]
    assert names == in_order(names)
    assert [name for name in names if not classes[name]] == []
