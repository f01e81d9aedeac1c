"""The interface of a warehouse. `delta/warehouse.py` implements it in a folder, `hive/warehouse.py` on a HiveServer2."""

from __future__ import annotations

import datetime as dt
import enum
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from hive_io.dialect import HiveQL
from hive_io.table import Span, Table

Data: TypeAlias = pa.Table | HiveQL
"""Data to write: rows as an Arrow table, or a query that the warehouse runs in place."""


class Capability(enum.StrEnum):
    """Features that some warehouses have and others do not. Everything else in the interface holds for every warehouse."""

    COMPACTION = "compaction"
    """Each write may add small files to a day, and `compact` merges them. Without it, there is nothing to compact."""
    CONFLICT_DETECTION = "conflict detection"
    """A write that rests on rows which another writer has replaced raises PartitionConflict. Without it, the last writer of a
    day wins, with whole rows; of two writers that add the same new day at once, the second gets PartitionConflict."""
    PRELOADED_ROWS = "preloaded rows"
    """Within `preloaded`, queries read the preloaded rows. Without it, they read the table."""
    TIME_TRAVEL = "time travel"
    """`as_of` reads earlier versions of the tables. Without it, it raises NoHistory."""
    TIMES_BEFORE_1582 = "times before 1582"
    """Times before 15 October 1582, the first day of the Gregorian calendar, are read as they were written. Without it, they
    are shifted by days."""


@dataclass(frozen=True)
class Receipt:
    """Result of a write.

    Attributes:
        table: `database.name`.
        partitions: rows of each day that the write covered, counted after it; 0 for a day without rows.
        before: rows of the same days in the version that the write replaced.
        alone: False if another writer has changed the table since the last write of this warehouse, as far as the warehouse
            knows.
        query: the query that was run, for people to read; None for rows.
    """

    table: str
    partitions: Mapping[str, int]
    before: Mapping[str, int]
    query: HiveQL | None = field(default=None, repr=False)
    alone: bool = True

    @property
    def rows(self) -> int:
        """Rows of all days that the write covered."""
        return sum(self.partitions.values())


@dataclass(frozen=True)
class Footprint:
    """Size of a table on disk.

    Attributes:
        files: number of data files, including retained files of replaced rows.
        bytes: size of all files in the table's folder, its log included.
    """

    files: int
    bytes: int


class Reader(ABC):
    """Read access to the tables of a lake, at their latest version or at an earlier one."""

    @abstractmethod
    def tables(self, database: str) -> list[str]:
        """Return the names of the tables in a database, sorted."""

    @abstractmethod
    def schema(self, table: str) -> pa.Schema:
        """Return a table's columns and types in the lake, `ds` last.

        Raises:
            TableNotFound: there is no such table.
        """

    @abstractmethod
    def partitions(self, table: str) -> dict[str, int]:
        """Return the number of rows by `ds`, sorted, for each day that has any.

        Raises:
            TableNotFound: there is no such table.
        """

    @abstractmethod
    def read(self, table: str, columns: Sequence[str] | None = None, span: Span | None = None) -> pa.Table:
        """Return rows of `database.name`: all days or those that `span` touches, all columns or those named.

        Raises:
            TableNotFound, ColumnNotFound: with the names that exist.
        """

    @abstractmethod
    def query(self, query: HiveQL) -> pa.Table:
        """Return the result of a HiveQL query.

        Raises:
            TableNotFound, QueryError: as for `replace`.
        """


