"""Stores in a SQLite file and in PostgreSQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud_assets.cases.store import CaseStore
from tests.services.postgresql import new_database


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that has nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'desk.sqlite'}"
    return new_database(request.getfixturevalue("postgres"))


@pytest.fixture
def store(address: str) -> Iterator[CaseStore]:
    made = CaseStore.open(address)
    yield made
    made.close()


@pytest.fixture
def now() -> dt.datetime:
    return dt.datetime(2026, 3, 2, 10, tzinfo=dt.UTC)
