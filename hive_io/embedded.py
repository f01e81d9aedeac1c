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
import duckdb
import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError
from sqlglot import exp
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from hive_io.delta_upkeep import clean, compact_day, crowded_days
from hive_io.dialect import HiveQL, to_duckdb
from hive_io.errors import (
    HiveIOError,
    NotAWarehouse,
    PartitionConflict,
    QueryError,
    TableNotFound,
)
from hive_io.file_lists import Bound, bounds, files
from hive_io.files import footprint_of
from hive_io.rows import check_inside, check_replaceable, chosen, conform, gained_fields, mergeable
from hive_io.sift import KEPT, Sift
from hive_io.table import PARTITION, Span, Table
from hive_io.warehouse import Data, Footprint, Receipt, Warehouse

MARKER = "warehouse.json"
T = TypeVar("T")
_EVOLVED = "hive_io.evolved"
_WRITER = deltalake.WriterProperties(compression="ZSTD")


class EmbeddedWarehouse(Warehouse):
    """One Delta Lake table a folder: `<root>/<database>.db/<table>`, partitioned by `ds`.

    Args:
        root: made if it is missing; an existing folder must be empty or a warehouse.
        attempts: how often a query is computed when other writers are first.
        memory_limit: of DuckDB, for example "2GB"; None leaves its default (80 % of the machine).

    Raises:
        NotAWarehouse: with what is wrong with the folder.
    """

    def __init__(self, root: str | Path, *, attempts: int = 5, memory_limit: str | None = None) -> None:
        self.root = Path(root).absolute()
        self._attempts = attempts
        _claim(self.root)
        self._memory_limit = memory_limit
        self._duckdb = self._engine()
        self._opened = threading.local()

    def _engine(self) -> duckdb.DuckDBPyConnection:
        engine = duckdb.connect()
        # GLOBAL: a cursor starts with the machine's zone otherwise
        engine.execute("SET GLOBAL TimeZone = 'UTC'")
        engine.execute("SET preserve_insertion_order = false; SET enable_progress_bar = false")
        if self._memory_limit:
            engine.execute("SET memory_limit = $limit", {"limit": self._memory_limit})
        return engine

    def close(self) -> None:
        self._duckdb.close()
        self._duckdb = self._engine()
        self._opened = threading.local()

    # --- tables -------------------------------------------------------------------------------------------------------

    def ensure_table(self, table: Table) -> None:
        self._again_on_conflict(self._ensure_once, table)

    def _ensure_once(self, table: Table) -> deltalake.DeltaTable:
        path = self._path(table.full_name)
        delta = self._current(path)
        if delta is None:
            _create(table, path)
            return self._open(table.full_name)
        have = _arrow_schema(delta)
        gained = [
            deltalake.Field.from_arrow(f)
            for f in gained_fields(table, have, "move the folder away and materialize the table again")
        ]
        if gained:
            with _errors_of(table.full_name):
                # the mark first: whoever sees the new columns must know that old files lack them
                delta.alter.set_table_properties({_EVOLVED: "true"}, raise_if_not_exists=False)
                delta.alter.add_columns(gained)
        return delta

    def tables(self, database: str) -> list[str]:
        folder = self.root / f"{database}.db"
        if not folder.is_dir():
            return []
        return sorted(path.name for path in folder.glob("[!.]*") if deltalake.DeltaTable.is_deltatable(str(path)))

    def partitions(self, table: str) -> dict[str, int]:
        return _rows_by_day(self._open(table))

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
        delta = self._again_on_conflict(self._ensure_once, table)
        query = None
        if isinstance(data, HiveQL):
            query, data = data, self.query(data)
        rows = conform(table, data)
        check_inside(table, rows, span)
        days = [day.isoformat() for day in span.each_day()]
        before = _rows_of(delta, days)
        if rows.num_rows or (any(before.values()) and _may_hold(delta, table, span)):
            self._commit(delta, table, rows, _predicate(table, span))
        # counted on the version that this write made, or left
        return Receipt(table.full_name, _rows_of(delta, days), before, query)

    def merge(self, table: Table, rows: pa.Table) -> Receipt:
        delta = self._again_on_conflict(self._ensure_once, table)
        rows = mergeable(table, rows)
        if not rows.num_rows:
            return Receipt(table.full_name, {}, {})
        days = sorted(set(rows.column(PARTITION).to_pylist()))
        before = _rows_of(delta, days)
        match = " AND ".join(f"old.{_quoted(name)} = new.{_quoted(name)}" for name in (PARTITION, *table.key))
        within = f"old.{PARTITION} IN ({', '.join(_text(day) for day in days)})"
        merger = delta.merge(rows, f"{within} AND {match}", source_alias="new", target_alias="old", writer_properties=_WRITER)
        with _errors_of(table.full_name):
            merger.when_matched_update_all().when_not_matched_insert_all().execute()
        return Receipt(table.full_name, _rows_of(delta, days), before)

    def compact(self, table: str, before: dt.date) -> list[str]:
        # a commit a day: a conflict, or a sudden death, costs the work of one
        days = crowded_days(self._open(table), before)
        return [day for day in days if self._again_on_conflict(self._compact_once, table, day)]

    def _compact_once(self, table: str, day: str) -> bool:
        with _errors_of(table):
            return compact_day(self._open(table), day, _WRITER)

    def clean(self, table: str, keep: dt.timedelta) -> None:
        self._again_on_conflict(self._clean_once, table, keep)

    def _clean_once(self, table: str, keep: dt.timedelta) -> None:
        with _errors_of(table):
            clean(self._open(table), keep)

    def footprint(self, table: str) -> Footprint:
        self._open(table)
        return footprint_of(self._path(table))

    def _commit(self, delta: deltalake.DeltaTable, table: Table, rows: pa.Table, predicate: str) -> None:
        with _errors_of(table.full_name):
            deltalake.write_deltalake(delta, rows, mode="overwrite", predicate=predicate, writer_properties=_WRITER)

    # --- reading ------------------------------------------------------------------------------------------------------

    def schema(self, table: str) -> pa.Schema:
        return _arrow_schema(self._open(table))

    def read(self, table: str, columns: Sequence[str] | None = None, span: Span | None = None) -> pa.Table:
        wanted = chosen(table, self.schema(table), columns)
        select = exp.select(*[exp.column(name, quoted=True) for name in wanted.names]).from_(_table(table))
        if span is not None:
            ds = exp.column(PARTITION)
            select = select.where(exp.Between(this=ds, low=_string(span.first_ds), high=_string(span.last_ds)))
        return self._run(select).cast(wanted)

    def query(self, query: HiveQL) -> pa.Table:
        return self._sift(query) if isinstance(query, Sift) else self._run(query.bound())

    def explain(self, query: HiveQL) -> str:
        return "\n".join(self._run(query.bound(), "EXPLAIN ").column("explain_value").to_pylist())

    def _run(self, tree: exp.Query, before: str = "") -> pa.Table:
        with self._asked(tree) as (cursor, relation):
            return cursor.sql(before + to_duckdb(tree, relation)).to_arrow_table()

    def _sift(self, sift: Sift) -> pa.Table:
        """What is kept, counting all in the same pass."""
        if sift.keep is None:
            rows = self._run(sift.bound())
            days = rows.column(PARTITION).value_counts().to_pylist()
            sift.counted = {day["values"]: day["counts"] for day in days}
            return rows
        with self._asked(sift.rows) as (cursor, relation):
            # rows that are kept wait in a list for each day; texts are made of them only
            cursor.execute(
                f"CREATE TEMP TABLE sifted AS SELECT CAST({_quoted(sift.time)} AS DATE) AS day, COUNT(*) AS counted, "
                f"LIST(r) FILTER (WHERE r.{_quoted(sift.keep)}) AS kept FROM ({to_duckdb(sift.rows, relation)}) r GROUP BY day"
            )
            sift.counted = {day.isoformat(): n for day, n in cursor.execute("SELECT day, counted FROM sifted").fetchall()}
            kept = "(SELECT UNNEST(kept, max_depth := 2) FROM sifted)"
            cursor.execute(f"CREATE TEMP VIEW {_quoted(KEPT)} AS SELECT * FROM {kept}")
            return cursor.sql(to_duckdb(sift.projected, lambda name: name)).to_arrow_table()

    @contextmanager
    def _asked(self, tree: exp.Query) -> Iterator[tuple[duckdb.DuckDBPyConnection, Callable[[str], str]]]:
        """A cursor for one query, and what gives its relation for the name of a table that it reads."""
        cursor = self._duckdb.cursor()
        places = bounds(tree)
        views: dict[str, str] = {}

        def relation(name: str) -> str:
            if name not in views:
                views[name] = name
                self._create_view(cursor, name, places[name])
            return views[name]

        try:
            yield cursor, relation
        except (duckdb.InternalException, duckdb.FatalException) as error:
            # DuckDB takes no query after an error of its own
            self._duckdb = self._engine()
            first = str(error).partition("\n")[0]
            raise QueryError(f"The embedded warehouse met an error of DuckDB itself: {first}") from None
        except (duckdb.DataError, duckdb.InvalidInputException) as error:
            # its own text shows values of rows, and rows are personal data
            raise QueryError(f"The embedded warehouse cannot compute a value of the query ({type(error).__name__})") from None
        except duckdb.Error as error:
            raise QueryError(f"The embedded warehouse refused the query: {error}") from error
        finally:
            cursor.close()

    def _create_view(self, cursor: duckdb.DuckDBPyConnection, name: str, places: Sequence[Sequence[Bound]]) -> None:
        """A view of the files that the query needs, of one version of the table, for this cursor only."""
        delta = self._open(name)
        schema = _arrow_schema(delta)
        listed = ", ".join(map(_text, files(delta, places)))
        columns = ", ".join(_quoted(column) for column in schema.names)
        # Columns come from an empty table, files add rows to it by name: there may be no file, or none with all columns.
        # DuckDB 2.0.0 also has an internal error for two windows by the partition column of bare files.
        empty = _quoted(f"{name} without rows")
        cursor.register("without_rows", schema.empty_table())
        cursor.execute(f"CREATE TEMP TABLE {empty} AS SELECT * FROM without_rows")
        cursor.unregister("without_rows")
        rows = f"SELECT * FROM {empty}"
        if listed:
            how = f"hive_partitioning = true, hive_types = {{{_quoted(PARTITION)}: VARCHAR}}"
            if delta.metadata().configuration.get(_EVOLVED) == "true":
                how += ", union_by_name = true"  # opens every file
            rows += f" UNION ALL BY NAME SELECT * FROM read_parquet([{listed}], {how})"
        cursor.execute(f"CREATE TEMP VIEW {_quoted(name)} AS SELECT {columns} FROM ({rows})")

    def _path(self, table: str) -> Path:
        database, _, name = table.partition(".")
        if not name or {"/", "\\", ".."} & {database, name} or "/" in table or "\\" in table:
            raise TableNotFound(f"{table!r} is not a table's name; tables are named database.table")
        return self.root / f"{database}.db" / name

    def _open(self, table: str) -> deltalake.DeltaTable:
        delta = self._current(self._path(table))
        if delta is None:
            database = table.partition(".")[0]
            known = ", ".join(self.tables(database)) or "none yet"
            raise TableNotFound(f"There is no table {table} in {self.root}; tables of {database}: {known}")
        return delta

    def _current(self, path: Path) -> deltalake.DeltaTable | None:
        """A table at its latest version: what this thread opened before is kept, and reads only the commits since."""
        kept: dict[str, tuple[int, deltalake.DeltaTable]] = vars(self._opened)
        where = str(path)
        try:
            made = (path / "_delta_log").stat().st_ino  # another folder, another table
        except FileNotFoundError:
            return None
        if where not in kept or kept[where][0] != made or not _caught_up(kept[where][1]):
            if not deltalake.DeltaTable.is_deltatable(where):
                return None
            kept[where] = made, deltalake.DeltaTable(where)
        return kept[where][1]


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
    days = f"{PARTITION} >= {_text(span.first_ds)} AND {PARTITION} <= {_text(span.last_ds)}"
    if span.is_whole_days:
        return days
    time = _quoted(table.time_column or "")
    return f"{days} AND {time} >= {_timestamp(span.start)} AND {time} < {_timestamp(span.end)}"


