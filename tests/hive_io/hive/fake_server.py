"""A HiveServer2 in memory, behind the part of PyHive's interface that `HiveConnection` uses, which fails on request.

It keeps a metastore (tables, columns, locations of partitions) and runs each SELECT with DuckDB on the Parquet files at those
locations. So a test reads the rows that a real server would serve at that moment. Like a server, it refuses to create what
exists and to change what is missing, unless the statement says IF [NOT] EXISTS.
"""

from __future__ import annotations

import enum
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlglot
from pyhive import exc
from sqlglot import exp
from TCLIService import ttypes
from thrift.transport.TTransport import TTransportException

from hive_io.table import arrow_type

Rows = list[tuple[Any, ...]]


class Fault(enum.Enum):
    """Failure of one statement."""

    LOST_BEFORE = "the connection is lost before the statement runs"
    LOST_AFTER = "the connection is lost after the statement ran"
    REFUSED = "the server refuses the statement"
    GONE_BEFORE = "the server goes away before the statement runs"
    GONE_AFTER = "the server goes away after the statement ran"


@dataclass
class Partition:
    """A partition: its folder, and the columns that it knows."""

    location: Path
    columns: set[str]


@dataclass
class StoredTable:
    """A table of the metastore: Hive type by column, without the partition column."""

    columns: dict[str, str]
    location: Path
    partitions: dict[str, Partition] = field(default_factory=dict)


