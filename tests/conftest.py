"""Fixtures that several test files use; each makes what it needs in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_bridge.in_airflow.dagster_graphql import Address, DagsterClient
from fraud_assets.settings import PREFIX
from hive_io import EmbeddedWarehouse
from tests.airflow_runtime.webserver import Webserver
from tests.services.kafka import Kafka, kafka

collect_ignore = ["airflow_runtime"]
"""It runs in Airflow's own environments, with its own pytest.ini: `make test-airflow`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hiveserver2", metavar="URL", help="run what can run on a HiveServer2 on this one, hive://…, too")
    parser.addoption("--apache-hive", metavar="JARS", help="run what stops and starts an Apache Hive, with these jars, too")
    parser.addoption("--kafka", metavar="JARS", help="run what is marked kafka, on an Apache Kafka with these jars")
    parser.addoption("--spark", metavar="PYTHON", help="run what runs on Spark, with the pyspark of this interpreter, too")
    parser.addoption(
        "--airflow", metavar="DIR", action="append", default=[], help="run tests/airflow with the Airflow of this environment"
    )
    parser.addoption("--dagster-airflow", metavar="DIR", help="run its round trip with this environment, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that need a Kafka, if none was given."""
    if not config.getoption("--kafka"):
        without = [item for item in items if item.get_closest_marker("kafka")]
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """An Apache Kafka on loopback."""
    with kafka(tmp_path_factory.mktemp("kafka"), Path(request.config.getoption("--kafka"))) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(PREFIX) or name == "DAGSTER_HOME":
            monkeypatch.delenv(name)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[EmbeddedWarehouse]:
    """An empty embedded warehouse."""
    yield EmbeddedWarehouse(tmp_path / "lake")


@pytest.fixture(scope="module")
def webserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    """A Dagster with the sample assets of `airflow_runtime`, on loopback."""
    server = Webserver(tmp_path_factory.mktemp("dagster"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(webserver: Webserver) -> Iterator[DagsterClient]:
    with DagsterClient(Address(webserver.url)) as client:
        yield client
