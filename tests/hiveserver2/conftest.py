"""Servers: the one that is given, for all; and Apache Hive's own, for tests that stop it or ask for a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from hive_io import HiveServer, HiveServer2Warehouse
from tests.services import drop_tables


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs a server that was not given is not among the tests: a run that wants a server gives it, or fails."""
    kept = [item for item in items if _is_possible(item, config)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _is_possible(item: pytest.Item, config: pytest.Config) -> bool:
    wanted = {"server": "--hiveserver2", "jars": "--apache-hive"}
    names = getattr(item, "fixturenames", ())
    return all(config.getoption(option) for fixture, option in wanted.items() if fixture in names)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> HiveServer:
    """The server of `--hiveserver2`, its tables gone."""
    server = HiveServer.of(request.config.getoption("--hiveserver2"))
    warehouse = HiveServer2Warehouse(server)
    drop_tables(warehouse, "fintech")
    warehouse.close()
    return server


@pytest.fixture(scope="session")
def jars(request: pytest.FixtureRequest) -> Path:
    """Apache Hive, installed."""
    return Path(request.config.getoption("--apache-hive"))
