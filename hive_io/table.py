"""Table descriptions and spans of time: names, columns in Hive types, keys, time columns. Independent of any engine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
from sqlglot import exp
from sqlglot.errors import ParseError

PARTITION = "ds"
"""Name of the partition column of every table: the day in UTC, a text like 2026-01-31."""

DAY = dt.timedelta(days=1)

_ARROW = {
    exp.DataType.Type.TEXT: pa.string(),
    exp.DataType.Type.VARCHAR: pa.string(),
    exp.DataType.Type.BOOLEAN: pa.bool_(),
    exp.DataType.Type.INT: pa.int32(),
    exp.DataType.Type.BIGINT: pa.int64(),
    exp.DataType.Type.DOUBLE: pa.float64(),
    exp.DataType.Type.TIMESTAMP: pa.timestamp("us"),
}


def arrow_type(hive_type: str) -> pa.DataType:
    """Return the Arrow type of a Hive type: `DECIMAL(18,2)`, `ARRAY<STRING>`, `TIMESTAMP` (naive, UTC, microseconds) …

    Raises:
        ValueError: a type that tables of this project do not use.
    """
    try:
        return _to_arrow(exp.DataType.build(hive_type, dialect="hive"))
    except (ParseError, LookupError, ValueError):
        raise ValueError(
            f"{hive_type!r} is not a supported column type; use STRING, BOOLEAN, INT, BIGINT, DOUBLE, TIMESTAMP, "
            "DECIMAL(p,s) or an ARRAY of one of them"
        ) from None


def _to_arrow(parsed: exp.DataType) -> pa.DataType:
    if parsed.this == exp.DataType.Type.DECIMAL:
        precision, scale = (int(p.this.this) for p in parsed.expressions)
        return pa.decimal128(precision, scale)
    if parsed.this == exp.DataType.Type.ARRAY:
        # Parquet calls the items of a list "element"
        return pa.list_(pa.field("element", _to_arrow(parsed.expressions[0])))
    return _ARROW[parsed.this]


def is_day(text: str) -> bool:
    """True if a text is a valid `ds`: a day of the calendar, written like 2026-01-31."""
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        type: Hive type, such as `DECIMAL(18,2)`.
        description: meaning and unit.
        personal: True for personal data, which must not reach logs, messages or previews.
    """

    name: str
    type: str
    description: str = ""
    personal: bool = False

    @property
    def arrow_type(self) -> pa.DataType:
        """Arrow type of the column."""
        return arrow_type(self.type)


@dataclass(frozen=True)
class Table:
    """A table `database.name`, partitioned by `ds STRING`.

    Attributes:
        columns: all columns but the partition column.
        key: columns that identify a row; `Warehouse.upsert` matches rows by day and key.
        time_column: TIMESTAMP column by which a part of a day can be replaced, or None if only whole days can be.
        is_open: True if the table in the lake may have more columns than described. Only a description with all of them can
            be written by.
    """

    database: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    time_column: str | None = None
    description: str = ""
    is_open: bool = False

    @property
    def full_name(self) -> str:
        """The name `database.name`."""
        return f"{self.database}.{self.name}"

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """Columns in order, the partition column `ds` last."""
        fields = [pa.field(c.name, c.arrow_type) for c in self.columns]
        return pa.schema([*fields, pa.field(PARTITION, pa.string())])

    @property
    def column_types(self) -> dict[str, str]:
        """Hive type of each column, `ds` included."""
        return {**{c.name: c.type for c in self.columns}, PARTITION: "STRING"}


@dataclass(frozen=True)
class ForeignTable(Table):
    """A table of others, which is only read: it need not have the column `ds`, and may have types of Hive besides ours."""

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """Columns in order."""
        return pa.schema([pa.field(c.name, _foreign_type(c.type)) for c in self.columns])

    @property
    def column_types(self) -> dict[str, str]:
        """Hive type of each column."""
        return {c.name: c.type for c in self.columns}


def foreign_table(database: str, name: str, columns: Iterable[Column]) -> Table:
    """Describe a table that a server has. Columns of types that HiveQL does not read the same on every engine are left out.

    Args:
        columns: with the types that the server gives them.
    """
    read = tuple(replace(c, type="STRING") if c.type.startswith("VARCHAR") else c for c in columns)
    if all(_is_ours(c.type) for c in read) and PARTITION in {c.name for c in read}:
        return Table(database, name, tuple(c for c in read if c.name != PARTITION))
    return ForeignTable(database, name, tuple(c for c in read if _is_ours(c.type) or c.type in _FOREIGN))


def _is_ours(hive_type: str) -> bool:
    try:
        arrow_type(hive_type)
    except ValueError:
        return False
    return True


def _foreign_type(hive_type: str) -> pa.DataType:
    return _FOREIGN.get(hive_type) or arrow_type(hive_type)


_FOREIGN = {"DATE": pa.date32(), "TINYINT": pa.int8(), "SMALLINT": pa.int16()}


@dataclass(frozen=True)
class Span:
    """A half-open span of time `[start, end)`, in aware UTC datetimes. The unit of replacement.

    Raises:
        ValueError: a time without a zone, or an end that is not after the start.
    """

    start: dt.datetime
    end: dt.datetime

    def __post_init__(self) -> None:
        for value in (self.start, self.end):
            if value.tzinfo is None:
                raise ValueError(f"{value} has no time zone; pass an aware datetime, in UTC")
        if self.end <= self.start:
            raise ValueError(f"A span must end after its start; found start {self.start} and end {self.end}")
        object.__setattr__(self, "start", self.start.astimezone(dt.UTC))
        object.__setattr__(self, "end", self.end.astimezone(dt.UTC))

    @classmethod
    def days(cls, first: dt.date, last: dt.date) -> Span:
        """Return the span of whole days, both ends included."""
        start = dt.datetime.combine(first, dt.time.min, dt.UTC)
        return cls(start, dt.datetime.combine(last, dt.time.min, dt.UTC) + DAY)

    @property
    def first_day(self) -> dt.date:
        """First day that the span touches."""
        return self.start.date()

    @property
    def last_day(self) -> dt.date:
        """Last day that the span touches."""
        return (self.end - dt.timedelta(microseconds=1)).date()

    @property
    def first_ds(self) -> str:
        """First day that the span touches, as `ds`."""
        return self.first_day.isoformat()

    @property
    def last_ds(self) -> str:
        """Last day that the span touches, as `ds`."""
        return self.last_day.isoformat()

    @property
    def is_whole_days(self) -> bool:
        """True if the span starts and ends at midnight UTC."""
        return self == self.whole_days()

    def whole_days(self) -> Span:
        """Return the span extended to the whole days that it touches."""
        return Span.days(self.first_day, self.last_day)

    def each_day(self) -> Iterator[dt.date]:
        """Yield each day that the span touches, in order."""
        day = self.first_day
        while day <= self.last_day:
            yield day
            day += DAY

    def __str__(self) -> str:
        if self.is_whole_days:
            return self.first_ds if self.first_ds == self.last_ds else f"{self.first_ds} to {self.last_ds}"
        return f"{self.start:%Y-%m-%dT%H:%M:%S} to {self.end:%Y-%m-%dT%H:%M:%S}"


def ranges(days: Iterable[dt.date]) -> list[Span]:
    """Return the days as the fewest spans, in order: consecutive days share a span."""
    spans: list[Span] = []
    for day in sorted(set(days)):
        if spans and spans[-1].last_day + DAY == day:
            spans[-1] = Span.days(spans[-1].first_day, day)
        else:
            spans.append(Span.days(day, day))
    return spans
