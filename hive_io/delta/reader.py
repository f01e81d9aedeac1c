"""Read access to Delta Lake tables in a folder: one version of each, queried by in-process DuckDB."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import deltalake
import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
from deltalake.exceptions import DeltaError
from sqlglot import exp

from hive_io.counted_filter import KEPT, CountedFilter
from hive_io.delta.file_pruning import Bound, bounds, files
from hive_io.delta.translation_cache import TranslationCache
from hive_io.dialect import HiveQL, literal, to_duckdb
from hive_io.errors import QueryError, TableNotFound
from hive_io.hiveql.annotate import ColumnsOf
from hive_io.hiveql.types import Columns, of_duckdb
from hive_io.rows import chosen
from hive_io.table import PARTITION, Span
from hive_io.warehouse import Reader

EVOLVED = "hive_io.evolved"
"""Table property that marks a table with added columns, which its older files lack."""
_FILE = "hive_io.file"
"""Name of the column with a row's file, which no column of a table can have."""


class DeltaReader(Reader):
    """Delta Lake tables in the folders `<root>/<database>.db/<table>`, partitioned by `ds`. Subclasses choose the version.

    Args:
        root: an existing folder.
        memory_limit: memory limit of DuckDB, for example "2GB"; None keeps its default (80 % of the machine).
    """

    def __init__(self, root: Path, memory_limit: str | None = None) -> None:
        self.root = root
        self._memory_limit = memory_limit
        self._duckdb = self._engine()
        self._translations = TranslationCache()
        self._attached: dict[str, Path] = {}
        """Folders of others, by the names under which queries read them."""

    def _engine(self) -> duckdb.DuckDBPyConnection:
        engine = connected()
        if self._memory_limit:
            engine.execute("SET memory_limit = $limit", {"limit": self._memory_limit})
        return engine

    def tables(self, database: str) -> list[str]:
        folder = self.root / f"{database}.db"
        if not folder.is_dir():
            return []
        return sorted(path.name for path in folder.glob("[!.]*") if deltalake.DeltaTable.is_deltatable(str(path)))

    def partitions(self, table: str) -> dict[str, int]:
        return rows_by_day(self._open(table))

    def schema(self, table: str) -> pa.Schema:
        if table in self._attached:
            return pa.schema([(name, kind) for name, kind in _plain_types(self._foreign(table)).items()])
        # a column that was added stands behind `ds` in the log
        return pa.schema(sorted(arrow_schema(self._open(table)), key=lambda field: field.name == PARTITION))

    def read(self, table: str, columns: Sequence[str] | None = None, span: Span | None = None) -> pa.Table:
        schema = chosen(table, self.schema(table), columns)
        database, _, name = table.partition(".")
        select = exp.select(*[exp.column(column, quoted=True) for column in schema.names]).from_(exp.table_(name, db=database))
        if span is not None:
            select = select.where(exp.column(PARTITION).between(literal(span.first_ds), literal(span.last_ds)))
        return self._run(select).cast(schema)

    def query(self, query: HiveQL) -> pa.Table:
        return self._filter(query) if isinstance(query, CountedFilter) else self._run(query.bound(), strict=query.is_text)

    def _run(self, tree: exp.Query, prefix: str = "", *, strict: bool = False) -> pa.Table:
        places = bounds(tree)
        with self._cursor_for(places) as (cursor, relation):
            sql = self._translations.to_duckdb(tree, places, relation, columns_of(cursor, relation), strict=strict)
            return cursor.sql(prefix + sql).to_arrow_table()

    def _filter(self, query: CountedFilter) -> pa.Table:
        """The kept rows; all rows are counted in the same pass."""
        if query.keep is None:
            rows = self._run(query.bound())
            days = rows.column(PARTITION).value_counts().to_pylist()
            query.counted = {day["values"]: day["counts"] for day in days}
            return rows
        places = bounds(query.rows)
        with self._cursor_for(places) as (cursor, relation):
            rows = self._translations.to_duckdb(query.rows, places, relation, columns_of(cursor, relation))
            # a list of the kept rows for each day, so that only they are projected
            cursor.execute(
                f"CREATE TEMP TABLE filtered AS SELECT CAST({quoted(query.time)} AS DATE) AS day, COUNT(*) AS counted, "
                f"LIST(r) FILTER (WHERE r.{quoted(query.keep)}) AS kept FROM ({rows}) r GROUP BY day"
            )
            query.counted = {day.isoformat(): n for day, n in cursor.execute("SELECT day, counted FROM filtered").fetchall()}
            kept = "(SELECT UNNEST(kept, max_depth := 2) FROM filtered)"
            cursor.execute(f"CREATE TEMP VIEW {quoted(KEPT)} AS SELECT * FROM {kept}")
            return cursor.sql(to_duckdb(query.projected, str, columns_of(cursor, str))).to_arrow_table()

    @contextmanager
    def _cursor_for(
        self, places: Mapping[str, Sequence[Sequence[Bound]]]
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, Callable[[str], str]]]:
        """A cursor for one query, and a function that returns the relation of a table that it reads.

        Args:
            places: the bounds of each table that the query reads.
        """
        views: dict[str, str] = {}
        with self._cursor() as cursor:

            def relation(name: str) -> str:
                if name not in views:
                    views[name] = name
                    self._create_view(cursor, name, places[name])
                return views[name]

            yield cursor, relation

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._duckdb.cursor()
        try:
            yield cursor
        except (duckdb.InternalException, duckdb.FatalException) as error:
            # DuckDB accepts no query after an internal error
            self._duckdb = self._engine()
            reason = str(error).partition("\n")[0]
            raise QueryError(
                f"DuckDB had an internal error and was restarted; rewrite the query if it fails again: {reason}"
            ) from None
        except (duckdb.DataError, duckdb.InvalidInputException) as error:
            # the text of the error shows values of rows, which are personal data
            raise QueryError(
                f"DuckDB cannot compute a value of the query ({type(error).__name__}); check its casts and arithmetic"
            ) from None
        except duckdb.Error as error:
            raise QueryError(f"The embedded warehouse rejected the query: {error}") from error
        finally:
            cursor.close()

    def _create_view(self, cursor: duckdb.DuckDBPyConnection, name: str, places: Sequence[Sequence[Bound]]) -> None:
        """Create a view, for this cursor only, of the files of one version that the query needs."""
        if name in self._attached:
            found = self._foreign(name)
            cursor.register(f"{name} in place", found)
            columns = ", ".join(
                f"CAST({quoted(column)} AS {'TIMESTAMP' if pa.types.is_timestamp(kind) else 'VARCHAR'}) AS {quoted(column)}"
                if kind != found.schema.field(column).type
                else quoted(column)
                for column, kind in _plain_types(found).items()
            )
            cursor.execute(f"CREATE TEMP VIEW {quoted(name)} AS SELECT {columns} FROM {quoted(f'{name} in place')}")
            return
        preloaded = self._preloaded_table(name)
        if preloaded is not None:
            cursor.execute(f"CREATE TEMP VIEW {quoted(name)} AS SELECT * FROM {quoted(preloaded)}")
            return
        delta, paths = self._files(name, places)
        schema = arrow_schema(delta)
        columns = ", ".join(quoted(column) for column in schema.names)
        # Columns come from an empty table, and files add rows by name: there may be no file, or none with all columns.
        # DuckDB 2.0.0 also fails internally on two windows by the partition column of files read directly.
        empty = quoted(f"{name} without rows")
        cursor.register("without_rows", schema.empty_table())
        cursor.execute(f"CREATE TEMP TABLE {empty} AS SELECT * FROM without_rows")
        cursor.unregister("without_rows")
        rows = f"SELECT * FROM {empty}"
        if paths:
            evolved = delta.metadata().configuration.get(EVOLVED) == "true"
            rows += f" UNION ALL BY NAME SELECT * FROM {parquet(paths, evolved=evolved)}"
        cursor.execute(f"CREATE TEMP VIEW {quoted(name)} AS SELECT {columns} FROM ({rows})")

    def _foreign(self, name: str) -> pads.Dataset:
        """The files of an attached table.

        Raises:
            QueryError: they cannot be read.
        """
        folder = self._attached[name]
        try:
            if deltalake.DeltaTable.is_deltatable(str(folder)):
                return deltalake.DeltaTable(str(folder)).to_pyarrow_dataset()
            return pads.dataset(folder, format="parquet", partitioning="hive")
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise QueryError(f"{name}: {folder} cannot be read as a Delta table or Parquet files: {error}") from error

    @abstractmethod
    def _open(self, table: str) -> deltalake.DeltaTable:
        """The table at the version to read.

        Raises:
            TableNotFound: there is none.
        """

    def _preloaded_table(self, table: str) -> str | None:
        """Name of the DuckDB table with the preloaded rows of a table, or None."""
        return None

    def _files(self, table: str, places: Sequence[Sequence[Bound]]) -> tuple[deltalake.DeltaTable, list[str]]:
        """The table at the version to read, and its files that may hold rows of the places."""
        delta = self._open(table)
        return delta, files(delta, places)

    def _path(self, table: str) -> Path:
        database, _, name = table.partition(".")
        if not name or {"/", "\\", ".."} & {database, name} or "/" in table or "\\" in table:
            raise TableNotFound(f"{table!r} is not the name of a table; use database.table")
        return self.root / f"{database}.db" / name


