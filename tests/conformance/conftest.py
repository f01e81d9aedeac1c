"""The warehouses that the suite runs against: a kind is a function from a folder to an open, empty warehouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hive_io import EmbeddedWarehouse, Warehouse
from hive_io.hiveserver2 import HiveServer, HiveServer2Warehouse

KINDS: dict[str, Callable[[Path], Warehouse]] = {"embedded": lambda folder: EmbeddedWarehouse(folder / "lake")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "warehouse" in metafunc.fixturenames:
        url = metafunc.config.getoption("--hiveserver2")
        metafunc.parametrize("warehouse", [*KINDS, *(["hiveserver2"] if url else [])], indirect=True)


@pytest.fixture
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse."""
    if request.param != "hiveserver2":
        yield KINDS[request.param](tmp_path)
        return
    server = HiveServer2Warehouse(HiveServer.of(request.config.getoption("--hiveserver2")))
    for name in server.tables("fintech"):
        server._run(f"DROP TABLE fintech.`{name}`")
    yield server
    server.close()
