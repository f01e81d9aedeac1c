"""Which Airflow the tests run with: each environment that `--airflow` names, if the module does not say which version."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airflow.sites import Site, site, today
from tests.services.airflow import version_of


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return None if config.getoption("--airflow") else True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "environment" in metafunc.fixturenames:
        versions = getattr(metafunc.module, "AIRFLOW_VERSIONS", {2, 3})
        folders = [Path(folder).absolute() for folder in metafunc.config.getoption("--airflow")]
        chosen = [folder for folder in folders if version_of(folder) in versions]
        metafunc.parametrize("environment", chosen, ids=lambda folder: f"airflow{version_of(folder)}", scope="session")


@pytest.fixture(scope="module")
def remote(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose tasks ask Dagster's webserver; its first partition is yesterday's."""
    with site(environment, tmp_path_factory.mktemp("remote"), first_day=today() - dt.timedelta(days=1)) as made:
        yield made