def _timestamp(value: object) -> str:
    # a TIMESTAMP literal is in nanoseconds in delta-rs, and the comparison with a column fails
    return f"arrow_cast({_text(f'{value:%Y-%m-%dT%H:%M:%S.%f}')}, 'Timestamp(Microsecond, None)')"


def _rows_by_day(delta: deltalake.DeltaTable) -> dict[str, int]:
    actions = pa.table(delta.get_add_actions(flatten=True))
    counts: dict[str, int] = {}
    if actions.num_rows:
        days: Iterable[str] = actions.column(f"partition.{PARTITION}").to_pylist()
        for day, rows in zip(days, actions.column("num_records").to_pylist(), strict=True):
            counts[day] = counts.get(day, 0) + rows
    return dict(sorted((day, rows) for day, rows in counts.items() if rows))


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


def _rows_of(delta: deltalake.DeltaTable, days: Iterable[str]) -> dict[str, int]:
    counts = _rows_by_day(delta)
    return {day: counts.get(day, 0) for day in days}


def _caught_up(delta: deltalake.DeltaTable) -> bool:
    """Read the commits since it was opened; False where they are gone, and the table is to be opened anew."""
    try:
        delta.update_incremental()
    except DeltaError:
        return False
    return True


def _arrow_schema(delta: deltalake.DeltaTable) -> pa.Schema:
    return pa.schema(delta.schema().to_arrow())


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


def _table(full_name: str) -> exp.Table:
    database, _, name = full_name.partition(".")
    return exp.table_(name, db=database)


def _string(value: str) -> exp.Literal:
    return exp.Literal.string(value)


def _text(value: str) -> str:
    return exp.Literal.string(value).sql("duckdb")


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql("duckdb")
