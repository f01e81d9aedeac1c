"""Tables in memory, and HiveQL queries over them that are translated once, to be run for many spans.

Independent of where the tables come from: the rows of any warehouse can be put here. Not for tables larger than memory.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from hive_io.delta.reader import columns_of, connected, quoted, text
from hive_io.dialect import HiveQL, to_duckdb
from hive_io.errors import QueryError
from hive_io.table import Span

_TIME = re.compile(r"'(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{6})'")
_MICROSECOND = dt.timedelta(microseconds=1)


class MemoryTables:
    """Tables in memory, by name as in HiveQL, `database.table`."""

    def __init__(self) -> None:
        self._duckdb = connected()
        self._prepared: dict[str, TimedQuery] = {}

    def close(self) -> None:
        """Release the memory."""
        self._duckdb.close()

    def put(self, table: str, rows: pa.Table, key: str | None = None) -> None:
        """Create a table of these rows, in the place of any of that name.

        Args:
            key: a column whose values must differ; rows are found by it without reading the table.
        """
        primary = f", PRIMARY KEY ({quoted(key)})" if key else ""
        with _errors(table):
            self._duckdb.register("put", rows.schema.empty_table())
            described = self._duckdb.execute("DESCRIBE put").fetchall()
            columns = ", ".join(f"{quoted(row[0])} {row[1]}" for row in described)
            self._duckdb.execute(f"CREATE OR REPLACE TABLE {quoted(table)} ({columns}{primary})")
            self._duckdb.unregister("put")
            self.add(table, rows)

    def add(self, table: str, rows: pa.Table) -> None:
        """Add rows."""
        self.run(f"INSERT INTO {quoted(table)} BY NAME SELECT * FROM added", added=rows)

    def run(self, sql: str, /, **relations: pa.Table) -> pa.Table:
        """Run a statement of DuckDB.

        Args:
            relations: rows that the statement reads by these names.
        """
        for name, rows in relations.items():
            self._duckdb.register(name, rows)
        try:
            with _errors("A statement"):
                found = self._duckdb.sql(sql)
                return found.to_arrow_table() if found is not None else pa.table({})
        finally:
            for name in relations:
                self._duckdb.unregister(name)

    def translate(self, build: Callable[[Span], HiveQL], day: dt.date) -> TimedQuery:
        """Translate a query that is to be run for spans within a day.

        Args:
            build: the query for a span. Queries of two spans of the day may differ in nothing but in times that are some
                fixed duration away from the start or the end of the span.

        Raises:
            QueryError: the query is not valid, or differs between spans in something else.
        """
        first, second = _spans_of(day)
        tree = build(first).bound()
        if _timed(tree.sql("hive"), first) != _timed(build(second).bound().sql("hive"), second):
            raise QueryError("The query for a part of a day depends on more than how far its times are from the part's edges")
        return _timed(to_duckdb(tree, str, columns_of(self._duckdb, str)), first)

    def prepare(self, name: str, query: TimedQuery, where: str = "TRUE") -> None:
        """Let DuckDB parse and check a query of these tables. It plans it each time, because a plan depends on their rows.

        Args:
            where: a condition of DuckDB on the result.
        """
        statement = quoted(f"prepared {name}")
        with _errors(name):
            if name in self._prepared:
                self._duckdb.execute(f"DEALLOCATE {statement}")
            self._duckdb.execute(f"PREPARE {statement} AS SELECT * FROM ({query.sql}) AS prepared WHERE {where}")
        self._prepared[name] = query

    def query(self, name: str, span: Span) -> pa.Table:
        """The result of a prepared query for a span."""
        times = ", ".join(f"{param} := {text(value)}" for param, value in self._prepared[name].values(span).items())
        with _errors(name):
            return self._duckdb.sql(f"EXECUTE {quoted(f'prepared {name}')}{f'({times})' if times else ''}").to_arrow_table()


@dataclass(frozen=True)
class TimedQuery:
    """A query of DuckDB with parameters for times.

    Attributes:
        params: for each parameter, whether it is counted from the start of the span (else from its end), and how far away.
    """

    sql: str
    params: Mapping[str, tuple[bool, dt.timedelta]]

    def values(self, span: Span) -> dict[str, str]:
        """The text of each parameter for a span."""
        return {
            name: _written((span.start if at_start else span.end) + after) for name, (at_start, after) in self.params.items()
        }


def _spans_of(day: dt.date) -> tuple[Span, Span]:
    """Two spans of a day whose edges can be told from all other times of a query: none names these microseconds.

    They start just after midnight: a lookback then reaches back as many days as it can.
    """
    midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
    one, other = (
        Span(midnight + start * _MICROSECOND, midnight + end * _MICROSECOND)
        for start, end in ((111_113, 86_399_222_221), (111_127, 86_399_222_237))
    )
    return one, other


def _timed(sql: str, span: Span) -> TimedQuery:
    """The query with parameters in the place of times that move with the span."""
    params: dict[tuple[bool, dt.timedelta], str] = {}

    def param(found: re.Match[str]) -> str:
        time = dt.datetime.fromisoformat(found[1]).replace(tzinfo=dt.UTC)
        for at_start, edge in ((True, span.start), (False, span.end)):
            if time.microsecond == edge.microsecond:
                name = params.setdefault((at_start, time - edge), f"t{len(params)}")
                return f"${name}"
        return found[0]

    replaced = _TIME.sub(param, sql)
    return TimedQuery(replaced, {name: place for place, name in params.items()})


def _written(time: dt.datetime) -> str:
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}"


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        # the text of an error can show values of rows, which are personal data
        raise QueryError(f"{what} failed in memory ({type(error).__name__})") from None
