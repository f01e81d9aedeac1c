"""A PostgreSQL server for the tests that need one, and Dagster's records on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.services.postgresql import new_database, postgresql


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.URL]:
    with postgresql("s3cret") as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def records(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where Dagster keeps its records: in files of the warehouse, or in an empty database."""
    if request.param == "postgresql":
        pytest.importorskip("dagster_postgres")
        monkeypatch.setenv("FRAUD_DAGSTER_DATABASE", new_database(request.getfixturevalue("postgres")))
    return str(request.param)
