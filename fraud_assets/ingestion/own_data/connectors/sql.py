"""A table or query of a database as a source, through SQLAlchemy."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from fraud_assets.addresses import public
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.own_data.connectors.base import Connector, Context, RawPage, page_of
from fraud_assets.ingestion.own_data.time_formats import written
from hive_io import Span
from hive_io.table import DAY

PAGE_ROWS = 20_000
"""Rows that are fetched at once."""
_NATIVE, _DATE = "native", "date"
"""Formats of a window: a TIMESTAMP or DATE, as the source file says it, and a DATE, as its values show it."""
_DAY_TEXT = re.compile(r"\d{4}-\d{2}-\d{2}")
_IN_UTC = {
    "postgresql": "SET TIME ZONE 'UTC'",
    "mysql": "SET time_zone = '+00:00'",
    "mariadb": "SET time_zone = '+00:00'",
}
"""Statements that let a session read and write times with a zone in UTC."""


@dataclass(frozen=True)
class SqlLayout:
    """Where the rows of a table are.

    Attributes:
        url: SQLAlchemy's address of the database, without a password.
        query: one SELECT, or None for all of `table`.
        password: environment variable of the password.
        window: column by which a run reads the rows of its days only; None to read everything in each run.
        window_format: how times are written in that column: `native` for a TIMESTAMP, otherwise as for times of columns.
        spill_days: largest number of days between a row's value in that column and its time (UTC). A run reads so many more on
            each side. None for 1 if the column holds days, whose zone is not known, and 0 if it holds times.
        cursor: column that grows with each new row and is different in each, for `fraud watch`.
        valid_from: for snapshots: first day for which the rows hold.
    """

    url: str
    table: str | None = None
    query: str | None = None
    password: str | None = None
    window: str | None = None
    window_format: str = _NATIVE
    spill_days: int | None = None
    cursor: str | None = None
    valid_from: dt.date | None = None

    is_local = False
    by_day = False
    spill = 0
    """The source gives no day to its rows: the window only chooses which are read."""

    @property
    def missing_for_watch(self) -> str:
        """What to name for `fraud watch`."""
        return (
            "" if self.cursor else f"name for {self.place}, under `cursor`, a column that grows with each new row, such as id"
        )

    @property
    def version(self) -> str:
        """Constant: the source does not say whether its rows have changed."""
        return f"{self.url} {self.table or self.query}"

    @property
    def place(self) -> str:
        """What is read, for messages and as the place of rows: never the query, which may hold values."""
        return self.table or "query"

    def connector(self, context: Context) -> Connector:
        """A connector that reads the rows."""
        return SqlConnector(self, context)


class SqlConnector:
    """Reads the rows of one table from a database.

    Args:
        context: reads the password, with the first query.
    """

    looks_back = True

    def __init__(self, layout: SqlLayout, context: Context) -> None:
        self.layout = layout
        self._context = context

    @cached_property
    def _engine(self) -> sa.Engine:
        try:
            url = sa.make_url(self.layout.url)
            if self.layout.password:
                url = url.set(password=self._context.secret(self.layout.password))
            # a connection is closed when its query is done: a source is not asked often
            engine = sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True)
        except sa.exc.ArgumentError:
            raise SourceError(
                f"{public(self.layout.url)!r} is not an address of a database; expected one like "
                "postgresql+psycopg://user@host/database"
            ) from None
        except (sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise SourceError(f"{public(self.layout.url)}: {error}; install the database's driver for SQLAlchemy") from None
        dialect = engine.dialect.name
        sa.event.listen(engine, "connect", lambda connection, _: _read_in_utc(connection, dialect))
        return engine

    def pages(self, span: Span | None = None) -> Iterator[RawPage]:
        layout = self.layout
        if span is None or layout.window is None:
            yield from self._numbered(self._rows(None, {}, layout.cursor))
            return
        column, form = self._quoted(layout.window), self._window_format
        has_days = form == _DATE or "%" in form
        spill = int(has_days) if layout.spill_days is None else layout.spill_days
        # a value that is a day holds for all of it, also where a part of a day is read
        wide = span.whole_days() if has_days else span
        bounds = {"since": _bound(wide.start - spill * DAY, form), "until": _bound(wide.end + spill * DAY, form)}
        where = f"{column} >= :since AND {column} < :until"
        yield from self._numbered(self._rows(where, bounds, layout.cursor or layout.window))

    def arrivals(self, cursor: str | None, since: dt.datetime | None = None) -> Iterator[tuple[RawPage, str]]:
        name = self.layout.cursor
        if name is None:
            raise SourceError(self.layout.missing_for_watch)
        where, params = (None, {}) if cursor is None else (f"{self._quoted(name)} > :after", {"after": _from_cursor(cursor)})
        for page, last in self._numbered_with(self._rows(where, params, name), name):
            if last is None:
                raise SourceError(f"{self.layout.place}: {name} is NULL in a row, so later rows cannot be told; choose another")
            yield page, _cursor(last)

    def snapshot(self, day: dt.date) -> Iterator[RawPage]:
        if self.layout.valid_from is None or day >= self.layout.valid_from:
            yield from self.pages()

    def sample(self, rows: int, today: dt.date) -> Iterator[tuple[RawPage, bool]]:
        for page in self.pages():
            if rows <= 0:
                yield RawPage(page.rows.slice(0, 0)), False
                return
            yield RawPage(page.rows.slice(0, rows)), page.rows.num_rows <= rows
            rows -= page.rows.num_rows

    def places(self) -> list[str]:
        return [f"{public(self.layout.url)} {self.layout.place}"]

    def abort(self) -> None:
        """A query in progress cannot be ended from here; the process that waits for it is ended instead."""

    def close(self) -> None:
        if "_engine" in vars(self):
            self._engine.dispose()

    # --- queries ------------------------------------------------------------------------------------------------------

    @property
    def _relation(self) -> str:
        """What stands behind FROM."""
        if self.layout.query is None:
            return ".".join(map(self._quoted, str(self.layout.table).split(".")))
        # a colon of the query is no parameter
        escaped = self.layout.query.replace(":", "\\:")
        return f"({escaped}) q"

    @property
    def _window_format(self) -> str:
        """How times are written in the window's column: as the source file says, or by one of its values if it says nothing.

        A driver may give a DATE as a text (pyhive, SQLite); so may a column hold the texts of days.
        """
        if self.layout.window_format != _NATIVE:
            return self.layout.window_format
        column: sa.ColumnClause[Any] = sa.column(sa.quoted_name(str(self.layout.window), quote=True))
        first = sa.select(column).select_from(sa.text(self._relation)).where(column.is_not(None)).limit(1)
        with self._errors(), self._engine.connect() as connection:
            value = connection.execute(first).scalar()
        if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            return _DATE
        return "%Y-%m-%d" if isinstance(value, str) and _DAY_TEXT.fullmatch(value) else _NATIVE

    def _rows(self, where: str | None, params: dict[str, Any], order: str | None) -> Iterator[tuple[list[str], Sequence[Any]]]:
        """Names of the columns, and some rows at a time, in the order of a column."""
        layout = self.layout
        text = f"SELECT * FROM {self._relation}" + (f" WHERE {where}" if where else "")
        if order:
            text += f" ORDER BY {self._quoted(order)}"
        with self._errors(), self._engine.connect() as connection:
            options = connection.execution_options(stream_results=True, yield_per=PAGE_ROWS)
            result = options.execute(sa.text(text), params)
            names = [*map(str, result.keys())]
            for column in filter(None, (order, layout.window)):
                # SQLite takes the name of a column that is not there for a text
                if column not in names:
                    raise SourceError(f"{layout.place} has no column {column!r}; its columns are {', '.join(names)}")
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise SourceError(f"{layout.place}: two columns are called {', '.join(map(repr, twice))}; give one an alias")
            for rows in result.partitions(PAGE_ROWS):
                yield names, rows

    def _numbered(self, parts: Iterator[tuple[list[str], Sequence[Any]]]) -> Iterator[RawPage]:
        for page, _ in self._numbered_with(parts, None):
            yield page

    def _numbered_with(
        self, parts: Iterator[tuple[list[str], Sequence[Any]]], column: str | None
    ) -> Iterator[tuple[RawPage, Any]]:
        """Pages, each with the value of a column in its last row."""
        count = 0
        for names, rows in parts:
            fields = {name: [text_of(row[index]) for row in rows] for index, name in enumerate(names)}
            last = None
            if column is not None:
                last = rows[-1][names.index(column)]
            yield page_of(fields, self.layout.place, range(count + 1, count + 1 + len(rows))), last
            count += len(rows)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            # a HiveServer2 that answers calls mistakes of a query operational, too
            if isinstance(error, sa.exc.OperationalError) and _hive_answer(error) is None:
                raise SourceError(
                    f"{self.places()[0]} cannot be read: {_reason(error)}. Check `url` and `password` in the source file, and "
                    "that the database is running"
                ) from None
            raise SourceError(
                f"{self.places()[0]} cannot be read: {_reason(error)}. Check `table` or `query`, `window` and `cursor` in the "
                "source file"
            ) from None

    def _quoted(self, name: str) -> str:
        return self._engine.dialect.identifier_preparer.quote_identifier(name)


def _bound(moment: dt.datetime, form: str) -> Any:
    """An instant as a value to compare the window's column with."""
    if form in (_NATIVE, _DATE):
        utc = moment.astimezone(dt.UTC).replace(tzinfo=None)
        return utc.date() if form == _DATE else utc
    return int(written(moment, form)) if form.startswith("epoch") else written(moment, form)


