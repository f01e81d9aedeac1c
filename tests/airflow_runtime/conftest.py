"""Airflow in this process, with its own database, and Dagster's webserver in a process of another interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent

if "airflow" not in sys.modules:
    # Airflow reads these at import
    HOME = tempfile.TemporaryDirectory(prefix="airflow_runtime_")
    os.environ.update(
        AIRFLOW_HOME=HOME.name,
        AIRFLOW__CORE__DAGS_FOLDER=str(HERE / "dags"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__UNIT_TEST_MODE="False",
    )

from airflow_harness import Harness  # noqa: E402
from webserver import Webserver  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--dagster-python", help="interpreter of an environment with dagster-webserver", required=True)


@pytest.fixture(scope="session")
def dagster_python(request: pytest.FixtureRequest) -> str:
    return str(Path(request.config.getoption("--dagster-python")).absolute())


@pytest.fixture(scope="session")
def _database() -> None:
    command = [str(Path(sys.executable).with_name("airflow")), "db", "migrate"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)


@pytest.fixture(scope="session")
def dagster(dagster_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    """Dagster's webserver with the sample assets."""
    server = Webserver(tmp_path_factory.mktemp("dagster"), python=dagster_python)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def airflow(_database: None, dagster: Webserver, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Airflow, with a Connection to the webserver."""
    return Harness(dagster, monkeypatch)
