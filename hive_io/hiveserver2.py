"""A warehouse on a HiveServer2 (Apache Hive, Spark Thrift Server, Kyuubi), through PyHive.

Rows never travel through the connection: they are staged as Parquet files in a folder that this machine and the server
share, and results are read from such files. A partition is replaced by one `ALTER TABLE … SET LOCATION` to a folder that
is complete: readers see the old rows or the new ones. A range is replaced day by day, each day at once.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pydantic import SecretStr
from pyhive import exc, hive
from sqlglot import exp
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from thrift.transport.TTransport import TTransportException

from hive_io.dialect import HiveQL
from hive_io.dry_run import result_schema
from hive_io.errors import ColumnNotFound, NotAWarehouse, QueryError, RowsOutsideSpan, TableNotFound
from hive_io.rows import check_inside, check_replaceable, conform, gained_fields, mergeable
from hive_io.table import PARTITION, Column, Span, Table
from hive_io.warehouse import Data, Receipt, Warehouse

_SESSION = (
    # a server elsewhere would shift hours
    "SET spark.sql.session.timeZone=UTC",
    # times before 1900 as they were written, not moved between calendars
    "SET spark.sql.parquet.int96RebaseModeInRead=CORRECTED",
    "SET spark.sql.parquet.int96RebaseModeInWrite=CORRECTED",
    "SET hive.exec.dynamic.partition.mode=nonstrict",
    "SET hive.exec.max.dynamic.partitions=10000",
    "SET hive.exec.max.dynamic.partitions.pernode=10000",
)


@dataclass(frozen=True)
class HiveServer:
    """Where a HiveServer2 is, and where files are staged.

    Attributes:
        staging: a folder that this machine and the server see under the same path; the rows of all tables are in it.
        auth: NONE and LDAP are tested; what else PyHive offers is passed through, untested.
        grace: seconds for which the files of replaced partitions are kept for readers that have begun.
    """

    host: str
    staging: Path
    port: int = 10000
    username: str | None = None
    password: SecretStr | None = field(default=None, repr=False)
    auth: str = "NONE"
    grace: float = 3600.0

    @classmethod
    def of(cls, url: str) -> HiveServer:
        """From `hive://user:password@host:10000/?staging=/shared/folder&auth=LDAP`.

        Raises:
            NotAWarehouse: what the address lacks.
        """
        parts = urlsplit(url)
        options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        if unknown := sorted(options.keys() - {"staging", "auth", "grace"}):
            raise NotAWarehouse(f"{unknown[0]} is no option of hive://; there are staging, auth, grace")
        if not parts.hostname or "staging" not in options:
            raise NotAWarehouse("A HiveServer2 is named like hive://user@host:10000/?staging=/folder/that/the/server/shares")
        return cls(
            parts.hostname,
            Path(options["staging"]).absolute(),
            parts.port or 10000,
            unquote(parts.username) if parts.username else None,
            SecretStr(unquote(parts.password)) if parts.password else None,
            options.get("auth", "LDAP" if parts.password else "NONE"),
            float(options.get("grace", 3600)),
        )


class HiveServer2Warehouse(Warehouse):
    """Tables of a HiveServer2, Parquet, partitioned by `ds`.

    Args:
        server: where it is.
        attempts: how often a statement is tried when the connection is lost, each time on a new one.

    Raises:
        NotAWarehouse: the server does not answer, or refuses the user.
    """

    def __init__(self, server: HiveServer, *, attempts: int = 5) -> None:
        self._server = server
        self._attempts = attempts
        self._lock = RLock()
        self._connection: Any = None
        try:
            server.staging.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotAWarehouse(f"{server.staging} cannot be used for staged files: {error.strerror}") from None
        self._rows("SHOW DATABASES")

    def close(self) -> None:
        """Close the connection; the next statement opens another."""
        with self._lock:
            if self._connection is not None:
                connection, self._connection = self._connection, None
                with suppress(TTransportException, OSError):  # it is gone, which is what was wanted
                    connection.close()

    # --- tables -------------------------------------------------------------------------------------------------------

    def ensure_table(self, table: Table) -> None:
        self._run(f"CREATE DATABASE IF NOT EXISTS {_quoted(table.database)}")
        self._run(_create_table(table, table.name, self._home(table) / "default", external=False))
        have = self._schema(table.full_name)
        gained = gained_fields(table, have, "drop or rename the table and materialize it again")
        if gained:
            columns = ", ".join(f"{_quoted(f.name)} {table.column_types[f.name]}" for f in gained)
            self._run(f"ALTER TABLE {_name(table.full_name)} ADD COLUMNS ({columns})")

    def tables(self, database: str) -> list[str]:
        if database not in {row[0] for row in self._rows("SHOW DATABASES")}:
            return []
        # Spark answers database, name, temporary; Hive answers the name
        names = (row[1] if len(row) > 1 else row[0] for row in self._rows(f"SHOW TABLES IN {_quoted(database)}"))
        return sorted(name for name in names if not name.startswith("staged_"))

    def partitions(self, table: str) -> dict[str, int]:
        self._schema(table)
        return self._counts(table, [])

    # --- writing ------------------------------------------------------------------------------------------------------

    def replace(self, table: Table, data: Data, span: Span) -> Receipt:
        check_replaceable(table, span)
        self.ensure_table(table)
        days = [day.isoformat() for day in span.each_day()]
        query = data if isinstance(data, HiveQL) else None
        if isinstance(data, HiveQL):
            with self._computed(table, data) as (staged, folder):
                self._check_staged(table, staged, span)
                self._put(table, staged, folder, days, None if span.is_whole_days else span)
        else:
            rows = conform(table, data)
            check_inside(table, rows, span)
            with self._staged(table, rows) as (staged, folder):
                self._put(table, staged, folder, days, None if span.is_whole_days else span)
        counts = self._counts(table.full_name, days)
        return Receipt(table.full_name, {day: counts.get(day, 0) for day in days}, query)

    def merge(self, table: Table, rows: pa.Table) -> Receipt:
        self.ensure_table(table)
        rows = mergeable(table, rows)
        if not rows.num_rows:
            return Receipt(table.full_name, {})
        days = sorted(set(rows.column(PARTITION).to_pylist()))
        match = " AND ".join(f"old.{_quoted(name)} = new.{_quoted(name)}" for name in (PARTITION, *table.key))
        names = ", ".join(f"old.{_quoted(name)}" for name in table.arrow_schema.names)
        with self._staged(table, rows) as (staged, _):
            kept = (
                f"SELECT {names} FROM {_name(table.full_name)} old LEFT JOIN {staged} new ON {match} "
                f"WHERE old.{PARTITION} IN ({_texts(days)}) AND new.{PARTITION} IS NULL"
            )
            self._put_union(table, staged, kept, days)
        counts = self._counts(table.full_name, days)
        return Receipt(table.full_name, {day: counts[day] for day in days})

    def _put(self, table: Table, staged: str, folder: Path, days: Sequence[str], part: Span | None) -> None:
        """Let the days be what is staged; with a part of a day, besides the rows outside it that are there."""
        if part is None:
            self._point(table, folder, days)
            return
        time = _quoted(table.time_column or "")
        names = ", ".join(_quoted(name) for name in table.arrow_schema.names)
        inside = f"{time} >= {_timestamp(part.start)} AND {time} < {_timestamp(part.end)}"
        kept = f"SELECT {names} FROM {_name(table.full_name)} WHERE {PARTITION} IN ({_texts(days)})"
        # a row without a time is outside every part of a day
        kept += f" AND NOT COALESCE({inside}, FALSE)"
        self._put_union(table, staged, kept, days)

    def _put_union(self, table: Table, staged: str, kept: str, days: Sequence[str]) -> None:
        names = ", ".join(_quoted(name) for name in table.arrow_schema.names)
        with self._empty_stage(table) as (union, folder):
            self._insert(union, f"SELECT {names} FROM ({kept} UNION ALL SELECT {names} FROM {staged}) u")
            self._point(table, folder, days)

    def _point(self, table: Table, folder: Path, days: Sequence[str]) -> None:
        """Let partitions be the folders of a stage, and forget those that have none. The folders become the table's."""
        name = _name(table.full_name)
        old = self._locations(table, days)
        for day in days:
            partition = f"PARTITION ({PARTITION} = {_texts([day])})"
            location = folder / f"{PARTITION}={day}"
            if not _has_files(location):
                self._run(f"ALTER TABLE {name} DROP IF EXISTS {partition}")
                continue
            uri = _location(location)
            if day not in old:
                self._run(f"ALTER TABLE {name} ADD IF NOT EXISTS {partition} LOCATION {uri}")
            self._run(f"ALTER TABLE {name} {partition} SET LOCATION {uri}")
        self._retire(table, [old[day] for day in days if day in old])

    def _locations(self, table: Table, days: Sequence[str]) -> dict[str, Path]:
        have = {row[0].partition("=")[2] for row in self._rows(f"SHOW PARTITIONS {_name(table.full_name)}")}
        found = {}
        for day in days:
            if day in have:
                described = self._rows(f"DESCRIBE FORMATTED {_name(table.full_name)} PARTITION ({PARTITION} = {_texts([day])})")
                location = next(row[1] for row in described if (row[0] or "").strip().rstrip(":") == "Location")
                found[day] = Path(unquote(urlsplit(location.strip()).path))
        return found

    def _retire(self, table: Table, folders: Sequence[Path]) -> None:
        """Remember folders that nothing points to any more, and delete those whose grace is over."""
        retired = self._home(table) / "retired"
        retired.mkdir(parents=True, exist_ok=True)
        now = dt.datetime.now(dt.UTC).timestamp()
        if folders:
            said = {"since": now, "folders": [str(folder) for folder in folders if folder.is_relative_to(self._home(table))]}
            (retired / f"{uuid4().hex}.json").write_text(json.dumps(said), encoding="utf-8")
        for note in retired.glob("*.json"):
            said = json.loads(note.read_text(encoding="utf-8"))
            if now - said["since"] >= self._server.grace:
                for folder in said["folders"]:
                    shutil.rmtree(folder, ignore_errors=True)
                note.unlink(missing_ok=True)

    # --- stages: tables of a folder of their own ----------------------------------------------------------------------

    @contextmanager
    def _empty_stage(self, table: Table) -> Iterator[tuple[str, Path]]:
        """An external table like `table`, without rows; the table goes afterwards, the files stay."""
        stage = f"staged_{uuid4().hex}"
        folder = self._home(table) / stage
        self._run(_create_table(table, stage, folder, external=True))
        try:
            yield _name(f"{table.database}.{stage}"), folder
        finally:
            self._run(f"DROP TABLE IF EXISTS {_name(f'{table.database}.{stage}')}")

    @contextmanager
    def _staged(self, table: Table, rows: pa.Table) -> Iterator[tuple[str, Path]]:
        """Rows as Parquet files, a folder a day, and an external table over them."""
        with self._empty_stage(table) as (stage, folder):
            for day in rows.column(PARTITION).unique().to_pylist():
                part = rows.filter(pc.equal(rows.column(PARTITION), day)).drop_columns([PARTITION])
                home = folder / f"{PARTITION}={day}"
                home.mkdir(parents=True)
                # INT96 is what every Hive reads as a TIMESTAMP, whatever its zone
                pq.write_table(part, home / "rows.parquet", compression="zstd", use_deprecated_int96_timestamps=True)
                uri = _location(home)
                self._run(f"ALTER TABLE {stage} ADD IF NOT EXISTS PARTITION ({PARTITION} = {_texts([day])}) LOCATION {uri}")
            yield stage, folder

    @contextmanager
    def _computed(self, table: Table, query: HiveQL) -> Iterator[tuple[str, Path]]:
        """The result of a query, written in place by the server, and an external table over it."""
        given = self._result_schema(query)
        conform(table, given.empty_table())
        names = ", ".join(f"CAST({_quoted(c)} AS {kind}) AS {_quoted(c)}" for c, kind in table.column_types.items())
        with self._empty_stage(table) as (stage, folder):
            self._insert(stage, f"SELECT {names} FROM ({query.bound().sql(dialect='hive')}) q")
            yield stage, folder

    def _insert(self, stage: str, select: str) -> None:
        self._run(f"INSERT OVERWRITE TABLE {stage} PARTITION ({PARTITION}) {select}")

    def _check_staged(self, table: Table, staged: str, span: Span) -> None:
        days = [day.isoformat() for day in span.each_day()]
        inside = f"{PARTITION} IN ({_texts(days)})"
        if not span.is_whole_days:
            time = _quoted(table.time_column or "")
            inside += f" AND {time} >= {_timestamp(span.start)} AND {time} < {_timestamp(span.end)}"
        ((outside, total),) = self._rows(f"SELECT SUM(IF({inside}, 0, 1)), COUNT(*) FROM {staged}")
        if outside:
            raise RowsOutsideSpan(f"{outside} of {total} rows for {table.full_name} are outside {span}; nothing was written")

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self, table: str, columns: Sequence[str] | None = None, span: Span | None = None) -> pa.Table:
        schema = self._schema(table)
        names = list(columns) if columns is not None else schema.names
        for name in names:
            if name not in schema.names:
                raise ColumnNotFound(f"{table} has no column {name}; it has {', '.join(schema.names)}")
        select = f"SELECT {', '.join(map(_quoted, names))} FROM {_name(table)}"
        if span is not None:
            select += f" WHERE {PARTITION} BETWEEN {_texts([span.first_ds])} AND {_texts([span.last_ds])}"
        return self._export(select, pa.schema([schema.field(name) for name in names]))

    def query(self, query: HiveQL) -> pa.Table:
        schema = self._result_schema(query)
        return self._export(query.bound().sql(dialect="hive"), schema)

    def _export(self, select: str, schema: pa.Schema) -> pa.Table:
        """The result of a SELECT, through Parquet files: exact types, and thirty times as fast as fetching rows."""
        folder = self._server.staging / "results" / uuid4().hex
        try:
            path = exp.Literal.string(str(folder)).sql("hive")
            self._run(f"INSERT OVERWRITE LOCAL DIRECTORY {path} STORED AS PARQUET {select}")
            files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name[0] not in "._"]
            if not files:
                return schema.empty_table()
            read = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(coerce_int96_timestamp_unit="us"))
            rows = ds.dataset(files, format=read).to_table()
            # by position: Hive names columns of a directory anew
            return pa.table([column.cast(f.type) for column, f in zip(rows.columns, schema, strict=True)], schema=schema)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _result_schema(self, query: HiveQL) -> pa.Schema:
        """Names and types of a query's result, as the embedded engine gives them: both are to give the same."""
        tree = query.bound()
        names = {f"{t.db}.{t.name}" for t in tree.find_all(exp.Table) if t.db}
        return result_schema(query, {name: self._described(name) for name in names})

    def _counts(self, table: str, days: Sequence[str]) -> dict[str, int]:
        where = f" WHERE {PARTITION} IN ({_texts(days)})" if days else ""
        rows = self._rows(f"SELECT {PARTITION}, COUNT(*) FROM {_name(table)}{where} GROUP BY {PARTITION}")
        return dict(sorted((day, int(count)) for day, count in rows))

    def _schema(self, table: str) -> pa.Schema:
        return self._described(table).arrow_schema

    def _described(self, table: str) -> Table:
        database, _, name = table.partition(".")
        if not name or not all(part.replace("_", "").isalnum() for part in (database, name)):
            raise TableNotFound(f"{table!r} is not a table's name; tables are named database.table")
        if name not in self.tables(database):
            known = ", ".join(self.tables(database)) or "none yet"
            raise TableNotFound(f"There is no table {table} on {self._server.host}; tables of {database}: {known}")
        columns = []
        for row in self._rows(f"DESCRIBE {_name(table)}"):
            if not row[0] or row[0].startswith("#"):
                break  # what follows repeats the partition column
            if row[0] != PARTITION:
                columns.append(Column(row[0], row[1].upper()))
        return Table(database, name, tuple(columns))

    # --- the connection -----------------------------------------------------------------------------------------------

    def _run(self, statement: str) -> None:
        self._execute(statement, fetch=False)

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._execute(statement, fetch=True)

    def _execute(self, statement: str, fetch: bool) -> list[tuple[Any, ...]]:
        """Run a statement; on a lost connection again, on a new one. Every statement here may run twice."""
        retrying = Retrying(
            retry=retry_if_exception_type((TTransportException, ConnectionError)),
            stop=stop_after_attempt(self._attempts),
            wait=wait_random_exponential(multiplier=0.5, max=15),
            reraise=True,
        )
        try:
            return retrying(self._execute_once, statement, fetch)
        except (TTransportException, ConnectionError) as error:
            raise NotAWarehouse(
                f"The HiveServer2 at {self._server.host}:{self._server.port} does not answer ({error}); is it running?"
            ) from None

    def _execute_once(self, statement: str, fetch: bool) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                cursor = self._connection.cursor()
                cursor.execute(statement)
                # after DDL there is nothing to fetch, and PyHive fails on it
                rows = cursor.fetchall() if fetch else []
                cursor.close()
                return rows
            except (TTransportException, OSError):
                self.close()
                raise
            except exc.Error as error:
                raise QueryError(f"{self._server.host} refused: {_first_line(error)}") from None

    def _connect(self) -> Any:
        server = self._server
        connection = hive.connect(
            host=server.host,
            port=server.port,
            username=server.username,
            password=server.password.get_secret_value() if server.password else None,
            auth=server.auth,
        )
        with connection.cursor() as cursor:
            for statement in _SESSION:
                cursor.execute(statement)
        return connection

    def _home(self, table: Table) -> Path:
        return self._server.staging / f"{table.database}.db" / table.name