class FakeHiveServer2:
    """The server.

    Attributes:
        tables: by `database.name`.
        sent: statements in the order in which they were sent, without those that set up a session.
        run: those of them that ran to their end.
        missed: connections that were tried while the server was away.
    """

    def __init__(self, engine: str = "Apache Hive") -> None:
        self.engine = engine
        self.databases = {"default"}
        self.tables: dict[str, StoredTable] = {}
        self.sent: list[str] = []
        self.run: list[str] = []
        self.missed = 0
        self._fault: tuple[int, Fault] | None = None
        self._is_gone = False

    def fail_at(self, number: int, fault: Fault) -> None:
        """Let the statement of this number fail, counted from 1 and from now; forget what was sent before."""
        self.sent, self.run = [], []
        self._fault = number, fault

    def recover(self) -> None:
        """Answer again, without faults."""
        self._fault, self._is_gone = None, False

    def connect(self, **_: Any) -> FakeSession:
        """What `pyhive.hive.connect` does."""
        if self._is_gone:
            self.missed += 1
            raise TTransportException(message="Could not connect")
        return FakeSession(self)

    def answer(self, statement: str) -> Rows | None:
        """Run a statement, or fail; None for a statement without a result."""
        if statement.startswith("SET "):
            return [("tez.local.mode=false",)]
        self.sent.append(statement)
        fault = self._fault[1] if self._fault and self._fault[0] == len(self.sent) else None
        if fault is Fault.REFUSED:
            raise refusal("the disk is full")
        if fault in (Fault.LOST_BEFORE, Fault.GONE_BEFORE):
            self._lose(fault)
        found = self._run(statement)
        self.run.append(statement)
        if fault in (Fault.LOST_AFTER, Fault.GONE_AFTER):
            self._lose(fault)
        return found

    def _lose(self, fault: Fault) -> None:
        self._is_gone = fault in (Fault.GONE_BEFORE, Fault.GONE_AFTER)
        raise TTransportException(message="Connection reset by peer")

    def _run(self, statement: str) -> Rows | None:
        for pattern, method in _STATEMENTS:
            if match := pattern.fullmatch(statement):
                return method(self, **match.groupdict())
        raise AssertionError(f"This server does not know the statement: {statement}")

    # --- metadata -----------------------------------------------------------------------------------------------------

    def _show_databases(self) -> Rows:
        return [(name,) for name in sorted(self.databases)]

    def _create_database(self, database: str) -> None:
        self.databases.add(database)

    def _show_tables(self, database: str) -> Rows:
        names = [name.partition(".")[2] for name in self.tables if name.startswith(f"{database}.")]
        return [(name,) if self.engine == "Apache Hive" else (database, name, False) for name in names]

    def _create_table(self, table: str, columns: str, location: str, exists: str | None) -> None:
        if unquoted(table) in self.tables:
            if not exists:
                raise refusal(f"Table {table} already exists")
            return
        self.tables[unquoted(table)] = StoredTable(types_of(columns), Path(location))

    def _drop_table(self, table: str, exists: str | None) -> None:
        if not exists:
            self._table(table)
        self.tables.pop(unquoted(table), None)  # an external table: its files stay

    def _describe(self, table: str) -> Rows:
        columns = [(name, kind.lower(), "") for name, kind in self._table(table).columns.items()]
        partition = ("ds", "string", "")
        return [*columns, partition, ("", None, None), ("# Partition Information", None, None), partition]

    def _describe_partition(self, table: str, ds: str) -> Rows:
        location = self._partition(table, ds).location
        return [("# Detailed Partition Information", None, None), ("Location:           ", f"file:{location} ", None)]

    def _show_partitions(self, table: str) -> Rows:
        return [(f"ds={day}",) for day in self._table(table).partitions]

    def _add_columns(self, table: str, columns: str, cascade: str | None) -> None:
        stored, added = self._table(table), types_of(columns)
        if known := added.keys() & stored.columns.keys():
            raise refusal(f"Duplicate column name: {known.pop()}")
        stored.columns |= added
        if cascade or self.engine != "Apache Hive":
            for partition in stored.partitions.values():
                partition.columns |= added.keys()

    def _add_partitions(self, table: str, partitions: str, exists: str | None) -> None:
        stored = self._table(table)
        for day, location in re.findall(r"PARTITION \(ds = '([^']*)'\) LOCATION 'file://([^']*)'", partitions):
            if day not in stored.partitions:
                stored.partitions[day] = Partition(Path(location), set(stored.columns))
            elif not exists:
                raise refusal(f"Partition already exists: {day}")

    def _set_location(self, table: str, ds: str, location: str) -> None:
        self._partition(table, ds).location = Path(location)

    def _drop_partitions(self, table: str, partitions: str, exists: str | None) -> None:
        for day in re.findall(r"PARTITION \(ds = '([^']*)'\)", partitions):
            if not exists:
                self._partition(table, day)
            self._table(table).partitions.pop(day, None)  # an external table: its files stay

    def _table(self, quoted: str) -> StoredTable:
        if unquoted(quoted) not in self.tables:
            raise refusal(f"Table not found {quoted}")
        return self.tables[unquoted(quoted)]

    def _partition(self, table: str, day: str) -> Partition:
        if day not in self._table(table).partitions:
            raise refusal(f"Partition not found: {day}")
        return self._table(table).partitions[day]

    # --- rows ---------------------------------------------------------------------------------------------------------

    def rows(self, name: str) -> pa.Table:
        """The rows that readers of `database.name` see now."""
        stored = self.tables[name]
        schema = pa.schema([*[(column, arrow_type(kind)) for column, kind in stored.columns.items()], ("ds", pa.string())])
        parts = [schema.empty_table()]
        for day, partition in stored.partitions.items():
            files = sorted(partition.location.glob("[!._]*")) if partition.location.is_dir() else []
            for file in files:
                found = _read(file, file.stat().st_mtime_ns)
                known = {column: found[column] for column in found.column_names if column in partition.columns}
                values = {c: known.get(c, pa.nulls(found.num_rows)) for c in stored.columns}
                values["ds"] = pa.array([day] * found.num_rows, pa.string())
                parts.append(pa.table({c: values[c].cast(schema.field(c).type) for c in schema.names}, schema=schema))
        return pa.concat_tables(parts)

    def _select(self, text: str) -> pa.Table:
        tree = sqlglot.parse_one(text, read="hive")
        with _engine().cursor() as engine:
            for table in [table for table in tree.find_all(exp.Table) if table.db]:
                name = f"{table.db}.{table.name}"
                if name not in self.tables:
                    raise refusal(f"Table not found {name}")
                engine.register(name, self.rows(name))
                alias = table.alias or table.name
                table.set("db", None)
                table.set("this", exp.to_identifier(name, quoted=True))
                table.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
            return engine.sql(tree.sql("duckdb")).to_arrow_table()

    def _fetch(self, select: str) -> Rows:
        return [tuple(row.values()) for row in self._select(select).to_pylist()]

    def _insert(self, table: str, select: str) -> None:
        stored, found = self._table(table), self._select(select)
        # by position, the partition column last
        found = found.rename_columns([*stored.columns, "ds"])
        for day in found["ds"].unique().to_pylist():
            folder = stored.location / f"ds={day}"
            _write(found.filter(pc.equal(found["ds"], day)).drop_columns("ds"), folder)
            stored.partitions[day] = Partition(folder, set(stored.columns))

    def _export(self, folder: str, select: str) -> None:
        _write(self._select(select), Path(folder))

    def _explain(self, select: str) -> Rows:
        self._select(select)
        return [(f"Plan of {select}",)]


