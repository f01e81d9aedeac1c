"""Stores in a SQLite file and in PostgreSQL."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fraud_assets.cases.store import CaseStore
from tests.services.postgresql import postgresql

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.URL]:
    with postgresql(tmp_path_factory.mktemp("desk"), "s3cret") as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that has nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'desk.sqlite'}"
    server: sa.URL = request.getfixturevalue("postgres")
    name = f"desk{next(_NUMBERS)}"
    with sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)


@pytest.fixture
def store(address: str) -> Iterator[CaseStore]:
    made = CaseStore.open(address)
    yield made
    made.close()


@pytest.fixture
def now() -> dt.datetime:
    return dt.datetime(2026, 3, 2, 10, tzinfo=dt.UTC)