def _read_in_utc(connection: Any, dialect: str) -> None:
    """Let a new session read and write times in UTC, where their text depends on its zone."""
    statement = _IN_UTC.get(dialect)
    if dialect == "hive" and not _is_apache_hive(connection):
        statement = "SET spark.sql.session.timeZone=UTC"
    if statement is not None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(statement)
        connection.commit()


def _is_apache_hive(connection: Any) -> bool:
    """True for Apache Hive, whose TIMESTAMP has no zone; False for Spark's Thrift server, whose TIMESTAMP is an instant."""
    from TCLIService import ttypes

    asked = ttypes.TGetInfoReq(sessionHandle=connection.sessionHandle, infoType=ttypes.TGetInfoType.CLI_DBMS_NAME)
    return bool(connection.client.GetInfo(asked).infoValue.stringValue == "Apache Hive")


def _reason(error: Exception) -> str:
    """The driver's reason, in one line; the statement and its values are left out."""
    text = _hive_answer(error) or str(getattr(error, "orig", None) or error)
    return text.strip().splitlines()[0][:300]


def _hive_answer(error: Exception) -> str | None:
    """The message in the answer of a HiveServer2; None if the error is no answer of one."""
    (answer, *_) = getattr(getattr(error, "orig", None), "args", ()) or (None,)
    return getattr(getattr(answer, "status", None), "errorMessage", None)


def text_of(value: Any) -> str | None:
    """A value as text: numbers in plain notation, times in ISO 8601, objects and arrays as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return None if math.isnan(value) else format(Decimal(repr(value)), "f").removesuffix(".0")
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else None
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (dict, list)) else str(value)


_KINDS = {"int": int, "str": str, "Decimal": Decimal, "datetime": dt.datetime.fromisoformat, "UUID": uuid.UUID, "float": float}


def _cursor(value: Any) -> str:
    kind = type(value).__name__
    if kind not in _KINDS:
        raise SourceError(f"A column of {kind} cannot be a cursor; choose a number, a text or a TIMESTAMP")
    return json.dumps({kind: value.isoformat() if isinstance(value, dt.datetime) else str(value)})


def _from_cursor(cursor: str) -> Any:
    ((kind, text),) = json.loads(cursor).items()
    return _KINDS[kind](text)  # type: ignore[operator]