def _plain_types(files: pads.Dataset) -> dict[str, pa.DataType]:
    """The columns of files, with the types that tables have where files write them in several ways."""

    def plain(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_timestamp(kind):
            return pa.timestamp("us")
        return pa.string() if pa.types.is_dictionary(kind) or pa.types.is_large_string(kind) else kind

    return {field.name: plain(field.type) for field in files.schema}


def connected() -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory, whose times are UTC."""
    engine = duckdb.connect()
    # GLOBAL, because a new cursor takes the machine's zone
    engine.execute("SET GLOBAL TimeZone = 'UTC'")
    engine.execute("SET preserve_insertion_order = false; SET enable_progress_bar = false")
    return engine


def columns_of(cursor: duckdb.DuckDBPyConnection, relation: Callable[[str], str]) -> ColumnsOf:
    """The types of the columns of a query's tables, which the translation of HiveQL depends on."""

    def columns(name: str) -> Columns:
        described = cursor.execute(f"DESCRIBE {quoted(relation(name))}").fetchall()
        return {row[0]: of_duckdb(row[1]) for row in described}

    return columns


def arrow_schema(delta: deltalake.DeltaTable) -> pa.Schema:
    """Return the columns and types of a table, in the order of its log."""
    return pa.schema(delta.schema().to_arrow())


def rows_by_day(delta: deltalake.DeltaTable) -> dict[str, int]:
    """Return the number of rows by day, sorted, for each day that has any."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    counts: dict[str, int] = {}
    if actions.num_rows:
        days: Iterable[str] = actions.column(f"partition.{PARTITION}").to_pylist()
        for day, rows in zip(days, actions.column("num_records").to_pylist(), strict=True):
            counts[day] = counts.get(day, 0) + rows
    return dict(sorted((day, rows) for day, rows in counts.items() if rows))


def parquet(paths: Sequence[str], *, evolved: bool = False) -> str:
    """Return DuckDB's relation of a table's files; `evolved` opens each file to find its columns."""
    options = ["union_by_name = true"] if evolved else []
    # DuckDB takes each folder `name=value` of a path for a column, in place of the file's own column of that name
    if not any("=" in part for path in paths for part in Path(path).parts[:-2]):
        options += ["hive_partitioning = true", f"hive_types = {{{quoted(PARTITION)}: VARCHAR}}"]
        return f"read_parquet([{', '.join(map(text, paths))}], {', '.join(options)})"
    options += ["hive_partitioning = false", f"filename = {text(_FILE)}"]
    # an expression of the file's name alone, so that DuckDB still skips files by their day
    day = f"parse_filename(parse_dirpath({quoted(_FILE)}))[{len(PARTITION) + 2}:]"
    return (
        f"(SELECT * EXCLUDE ({quoted(_FILE)}), {day} AS {quoted(PARTITION)} "
        f"FROM read_parquet([{', '.join(map(text, paths))}], {', '.join(options)}))"
    )


def text(value: str) -> str:
    """Return a text as a literal of DuckDB."""
    return exp.Literal.string(value).sql("duckdb")


def quoted(name: str) -> str:
    """Return a name as a quoted identifier of DuckDB."""
    return exp.to_identifier(name, quoted=True).sql("duckdb")
