"""The warehouses that the suite runs against: a kind is a function from a folder to an open, empty warehouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hive_io import EmbeddedWarehouse, Warehouse
from hive_io.hive_connection import HiveServer
from hive_io.hiveserver2 import HiveServer2Warehouse

KINDS: dict[str, Callable[[Path], Warehouse]] = {"embedded": lambda folder: EmbeddedWarehouse(folder / "lake")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "warehouse" in metafunc.fixturenames:
        url = metafunc.config.getoption("--hiveserver2")
        metafunc.parametrize("warehouse", [*KINDS, *(["hiveserver2"] if url else [])], indirect=True)


@pytest.fixture(scope="session")
def hiveserver2(request: pytest.FixtureRequest) -> Iterator[HiveServer2Warehouse]:
    """The server of `--hiveserver2`; one connection for all, for opening one takes seconds."""
    server = HiveServer2Warehouse(HiveServer.of(request.config.getoption("--hiveserver2")))
    yield server
    server.close()


@pytest.fixture
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """An empty warehouse."""
    if request.param != "hiveserver2":
        return KINDS[request.param](tmp_path)
    server: HiveServer2Warehouse = request.getfixturevalue("hiveserver2")
    for database in ("fintech", "archive", "other"):
        for name in server.tables(database):
            server._run(f"DROP TABLE {database}.`{name}`")
    return server
