"""The embedded warehouse: Delta Lake tables in a folder, written by delta-rs, queried by in-process DuckDB.

Delta Lake provides the hard parts: replacement of days or of a part of a day in one commit, isolated readers, conflict
detection, empty tables with columns, history.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import deltalake
import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from hive_io.delta.file_pruning import Bound, bounds, files, statistics
from hive_io.delta.log import check_commits, check_log, check_not_emptied, commits, log_of
from hive_io.delta.maintenance import (
    MOST_SMALL_FILES,
    compact_day,
    crowded_days,
    merge_small_files,
    small_files,
    vacuum,
)
from hive_io.delta.reader import EVOLVED, DeltaReader, arrow_schema, columns_of, parquet, quoted, rows_by_day, text
from hive_io.delta.time_travel import PastReader, in_seconds
from hive_io.dialect import HiveQL
from hive_io.errors import DamagedTable, HiveIOError, NoHistory, NotAWarehouse, PartitionConflict, TableNotFound
from hive_io.folders import check_path
from hive_io.footprint import footprint_of
from hive_io.rows import check_inside, check_replaceable, conform, gained_fields, upsertable
from hive_io.table import PARTITION, Span, Table
from hive_io.warehouse import Capability, Data, Footprint, Reader, Receipt, Warehouse

T = TypeVar("T")
MARKER = "warehouse.json"
"""Name of the file that marks a folder as a warehouse."""
PART_SIZE = 2**20
"""Bytes per file in a write of a part of a day. Such a write rewrites the files that it touches: with one file a day, each part
would rewrite the whole day."""
REOPENED_AFTER = 100
"""Commits after which an open table is opened again, which merges its state in delta-rs. Each commit adds a piece to that
state, and with a thousand pieces a commit takes five times as long."""
_OPENED = 5
"""Number of times that a table whose log is whole is opened before an error of delta-rs is reported."""
_GONE = "hive_io.gone"
"""Column of a merge that marks rows to remove, which no column of a table can have."""
_MOST_TIMES = 20
"""Most times that a MERGE names one by one. DataFusion skips no files by longer lists."""
_FORMAT = {"warehouse": "embedded", "format": 1}
"""Content of the marker."""
_SPECIAL = "%*?[]\\^|"
"""Characters of a path that DuckDB or delta-rs reads as a pattern or an escape, or cannot read."""
_WRITER = deltalake.WriterProperties(compression="ZSTD")


class EmbeddedWarehouse(DeltaReader, Warehouse):
    """Delta Lake tables in the folders `<root>/<database>.db/<table>`, partitioned by `ds`.

    A write is one commit, also of a range of days: readers see all of it or nothing.

    Args:
        root: created if it is missing; an existing folder must be empty or a warehouse.
        attempts: number of times that a query is computed if other writers are first.
        memory_limit: memory limit of DuckDB, for example "2GB"; None keeps its default (80 % of the machine).
        read_only: the caller only reads. The folder must be a warehouse already, need not be writable, and is not changed.

    Raises:
        NotAWarehouse: the folder cannot be used; the message says why.
    """

    capabilities = frozenset(Capability)
    """All optional features."""

    def __init__(
        self, root: str | Path, *, attempts: int = 5, memory_limit: str | None = None, read_only: bool = False
    ) -> None:
        root = Path(root).absolute()
        _claim(root, read_only)
        super().__init__(root, memory_limit)
        self._attempts = attempts
        self._opened = threading.local()
        self._preloaded = threading.local()
        self._written: dict[str, int] = {}
        """The version of each table that the last write of this warehouse created."""

    def close(self) -> None:
        self._duckdb.close()
        self._duckdb = self._engine()
        self._opened = threading.local()

    @contextmanager
    def preloaded(self, table: str, rows: HiveQL) -> Iterator[None]:
        preloaded: dict[str, tuple[int, str]] = vars(self._preloaded)
        # read the version first: rows of a later version must not pass for it
        version, name = self._open(table).version(), f"{table} {uuid4().hex}"
        places = bounds(rows.bound())
        with self._cursor_for(places) as (cursor, relation):
            sql = self._translations.to_duckdb(rows.bound(), places, relation, columns_of(cursor, relation))
            cursor.execute(f"CREATE TABLE {quoted(name)} AS {sql}")
        preloaded[table] = version, name
        try:
            yield
        finally:
            del preloaded[table]
            self._duckdb.execute(f"DROP TABLE IF EXISTS {quoted(name)}")

    def _preloaded_table(self, table: str) -> str | None:
        version, name = vars(self._preloaded).get(table, (None, None))
        return name if name and self._open(table).version() == version else None

    # --- tables -------------------------------------------------------------------------------------------------------

    def attach(self, table: str, folder: Path) -> None:
        if self._current(self._path(table)) is not None:
            raise HiveIOError(f"{table} is a table of this warehouse; give the files in {folder} another name")
        self._attached[table] = folder

    def ensure_table(self, table: Table) -> None:
        self._ensured(table, to_write=False)

    def _ensured(self, table: Table, to_write: bool = True) -> deltalake.DeltaTable:
        return self._retried_on_conflict(self._ensure_once, table, to_write)

    def _ensure_once(self, table: Table, to_write: bool) -> deltalake.DeltaTable:
        path = self._path(table.full_name)
        delta = self._current(path)
        if delta is None:
            _create(table, path)
            return self._open(table.full_name)
        have = arrow_schema(delta)
        gained = [
            deltalake.Field.from_arrow(f)
            for f in gained_fields(table, have, "move its folder away and materialize the table again", to_write=to_write)
        ]
        if gained:
            with errors_of(table.full_name):
                # the mark comes first: a reader of the new columns must know that old files lack them
                delta.alter.set_table_properties({EVOLVED: "true"}, raise_if_not_exists=False)
                delta.alter.add_columns(gained)
        return delta

    def drop(self, table: str) -> None:
        path = self._path(table)
        vars(self._opened).pop(str(path), None)
        self._written.pop(table, None)
        # the log at the end: without it, what a killed process leaves would be no table. Another process may drop it as well
        for part in [*path.glob(f"{PARTITION}=*"), path]:
            shutil.rmtree(part, ignore_errors=True)

    # --- writing ------------------------------------------------------------------------------------------------------

    def replace(self, table: Table, data: Data, span: Span) -> Receipt:
        check_replaceable(table, span)
        if isinstance(data, pa.Table):
            return self._replace_once(table, data, span)
        # each attempt computes the query again, on the latest tables: an outdated result is never written
        return self._retried_on_conflict(self._replace_once, table, data, span)

    def _retried_on_conflict(self, step: Callable[..., T], *args: object) -> T:
        retrying = Retrying(
            retry=retry_if_exception_type(PartitionConflict),
            stop=stop_after_attempt(self._attempts),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            reraise=True,
        )
        return retrying(step, *args)

    def _replace_once(self, table: Table, data: Data, span: Span) -> Receipt:
        # the version that the commit is based on; opened before anything is computed
        delta = self._ensured(table)
        query = None
        if isinstance(data, HiveQL):
            query, data = data, self.query(data)
        rows = conform(table, data)
        check_inside(table, rows, span)
        days = [day.isoformat() for day in span.each_day()]
        before = rows_of(delta, days)
        alone = True
        if rows.num_rows or (any(before.values()) and _may_have_rows(delta, table, span)):
            version = delta.version()
            alone = self._written.get(table.full_name, version) == version
            self._commit(delta, table, rows, span)
            alone = self._note(table, version, delta) and alone
        # counted in the version that this write created, or left unchanged
        return Receipt(table.full_name, rows_of(delta, days), before, query, alone)

    def upsert(self, table: Table, data: Data, *, times: Collection[dt.datetime] | None = None) -> Receipt:
        delta = self._ensured(table)
        rows = upsertable(table, self.query(data) if isinstance(data, HiveQL) else data)
        if not rows.num_rows:
            return Receipt(table.full_name, {}, {})
        days = sorted(set(rows.column(PARTITION).to_pylist()))
        before = rows_of(delta, days)
        version = delta.version()
        alone = self._written.get(table.full_name, version) == version
        with errors_of(table.full_name):
            known = alone and table.full_name in self._written and table.time_column is not None
            if times is None or not known:
                times = self._times_of(delta, table, rows.select([PARTITION, *table.key]), days)
            # another writer may have added rows with the keys at other times
            if times is None or not _written_if_last(delta, table, rows, days, times):
                merge(delta, table, rows, days)
        alone = self._note(table, version, delta) and alone
        return Receipt(table.full_name, rows_of(delta, days), before, alone=alone)

    def note(self, table: str) -> None:
        self._written[table] = self._open(table).version()

    def is_as_noted(self, table: str) -> bool:
        try:
            return self._written.get(table) == self._open(table).version()
        except TableNotFound:
            return False

    def _note(self, table: Table, before: int, delta: deltalake.DeltaTable) -> bool:
        """Remember the version that a write created; return False if others were committed between it and the one before."""
        self._written[table.full_name] = delta.version()
        return delta.version() == before + 1

    def _times_of(
        self, delta: deltalake.DeltaTable, table: Table, keys: pa.Table, days: Sequence[str]
    ) -> list[dt.datetime] | None:
        """The times of the rows with one of the keys; None if there are such rows and some have no time.

        Reads no other columns, in a tenth of the time of a MERGE.
        """
        paths = files(delta, [[Bound(PARTITION, True, day), Bound(PARTITION, False, day)] for day in days])
        if not paths:
            return []
        names = ", ".join(map(quoted, keys.column_names))
        time = quoted(table.time_column) if table.time_column else "NULL"
        with self._cursor() as cursor:
            cursor.register("new", keys)
            found = cursor.execute(f"SELECT DISTINCT {time} FROM {parquet(paths)} SEMI JOIN new USING ({names})").fetchall()
        times = [time.replace(tzinfo=dt.UTC) for (time,) in found if time is not None]
        return times if len(times) == len(found) else None

    def compact(self, table: str, before: dt.date) -> list[str]:
        # one commit a day: a conflict or a crash costs the work of one day
        days = crowded_days(self._open(table), before)
        return [day for day in days if self._retried_on_conflict(self._compact_once, table, day)]

    def _compact_once(self, table: str, day: str) -> bool:
        with errors_of(table):
            return compact_day(self._open(table), day, _WRITER)

    def merge_small_files(self, table: str, day: dt.date) -> bool:
        delta = self._open(table)
        if small_files(delta, day) < MOST_SMALL_FILES:
            return False
        version = delta.version()
        with errors_of(table):
            merged = merge_small_files(delta, day, _WRITER)
        if self._written.get(table) == version and delta.version() == version + 1:
            self._written[table] = delta.version()
        return merged

    def vacuum(self, table: str, keep: dt.timedelta) -> None:
        self._retried_on_conflict(self._vacuum_once, table, keep)

    def _vacuum_once(self, table: str, keep: dt.timedelta) -> None:
        with errors_of(table):
            vacuum(self._open(table), log_of(self._path(table)), keep)

    def footprint(self, table: str) -> Footprint:
        self._open(table)
        return footprint_of(self._path(table))

    def _commit(self, delta: deltalake.DeltaTable, table: Table, rows: pa.Table, span: Span) -> None:
        with errors_of(table.full_name):
            deltalake.write_deltalake(
                delta,
                rows,
                mode="overwrite",
                predicate=_predicate(table, span),
                target_file_size=None if span.is_whole_days else PART_SIZE,
                writer_properties=_WRITER,
            )

    # --- reading ------------------------------------------------------------------------------------------------------

    def as_of(self, moment: dt.datetime) -> Reader:
        if moment > dt.datetime.now(dt.UTC):
            raise NoHistory(f"{in_seconds(moment)} has not come yet; name a moment in the past")
        return PastReader(self.root, moment, self._memory_limit)

    def explain(self, query: HiveQL) -> str:
        return "\n".join(self._run(query.bound(), "EXPLAIN ").column("explain_value").to_pylist())

    def _open(self, table: str) -> deltalake.DeltaTable:
        delta = self._current(self._path(table))
        if delta is None:
            database = table.partition(".")[0]
            known = ", ".join(self.tables(database)) or "none yet"
            raise TableNotFound(f"There is no table {table} in {self.root}; tables of {database}: {known}")
        return delta

    def _current(self, path: Path) -> deltalake.DeltaTable | None:
        """A table at its latest version, or None if there is none. A table that this thread has open reads only new commits."""
        opened: dict[str, _Opened] = vars(self._opened)
        where, table = str(path), f"{path.parent.name.removesuffix('.db')}.{path.name}"
        try:
            inode = log_of(path).stat().st_ino  # changes if the table's folder is replaced
        except FileNotFoundError:
            return None
        if where not in opened or not opened[where].is_caught_up(inode):
            opened.pop(where, None)
            opened[where] = _Opened(inode, table, path)
        return opened[where].delta


class _Opened:
    """An open table that can catch up with new commits. Each commit that it reads is checked.

    Raises:
        DamagedTable: the log is damaged.
    """

    def __init__(self, inode: int, table: str, path: Path) -> None:
        self._inode, self._table, self._path = inode, table, path
        listed = commits(path)
        self.delta = self._read()
        self._opened_at = self.delta.version()
        if self._opened_at < max(listed, default=0):
            raise DamagedTable(
                f"{table}: {log_of(path)} has version {listed[-1]}, but only version {self._opened_at} can be read; "
                f"restore the files between them from a backup, or move {path} away and compute the table again"
            )
        check_log(table, path)

    def _read(self) -> deltalake.DeltaTable:
        for attempt in range(1, _OPENED + 1):
            try:
                return deltalake.DeltaTable(str(self._path))
            except DeltaError as error:
                # another process may delete expired entries while they are read
                check_log(self._table, self._path, error if attempt == _OPENED else None)
        raise AssertionError("the last attempt returns or raises")

    def is_caught_up(self, inode: int) -> bool:
        """Read the new commits. Return False if the table must be opened again."""
        before = self.delta.version()
        if inode != self._inode or before - self._opened_at >= REOPENED_AFTER:
            return False
        try:
            self.delta.update_incremental()
        except DeltaError:
            # the new commits were deleted after a checkpoint
            return False
        # no version may be written on top of an emptied one
        check_not_emptied(self._table, self._path, before)
        check_commits(self._table, self._path, range(before + 1, self.delta.version() + 1))
        return self.delta.version() >= before


def _claim(root: Path, read_only: bool) -> None:
    """Mark a folder as a warehouse, unless it is only read, and check that it is one."""
    marker = root / MARKER
    check_path(root, _SPECIAL)
    try:
        if not read_only:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)  # its tables hold personal data
        if not read_only and not marker.exists():
            others = [path for path in root.iterdir() if not path.name.startswith(MARKER)]
            # check again: meanwhile another process may have claimed the folder and created a table
            if others and not marker.exists():
                raise NotAWarehouse(f"{root} has other files in it and no {MARKER}; use an empty folder or a warehouse")
            complete = root / f"{MARKER}.{uuid4().hex}"
            complete.write_text(json.dumps(_FORMAT) + "\n", encoding="utf-8")
            complete.replace(marker)  # renamed, so that no reader sees a partial file
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found != _FORMAT:
            raise NotAWarehouse(f"{marker}: expected {_FORMAT}, found {found}; use a version of this program that reads it")
    except (OSError, ValueError) as error:
        raise NotAWarehouse(f"{root} cannot be used as a warehouse: {error}") from error
    if not read_only and not os.access(root, os.W_OK | os.X_OK):
        raise NotAWarehouse(f"{root} is not writable; change its permissions or use another folder")


def _create(table: Table, path: Path) -> None:
    """Create a table under another name and rename it: of several concurrent writers, exactly one creates it."""
    aside = path.parent / f".{path.name}.{uuid4().hex}"
    deltalake.DeltaTable.create(
        str(aside),
        schema=table.arrow_schema,
        partition_by=[PARTITION],
        name=table.full_name,
        description=table.description or None,
        configuration=statistics(table.arrow_schema),
    )
    try:
        aside.rename(path)
    except OSError as error:
        shutil.rmtree(aside)
        if not deltalake.DeltaTable.is_deltatable(str(path)):
            raise HiveIOError(f"{table.full_name} cannot be created: {error}; move {path} away") from error


def _predicate(table: Table, span: Span) -> str:
    days = f"{PARTITION} >= {text(span.first_ds)} AND {PARTITION} <= {text(span.last_ds)}"
    if span.is_whole_days:
        return days
    time = quoted(table.time_column or "")
    return f"{days} AND {time} >= {_timestamp(span.start)} AND {time} < {_timestamp(span.end)}"


def _timestamp(value: object) -> str:
    # a TIMESTAMP literal of delta-rs is in nanoseconds, and comparing it with a column fails
    return f"arrow_cast({text(f'{value:%Y-%m-%dT%H:%M:%S.%f}')}, 'Timestamp(Microsecond, None)')"


def _may_have_rows(delta: deltalake.DeltaTable, table: Table, span: Span) -> bool:
    """True if a file may hold rows of the span, by its day and the statistics of its times.

    Otherwise nothing needs to be replaced: most rules hit nothing within a few seconds, and each commit would stay in the log.
    """
    if span.is_whole_days:
        return True
    files = pa.table(delta.get_add_actions(flatten=True))
    bounds = [f"{side}.{table.time_column}" for side in ("min", "max")]
    if not set(bounds) <= set(files.column_names):
        return True
    # statistics are truncated to milliseconds: the last row of a file may be later
    start, end = (moment.replace(tzinfo=None) for moment in (span.start - dt.timedelta(milliseconds=1), span.end))
    days = files.column(f"partition.{PARTITION}").to_pylist()
    times = [files.column(bound).to_pylist() for bound in bounds]
    return any(
        span.first_ds <= day <= span.last_ds and (earliest is None or latest is None or (earliest < end and latest >= start))
        for day, earliest, latest in zip(days, *times, strict=True)
    )


def _written_if_last(
    delta: deltalake.DeltaTable, table: Table, rows: pa.Table, days: Sequence[str], times: Collection[dt.datetime]
) -> bool:
    """Upsert rows into this version of the table. Return False, without writing, if there were other commits.

    Args:
        times: of the rows that have one of the keys. A MERGE skips all files that cannot have a row at these times.
    """
    only_if_last = deltalake.CommitProperties(max_commit_retries=0)
    try:
        if times:
            merge(delta, table, rows, days, times=times, commit=only_if_last)
        else:
            deltalake.write_deltalake(delta, rows, mode="append", writer_properties=_WRITER, commit_properties=only_if_last)
    except CommitFailedError:
        return False
    return True


def merge(
    delta: deltalake.DeltaTable,
    table: Table,
    rows: pa.Table,
    days: Sequence[str],
    *,
    gone: pa.Table | None = None,
    times: Collection[dt.datetime] = (),
    commit: deltalake.CommitProperties | None = None,
) -> None:
    """Insert or replace rows of the days by day and key, in one commit.

    Args:
        gone: rows to remove.
        times: of all rows that have one of the keys; none if they are not known.
    """
    match = [f"old.{quoted(name)} = new.{quoted(name)}" for name in (PARTITION, *table.key)]
    match.append(f"old.{PARTITION} IN ({', '.join(text(day) for day in days)})")
    if times:
        match.append(_is_at(f"old.{quoted(table.time_column or '')}", times))
    if gone is not None:
        marks = pa.repeat(False, rows.num_rows), pa.repeat(True, gone.num_rows)
        rows = pa.concat_tables(each.append_column(_GONE, mark) for each, mark in zip((rows, gone), marks, strict=True))
    merger = delta.merge(
        rows,
        " AND ".join(match),
        source_alias="new",
        target_alias="old",
        writer_properties=_WRITER,
        commit_properties=commit,
    )
    if gone is not None:
        merger = merger.when_matched_delete(f"new.{quoted(_GONE)}")
        insert, excluded = f"NOT new.{quoted(_GONE)}", [_GONE]
    else:
        insert, excluded = None, None
    merger.when_matched_update_all(except_cols=excluded).when_not_matched_insert_all(insert, except_cols=excluded).execute()


def _is_at(column: str, times: Collection[dt.datetime]) -> str:
    """A condition that skips files by their statistics: one of the times, or, of many, between the first and the last."""
    if len(times) <= _MOST_TIMES:
        return f"{column} IN ({', '.join(map(_timestamp, sorted(times)))})"
    return f"{column} >= {_timestamp(min(times))} AND {column} <= {_timestamp(max(times))}"


def rows_of(delta: deltalake.DeltaTable, days: Iterable[str]) -> dict[str, int]:
    counts = rows_by_day(delta)
    return {day: counts.get(day, 0) for day in days}


@contextmanager
def errors_of(table: str) -> Iterator[None]:
    try:
        yield
    except CommitFailedError as error:
        raise _conflict(table) from error
    except DeltaError as error:
        # the text of the error shows rows, which are personal data
        reason = str(error).partition("Preview of invalid data")[0].strip()
        raise HiveIOError(f"{table} was not written and has its old rows: {reason}") from None


def _conflict(table: str) -> PartitionConflict:
    return PartitionConflict(
        f"Another run wrote the same days of {table} first; nothing was written; run again to compute on its rows"
    )
