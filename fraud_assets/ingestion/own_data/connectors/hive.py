"""A table or query of the warehouse itself as a source: read in place by one query, so that no row passes through Python."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from sqlglot import exp

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.own_data.connectors.base import Connector, Context, RawPage, page_of
from fraud_assets.ingestion.own_data.connectors.sql import text_of
from fraud_assets.ingestion.own_data.time_formats import written
from hive_io import HiveIOError, HiveQL, Span, Warehouse
from hive_io.dialect import literal

DAY_PATTERNS = ("%Y-%m-%d", "%Y%m%d")
"""Patterns of a window whose texts sort like their days."""
_NATIVE = "native"


@dataclass(frozen=True)
class HiveLayout:
    """Where the rows of a table are.

    Attributes:
        query: one SELECT in HiveQL, or None for all of `table`.
        window: column by which a run reads the rows of its days only; None for snapshots.
        window_format: how days are written in it: `native` for a TIMESTAMP or DATE, otherwise one of `DAY_PATTERNS`.
        valid_from: for snapshots: first day for which the rows hold.
        folders: for an embedded warehouse: the folder of each table, Delta or Parquet.
        spill: largest number of days between the day of a row's window and that of its time. A row further away is rejected.
    """

    table: str | None = None
    query: str | None = None
    window: str | None = None
    window_format: str = _NATIVE
    valid_from: dt.date | None = None
    folders: Mapping[str, Path] = field(default_factory=dict)
    spill: int = 1

    is_local = False
    by_day = False
    missing_for_watch = "a table that is read in place is read by runs; use `sql` with `cursor`"

    @property
    def version(self) -> str:
        """Constant: the source does not say whether its rows have changed."""
        return f"hive {self.table or self.query}"

    @property
    def place(self) -> str:
        """What is read, for messages and as the place of rows: never the query, which may hold values."""
        return self.table or "query"

    def connector(self, context: Context) -> Connector:
        """A connector that reads a sample."""
        return HiveConnector(self, context)

    @property
    def relation(self) -> str:
        """What stands behind FROM."""
        if self.query is not None:
            return f"({self.query}\n) q"
        return ".".join(map(quoted, str(self.table).split(".")))

    def fields(self, warehouse: Warehouse) -> dict[str, pa.DataType]:
        """The fields, in lower case, and their types.

        Raises:
            SourceError: the table or query cannot be read.
        """
        for name, folder in self.folders.items():
            warehouse.attach(name, folder)
        try:
            if self.query is None:
                schema = warehouse.schema(str(self.table))
            else:
                schema = warehouse.query(HiveQL(f"SELECT * FROM {self.relation} WHERE 1 = 0")).schema
        except HiveIOError as error:
            raise SourceError(f"{self.place} cannot be read in place: {error}") from error
        return {name.lower(): schema.field(name).type for name in schema.names}

    def is_inside(self, kind: pa.DataType, span: Span) -> str:
        """HiveQL: the window's value is in the span.

        Raises:
            SourceError: the column has another type than its format says.
        """
        name = quoted(str(self.window))
        if self.window_format == _NATIVE:
            if not pa.types.is_temporal(kind):
                raise SourceError(
                    f"{self.place}: the window {self.window} is no TIMESTAMP or DATE; state its `format`, one of "
                    f"{', '.join(DAY_PATTERNS)}"
                )
            if pa.types.is_date(kind):
                return f"{name} >= CAST('{span.first_ds}' AS DATE) AND {name} <= CAST('{span.last_ds}' AS DATE)"
            low, high = (literal(moment).sql("hive") for moment in (span.start, span.end))
            return f"{name} >= {low} AND {name} < {high}"
        first, last = (
            written(dt.datetime.combine(day, dt.time.min, dt.UTC), self.window_format)
            for day in (span.first_day, span.last_day)
        )
        if pa.types.is_integer(kind) and self.window_format == "%Y%m%d":
            return f"{name} >= {first} AND {name} <= {last}"
        if not pa.types.is_string(kind):
            raise SourceError(f"{self.place}: the window {self.window} is no text; leave out its `format`")
        return f"{name} >= '{first}' AND {name} <= '{last}'"

    def day_of_window(self, kind: pa.DataType) -> str:
        """HiveQL: the day of the window's value, as `ds`."""
        name = quoted(str(self.window))
        if self.window_format == _NATIVE:
            return f"CAST(TO_DATE({name}) AS STRING)"
        text = f"CAST({name} AS STRING)" if pa.types.is_integer(kind) else name
        if self.window_format == "%Y%m%d":
            return f"CONCAT(SUBSTR({text}, 1, 4), '-', SUBSTR({text}, 5, 2), '-', SUBSTR({text}, 7, 2))"
        return f"SUBSTR({text}, 1, 10)"


class HiveConnector:
    """Reads a sample of the rows, for `fraud sources check`. Loads do not use it."""

    looks_back = True

    def __init__(self, layout: HiveLayout, context: Context) -> None:
        self.layout = layout
        self._context = context

    def pages(self, span: Span | None = None) -> Iterator[RawPage]:
        raise SourceError(f"{self.layout.place} is read in place; its rows have no pages")

    def arrivals(self, cursor: str | None, since: dt.datetime | None = None) -> Iterator[tuple[RawPage, str]]:
        raise SourceError(self.layout.missing_for_watch)

    def sample(self, rows: int, today: dt.date) -> Iterator[tuple[RawPage, bool]]:
        """Rows of the latest day, or of a snapshot, as the `sql` connector reads them."""
        layout = self.layout
        fields = layout.fields(self.warehouse)
        relation = f"(SELECT * FROM {layout.relation}) q" if layout.query is None else layout.relation
        latest = ""
        if layout.window is not None:
            name = quoted(layout.window)
            day = f"TO_DATE({name})" if layout.window_format == _NATIVE else name
            latest = f" WHERE {day} IN (SELECT MAX({day}) FROM {relation})"
        names = ", ".join(map(quoted, fields))
        order = quoted(next(iter(fields)))
        numbered = f"SELECT {names}, ROW_NUMBER() OVER (ORDER BY {order}) AS number_of_row FROM {relation}{latest}"
        found = self.warehouse.query(HiveQL(f"SELECT {names} FROM ({numbered}) n WHERE n.number_of_row <= {rows}"))
        columns = zip(fields, found.columns, strict=True)
        texts = {name: [text_of(value) for value in values.to_pylist()] for name, values in columns}
        yield page_of(texts, layout.place, range(1, found.num_rows + 1)), layout.window is None and found.num_rows < rows

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse whose tables are read."""
        if self._context.warehouse is None:
            raise SourceError(f"{self.layout.place} is read in place, by the warehouse of a run")
        return self._context.warehouse()

    def snapshot(self, day: dt.date) -> Iterator[RawPage]:
        return self.pages()

    def places(self) -> list[str]:
        return [self.layout.place]

    def abort(self) -> None:
        """Nothing to end."""

    def close(self) -> None:
        """Nothing to release."""


def quoted(name: str) -> str:
    """A name as a quoted identifier of HiveQL."""
    return exp.to_identifier(name, quoted=True).sql("hive")
