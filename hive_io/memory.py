"""Tables in memory, and HiveQL queries over them that are translated once, to be run for many spans.

Independent of where the tables come from: the rows of any warehouse can be put here. Not for tables larger than memory.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from hive_io.delta.reader import columns_of, connected, quoted, text
from hive_io.dialect import HiveQL, to_duckdb
from hive_io.errors import QueryError
from hive_io.hiveql.annotate import Annotator
from hive_io.hiveql.constant_relations import CONSTANTS, NARROWED, extract_constants, narrow
from hive_io.hiveql.types import Columns
from hive_io.table import Span

_TIME = re.compile(r"'(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{6})'")
_MICROSECOND = dt.timedelta(microseconds=1)


NARROWED_FROM = 10_000
"""Rows of a relation from which it is faster to choose the few that are needed than to read all."""
_AT_ONCE = 2
"""Prepared queries that run at the same time. Most of their time is DuckDB's planning, which uses one processor."""


class MemoryTables:
    """Tables in memory, by name as in HiveQL, `database.table`."""

    def __init__(self) -> None:
        self._duckdb = connected()
        self._cursors = [self._duckdb.cursor() for _ in range(_AT_ONCE)]
        """Connections of the prepared queries."""
        self._free: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()
        for cursor in self._cursors:
            self._free.put(cursor)
        self._threads = ThreadPoolExecutor(_AT_ONCE, "memory")
        self._prepared: dict[str, TimedQuery] = {}
        self._constants: set[str] = set()
        self._narrowed: dict[str, _Sorted] = {}

    def close(self) -> None:
        """Release the memory."""
        self._threads.shutdown()
        for connection in (*self._cursors, self._duckdb):
            connection.close()

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

    def translate(
        self,
        build: Callable[[Span], HiveQL],
        day: dt.date,
        changing: Collection[str] | None = None,
        narrowed_by: tuple[str, str] | None = None,
    ) -> TimedQuery:
        """Translate a query that is to be run for spans within a day.

        Args:
            build: the query for a span. Queries of two spans of the day may differ in nothing but in times that are some
                fixed duration away from the start or the end of the span.
            changing: the tables whose rows change between two runs. Relations of the query that read none of them are
                computed once, by `prepare`. None: all tables may change.
            narrowed_by: one of these tables, and a column of it and of others. Of relations that are joined by it, the query
                reads only the rows with values that `narrow` was given; they must be all values that the table has.

        Raises:
            QueryError: the query is not valid, or differs between spans in something else.
        """
        first, second = _spans_of(day)
        tree = build(first).bound()
        if _timed(tree.sql("hive"), first) != _timed(build(second).bound().sql("hive"), second):
            raise QueryError("The query for a part of a day depends on more than how far its times are from the part's edges")
        constants: dict[str, Constant] = {}
        narrowed: Collection[str] = ()
        by: str | None = None
        columns_of_table = columns_of(self._duckdb, str)

        def columns(name: str) -> Columns | None:
            database, _, table = name.partition(".")
            # as HiveQL has them, which DuckDB's types of the same rows need not show
            return constants[table].columns if database in (CONSTANTS, NARROWED) else columns_of_table(name)

        if changing is not None:

            def is_constant(query: exp.Query) -> bool:
                tables = {f"{table.db}.{table.name}" for table in query.find_all(exp.Table)}
                return not any(name in changing or name.startswith(".") for name in tables) and not _moves(query, first)

            for name, query in extract_constants(tree, is_constant).items():
                types = Annotator(columns, names=False).query(query.copy())
                constants[name] = Constant(to_duckdb(query, str, columns), types)
            if narrowed_by is not None:
                table, by = narrowed_by
                narrowed = narrow(tree, table, by)
        timed = _timed(to_duckdb(tree, str, columns), first)
        return replace(timed, constants=constants, narrowed=frozenset(narrowed), narrowed_by=by)

    def prepare(self, name: str, query: TimedQuery, where: str = "TRUE") -> None:
        """Compute what the query's tables do not change, and let DuckDB parse and check the query.

        DuckDB plans a query of tables each time that it is run, because a plan depends on their rows.

        Args:
            where: a condition of DuckDB on the result.
        """
        statement = quoted(f"prepared {name}")
        with _errors(name):
            self._compute_constants(query)
            for cursor in self._cursors:
                if name in self._prepared:
                    cursor.execute(f"DEALLOCATE {statement}")
                cursor.execute(f"PREPARE {statement} AS SELECT * FROM ({query.sql}) AS prepared WHERE {where}")
        self._prepared[name] = query

    def _compute_constants(self, query: TimedQuery) -> None:
        for name, constant in query.constants.items():
            whole = quoted(f"{CONSTANTS}.{name}")
            if name in query.narrowed and name not in self._narrowed:
                by = quoted(str(query.narrowed_by))
                rows = f"SELECT * FROM ({constant.sql}) AS constant WHERE {by} IS NOT NULL ORDER BY {by}"
                ordered = self._duckdb.sql(rows).to_arrow_table()
                self._narrowed[name] = _Sorted.of(ordered, str(query.narrowed_by))
                # `narrow` fills it, if it is long
                self.put(f"{NARROWED}.{name}", ordered if ordered.num_rows < NARROWED_FROM else ordered.schema.empty_table())
            is_read = any(whole in sql for sql in (query.sql, *(other.sql for other in query.constants.values())))
            if is_read and name not in self._constants:
                self._duckdb.execute(f"CREATE TABLE {whole} AS {constant.sql}")
                self._constants.add(name)

    def narrow(self, values: pa.ChunkedArray) -> None:
        """Choose the rows that prepared queries read of the relations that are narrowed: those with one of the values."""
        keys = _bytes(values.drop_null().unique())
        for name, rows in self._narrowed.items():
            if rows.rows.num_rows < NARROWED_FROM:
                continue  # they are all there
            self.run(f"DELETE FROM {quoted(f'{NARROWED}.{name}')}")
            self.add(f"{NARROWED}.{name}", rows.with_one_of(keys))

    def drop_unread(self, tables: Iterable[str]) -> None:
        """Release the tables of these that no prepared query reads, because it reads what was computed from them."""
        for table in tables:
            if not any(quoted(table) in query.sql for query in self._prepared.values()):
                self._duckdb.execute(f"DROP TABLE {quoted(table)}")

    def query(self, name: str, span: Span) -> pa.Table:
        """The result of a prepared query for a span."""
        times = ", ".join(f"{param} := {text(value)}" for param, value in self._prepared[name].values(span).items())
        cursor = self._free.get()
        try:
            with _errors(name):
                return cursor.sql(f"EXECUTE {quoted(f'prepared {name}')}{f'({times})' if times else ''}").to_arrow_table()
        finally:
            self._free.put(cursor)

    def queries(self, names: Iterable[str], span: Span) -> Iterator[tuple[str, pa.Table]]:
        """The results of prepared queries for a span, in this order; none reads the result of another. Some run at once."""
        names = list(names)
        return zip(names, self._threads.map(lambda name: self.query(name, span), names), strict=True)


