"""The interface of a warehouse. `embedded.py` implements it; any HiveServer2 can."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import pyarrow as pa

from hive_io.dialect import HiveQL
from hive_io.table import Span, Table

Data: TypeAlias = pa.Table | HiveQL
"""What can be written: rows as an Arrow table, or a query that the warehouse runs in place."""


@dataclass(frozen=True)
class Receipt:
    """What a write left behind.

    Attributes:
        table: `database.name`.
        partitions: rows of each day that the write covered, counted after it. A day without rows is 0.
        before: rows of the same days in the version that the write was made on.
        query: what was run, for a person to read; None for rows.
    """

    table: str
    partitions: Mapping[str, int]
    before: Mapping[str, int]
    query: HiveQL | None = field(default=None, repr=False)

    @property
    def rows(self) -> int:
        return sum(self.partitions.values())


@dataclass(frozen=True)
class Footprint:
    """What a table takes on disk.

    Attributes:
        files: data files, those of replaced rows that are kept among them.
        bytes: of all files in the table's folder, its log included.
    """

    files: int
    bytes: int


class Reader(ABC):
    """Tables of a lake, to be read: as they are, or as they were."""

    @abstractmethod
    def tables(self, database: str) -> list[str]:
        """Names of the tables in a database, sorted."""

    @abstractmethod
    def schema(self, table: str) -> pa.Schema:
        """Columns and types of a table as the lake has them, `ds` last.

        Raises:
            TableNotFound: there is no such table.
        """

    @abstractmethod
    def partitions(self, table: str) -> dict[str, int]:
        """Rows of each day that has some, by `ds`, sorted.

        Raises:
            TableNotFound: there is no such table.
        """

    @abstractmethod
    def read(self, table: str, columns: Sequence[str] | None = None, span: Span | None = None) -> pa.Table:
        """Rows of `database.name`: all, or the days that `span` touches; all columns, or those named.

        Raises:
            TableNotFound, ColumnNotFound: with the names that exist.
        """

    @abstractmethod
    def query(self, query: HiveQL) -> pa.Table:
        """The result of a HiveQL query.

        Raises:
            TableNotFound, QueryError: as for `replace`.
        """


class Warehouse(Reader):
    """Tables of a lake, partitioned by day. The only writer of them.

    A write is all or nothing: readers see the rows from before or after it, a failed one leaves the old rows.
    """

    @abstractmethod
    def close(self) -> None:
        """Let go of connections and memory. It may be used again, and opens them anew."""

    @contextmanager
    def preloaded(self, table: str, rows: HiveQL) -> Iterator[None]:
        """While it is open, queries of this thread may find only these rows in a table, fetched once for all of them.

        The caller answers for it that they need no others. They are not used any more once somebody has written the table. A
        warehouse may do nothing here.

        Args:
            table: `database.name`, with all of whose columns the query returns rows.
        """
        yield

    @abstractmethod
    def ensure_table(self, table: Table) -> None:
        """Create the table, empty, if it is missing; add columns that its description gained.

        Raises:
            SchemaMismatch: a column exists with another type, or the table has one that the description lost.
        """

    @abstractmethod
    def replace(self, table: Table, data: Data, span: Span) -> Receipt:
        """Replace the rows of `span` by `data`, in one commit: a day, a range of days, or a part of a day.

        Columns are matched by name. Rows bring their `ds`. Writing the same data twice leaves the same rows.

        Raises:
            SchemaMismatch: columns missing, unknown or of a type that would lose something.
            RowsOutsideSpan: rows whose day (or time, for a part of a day) is not in the span.
            PartitionConflict: another writer was first, several times in a row for a query, once for rows:
                rows may rest on what the other writer changed, so the caller computes them again.
            QueryError: the query was refused.
        """

    @abstractmethod
    def upsert(self, table: Table, rows: pa.Table) -> Receipt:
        """Insert rows, or replace those with the same day and key; other rows stay.

        Raises:
            SchemaMismatch, PartitionConflict: as for `replace`; a conflict is raised at once.
            RowsOutsideSpan: rows whose `ds` is no day.
            HiveIOError: rows without a key, or two of them with the same day and key.
        """

    @abstractmethod
    def compact(self, table: str, before: dt.date) -> list[str]:
        """Write the many small files of a day into few large ones, each day in one commit. Changes no row.

        On a HiveServer2 there is nothing to do: each write of a day, or of a part of it, leaves a folder with one new file.

        Args:
            before: only days before this one, to which nobody writes any more: a writer of the same day may be refused.

        Returns:
            The days whose files were written anew, as `ds`.

        Raises:
            TableNotFound: there is no such table.
            PartitionConflict: others wrote one of the days, several times in a row; the days before it are done.
        """

    @abstractmethod
    def vacuum(self, table: str, keep: dt.timedelta) -> None:
        """Delete files that no row of the table is in any more, and what a table's log says of longer ago.

        Until then, the embedded warehouse's tables can be read as they were, with any reader of Delta Lake.

        Args:
            keep: how long they stay after they were replaced, in whole hours: longer than any reader reads. A HiveServer2
                has its own, the `grace` of its address.

        Raises:
            TableNotFound: there is no such table.
            PartitionConflict: others wrote the table, several times in a row; nothing is lost.
        """

    @abstractmethod
    def footprint(self, table: str) -> Footprint:
        """What the table takes on disk at this moment.

        Raises:
            TableNotFound: there is no such table.
        """

    @abstractmethod
    def as_of(self, moment: dt.datetime) -> Reader:
        """The tables as they were at a moment: each in the last version that was written until then.

        What it reads of a table raises TableNotFound where there was none yet, and HistoryGone where it is not kept.

        Args:
            moment: aware.

        Raises:
            NoHistory: this warehouse keeps none, or the moment has not come yet.
        """

    @abstractmethod
    def explain(self, query: HiveQL) -> str:
        """The engine's plan of a HiveQL query, which does not run: what only the engine can refuse is found.

        Raises:
            TableNotFound, QueryError: as for `query`.
        """
