"""The desk's database: migrations make what the code describes; addresses; versions."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from fraud_assets.cases.database import open_engine, reading
from fraud_assets.cases.store import CaseStore
from fraud_assets.cases.tables import METADATA
from fraud_assets.errors import DeskDatabaseError


def test_migrations_make_the_tables_that_the_code_describes(store: CaseStore) -> None:
    with reading(store.engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, METADATA) == []


def test_a_database_that_is_missing_is_not_created(address: str) -> None:
    with pytest.raises(DeskDatabaseError, match="fraud cases sync"):
        open_engine(address, create=False)


@pytest.mark.parametrize("url", ["", "desk", "mysql://me:s3cret@db/desk", "sqlite://", "sqlite:///:memory:"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(DeskDatabaseError, match="expected sqlite:///FILE or postgresql://") as error:
        open_engine(url)
    assert "s3cret" not in str(error.value)
