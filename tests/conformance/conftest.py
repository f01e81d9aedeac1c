"""The warehouses that the suite runs against: the embedded one, a fake HiveServer2, and the server of `--hiveserver2`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hive_io import EmbeddedWarehouse, HiveServer, HiveServer2Warehouse, Warehouse
from tests.hive_io.hive.fake_server import FakeHiveServer2
from tests.services import drop_tables


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "warehouse" in metafunc.fixturenames:
        url = metafunc.config.getoption("--hiveserver2")
        names = ["embedded", "fake-hive", *(["hiveserver2"] if url else [])]
        metafunc.parametrize("warehouse", names, indirect=True)


@pytest.fixture(scope="session")
def hiveserver2(request: pytest.FixtureRequest) -> Iterator[HiveServer2Warehouse]:
    """The server of `--hiveserver2`; one connection for all tests, because opening one takes seconds."""
    server = HiveServer2Warehouse(HiveServer.of(request.config.getoption("--hiveserver2")))
    yield server
    server.close()


@pytest.fixture
def warehouse(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """An empty warehouse."""
    if request.param == "embedded":
        return EmbeddedWarehouse(tmp_path / "lake")
    if request.param == "fake-hive":
        monkeypatch.setattr("hive_io.hive.connection.hive.connect", FakeHiveServer2().connect)
        return HiveServer2Warehouse(HiveServer("fake", tmp_path / "staging"))
    server: HiveServer2Warehouse = request.getfixturevalue("hiveserver2")
    drop_tables(server, "fintech", "archive", "other")
    return server
