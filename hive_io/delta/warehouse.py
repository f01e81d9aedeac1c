"""The embedded warehouse: Delta Lake tables in a folder, written by delta-rs, queried by in-process DuckDB.

Delta gives the hard parts: replacement of days or of a part of a day in one commit, readers that never see half of
it, conflicts that are noticed, empty tables with columns, history.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import deltalake
import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from hive_io.delta.file_pruning import Bound, files
from hive_io.delta.maintenance import compact_day, crowded_days, vacuum
from hive_io.delta.reader import EVOLVED, DeltaReader, arrow_schema, parquet, quoted, rows_by_day, text
from hive_io.delta.time_travel import PastReader, said
from hive_io.dialect import HiveQL, to_duckdb
from hive_io.errors import HiveIOError, NoHistory, NotAWarehouse, PartitionConflict, TableNotFound
from hive_io.footprint import footprint_of
from hive_io.rows import check_inside, check_replaceable, conform, gained_fields, upsertable
from hive_io.table import PARTITION, Span, Table
from hive_io.warehouse import Data, Footprint, Reader, Receipt, Warehouse

MARKER = "warehouse.json"
T = TypeVar("T")
PART_SIZE = 2**20
"""Bytes of a file in a write of a part of a day. Such a write takes the files that it touches into its own: with all in one
file, each part would write the rows of its day anew."""
REOPENED_AFTER = 100
"""Commits after which an opened table is opened anew: what delta-rs knows of it is one piece then. Each commit adds a piece,
and with a thousand of them a commit takes five times as long."""
_WRITER = deltalake.WriterProperties(compression="ZSTD")


class EmbeddedWarehouse(DeltaReader, Warehouse):
    """One Delta Lake table a folder: `<root>/<database>.db/<table>`, partitioned by `ds`.

    Args:
        root: made if it is missing; an existing folder must be empty or a warehouse.
        attempts: how often a query is computed when other writers are first.
        memory_limit: of DuckDB, for example "2GB"; None leaves its default (80 % of the machine).

    Raises:
        NotAWarehouse: with what is wrong with the folder.
    """

    def __init__(self, root: str | Path, *, attempts: int = 5, memory_limit: str | None = None) -> None:
        root = Path(root).absolute()
        _claim(root)
        super().__init__(root, memory_limit)
        self._attempts = attempts
        self._opened = threading.local()
        self._holding = threading.local()

    def close(self) -> None:
        self._duckdb.close()
        self._duckdb = self._engine()
        self._opened = threading.local()

    @contextmanager
    def preloaded(self, table: str, rows: HiveQL) -> Iterator[None]:
        held: dict[str, tuple[int, str]] = vars(self._holding)
        # the version before the rows are read, so that rows of a later one are never taken for it
        version, name = self._open(table).version(), f"{table} {uuid4().hex}"
        with self._asked(rows.bound()) as (cursor, relation):
            cursor.execute(f"CREATE TABLE {quoted(name)} AS {to_duckdb(rows.bound(), relation)}")
        held[table] = version, name
        try:
            yield
        finally:
            del held[table]
            self._duckdb.execute(f"DROP TABLE IF EXISTS {quoted(name)}")

    def _held(self, table: str) -> str | None:
        version, name = vars(self._holding).get(table, (None, None))
        return name if name and self._open(table).version() == version else None

    # --- tables -------------------------------------------------------------------------------------------------------

    def ensure_table(self, table: Table) -> None:
        self._ensured(table)

    def _ensured(self, table: Table) -> deltalake.DeltaTable:
        return self._again_on_conflict(self._ensure_once, table)

    def _ensure_once(self, table: Table) -> deltalake.DeltaTable:
        path = self._path(table.full_name)
        delta = self._current(path)
        if delta is None:
            _create(table, path)
            return self._open(table.full_name)
        have = arrow_schema(delta)
        gained = [
            deltalake.Field.from_arrow(f)
            for f in gained_fields(table, have, "move the folder away and materialize the table again")
        ]
        if gained:
            with _errors_of(table.full_name):
                # the mark first: whoever sees the new columns must know that old files lack them
                delta.alter.set_table_properties({EVOLVED: "true"}, raise_if_not_exists=False)
                delta.alter.add_columns(gained)
        return delta

    # --- writing ------------------------------------------------------------------------------------------------------

    def replace(self, table: Table, data: Data, span: Span) -> Receipt:
        check_replaceable(table, span)
        if isinstance(data, pa.Table):
            return self._replace_once(table, data, span)
        # a query is computed again on the tables as they are then: its old result is never written
        return self._again_on_conflict(self._replace_once, table, data, span)

    def _again_on_conflict(self, step: Callable[..., T], *args: object) -> T:
        retrying = Retrying(
            retry=retry_if_exception_type(PartitionConflict),
            stop=stop_after_attempt(self._attempts),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            reraise=True,
        )
        return retrying(step, *args)

    def _replace_once(self, table: Table, data: Data, span: Span) -> Receipt:
        # what the commit is made against, opened before anything is computed
        delta = self._ensured(table)
        query = None
        if isinstance(data, HiveQL):
            query, data = data, self.query(data)
        rows = conform(table, data)
        check_inside(table, rows, span)
        days = [day.isoformat() for day in span.each_day()]
        before = _rows_of(delta, days)
        if rows.num_rows or (any(before.values()) and _may_hold(delta, table, span)):
            self._commit(delta, table, rows, span)
        # counted on the version that this write made, or left
        return Receipt(table.full_name, _rows_of(delta, days), before, query)

    def upsert(self, table: Table, rows: pa.Table) -> Receipt:
        delta = self._ensured(table)
        rows = upsertable(table, rows)
        if not rows.num_rows:
            return Receipt(table.full_name, {}, {})
        days = sorted(set(rows.column(PARTITION).to_pylist()))
        before = _rows_of(delta, days)
        with _errors_of(table.full_name):
            if self._has_any(delta, rows.select([PARTITION, *table.key]), days) or not _added(delta, rows):
                _merge(delta, table, rows, days)
        return Receipt(table.full_name, _rows_of(delta, days), before)

    def _has_any(self, delta: deltalake.DeltaTable, keys: pa.Table, days: Sequence[str]) -> bool:
        """Whether the table has a row with one of the keys. Reads no other columns, in a tenth of the time of a MERGE."""
        paths = files(delta, [[Bound(PARTITION, True, day), Bound(PARTITION, False, day)] for day in days])
        if not paths:
            return False
        names = ", ".join(map(quoted, keys.column_names))
        with self._cursor() as cursor:
            cursor.register("new", keys)
            found = cursor.execute(f"SELECT 1 FROM {parquet(paths)} SEMI JOIN new USING ({names}) LIMIT 1").fetchone()
        return found is not None

    def compact(self, table: str, before: dt.date) -> list[str]:
        # a commit a day: a conflict, or a sudden death, costs the work of one
        days = crowded_days(self._open(table), before)
        return [day for day in days if self._again_on_conflict(self._compact_once, table, day)]

    def _compact_once(self, table: str, day: str) -> bool:
        with _errors_of(table):
            return compact_day(self._open(table), day, _WRITER)

    def vacuum(self, table: str, keep: dt.timedelta) -> None:
        self._again_on_conflict(self._clean_once, table, keep)

    def _clean_once(self, table: str, keep: dt.timedelta) -> None:
        with _errors_of(table):
            vacuum(self._open(table), self._path(table) / "_delta_log", keep)

    def footprint(self, table: str) -> Footprint:
        self._open(table)
        return footprint_of(self._path(table))

    def _commit(self, delta: deltalake.DeltaTable, table: Table, rows: pa.Table, span: Span) -> None:
        with _errors_of(table.full_name):
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
            raise NoHistory(f"{said(moment)} has not come yet: name a moment in the past")
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
        """A table at its latest version: what this thread opened before is kept, and reads only the commits since."""
        kept: dict[str, _Opened] = vars(self._opened)
        where = str(path)
        try:
            made = (path / "_delta_log").stat().st_ino  # another folder, another table
        except FileNotFoundError:
            return None
        if where not in kept or not kept[where].is_caught_up(made):
            if not deltalake.DeltaTable.is_deltatable(where):
                return None
            kept[where] = _Opened(made, deltalake.DeltaTable(where))
        return kept[where].delta


class _Opened:
    """A table that was opened, and goes on to the commits since."""

    def __init__(self, made: int, delta: deltalake.DeltaTable) -> None:
        self._made, self.delta, self._at = made, delta, delta.version()

    def is_caught_up(self, made: int) -> bool:
        """Read the commits since; False where the table is to be opened anew."""
        if made != self._made or self.delta.version() - self._at >= REOPENED_AFTER:
            return False
        try:
            self.delta.update_incremental()
        except DeltaError:
            # the commits since are gone
            return False
        return True


def _claim(root: Path) -> None:
    marker = root / MARKER
    if odd := set("%*?[]\\").intersection(str(root)):
        raise NotAWarehouse(f"{root} has {' '.join(sorted(odd))} in its path, which engines read as a pattern; name another")
    if any(part.startswith(f"{PARTITION}=") for part in root.parts):
        raise NotAWarehouse(f"{root} lies in a folder that engines read as a partition; name another")
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not marker.exists():
            others = [path for path in root.iterdir() if not path.name.startswith(MARKER)]
            # looked at again: another process may have claimed the folder, and made its first table, meanwhile
            if others and not marker.exists():
                raise NotAWarehouse(f"{root} has other files in it and no {MARKER}; name an empty folder or a warehouse")
            whole = root / f"{MARKER}.{uuid4().hex}"
            whole.write_text(json.dumps({"warehouse": "embedded", "format": 1}) + "\n", encoding="utf-8")
            whole.replace(marker)  # by rename: nobody ever reads half of it
        if json.loads(marker.read_text(encoding="utf-8")) != {"warehouse": "embedded", "format": 1}:
            raise NotAWarehouse(f"{marker} names a format that this version does not know")
    except (OSError, ValueError) as error:
        raise NotAWarehouse(f"{root} cannot be used as a warehouse: {error}") from error
    if not os.access(root, os.W_OK | os.X_OK):
        raise NotAWarehouse(f"{root} is not writable")


def _create(table: Table, path: Path) -> None:
    """Made aside and renamed: of several writers that need the table at once, one makes it."""
    aside = path.parent / f".{path.name}.{uuid4().hex}"
    deltalake.DeltaTable.create(
        str(aside),
        schema=table.arrow_schema,
        partition_by=[PARTITION],
        name=table.full_name,
        description=table.description or None,
    )
    try:
        aside.rename(path)
    except OSError as error:
        shutil.rmtree(aside)
        if not deltalake.DeltaTable.is_deltatable(str(path)):
            raise HiveIOError(f"{table.full_name} cannot be made: {error}; move what is in its place away") from error


def _predicate(table: Table, span: Span) -> str:
    days = f"{PARTITION} >= {text(span.first_ds)} AND {PARTITION} <= {text(span.last_ds)}"
    if span.is_whole_days:
        return days
    time = quoted(table.time_column or "")
    return f"{days} AND {time} >= {_timestamp(span.start)} AND {time} < {_timestamp(span.end)}"


def _timestamp(value: object) -> str:
    # a TIMESTAMP literal is in nanoseconds in delta-rs, and the comparison with a column fails
    return f"arrow_cast({text(f'{value:%Y-%m-%dT%H:%M:%S.%f}')}, 'Timestamp(Microsecond, None)')"


def _may_hold(delta: deltalake.DeltaTable, table: Table, span: Span) -> bool:
    """Whether a file may have rows of the span, by its day and by what its statistics say of times.

    Where none has, there is nothing to replace: most rules hit nothing in a few seconds, and a commit for each would be kept.
    """
    if span.is_whole_days:
        return True
    files = pa.table(delta.get_add_actions(flatten=True))
    bounds = [f"{side}.{table.time_column}" for side in ("min", "max")]
    if not set(bounds) <= set(files.column_names):
        return True
    # statistics are cut to milliseconds, so a file's last row may be later than they say
    start, end = (moment.replace(tzinfo=None) for moment in (span.start - dt.timedelta(milliseconds=1), span.end))
    days = files.column(f"partition.{PARTITION}").to_pylist()
    times = [files.column(bound).to_pylist() for bound in bounds]
    return any(
        span.first_ds <= day <= span.last_ds and (earliest is None or latest is None or (earliest < end and latest >= start))
        for day, earliest, latest in zip(days, *times, strict=True)
    )


def _added(delta: deltalake.DeltaTable, rows: pa.Table) -> bool:
    """Add rows, whose keys this version of the table lacks; False, and nothing is done, if others have committed since."""
    only_if_last = deltalake.CommitProperties(max_commit_retries=0)
    try:
        deltalake.write_deltalake(delta, rows, mode="append", writer_properties=_WRITER, commit_properties=only_if_last)
    except CommitFailedError:
        return False
    return True


def _merge(delta: deltalake.DeltaTable, table: Table, rows: pa.Table, days: Sequence[str]) -> None:
    match = " AND ".join(f"old.{quoted(name)} = new.{quoted(name)}" for name in (PARTITION, *table.key))
    within = f"old.{PARTITION} IN ({', '.join(text(day) for day in days)})"
    merger = delta.merge(rows, f"{within} AND {match}", source_alias="new", target_alias="old", writer_properties=_WRITER)
    merger.when_matched_update_all().when_not_matched_insert_all().execute()


def _rows_of(delta: deltalake.DeltaTable, days: Iterable[str]) -> dict[str, int]:
    counts = rows_by_day(delta)
    return {day: counts.get(day, 0) for day in days}


@contextmanager
def _errors_of(table: str) -> Iterator[None]:
    try:
        yield
    except CommitFailedError as error:
        raise _conflict(table) from error
    except DeltaError as error:
        # its own text shows rows, and rows are personal data
        reason = str(error).partition("Preview of invalid data")[0].strip()
        raise HiveIOError(f"{table} was not written, its rows are as before: {reason}") from None


def _conflict(table: str) -> PartitionConflict:
    return PartitionConflict(
        f"Another run wrote the same days of {table} first; nothing was written, run again to compute on its rows"
    )
