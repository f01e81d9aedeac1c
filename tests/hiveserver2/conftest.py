"""Servers: the one of `--hiveserver2`, for all tests; an Apache Hive of `--apache-hive`, which tests stop or log in to; and the
Spark of `--spark`, for applications of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from hive_io import HiveServer, HiveServer2Warehouse
from tests.services import drop_tables


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests whose server was not given on the command line."""
    kept = [item for item in items if _is_possible(item, config)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _is_possible(item: pytest.Item, config: pytest.Config) -> bool:
    options = {"server": "--hiveserver2", "jars": "--apache-hive", "spark": "--spark"}
    names = getattr(item, "fixturenames", ())
    return all(config.getoption(option) for fixture, option in options.items() if fixture in names)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> HiveServer:
    """The server of `--hiveserver2`, without tables."""
    server = HiveServer.of(request.config.getoption("--hiveserver2"))
    warehouse = HiveServer2Warehouse(server)
    drop_tables(warehouse, "fintech")
    warehouse.close()
    return server


@pytest.fixture(scope="session")
def jars(request: pytest.FixtureRequest) -> Path:
    """Folder of an installed Apache Hive."""
    return Path(request.config.getoption("--apache-hive"))


@pytest.fixture(scope="session")
def spark(request: pytest.FixtureRequest) -> Path:
    """Interpreter of an environment with pyspark."""
    return Path(request.config.getoption("--spark")).absolute()
