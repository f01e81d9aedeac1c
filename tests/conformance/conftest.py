"""The warehouses that the suite runs against: a kind is a function from a folder to an open, empty warehouse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hive_io import EmbeddedWarehouse, Warehouse

KINDS: dict[str, Callable[[Path], Warehouse]] = {"embedded": lambda folder: EmbeddedWarehouse(folder / "lake")}


@pytest.fixture(params=KINDS)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """An empty warehouse."""
    return KINDS[request.param](tmp_path)
