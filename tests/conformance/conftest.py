"""The warehouses that the suite runs against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hive_io import EmbeddedWarehouse, Warehouse
from hive_io.hive.connection import HiveServer
from hive_io.hive.warehouse import HiveServer2Warehouse
from tests.services import drop_tables


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "warehouse" in metafunc.fixturenames:
        url = metafunc.config.getoption("--hiveserver2")
        metafunc.parametrize("warehouse", ["embedded", *(["hiveserver2"] if url else [])], indirect=True)


@pytest.fixture(scope="session")
def hiveserver2(request: pytest.FixtureRequest) -> Iterator[HiveServer2Warehouse]:
    """The server of `--hiveserver2`; one connection for all, for opening one takes seconds."""
    server = HiveServer2Warehouse(HiveServer.of(request.config.getoption("--hiveserver2")))
    yield server
    server.close()


@pytest.fixture
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """An empty warehouse."""
    if request.param == "embedded":
        return EmbeddedWarehouse(tmp_path / "lake")
    server: HiveServer2Warehouse = request.getfixturevalue("hiveserver2")
    drop_tables(server, "fintech", "archive", "other")
    return server
