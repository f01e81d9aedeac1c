"""Delta Lake tables in a folder, to be read: one version of each, queried by in-process DuckDB."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import deltalake
import duckdb
import pyarrow as pa
from sqlglot import exp

from hive_io.counted_filter import KEPT, CountedFilter
from hive_io.delta.file_pruning import Bound, bounds, files
from hive_io.dialect import HiveQL, to_duckdb
from hive_io.errors import QueryError, TableNotFound
from hive_io.rows import chosen
from hive_io.table import PARTITION, Span
from hive_io.warehouse import Reader

EVOLVED = "hive_io.evolved"
"""The property of a table that gained columns: files from before lack them."""


class DeltaReader(Reader):
    """One Delta Lake table a folder: `<root>/<database>.db/<table>`, partitioned by `ds`. Its heirs say which version is read.

    Args:
        root: an existing folder.
        memory_limit: of DuckDB, for example "2GB"; None leaves its default (80 % of the machine).
    """

    def __init__(self, root: Path, memory_limit: str | None = None) -> None:
        self.root = root
        self._memory_limit = memory_limit
        self._duckdb = self._engine()

    def _engine(self) -> duckdb.DuckDBPyConnection:
        engine = duckdb.connect()
        # GLOBAL: a cursor starts with the machine's zone otherwise
        engine.execute("SET GLOBAL TimeZone = 'UTC'")
        engine.execute("SET preserve_insertion_order = false; SET enable_progress_bar = false")
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
        return arrow_schema(self._open(table))

    def read(self, table: str, columns: Sequence[str] | None = None, span: Span | None = None) -> pa.Table:
        wanted = chosen(table, self.schema(table), columns)
        database, _, name = table.partition(".")
        select = exp.select(*[exp.column(column, quoted=True) for column in wanted.names]).from_(exp.table_(name, db=database))
        if span is not None:
            first, last = map(exp.Literal.string, (span.first_ds, span.last_ds))
            select = select.where(exp.Between(this=exp.column(PARTITION), low=first, high=last))
        return self._run(select).cast(wanted)

    def query(self, query: HiveQL) -> pa.Table:
        return self._sift(query) if isinstance(query, CountedFilter) else self._run(query.bound())

    def _run(self, tree: exp.Query, before: str = "") -> pa.Table:
        with self._asked(tree) as (cursor, relation):
            return cursor.sql(before + to_duckdb(tree, relation)).to_arrow_table()

    def _sift(self, sift: CountedFilter) -> pa.Table:
        """What is kept, counting all in the same pass."""
        if sift.keep is None:
            rows = self._run(sift.bound())
            days = rows.column(PARTITION).value_counts().to_pylist()
            sift.counted = {day["values"]: day["counts"] for day in days}
            return rows
        with self._asked(sift.rows) as (cursor, relation):
            # rows that are kept wait in a list for each day; texts are made of them only
            cursor.execute(
                f"CREATE TEMP TABLE sifted AS SELECT CAST({quoted(sift.time)} AS DATE) AS day, COUNT(*) AS counted, "
                f"LIST(r) FILTER (WHERE r.{quoted(sift.keep)}) AS kept FROM ({to_duckdb(sift.rows, relation)}) r GROUP BY day"
            )
            sift.counted = {day.isoformat(): n for day, n in cursor.execute("SELECT day, counted FROM sifted").fetchall()}
            kept = "(SELECT UNNEST(kept, max_depth := 2) FROM sifted)"
            cursor.execute(f"CREATE TEMP VIEW {quoted(KEPT)} AS SELECT * FROM {kept}")
            return cursor.sql(to_duckdb(sift.projected, lambda name: name)).to_arrow_table()

    @contextmanager
    def _asked(self, tree: exp.Query) -> Iterator[tuple[duckdb.DuckDBPyConnection, Callable[[str], str]]]:
        """A cursor for one query, and what gives its relation for the name of a table that it reads."""
        places = bounds(tree)
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
        held = self._held(name)
        if held is not None:
            cursor.execute(f"CREATE TEMP VIEW {quoted(name)} AS SELECT * FROM {quoted(held)}")
            return
        delta, paths = self._files(name, places)
        schema = arrow_schema(delta)
        columns = ", ".join(quoted(column) for column in schema.names)
        # Columns come from an empty table, files add rows to it by name: there may be no file, or none with all columns.
        # DuckDB 2.0.0 also has an internal error for two windows by the partition column of bare files.
        empty = quoted(f"{name} without rows")
        cursor.register("without_rows", schema.empty_table())
        cursor.execute(f"CREATE TEMP TABLE {empty} AS SELECT * FROM without_rows")
        cursor.unregister("without_rows")
        rows = f"SELECT * FROM {empty}"
        if paths:
            evolved = delta.metadata().configuration.get(EVOLVED) == "true"
            rows += f" UNION ALL BY NAME SELECT * FROM {parquet(paths, evolved=evolved)}"
        cursor.execute(f"CREATE TEMP VIEW {quoted(name)} AS SELECT {columns} FROM ({rows})")

    @abstractmethod
    def _open(self, table: str) -> deltalake.DeltaTable:
        """The table at the version that is read.

        Raises:
            TableNotFound: it has none.
        """

    def _held(self, table: str) -> str | None:
        """A table of DuckDB's own that holds the rows which are wanted of this one, if any does."""
        return None

    def _files(self, table: str, places: Sequence[Sequence[Bound]]) -> tuple[deltalake.DeltaTable, list[str]]:
        """The table at the version that is read, and those of its files that may have rows of the places."""
        delta = self._open(table)
        return delta, files(delta, places)

    def _path(self, table: str) -> Path:
        database, _, name = table.partition(".")
        if not name or {"/", "\\", ".."} & {database, name} or "/" in table or "\\" in table:
            raise TableNotFound(f"{table!r} is not a table's name; tables are named database.table")
        return self.root / f"{database}.db" / name


def arrow_schema(delta: deltalake.DeltaTable) -> pa.Schema:
    return pa.schema(delta.schema().to_arrow())


def rows_by_day(delta: deltalake.DeltaTable) -> dict[str, int]:
    """Rows of each day that has some, sorted."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    counts: dict[str, int] = {}
    if actions.num_rows:
        days: Iterable[str] = actions.column(f"partition.{PARTITION}").to_pylist()
        for day, rows in zip(days, actions.column("num_records").to_pylist(), strict=True):
            counts[day] = counts.get(day, 0) + rows
    return dict(sorted((day, rows) for day, rows in counts.items() if rows))


def parquet(paths: Iterable[str], *, evolved: bool = False) -> str:
    """DuckDB's relation of a table's files; `evolved` opens all of them, to find those that lack columns."""
    how = f"hive_partitioning = true, hive_types = {{{quoted(PARTITION)}: VARCHAR}}"
    if evolved:
        how += ", union_by_name = true"
    return f"read_parquet([{', '.join(map(text, paths))}], {how})"


def text(value: str) -> str:
    return exp.Literal.string(value).sql("duckdb")


def quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql("duckdb")
