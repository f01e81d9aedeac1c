"""The desk's database: SQLite in WAL mode, or PostgreSQL. One writer at a time; readers never wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from filelock import FileLock, Timeout
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, NoSuchModuleError, OperationalError

from fraud_assets.errors import DeskDatabaseError

_MIGRATIONS = Path(__file__).with_name("migrations")

_PATIENCE = 30
"""Seconds for which a writer waits for others."""

_LOCK = 0x66726175
"""Key of the advisory lock that PostgreSQL's writers take, the letters `frau`."""

_WRITERS: WeakKeyDictionary[sa.Engine, threading.Lock] = WeakKeyDictionary()
"""A lock for each engine, which the thread that writes holds."""

_WRITES = "fraud_writes"
"""Execution option of a connection whose transaction writes."""


def open_engine(url: str, *, create: bool = True) -> sa.Engine:
    """Connect to the desk's database, and bring it to the version of this program.

    Args:
        url: `sqlite:///FILE` or `postgresql://user:password@host/database`.
        create: False to change nothing: a missing database, or one of an earlier version, is an error.

    Raises:
        DeskDatabaseError: it cannot be used; the message says why, without the password.
    """
    parsed = _parsed(url)
    file = _file(parsed)
    if file is not None and not create and not file.is_file():
        raise DeskDatabaseError(f"There are no cases yet: {file} does not exist. `fraud cases sync` opens cases from alerts")
    try:
        waits = {} if file else {"connect_timeout": 10, "options": f"-c lock_timeout={_PATIENCE}s"}
        engine = sa.create_engine(parsed, pool_pre_ping=file is None, pool_size=20, max_overflow=40, connect_args=waits)
    except ModuleNotFoundError as error:
        raise DeskDatabaseError(
            f"{_shown(parsed)} needs the driver {error.name}; `pip install 'fraud-assets[postgresql]'`"
        ) from None
    sa.event.listen(engine, "begin", _begin)
    try:
        if file is not None:
            sa.event.listen(engine, "connect", _set_up_sqlite)
            if create:
                _prepare(file, engine)
        with problems(parsed):
            _migrate(engine, create)
    except BaseException:
        engine.dispose()
        raise
    return engine


def is_missing(url: str) -> bool:
    """True if an address is that of a SQLite file that does not exist.

    Raises:
        DeskDatabaseError: it is no address of a database.
    """
    file = _file(_parsed(url))
    return file is not None and not file.is_file()


@contextmanager
def writing(engine: sa.Engine, *, alone: bool = True) -> Iterator[sa.Connection]:
    """A transaction that writes. It waits until no other one does, so what it reads cannot change before it commits.

    Args:
        alone: False for rows that rest on no others, and whose order does not matter: PostgreSQL then waits for no one.
    """
    waits = alone or engine.dialect.name == "sqlite"
    # SQLite tries again after a pause of up to 0.1 s; threads of a process wait here instead, for no longer than they must
    with (
        _WRITERS.setdefault(engine, threading.Lock()) if waits else nullcontext(),
        problems(engine.url),
        engine.connect().execution_options(**{_WRITES: True}) as connection,
        connection.begin(),
    ):
        if waits and connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that reads; in SQLite, all of it at one moment."""
    with problems(engine.url), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def problems(url: sa.URL) -> Iterator[None]:
    """Turn what the database reports of itself into an error that an operator can act on."""
    try:
        yield
    except OperationalError as error:
        raise DeskDatabaseError(
            f"{_shown(url)}: {str(error.orig).strip()}. Nothing of this step was stored; try again"
        ) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DeskDatabaseError(f"{_shown(url)}: the connection was lost; try again") from error
        # SQLite has no narrower class for a file that it cannot read
        if type(error) is DatabaseError:
            raise DeskDatabaseError(f"{_shown(url)}: {error.orig}") from error
        raise


def _parsed(url: str) -> sa.URL:
    wanted = "expected sqlite:///FILE or postgresql://user:password@host/database"
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise DeskDatabaseError(f"The address of the desk's database cannot be read: {wanted}") from None
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise DeskDatabaseError(f"{_shown(parsed)}: {wanted}")
    return parsed


def _file(url: sa.URL) -> Path | None:
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _shown(url: sa.URL) -> str:
    return url.render_as_string(hide_password=True)


def _begin(connection: sa.Connection) -> None:
    # Python's sqlite3 would begin late, and not before it reads: two writers could read the same state
    if connection.dialect.name == "sqlite":
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _set_up_sqlite(connection: sa.PoolProxiedConnection, _record: object) -> None:
    driver = connection
    driver.isolation_level = None  # type: ignore[attr-defined]
    cursor = driver.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000}")
    cursor.execute("PRAGMA foreign_keys = ON")
    # a decision that was confirmed survives a power cut
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _prepare(file: Path, engine: sa.Engine) -> None:
    """Create the file, in WAL mode, which it keeps. SQLite does not wait for others while it changes the mode."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock", timeout=_PATIENCE), problems(engine.url), engine.connect() as connection:
            driver = connection.connection.cursor()
            driver.execute("PRAGMA journal_mode = WAL")
            driver.close()
    except Timeout:
        raise DeskDatabaseError(f"{file}: another process has been preparing it for {_PATIENCE} s") from None
    except OSError as error:
        raise DeskDatabaseError(f"{file} cannot hold the desk's database: {error.strerror}") from None


def _migrate(engine: sa.Engine, create: bool) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    newest = ScriptDirectory.from_config(config).get_current_head()
    with reading(engine) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == newest:
        return
    if not create:
        raise DeskDatabaseError(
            f"{_shown(engine.url)} has version {found or 'none'} of the desk's database, this program expects {newest}; "
            "`fraud cases sync` brings it up to date"
        )
    # in a transaction that writes, so that of two processes the second finds the work done
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise DeskDatabaseError(
                f"{_shown(engine.url)} has version {found} of the desk's database, which this program does not know; "
                f"it knows {newest}. Use the program that wrote it, or a later one"
            ) from None