class Warehouse(Reader):
    """Read and write access to the tables of a lake, partitioned by day. The only writer of them.

    A day is replaced at once: readers see its old rows or its new ones, and a failed write leaves the old ones.
    """

    @property
    @abstractmethod
    def capabilities(self) -> frozenset[Capability]:
        """Optional features of this warehouse."""

    @abstractmethod
    def close(self) -> None:
        """Release connections and memory. The next use opens them again."""

    def note(self, table: str) -> None:
        """Remember the state of a table, for `is_as_noted` and for `Receipt.alone`.

        Raises:
            TableNotFound: there is no such table.
        """

    def is_as_noted(self, table: str) -> bool:
        """Return True if no other writer has changed a table since this object noted or last wrote it; False if unknown."""
        return False

    @contextmanager
    def preloaded(self, table: str, rows: HiveQL) -> Iterator[None]:
        """Within the context, let this thread's queries read only these rows of a table, fetched once for all queries.

        The caller guarantees that the queries need no other rows. A write to the table by anyone ends the use of the
        preloaded rows. A warehouse without `Capability.PRELOADED_ROWS` does nothing here.

        Args:
            table: `database.name`.
            rows: query that returns all columns of the table.
        """
        yield

    @abstractmethod
    def attach(self, table: str, folder: Path) -> None:
        """Let queries read the files of others, in place, as the table `database.name`.

        Args:
            folder: of a Delta table, or of Parquet files, whose folders `column=value` are columns.

        Raises:
            HiveIOError: the warehouse reads the tables of its server only, or has a table of this name.
        """

    @abstractmethod
    def ensure_table(self, table: Table) -> None:
        """Create the table, empty, if it is missing; add the columns that its description gained.

        Raises:
            SchemaMismatch: a column exists with another type, or is missing from the description of a table that is not open.
        """

    @abstractmethod
    def drop(self, table: str) -> None:
        """Drop a table that only its writer reads, with its files and its history. One that is not there is no error.

        Args:
            table: `database.name`.
        """

    @abstractmethod
    def replace(self, table: Table, data: Data, span: Span) -> Receipt:
        """Replace the rows of `span`: a day, a range of days, or a part of a day.

        Columns are matched by name. Rows include their `ds`. Writing the same data twice leaves the same rows.

        Raises:
            SchemaMismatch: columns are missing, unknown, or of a type whose conversion would lose data.
            RowsOutsideSpan: the day of a row (or its time, for a part of a day) is not in the span.
            PartitionConflict: another writer was first: for rows at once, since they may rest on what that writer changed
                and the caller must compute them again; for a query after several attempts.
            QueryError: the query was rejected.
        """

    @abstractmethod
    def upsert(self, table: Table, data: Data, *, times: Collection[dt.datetime] | None = None) -> Receipt:
        """Insert rows, replacing those with the same day and key; other rows stay.

        Args:
            times: aware; the values of `time_column` in all rows that have one of the keys, if the caller knows them: none if
                there are no such rows. The rows are searched if it is None, and if there was another writer since the last
                write of this warehouse to the table.

        Raises:
            SchemaMismatch, PartitionConflict: as for `replace`; a conflict is raised at once.
            RowsOutsideSpan: the `ds` of a row is not a valid day.
            HiveIOError: a row lacks a key, or two rows have the same day and key.
        """

    @abstractmethod
    def compact(self, table: str, before: dt.date) -> list[str]:
        """Compact the many small files of each day into few large ones, in one commit a day. Changes no row.

        Without `Capability.COMPACTION` there is nothing to do: each write of a day, or of a part of it, leaves a folder with
        one new file.

        Args:
            before: compact only days before this one. They should have no writers any more: a concurrent write of the same
                day may raise PartitionConflict.

        Returns:
            The compacted days, as `ds`.

        Raises:
            TableNotFound: there is no such table.
            PartitionConflict: other writers were first several times in a row; earlier days are compacted.
        """

    def merge_small_files(self, table: str, day: dt.date) -> bool:
        """Merge the small files of a day that is still written, if there are many. Changes no row.

        Each call rewrites about as much as was written since the last one, not the whole day. A warehouse without
        `Capability.COMPACTION` does nothing.

        Returns:
            True if files were merged.

        Raises:
            TableNotFound: there is no such table.
            PartitionConflict: another writer was first; nothing has changed.
        """
        return False

    @abstractmethod
    def vacuum(self, table: str, keep: dt.timedelta) -> None:
        """Delete data files that hold no current rows, and log entries that have expired.

        Until then, with `Capability.TIME_TRAVEL`, earlier versions can be read, with any reader of Delta Lake too.

        Args:
            keep: retention of files after their rows were replaced, in whole hours; longer than any reader reads. A
                HiveServer2 uses the `grace` of its address instead.

        Raises:
            TableNotFound: there is no such table.
            PartitionConflict: other writers were first several times in a row; nothing is lost.
        """

    @abstractmethod
    def footprint(self, table: str) -> Footprint:
        """Return the current size of the table on disk.

        Raises:
            TableNotFound: there is no such table.
        """

    @abstractmethod
    def as_of(self, moment: dt.datetime) -> Reader:
        """Return a reader of all tables at a moment: each in its last version that was committed by then.

        Reading a table raises TableNotFound if it did not exist yet, and HistoryGone if that version is no longer retained.

        Args:
            moment: aware.

        Raises:
            NoHistory: the warehouse lacks `Capability.TIME_TRAVEL`, or the moment lies in the future.
        """

    @abstractmethod
    def explain(self, query: HiveQL) -> str:
        """Return the engine's plan of a HiveQL query without running it. Finds errors that only the engine can find.

        Raises:
            TableNotFound, QueryError: as for `query`.
        """
