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
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from sqlglot import exp

from hive_io.counted_filter import CountedFilter
from hive_io.dialect import HiveQL, to_hive
from hive_io.dry_run import result_schema
from hive_io.errors import NoHistory, NotAWarehouse, QueryError, RowsOutsideSpan, SchemaMismatch, TableNotFound
from hive_io.footprint import footprint_of
from hive_io.hive.connection import HIVE, HiveConnection, HiveServer
from hive_io.rows import check_inside, check_replaceable, chosen, conform, gained_fields, upsertable
from hive_io.table import PARTITION, Column, Span, Table
from hive_io.warehouse import Data, Footprint, Reader, Receipt, Warehouse

_STAGED = "staged_"
_Counts: TypeAlias = tuple[dict[str, int], dict[str, int]]


_NO_PLAN = "Error occurred during query planning:"


class HiveServer2Warehouse(Warehouse):
    """Tables of a HiveServer2, Parquet, partitioned by `ds`.

    Args:
        server: where it is.

    Raises:
        NotAWarehouse: the server does not answer, or refuses the user; or the folder for staged files cannot be used.
    """

    def __init__(self, server: HiveServer) -> None:
        self._server = server
        try:
            server.staging.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotAWarehouse(f"{server.staging} cannot be used for staged files: {error.strerror}") from None
        self._connection = HiveConnection(server)

    def close(self) -> None:
        """Close the connection; the next statement opens another."""
        self._connection.close()

    # --- tables -------------------------------------------------------------------------------------------------------

    def ensure_table(self, table: Table) -> None:
        self._run(f"CREATE DATABASE IF NOT EXISTS {_quoted(table.database)}")
        self._run(_create_table(table, table.name, self._home(table) / "default", external=False))
        have = self.schema(table.full_name)
        gained = gained_fields(table, have, "drop or rename the table and materialize it again")
        if gained:
            columns = ", ".join(f"{_quoted(f.name)} {table.column_types[f.name]}" for f in gained)
            # in Hive a partition has columns of its own, which would hide what is written into it from now on
            cascade = " CASCADE" if self._connection.engine == HIVE else ""
            self._run(f"ALTER TABLE {_name(table.full_name)} ADD COLUMNS ({columns}){cascade}")

    def tables(self, database: str) -> list[str]:
        if database not in {row[0] for row in self._rows("SHOW DATABASES")}:
            return []
        # Spark answers database, name, temporary; Hive answers the name
        names = (row[1] if len(row) > 1 else row[0] for row in self._rows(f"SHOW TABLES IN {_quoted(database)}"))
        return sorted(name for name in names if not name.startswith(_STAGED))

    def schema(self, table: str) -> pa.Schema:
        return self._described(table).arrow_schema

    def partitions(self, table: str) -> dict[str, int]:
        self.schema(table)
        rows = self._rows(f"SELECT {PARTITION}, COUNT(*) FROM {_name(table)} GROUP BY {PARTITION}")
        return dict(sorted((day, int(count)) for day, count in rows))

    # --- writing ------------------------------------------------------------------------------------------------------

    def replace(self, table: Table, data: Data, span: Span) -> Receipt:
        check_replaceable(table, span)
        self.ensure_table(table)
        days = [day.isoformat() for day in span.each_day()]
        if isinstance(data, HiveQL):
            self._count(data)
            with self._computed(table, data) as (staged, folder):
                self._check_staged(table, staged, folder, span)
                return Receipt(table.full_name, *self._put(table, staged, folder, days, span), data)
        rows = conform(table, data)
        check_inside(table, rows, span)
        if span.is_whole_days:
            folder = self._new_folder(table)
            _write(rows, folder)
            return Receipt(table.full_name, *self._point(table, folder, days))
        with self._staged(table, rows) as (staged, folder):
            return Receipt(table.full_name, *self._put(table, staged, folder, days, span))

    def upsert(self, table: Table, rows: pa.Table) -> Receipt:
        self.ensure_table(table)
        rows = upsertable(table, rows)
        if not rows.num_rows:
            return Receipt(table.full_name, {}, {})
        days = sorted(set(rows.column(PARTITION).to_pylist()))
        match = " AND ".join(f"old.{_quoted(name)} = new.{_quoted(name)}" for name in (PARTITION, *table.key))
        names = ", ".join(f"old.{_quoted(name)}" for name in table.arrow_schema.names)
        with self._staged(table, rows) as (staged, _):
            kept = (
                f"SELECT {names} FROM {_name(table.full_name)} old LEFT JOIN {staged} new ON {match} "
                f"WHERE old.{PARTITION} IN ({_texts(days)}) AND new.{PARTITION} IS NULL"
            )
            return Receipt(table.full_name, *self._put_union(table, staged, kept, days))

    def _put(self, table: Table, staged: str, folder: Path, days: Sequence[str], span: Span) -> _Counts:
        """Let the days be what is staged; for a part of a day, beside the rows outside it that are there."""
        if span.is_whole_days:
            return self._point(table, folder, days)
        time = _quoted(table.time_column or "")
        names = ", ".join(_quoted(name) for name in table.arrow_schema.names)
        inside = f"{time} >= {_timestamp(span.start)} AND {time} < {_timestamp(span.end)}"
        kept = f"SELECT {names} FROM {_name(table.full_name)} WHERE {PARTITION} IN ({_texts(days)})"
        # a row without a time is outside every part of a day
        kept += f" AND NOT COALESCE({inside}, FALSE)"
        return self._put_union(table, staged, kept, days)

    def _put_union(self, table: Table, staged: str, kept: str, days: Sequence[str]) -> _Counts:
        names = ", ".join(_quoted(name) for name in table.arrow_schema.names)
        with self._empty_stage(table) as (union, folder):
            self._insert(union, f"SELECT {names} FROM ({kept} UNION ALL SELECT {names} FROM {staged}) u")
            return self._point(table, folder, days)

    def _point(self, table: Table, folder: Path, days: Sequence[str]) -> _Counts:
        """Let partitions be the folders of a stage, and forget those that have none; the folders become the table's.

        Returns the rows of each day, after and before.
        """
        name = _name(table.full_name)
        old = self._locations(table, days)
        counts = {day: sum(_rows_of_files(folder / f"{PARTITION}={day}")) for day in days}
        before = {day: sum(_rows_of_files(old[day])) if day in old else 0 for day in days}
        new = [day for day in days if counts[day] and day not in old]
        if new:
            added = " ".join(f"{_partition(day)} LOCATION {_location(folder / f'{PARTITION}={day}')}" for day in new)
            self._run(f"ALTER TABLE {name} ADD IF NOT EXISTS {added}")
        for day in old:
            if counts[day]:
                self._run(f"ALTER TABLE {name} {_partition(day)} SET LOCATION {_location(folder / f'{PARTITION}={day}')}")
        gone = [_partition(day) for day in old if not counts[day]]
        if gone:
            self._run(f"ALTER TABLE {name} DROP IF EXISTS {', '.join(gone)}")
        self._retire(table, list(old.values()))
        return counts, before

    def _locations(self, table: Table, days: Sequence[str]) -> dict[str, Path]:
        have = {row[0].partition("=")[2] for row in self._rows(f"SHOW PARTITIONS {_name(table.full_name)}")}
        found = {}
        for day in days:
            if day in have:
                described = self._rows(f"DESCRIBE FORMATTED {_name(table.full_name)} {_partition(day)}")
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

    def _new_folder(self, table: Table) -> Path:
        return self._home(table) / f"{_STAGED}{uuid4().hex}"

    @contextmanager
    def _empty_stage(self, table: Table) -> Iterator[tuple[str, Path]]:
        """An external table like `table`, without rows; the table goes afterwards, the files stay."""
        folder = self._new_folder(table)
        stage = f"{table.database}.{folder.name}"
        self._run(_create_table(table, folder.name, folder, external=True))
        try:
            yield _name(stage), folder
        finally:
            self._run(f"DROP TABLE IF EXISTS {_name(stage)}")

    @contextmanager
    def _staged(self, table: Table, rows: pa.Table) -> Iterator[tuple[str, Path]]:
        """Rows as Parquet files, a folder a day, and an external table over them."""
        with self._empty_stage(table) as (stage, folder):
            days = _write(rows, folder)
            if days:
                added = " ".join(f"{_partition(day)} LOCATION {_location(folder / f'{PARTITION}={day}')}" for day in days)
                self._run(f"ALTER TABLE {stage} ADD IF NOT EXISTS {added}")
            yield stage, folder

    @contextmanager
    def _computed(self, table: Table, query: HiveQL) -> Iterator[tuple[str, Path]]:
        """The result of a query, written in place by the server, and an external table over it."""
        given = self._result_schema(query)
        conform(table, given.empty_table())
        names = ", ".join(_cast(table, given.field(column)) for column in table.column_types)
        with self._empty_stage(table) as (stage, folder):
            self._insert(stage, f"SELECT {names} FROM ({to_hive(query.bound())}) q")
            yield stage, folder

    def _insert(self, stage: str, select: str) -> None:
        # distributed: one file a day; and Hive would write the parts of a UNION ALL into folders of their own
        self._run(f"INSERT OVERWRITE TABLE {stage} PARTITION ({PARTITION}) {select} DISTRIBUTE BY {PARTITION}")

    def _check_staged(self, table: Table, staged: str, folder: Path, span: Span) -> None:
        wanted = {f"{PARTITION}={day}" for day in span.each_day()}
        found = {part.name: sum(_rows_of_files(part)) for part in folder.glob(f"{PARTITION}=*")}
        outside = sum(rows for name, rows in found.items() if name not in wanted)
        if not span.is_whole_days and found:
            time = _quoted(table.time_column or "")
            inside = f"{time} >= {_timestamp(span.start)} AND {time} < {_timestamp(span.end)}"
            days = _texts([day.isoformat() for day in span.each_day()])
            ((other,),) = self._rows(f"SELECT SUM(IF({inside}, 0, 1)) FROM {staged} WHERE {PARTITION} IN ({days})")
            outside += other or 0
        if outside:
            total = sum(found.values())
            raise RowsOutsideSpan(f"{outside} of {total} rows for {table.full_name} are outside {span}; nothing was written")

    def compact(self, table: str, before: dt.date) -> list[str]:
        self._described(table)
        return []

    def vacuum(self, table: str, keep: dt.timedelta) -> None:
        self._retire(self._described(table), [])

    def footprint(self, table: str) -> Footprint:
        return footprint_of(self._home(self._described(table)))

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self, table: str, columns: Sequence[str] | None = None, span: Span | None = None) -> pa.Table:
        wanted = chosen(table, self.schema(table), columns)
        select = f"SELECT {', '.join(map(_quoted, wanted.names))} FROM {_name(table)}"
        if span is not None:
            select += f" WHERE {PARTITION} BETWEEN {_literal(span.first_ds)} AND {_literal(span.last_ds)}"
        return self._export(select, wanted)

    def query(self, query: HiveQL) -> pa.Table:
        self._count(query)
        schema = self._result_schema(query)
        # in brackets, for Hive wants a WITH before the INSERT
        return self._export(f"SELECT * FROM ({to_hive(query.bound())}) q", schema)

    def _count(self, query: HiveQL) -> None:
        if isinstance(query, CountedFilter):
            query.counted = {row[PARTITION]: int(row["counted"]) for row in self.query(query.counts).to_pylist()}

    def as_of(self, moment: dt.datetime) -> Reader:
        raise NoHistory("A HiveServer2 keeps no history of its tables: only the embedded warehouse can be read as it was")

    def explain(self, query: HiveQL) -> str:
        self._result_schema(query)
        plan = "\n".join(str(row[0]) for row in self._rows(f"EXPLAIN {to_hive(query.bound())}"))
        # Spark answers with its error where Hive raises it
        if plan.startswith(_NO_PLAN):
            raise QueryError(f"{self._server.host} refused the query: {plan.removeprefix(_NO_PLAN).strip()}")
        return plan

    def _export(self, select: str, schema: pa.Schema) -> pa.Table:
        """The result of a SELECT, through Parquet files: exact types, and thirty times as fast as fetching rows."""
        folder = self._server.staging / "results" / uuid4().hex
        try:
            self._run(f"INSERT OVERWRITE LOCAL DIRECTORY {_literal(str(folder))} STORED AS PARQUET {select}")
            files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name[0] not in "._"]
            if not files:
                return schema.empty_table()
            read = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(coerce_int96_timestamp_unit="us"))
            rows = ds.dataset(files, format=read).to_table()
            # by position: Hive names columns of a directory anew
            return pa.table([_as(f.type, column) for column, f in zip(rows.columns, schema, strict=True)], schema=schema)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _result_schema(self, query: HiveQL) -> pa.Schema:
        """Names and types of a query's result, as the embedded engine gives them: both are to give the same."""
        tree = query.bound()
        names = {f"{t.db}.{t.name}" for t in tree.find_all(exp.Table) if t.db}
        return result_schema(query, {name: self._described(name) for name in names})

    def _described(self, table: str) -> Table:
        database, _, name = table.partition(".")
        if not name or not all(part.replace("_", "").isalnum() for part in (database, name)):
            raise TableNotFound(f"{table!r} is not a table's name; tables are named database.table")
        try:
            described = self._rows(f"DESCRIBE {_name(table)}")
        except QueryError:
            have = self.tables(database)
            if name in have:
                raise
            known = ", ".join(have) or "none yet"
            raise TableNotFound(f"There is no table {table} on {self._server.host}; tables of {database}: {known}") from None
        columns = []
        for row in described:
            if not row[0] or row[0].startswith("#"):
                break  # what follows repeats the partition column
            if row[0] != PARTITION:
                columns.append(Column(row[0], row[1].upper()))
        return Table(database, name, tuple(columns))

    def _run(self, statement: str) -> None:
        self._connection.run(statement)

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._connection.rows(statement)

    def _home(self, table: Table) -> Path:
        return self._server.staging / f"{table.database}.db" / table.name