@dataclass(frozen=True)
class Constant:
    """A relation that is computed once: its query in DuckDB, and its columns in HiveQL."""

    sql: str
    columns: Columns


@dataclass(frozen=True)
class TimedQuery:
    """A query of DuckDB with parameters for times.

    Attributes:
        params: for each parameter, whether it is counted from the start of the span (else from its end), and how far away.
        constants: the relations that it reads as tables, by name.
        narrowed: names of those of which it reads only the rows with some values of the column `narrowed_by`.
    """

    sql: str
    params: Mapping[str, tuple[bool, dt.timedelta]]
    constants: Mapping[str, Constant] = field(default_factory=dict)
    narrowed: frozenset[str] = frozenset()
    narrowed_by: str | None = None

    def values(self, span: Span) -> dict[str, str]:
        """The text of each parameter for a span."""
        return {
            name: _written((span.start if at_start else span.end) + after) for name, (at_start, after) in self.params.items()
        }


@dataclass(frozen=True)
class _Sorted:
    """Rows in the order of a text column, so that those with a value are found without reading all."""

    rows: pa.Table
    keys: npt.NDArray[np.bytes_]

    @classmethod
    def of(cls, ordered: pa.Table, column: str) -> _Sorted:
        """Rows that are in the order of the column's bytes."""
        return cls(ordered.combine_chunks(), _bytes(ordered.column(column)))

    def with_one_of(self, values: npt.NDArray[np.bytes_]) -> pa.Table:
        """The rows with one of the values, which differ."""
        first, end = (np.searchsorted(self.keys, values, side) for side in ("left", "right"))
        count = end - first
        # for each value the places from its first row on
        places = np.repeat(end - np.cumsum(count), count) + np.arange(count.sum())
        return self.rows.take(pa.array(places))


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


def _bytes(texts: pa.ChunkedArray) -> npt.NDArray[np.bytes_]:
    return np.asarray(pc.cast(texts, pa.binary()).to_pylist(), np.bytes_)


def _moves(query: exp.Query, span: Span) -> bool:
    """Whether a query has a time that moves with the span."""
    return bool(_timed(query.sql("hive"), span).params)


def _written(time: dt.datetime) -> str:
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}"


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        # the text of an error can show values of rows, which are personal data
        raise QueryError(f"{what} failed in memory ({type(error).__name__})") from None
