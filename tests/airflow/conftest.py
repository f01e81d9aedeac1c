"""Runs the tests with each environment of `--airflow` whose version is in the module's `AIRFLOW_VERSIONS`, by default all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airflow.sites import Site, site
from tests.services import today
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
    """A site in remote mode. Its first partition is yesterday's."""
    with site(environment, tmp_path_factory.mktemp("remote"), first_day=today() - dt.timedelta(days=1)) as running:
        yield running