def _as(kind: pa.DataType, column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    # what is NULL whatever the rows has no type in the embedded engine, and one on the server
    return pa.nulls(len(column)) if pa.types.is_null(kind) else column.cast(kind)


def _cast(table: Table, given: pa.Field) -> str:
    """A column of a query's result, in the type of the table's column."""
    name, wanted = _quoted(given.name), table.arrow_schema.field(given.name).type
    if not pa.types.is_nested(wanted):
        return f"CAST({name} AS {table.column_types[given.name]}) AS {name}"
    if given.type != wanted:
        raise SchemaMismatch(f"{table.full_name}: {given.name} is {given.type}, not {wanted}; cast its elements in the query")
    # Hive 4.0 gives NULL for an ARRAY that is cast to the type it has, where rows are distributed after it
    return name


def _create_table(table: Table, name: str, folder: Path, *, external: bool) -> str:
    columns = ", ".join(f"{_quoted(c.name)} {c.type}" for c in table.columns)
    return (
        f"CREATE {'EXTERNAL ' if external else ''}TABLE IF NOT EXISTS {_name(f'{table.database}.{name}')} ({columns}) "
        f"PARTITIONED BY ({_quoted(PARTITION)} STRING) STORED AS PARQUET LOCATION {_location(folder)}"
    )


def _location(folder: Path) -> str:
    # not percent-encoded: a server takes %3D for three characters of a folder's name
    return _literal(f"file://{folder}")


def _partition(day: str) -> str:
    return f"PARTITION ({PARTITION} = {_literal(day)})"


def _write(rows: pa.Table, folder: Path) -> list[str]:
    """Write rows as Parquet, a folder a day; gives the days."""
    days: list[str] = rows.column(PARTITION).unique().to_pylist()
    for day in days:
        part = rows.filter(pc.equal(rows.column(PARTITION), day)).drop_columns([PARTITION])
        home = folder / f"{PARTITION}={day}"
        home.mkdir(parents=True)
        # INT96 is what every Hive reads as a TIMESTAMP, whatever its zone
        pq.write_table(part, home / "rows.parquet", compression="zstd", use_deprecated_int96_timestamps=True)
    return days


def _rows_of_files(folder: Path) -> Iterator[int]:
    """Rows of each data file of a partition's folder, from the files' footers."""
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.is_file() and file.name[0] not in "._":
            yield pq.read_metadata(file).num_rows


def _timestamp(value: dt.datetime) -> str:
    return f"CAST('{value:%Y-%m-%d %H:%M:%S.%f}' AS TIMESTAMP)"


def _literal(text: str) -> str:
    return exp.Literal.string(text).sql("hive")


def _texts(values: Sequence[str]) -> str:
    return ", ".join(map(_literal, values))


def _name(full_name: str) -> str:
    database, _, name = full_name.partition(".")
    return f"{_quoted(database)}.{_quoted(name)}"


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql("hive")