class FakeSession:
    """A PyHive connection."""

    sessionHandle = None  # noqa: N815

    def __init__(self, server: FakeHiveServer2) -> None:
        self.server = server
        self.is_lost = False
        self.client = SimpleNamespace(GetInfo=self._info)
        self._transport = SimpleNamespace(close=lambda: None)

    def _info(self, _: object) -> SimpleNamespace:
        return SimpleNamespace(infoValue=SimpleNamespace(stringValue=self.server.engine))

    def cursor(self) -> FakeCursor:
        return FakeCursor(self)

    def close(self) -> None:
        if self.is_lost:
            raise TTransportException(message="Broken pipe")


class FakeCursor:
    """A PyHive cursor."""

    def __init__(self, session: FakeSession) -> None:
        self._session = session
        self._rows: Rows | None = None

    def __enter__(self) -> FakeCursor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str) -> None:
        if self._session.is_lost:
            raise TTransportException(message="Broken pipe")
        try:
            self._rows = self._session.server.answer(statement)
        except TTransportException:
            self._session.is_lost = True
            raise

    def fetchall(self) -> Rows:
        if self._rows is None:
            raise exc.ProgrammingError("No result set")
        return self._rows


@lru_cache(maxsize=64)
def _read(file: Path, changed_at: int) -> pa.Table:
    """Rows of a file, read once while it stays the same."""
    return pq.ParquetFile(file, coerce_int96_timestamp_unit="us").read(use_threads=False)


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def refusal(reason: str) -> exc.OperationalError:
    """The error that PyHive raises for an answer with an error status."""
    status = ttypes.TStatus(statusCode=ttypes.TStatusCode.ERROR_STATUS, errorMessage=f"{reason}\nat line 2 of a stack trace")
    return exc.OperationalError(ttypes.TExecuteStatementResp(status=status))


def unquoted(name: str) -> str:
    return name.replace("`", "")


def types_of(columns: str) -> dict[str, str]:
    """Hive type by column, from a list of quoted names and types."""
    return dict(re.findall(r"`([^`]+)` ((?:[A-Z<>]|\([^)]*\))+)", columns))


def _write(rows: pa.Table, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pq.write_table(rows, folder / "000000_0")


_NAME, _DAY = r"(?P<table>`\w+`\.`\w+`)", r"PARTITION \(ds = '(?P<ds>[^']*)'\)"
_STATEMENTS: list[tuple[re.Pattern[str], Callable[..., Rows | None]]] = [
    (re.compile(pattern, re.DOTALL), method)
    for pattern, method in (
        (r"SHOW DATABASES", FakeHiveServer2._show_databases),
        (r"CREATE DATABASE IF NOT EXISTS `(?P<database>\w+)`", FakeHiveServer2._create_database),
        (r"SHOW TABLES IN `(?P<database>\w+)`", FakeHiveServer2._show_tables),
        (
            rf"CREATE (?:EXTERNAL )?TABLE (?P<exists>IF NOT EXISTS )?{_NAME} \((?P<columns>.*)\) "
            r"PARTITIONED BY \(`ds` STRING\) STORED AS PARQUET LOCATION 'file://(?P<location>[^']*)'",
            FakeHiveServer2._create_table,
        ),
        (rf"DROP TABLE (?P<exists>IF EXISTS )?{_NAME}", FakeHiveServer2._drop_table),
        (rf"DESCRIBE {_NAME}", FakeHiveServer2._describe),
        (rf"DESCRIBE FORMATTED {_NAME} {_DAY}", FakeHiveServer2._describe_partition),
        (rf"SHOW PARTITIONS {_NAME}", FakeHiveServer2._show_partitions),
        (rf"ALTER TABLE {_NAME} ADD COLUMNS \((?P<columns>.*)\)(?P<cascade> CASCADE)?", FakeHiveServer2._add_columns),
        (rf"ALTER TABLE {_NAME} ADD (?P<exists>IF NOT EXISTS )?(?P<partitions>PARTITION .*)", FakeHiveServer2._add_partitions),
        (rf"ALTER TABLE {_NAME} {_DAY} SET LOCATION 'file://(?P<location>[^']*)'", FakeHiveServer2._set_location),
        (rf"ALTER TABLE {_NAME} DROP (?P<exists>IF EXISTS )?(?P<partitions>PARTITION .*)", FakeHiveServer2._drop_partitions),
        (rf"INSERT OVERWRITE TABLE {_NAME} PARTITION \(ds\) (?P<select>.*) DISTRIBUTE BY ds", FakeHiveServer2._insert),
        (r"INSERT OVERWRITE LOCAL DIRECTORY '(?P<folder>[^']*)' STORED AS PARQUET (?P<select>.*)", FakeHiveServer2._export),
        (r"EXPLAIN (?P<select>.*)", FakeHiveServer2._explain),
        (r"(?P<select>SELECT .*)", FakeHiveServer2._fetch),
    )
]
"""Statements that the warehouse sends, in the forms that Hive and Spark accept."""
