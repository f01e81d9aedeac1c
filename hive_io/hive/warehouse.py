"""A warehouse on a HiveServer2 (Apache Hive, Spark Thrift Server, Kyuubi), through PyHive.

Rows never pass through the connection: they are staged as Parquet files in a folder that this machine and the server
share, and results are read from such files. The last statement of a write, `ALTER TABLE … SET LOCATION`, makes the complete
folder the day's partition: readers see the old rows or the new ones. A range is replaced day by day, each day at once.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pyarrow as pa
import pyarrow.dataset as ds
from sqlglot import exp

from hive_io.counted_filter import CountedFilter
from hive_io.dialect import HiveQL, columns_in, to_hive
from hive_io.dry_run import result_schema
from hive_io.errors import HiveIOError, NoHistory, NotAWarehouse, PartitionConflict, QueryError, TableNotFound
from hive_io.folders import check_path
from hive_io.footprint import footprint_of
from hive_io.hive import statements
from hive_io.hive.connection import HIVE, HiveConnection, HiveServer, StatementRefused
from hive_io.hive.staging import STAGED, PendingWrite, TableFolder, count_rows, data_files, delete_old, write_rows
from hive_io.hive.statements import is_inside, literal, literals, quoted, table_name
from hive_io.rows import (
    check_identified,
    check_inside,
    check_replaceable,
    chosen,
    conform,
    gained_fields,
    outside_span,
    upsertable,
)
from hive_io.table import PARTITION, Column, Span, Table, foreign_table
from hive_io.warehouse import Capability, Data, Footprint, Reader, Receipt, Warehouse

_Counts: TypeAlias = tuple[dict[str, int], dict[str, int]]
_SPECIAL = "%*?[]{}#\\"
"""Characters of a path that Hadoop reads as a pattern, or that have another meaning in a URL."""
_NO_PLAN = "Error occurred during query planning:"


class HiveServer2Warehouse(Warehouse):
    """Tables of a HiveServer2, stored as Parquet, partitioned by `ds`.

    A write of a range that fails leaves each day with its old rows or its new ones. Writing it again completes it, unless the
    data is a query that reads the range itself.

    Raises:
        NotAWarehouse: the server does not answer, or refuses the user; or the staging folder cannot be used.
    """

    def __init__(self, server: HiveServer) -> None:
        self._server = server
        check_path(server.staging, _SPECIAL)
        try:
            server.staging.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotAWarehouse(
                f"{server.staging} cannot be used as the staging folder: {error.strerror}; use a folder that this machine "
                "and the server can write"
            ) from None
        self._connection = HiveConnection(server)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Optional features: those that the server's engine has."""
        return frozenset() if self._connection.engine == HIVE else frozenset({Capability.TIMES_BEFORE_1582})

    def close(self) -> None:
        """Close the connection. The next statement opens another."""
        self._connection.close()

    # --- tables -------------------------------------------------------------------------------------------------------

    def attach(self, table: str, folder: Path) -> None:
        raise HiveIOError(f"A HiveServer2 reads its own tables only; create the external table {table} over {folder} there")

    def ensure_table(self, table: Table) -> None:
        self._ensure(table, to_write=False)

    def _ensure(self, table: Table, *, to_write: bool) -> None:
        self._run(f"CREATE DATABASE IF NOT EXISTS {quoted(table.database)}")
        self._run(statements.create_table(table, table.name, self._folder(table).path / "default", external=False))
        if gained := self._gained(table, to_write):
            # an Apache Hive partition has columns of its own, which would hide the values written into it from now on
            statement = statements.add_columns(table, gained, cascade=self._connection.engine == HIVE)
            try:
                self._connection.run(statement, has_run=lambda: not self._gained(table, to_write))
            except StatementRefused:
                # another writer may have added them first
                if self._gained(table, to_write):
                    raise

    def _gained(self, table: Table, to_write: bool) -> list[str]:
        have = self.schema(table.full_name)
        advice = "drop or rename the table and materialize it again"
        return [field.name for field in gained_fields(table, have, advice, to_write=to_write)]

    def tables(self, database: str) -> list[str]:
        if database not in {row[0] for row in self._rows("SHOW DATABASES")}:
            return []
        # Spark returns database, name, temporary; Hive returns the name
        names = (row[1] if len(row) > 1 else row[0] for row in self._rows(f"SHOW TABLES IN {quoted(database)}"))
        return sorted(name for name in names if not name.startswith(STAGED))

    def drop(self, table: str) -> None:
        database, _, name = table.partition(".")
        self._run(f"DROP TABLE IF EXISTS {table_name(table)}")
        shutil.rmtree(self._server.staging / f"{database}.db" / name, ignore_errors=True)

    def schema(self, table: str) -> pa.Schema:
        return self._described(table).arrow_schema

    def partitions(self, table: str) -> dict[str, int]:
        self.schema(table)
        rows = self._rows(f"SELECT {PARTITION}, COUNT(*) FROM {table_name(table)} GROUP BY {PARTITION}")
        return dict(sorted((day, int(count)) for day, count in rows))

    # --- writing ------------------------------------------------------------------------------------------------------

    def replace(self, table: Table, data: Data, span: Span) -> Receipt:
        check_replaceable(table, span)
        days = [day.isoformat() for day in span.each_day()]
        with self._write(table) as write:
            self._ensure(table, to_write=True)
            if isinstance(data, HiveQL):
                folder = self._computed(table, write, data, days, span)
            else:
                folder = self._stored(table, write, data, days, span)
            counts, before = self._switch(table, write, folder, days)
        return Receipt(table.full_name, counts, before, data if isinstance(data, HiveQL) else None)

    def upsert(self, table: Table, data: Data, *, times: Collection[dt.datetime] | None = None) -> Receipt:
        with self._write(table) as write:
            self._ensure(table, to_write=True)
            rows = upsertable(table, table.arrow_schema.empty_table() if isinstance(data, HiveQL) else data)
            if not isinstance(data, HiveQL) and not rows.num_rows:
                return Receipt(table.full_name, {}, {})
            match = " AND ".join(f"old.{quoted(name)} = new.{quoted(name)}" for name in (PARTITION, *table.key))
            names = ", ".join(f"old.{quoted(name)}" for name in table.arrow_schema.names)
            staged = (
                self._staged_query(table, write, data) if isinstance(data, HiveQL) else self._staged_rows(table, write, rows)
            )
            with staged as (stage, days):
                if not days:
                    return Receipt(table.full_name, {}, {})
                kept = (
                    f"SELECT {names} FROM {table_name(table.full_name)} old LEFT JOIN {stage} new ON {match} "
                    f"WHERE old.{PARTITION} IN ({literals(days)}) AND new.{PARTITION} IS NULL"
                )
                folder = self._union(table, write, stage, kept)
            counts, before = self._switch(table, write, folder, days)
        return Receipt(table.full_name, counts, before)

    @contextmanager
    def _write(self, table: Table) -> Iterator[PendingWrite]:
        """Note the folders of a write until it ends. A failed write is cleaned up now, or by `vacuum` if the server is gone.

        Adds to errors of the server which rows the table has, and what to do.
        """
        write = self._folder(table).begin_write()
        try:
            yield write
        except BaseException as error:
            state = f"{table.full_name} {write.state()}; remove the cause and run the write again"
            if isinstance(error, NotAWarehouse):
                # cleaning up would wait for the server once more
                raise NotAWarehouse(f"{error}. {state}") from error
            with suppress(HiveIOError):
                self._clean_up(table, write)
            if isinstance(error, StatementRefused):
                raise StatementRefused(f"{error}. {state}") from error
            raise
        write.end()

    def _clean_up(self, table: Table, write: PendingWrite) -> None:
        """Drop the stages of a failed write, and retire those of its folders that no partition uses."""
        if not write.folders:
            return
        parts: dict[Path, list[Path]] = {folder: [folder] for folder in write.folders}
        for folder in write.folders:
            if folder.name.startswith(STAGED):
                self._run(f"DROP TABLE IF EXISTS {_stage_name(table, folder)}")
                parts[folder] = list(folder.glob(f"{PARTITION}=*"))
        days = sorted({part.name.partition("=")[2] for each in parts.values() for part in each})
        used = {_end(path) for path in self._locations(table, days).values()}
        unused: list[Path] = []
        for folder, each in parts.items():
            free = [part for part in each if _end(part) not in used]
            unused += [folder] if free == each else free
        self._folder(table).retire(unused)
        write.end()

    def _switch(self, table: Table, write: PendingWrite, folder: Path, days: Sequence[str]) -> _Counts:
        """Make the complete folders of a stage the partitions of their days, and drop the partitions of days without rows.

        Returns the rows of each day, after and before.
        """
        name = table_name(table.full_name)
        old = self._locations(table, days)
        write.add(*old.values())
        new = {day: folder / f"{PARTITION}={day}" for day in days}
        counts = {day: count_rows(new[day]) for day in days}
        before = {day: count_rows(old[day]) if day in old else 0 for day in days}
        steps: list[tuple[list[str], str]] = []
        added = [day for day in days if counts[day] and day not in old]
        if added:
            steps.append((added, statements.add_partitions(name, {day: new[day] for day in added})))
        steps += [([day], statements.set_location(name, day, new[day])) for day in old if counts[day]]
        if gone := [day for day in old if not counts[day]]:
            steps.append((gone, statements.drop_partitions(name, gone)))
        for switching, statement in steps:
            write.switching = switching
            try:
                self._run(statement)
            except StatementRefused:
                write.switching = []
                with suppress(StatementRefused):
                    self._check_unchanged(table, write, switching, old, new)
                raise
            if switching is added:
                # it is ignored for a day that another writer has added meanwhile
                self._check_added(table, write, new, added)
            write.switched += switching
            write.switching = []
        # the stages of the write other than `folder` are not needed any more either
        stages = [stage for stage in write.folders if stage.name.startswith(STAGED) and stage != folder]
        self._folder(table).retire([*old.values(), *stages])
        return counts, before

    def _check_added(self, table: Table, write: PendingWrite, new: Mapping[str, Path], added: Sequence[str]) -> None:
        """Check that this write, and no other, added the partitions.

        Raises:
            PartitionConflict: another writer was first on some of the days. The others have the new rows.
        """
        now = self._locations(table, added)
        if others := [day for day in added if day not in now or _end(now[day]) != _end(new[day])]:
            write.switched += [day for day in added if day not in others]
            write.switching = []
            raise _conflict(table, write, others)

    def _check_unchanged(
        self, table: Table, write: PendingWrite, days: Sequence[str], old: Mapping[str, Path], new: Mapping[str, Path]
    ) -> None:
        """Tell whether a statement was refused because another writer changed its partitions.

        Raises:
            PartitionConflict: some of the days have neither the location before nor the new one.
        """
        now = self._locations(table, days)
        known = {day: {_end(folders[day]) for folders in (old, new) if day in folders} for day in days}
        gone = [day for day in old if day in days and day not in now]
        if others := sorted({*gone, *(day for day in now if _end(now[day]) not in known[day])}):
            raise _conflict(table, write, others)

    def _locations(self, table: Table, days: Sequence[str]) -> dict[str, Path]:
        have = {row[0].partition("=")[2] for row in self._rows(f"SHOW PARTITIONS {table_name(table.full_name)}")}
        found = {}
        for day in days:
            if day in have:
                described = self._rows(f"DESCRIBE FORMATTED {table_name(table.full_name)} {statements.partition(day)}")
                location = next(row[1] for row in described if (row[0] or "").strip().rstrip(":") == "Location")
                found[day] = Path(unquote(urlsplit(location.strip()).path))
        return found

    # --- stages: folders of their own, with external tables over them -------------------------------------------------

    def _computed(self, table: Table, write: PendingWrite, query: HiveQL, days: Sequence[str], span: Span) -> Path:
        """Return the folder of a stage with a query's result, and with the other rows of its days for a part of a day."""
        self._count(query)
        select = self._select_of(table, query)
        with self._stage(table, write) as (stage, folder):
            self._run(statements.insert_overwrite(stage, select))
            self._check_staged(table, stage, folder, span)
            return folder if span.is_whole_days else self._with_rest_of_days(table, write, stage, days, span)

    def _stored(self, table: Table, write: PendingWrite, rows: pa.Table, days: Sequence[str], span: Span) -> Path:
        """Return the folder of a stage with rows, and with the other rows of their days for a part of a day."""
        rows = conform(table, rows)
        check_inside(table, rows, span)
        if span.is_whole_days:
            folder = self._new_stage(table, write)
            write_rows(rows, folder)
            return folder
        with self._staged_rows(table, write, rows) as (stage, _):
            return self._with_rest_of_days(table, write, stage, days, span)

    def _new_stage(self, table: Table, write: PendingWrite) -> Path:
        folder = self._folder(table).new_stage()
        write.add(folder)
        return folder

    @contextmanager
    def _stage(self, table: Table, write: PendingWrite) -> Iterator[tuple[str, Path]]:
        """An external table like `table`, without rows, and its folder. Afterwards the table is dropped; the files stay."""
        folder = self._new_stage(table, write)
        self._run(statements.create_table(table, folder.name, folder, external=True))
        yield _stage_name(table, folder), folder
        self._run(f"DROP TABLE IF EXISTS {_stage_name(table, folder)}")

    @contextmanager
    def _staged_rows(self, table: Table, write: PendingWrite, rows: pa.Table) -> Iterator[tuple[str, list[str]]]:
        """An external table with these rows, and their days."""
        with self._stage(table, write) as (stage, folder):
            if folders := write_rows(rows, folder):
                self._run(statements.add_partitions(stage, folders))
            yield stage, sorted(folders)

    @contextmanager
    def _staged_query(self, table: Table, write: PendingWrite, query: HiveQL) -> Iterator[tuple[str, list[str]]]:
        """An external table with the result of a query that is to be upserted, and its days.

        Raises:
            RowsOutsideSpan, HiveIOError: as for `upsertable`.
        """
        select = self._select_of(table, query)
        with self._stage(table, write) as (stage, folder):
            self._run(statements.insert_overwrite(stage, select))
            days = sorted(part.name.partition("=")[2] for part in folder.glob(f"{PARTITION}=*") if count_rows(part))
            if days:
                keys = ", ".join(map(quoted, (PARTITION, *table.key)))
                missing = " OR ".join(f"{quoted(name)} IS NULL" for name in table.key)
                groups = f"SELECT COUNT(*) AS n, MAX(IF({missing}, 1, 0)) AS missing FROM {stage} GROUP BY {keys}"
                ((repeated, without),) = self._rows(f"SELECT SUM(n - 1), MAX(missing) FROM ({groups}) g")
                check_identified(table, days, repeated, bool(without))
            yield stage, days
        if not days:
            self._folder(table).retire([folder])

    def _with_rest_of_days(self, table: Table, write: PendingWrite, stage: str, days: Sequence[str], span: Span) -> Path:
        """Return the folder of a new stage with the staged rows, and the rows of the same days outside the span."""
        names = ", ".join(quoted(name) for name in table.arrow_schema.names)
        kept = f"SELECT {names} FROM {table_name(table.full_name)} WHERE {PARTITION} IN ({literals(days)})"
        # a row without a time is outside every part of a day
        kept += f" AND NOT COALESCE({is_inside(table.time_column or '', span)}, FALSE)"
        return self._union(table, write, stage, kept)

    def _union(self, table: Table, write: PendingWrite, stage: str, kept: str) -> Path:
        """Return the folder of a new stage with the staged rows and the rows of a SELECT."""
        names = ", ".join(quoted(name) for name in table.arrow_schema.names)
        with self._stage(table, write) as (union, folder):
            select = f"SELECT {names} FROM ({kept} UNION ALL SELECT {names} FROM {stage}) u"
            self._run(statements.insert_overwrite(union, select))
        return folder

    def _select_of(self, table: Table, query: HiveQL) -> str:
        """SELECT of a query's result with the table's columns and types."""
        found, text = self._dry_run(query)
        conform(table, found.empty_table())
        names = ", ".join(statements.cast_to(table, found.field(column)) for column in table.column_types)
        return f"SELECT {names} FROM ({text}) q"

    def _check_staged(self, table: Table, stage: str, folder: Path, span: Span) -> None:
        covered = {f"{PARTITION}={day}" for day in span.each_day()}
        found = {part.name: count_rows(part) for part in folder.glob(f"{PARTITION}=*")}
        outside = sum(rows for name, rows in found.items() if name not in covered)
        if not span.is_whole_days and found:
            inside = is_inside(table.time_column or "", span)
            days = literals([day.isoformat() for day in span.each_day()])
            ((other,),) = self._rows(f"SELECT SUM(IF({inside}, 0, 1)) FROM {stage} WHERE {PARTITION} IN ({days})")
            outside += other or 0
        if outside:
            raise outside_span(table, outside, sum(found.values()), span)

    # --- maintenance --------------------------------------------------------------------------------------------------

    def compact(self, table: str, before: dt.date) -> list[str]:
        self._described(table)
        return []

    def vacuum(self, table: str, keep: dt.timedelta) -> None:
        described = self._described(table)
        folder = self._folder(described)
        for write in folder.abandoned_writes():
            self._clean_up(described, write)
        folder.retire(self._forgotten(described, folder))
        delete_old(self._server.staging / "results")

    def _forgotten(self, table: Table, folder: TableFolder) -> list[Path]:
        """Old folders that neither a note nor a partition names, as two writers of one day or a damaged note leave them."""
        if not (old := folder.unnoted()):
            return []
        days = Counter(path.name.partition("=")[2] for path in old)
        have = {row[0].partition("=")[2] for row in self._rows(f"SHOW PARTITIONS {table_name(table.full_name)}")}
        # to ask for the location of each day takes long; the only folder of a day that exists is its partition's
        doubtful = sorted(day for day, count in days.items() if count > 1 or day not in have)
        used = {_end(path) for path in self._locations(table, doubtful).values()}
        return [path for path in old if path.name.partition("=")[2] in doubtful and _end(path) not in used]

    def footprint(self, table: str) -> Footprint:
        return footprint_of(self._folder(self._described(table)).path)

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self, table: str, columns: Sequence[str] | None = None, span: Span | None = None) -> pa.Table:
        schema = chosen(table, self.schema(table), columns)
        select = f"SELECT {', '.join(map(quoted, schema.names))} FROM {table_name(table)}"
        if span is not None:
            select += f" WHERE {PARTITION} BETWEEN {literal(span.first_ds)} AND {literal(span.last_ds)}"
        return self._export(select, schema)

    def query(self, query: HiveQL) -> pa.Table:
        self._count(query)
        schema, text = self._dry_run(query)
        # in brackets, because Hive expects a WITH before the INSERT
        return self._export(f"SELECT * FROM ({text}) q", schema)

    def _count(self, query: HiveQL) -> None:
        if isinstance(query, CountedFilter):
            query.counted = {row[PARTITION]: int(row["counted"]) for row in self.query(query.counts).to_pylist()}

    def as_of(self, moment: dt.datetime) -> Reader:
        raise NoHistory(
            f"A HiveServer2 keeps no history of its tables, so they cannot be read as of {moment}; "
            "read them now, or use an embedded warehouse"
        )

    def explain(self, query: HiveQL) -> str:
        _, text = self._dry_run(query)
        plan = "\n".join(str(row[0]) for row in self._rows(f"EXPLAIN {text}"))
        # Spark returns the error that Hive raises
        if plan.startswith(_NO_PLAN):
            raise QueryError(f"{self._server.host} refused the query: {plan.removeprefix(_NO_PLAN).strip()}")
        return plan

    def _export(self, select: str, schema: pa.Schema) -> pa.Table:
        """The result of a SELECT, through Parquet files: exact types, and thirty times as fast as fetching rows."""
        folder = self._server.staging / "results" / uuid4().hex
        try:
            self._run(f"INSERT OVERWRITE LOCAL DIRECTORY {literal(str(folder))} STORED AS PARQUET {select}")
            files = data_files(folder)
            if not files:
                return schema.empty_table()
            read = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(coerce_int96_timestamp_unit="us"))
            rows = ds.dataset(files, format=read).to_table()
            # by position, because Hive renames the columns of a directory
            return pa.table([_as(f.type, column) for column, f in zip(rows.columns, schema, strict=True)], schema=schema)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _dry_run(self, query: HiveQL) -> tuple[pa.Schema, str]:
        """Schema of a query's result in the embedded engine, so that both warehouses return the same; and the text to send."""
        tree = query.bound()
        names = {f"{t.db}.{t.name}" for t in tree.find_all(exp.Table) if t.db}
        tables = {name: self._described(name) for name in names}
        text = to_hive(tree, columns_in(tables), "hive" if self._connection.engine == HIVE else "spark")
        return result_schema(query, tables), text

    def _described(self, table: str) -> Table:
        database, _, name = table.partition(".")
        if not name or not all(part.replace("_", "").isalnum() for part in (database, name)):
            raise TableNotFound(f"{table!r} is not the name of a table; use database.table")
        try:
            described = self._rows(f"DESCRIBE {table_name(table)}")
        except QueryError:
            have = self.tables(database)
            if name in have:
                raise
            known = ", ".join(have) or "none yet"
            raise TableNotFound(f"There is no table {table} on {self._server.host}; tables of {database}: {known}") from None
        columns = []
        for row in described:
            if not row[0] or row[0].startswith("#"):
                break  # the remaining rows repeat the partition column
            columns.append(Column(row[0].lower(), row[1].upper()))
        return foreign_table(database, name, columns)

    def _run(self, statement: str) -> None:
        self._connection.run(statement)

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._connection.rows(statement)

    def _folder(self, table: Table) -> TableFolder:
        return TableFolder(self._server.staging / f"{table.database}.db" / table.name, self._server.grace)


def _end(path: Path) -> tuple[str, ...]:
    """Stage and day of a folder. Whole paths cannot be compared: a server may have resolved links in them."""
    return path.parts[-2:]


def _conflict(table: Table, write: PendingWrite, days: Sequence[str]) -> PartitionConflict:
    changed = f"changed {', '.join(write.switched)} only" if write.switched else "changed no day"
    return PartitionConflict(
        f"Another writer changed {', '.join(days)} of {table.full_name} first; this write {changed}; "
        "run it again to compute on the other writer's rows"
    )


def _stage_name(table: Table, folder: Path) -> str:
    return table_name(f"{table.database}.{folder.name}")


def _as(kind: pa.DataType, column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    # a column that is always NULL has no type in the embedded engine, but has one on the server
    return pa.nulls(len(column)) if pa.types.is_null(kind) else column.cast(kind)