def _create_table(table: Table, name: str, folder: Path, *, external: bool) -> str:
    columns = ", ".join(f"{_quoted(c.name)} {c.type}" for c in table.columns)
    return (
        f"CREATE {'EXTERNAL ' if external else ''}TABLE IF NOT EXISTS {_name(f'{table.database}.{name}')} ({columns}) "
        f"PARTITIONED BY ({_quoted(PARTITION)} STRING) STORED AS PARQUET LOCATION {_location(folder)}"
    )


def _location(folder: Path) -> str:
    # not percent-encoded: a server takes %3D for three characters of a folder's name
    return exp.Literal.string(f"file://{folder}").sql("hive")


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(path.is_file() and path.name[0] not in "._" for path in folder.iterdir())


def _first_line(error: exc.Error) -> str:
    """What the server said, of the many lines that Thrift wraps around it."""
    status = getattr(error.args[0], "status", None) if error.args else None
    return str(getattr(status, "errorMessage", None) or error).partition("\n")[0]


def _timestamp(value: dt.datetime) -> str:
    return f"CAST('{value:%Y-%m-%d %H:%M:%S.%f}' AS TIMESTAMP)"


def _texts(values: Sequence[str]) -> str:
    return ", ".join(exp.Literal.string(value).sql("hive") for value in values)


def _name(full_name: str) -> str:
    database, _, name = full_name.partition(".")
    return f"{_quoted(database)}.{_quoted(name)}"


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql("hive")
