"""Dagster's records in PostgreSQL, for `FRAUD_DAGSTER_DATABASE`: its own storages, with what `event_log` adds to SQLite's.

Dagster's classes connect again for each statement. These keep their connections. They speak through psycopg2, because
dagster-postgres 0.29 sends a NOTIFY with a parameter, which the server refuses from psycopg 3. Sessions are in UTC: Dagster
reads times without a zone as UTC, and lets the server write some of them.

The address is in no file: `dagster.yaml` names the environment variable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self

import sqlalchemy as sa
from dagster import DagsterRun, EventLogEntry
from dagster._serdes import ConfigurableClassData
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage
from dagster_postgres.utils import DagsterPostgresException, retry_pg_connection_fn

from fraud_assets.errors import FraudError, SettingsError
from fraud_assets.runs.event_log import is_about_one_check, located, store_evaluations

CONNECT_SECONDS = 10
"""Seconds to wait for the server."""
_RETRIES = 3
"""After pauses of about 0.2, 0.5 and 1.2 seconds. Dagster's five take eleven, for which `fraud watch` would judge nothing."""
_KEPT, _MORE = 1, 20
"""Connections that a storage keeps, and how many more it opens when threads use several at once."""


class RecordsUnavailable(FraudError):
    """The server does not answer, after several attempts within about three seconds."""


def check_records(url: str) -> None:
    """Connect once.

    Raises:
        SettingsError: the database cannot be used; the message says why, without the password.
    """
    address = _address(url)
    engine = sa.create_engine(address, poolclass=sa.NullPool)
    try:
        engine.connect().close()
    except sa.exc.DBAPIError as error:
        raise SettingsError(f"FRAUD_DAGSTER_DATABASE: {_reason(error)}") from None
    finally:
        engine.dispose()


def _address(url: str) -> str:
    parsed = sa.make_url(url).set(drivername="postgresql+psycopg2")
    options = f"{_text(parsed.query.get('options'))} -c timezone=UTC".strip()
    query = {"connect_timeout": str(CONNECT_SECONDS), "application_name": "fraud", **parsed.query, "options": options}
    return parsed.set(query=query).render_as_string(hide_password=False)


def _text(values: str | tuple[str, ...] | None) -> str:
    return " ".join(values) if isinstance(values, tuple) else values or ""


def _reason(error: sa.exc.DBAPIError) -> str:
    return " ".join(str(error.orig).split())


def _kept(url: str) -> sa.Engine:
    return sa.create_engine(
        url, isolation_level="AUTOCOMMIT", pool_size=_KEPT, max_overflow=_MORE, pool_pre_ping=True, pool_recycle=3600
    )


@contextmanager
def _connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    try:
        connection = retry_pg_connection_fn(engine.connect, retry_limit=_RETRIES)
    except DagsterPostgresException as error:
        cause = error.__cause__
        reason = _reason(cause) if isinstance(cause, sa.exc.DBAPIError) else str(cause)
        raise RecordsUnavailable(f"The database of Dagster's records does not answer: {reason}") from error
    try:
        yield connection
    finally:
        connection.close()


class _Kept:
    """A storage that keeps its connections; takes `postgres_url`, as Dagster's own does."""

    postgres_url: str
    _engine: sa.Engine

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(_address(postgres_url), inst_data=inst_data)  # type: ignore[call-arg]
        self._engine = _kept(self.postgres_url)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        # the parent class would make one of its own
        return cls(config_value["postgres_url"], inst_data)

    def connect(self, run_id: str | None = None) -> AbstractContextManager[sa.Connection]:
        return _connection(self._engine)

    _connect = connect

    def dispose(self) -> None:
        super().dispose()  # type: ignore[misc]
        self._engine.dispose()


class LocatedPostgresRunStorage(_Kept, PostgresRunStorage):
    """Run storage for `run_storage` in dagster.yaml."""

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Store a run; one without a code location as a run of ours."""
        return super().add_run(located(dagster_run))


class KeptPostgresEventLogStorage(_Kept, PostgresEventLogStorage):
    """Event log storage for `event_log_storage` in dagster.yaml."""

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store evaluations of one check in one run with a few statements; others as Dagster does."""
        if not is_about_one_check(events):
            super().store_event_batch(events)
            return
        with self.index_transaction() as connection:
            store_evaluations(connection, events, [self._event_to_row(event) for event in events])


class KeptPostgresScheduleStorage(_Kept, PostgresScheduleStorage):
    """Schedule storage for `schedule_storage` in dagster.yaml."""
