"""A desk with cases, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.fraud_assets.desk.site import Person, Site, fill_lake, prepare, running

RunningDesk = Callable[..., AbstractContextManager[Site]]


@pytest.fixture(scope="session")
def desk_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse that the desk only reads."""
    return fill_lake(tmp_path_factory.mktemp("desk") / "lake")


@pytest.fixture(scope="session")
def desk_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database and a file of users, to copy: making them takes most of a second."""
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def running_desk(tmp_path: Path, desk_files: Path, desk_lake: Path) -> RunningDesk:
    """Runs a desk with given options, by default with the warehouse of `fill_lake`."""
    return partial(running, tmp_path, desk_files, lake=desk_lake)


@pytest.fixture
def site(running_desk: RunningDesk) -> Iterator[Site]:
    with running_desk() as site:
        yield site


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory, desk_files: Path, desk_lake: Path) -> Iterator[Site]:
    """A desk for the tests of a module that change nothing."""
    with running(tmp_path_factory.mktemp("shared"), desk_files, desk_lake) as site:
        yield site


@pytest.fixture(scope="module")
def shared_lead(shared_site: Site) -> Person:
    """A lead who has signed in to it once: hashing a password takes a tenth of a second."""
    return shared_site.person("lea")
