"""The interface of a connector, and the pages of raw rows that it yields."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.http_client import DEFAULT_LIMITS, Limits
from hive_io import Span, Warehouse

FILE = "_file"
"""Column with the place of a raw row: the name of its file, or the path of an API."""
ROW = "_row"
"""Column with the number of a raw row in its place, from 1; for a message of Kafka, its offset."""
LINE = "_line"
"""Column with the text of a row that could not be split into fields; NULL for all others."""
OWN = (FILE, ROW, LINE)
KEY, TIMESTAMP = "_key", "_timestamp"
"""Fields with the key of a message of Kafka, as text, and with its timestamp there, in milliseconds since 1970."""
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""`${NAME}` in a source file: the value of an environment variable."""


@dataclass(frozen=True)
class RawPage:
    """Raw rows in the order of the source.

    Attributes:
        rows: one text column for each field, NULL where a row has no value, and the columns `_file`, `_row` and `_line`.
            An object or array inside a field is its JSON text.
        day: the day that the source itself gives to the rows, such as the day in the name of their file; None if it gives none.
        optional: True if a row need not have every field, as in JSON. In a CSV or Parquet file, a missing column is an error.
        place: where the rows are, for messages about a page without rows.
    """

    rows: pa.Table
    day: dt.date | None = None
    optional: bool = False
    place: str = "the source"

    @property
    def fields(self) -> list[str]:
        """Names of the fields, without the connector's own columns."""
        return [name for name in self.rows.column_names if name not in OWN]


def no_variables(name: str) -> str | None:
    """An environment without variables."""
    return None


@dataclass(frozen=True)
class Context:
    """What connectors need besides the source file.

    Attributes:
        variable: the value of an environment variable; None if it is not set.
        limits: of what an HTTP source may send.
        attempts: maximum number of requests for a page.
        warehouse: opens the warehouse, for a sample of a table that is read in place.
    """

    variable: Callable[[str], str | None] = no_variables
    limits: Limits = DEFAULT_LIMITS
    attempts: int = 5
    warehouse: Callable[[], Warehouse] | None = None

    def secret(self, name: str) -> str:
        """The value of an environment variable that a source file names. It must appear in no message.

        Raises:
            SourceError: it is not set.
        """
        value = self.variable(name)
        if not value:
            raise SourceError(f"The environment variable {name}, which the source file names, is not set")
        return value


class Origin(Protocol):
    """Where the rows of a table are, as a source file says it."""

    @property
    def spill(self) -> int:
        """Largest number of days between the day that the source gives to rows and their times."""

    @property
    def by_day(self) -> bool:
        """True if each day has a snapshot of its own."""

    @property
    def valid_from(self) -> dt.date | None:
        """For snapshots that are not by day: first day for which the rows hold."""

    @property
    def version(self) -> str:
        """A text that changes with the data, as far as that can be told without reading them."""

    @property
    def missing_for_watch(self) -> str:
        """What to name in the source file for `fraud watch`; empty if nothing is missing."""

    @property
    def is_local(self) -> bool:
        """True if all rows can be counted without a burden on others."""

    def connector(self, context: Context) -> Connector:
        """A connector that reads the rows. It connects with the first use."""


class Connector(Protocol):
    """Reads one table of a source. A connector knows fields, never columns of a table."""

    looks_back: bool
    """True if rows of past days can be read again; False if the source only has what arrives from now on."""

    def pages(self, span: Span | None = None) -> Iterator[RawPage]:
        """Every raw row that may belong to the span, in pages; rows of other times may be among them.

        Args:
            span: None for everything that the source has.

        Raises:
            SourceError: the source cannot be read; names the place.
        """

    def arrivals(self, cursor: str | None, since: dt.datetime | None = None) -> Iterator[tuple[RawPage, str]]:
        """Raw rows after a cursor, in pages, each with the cursor of its last row.

        Args:
            cursor: of an earlier page; None for the beginning.
            since: without a cursor, a source that knows when its rows arrived may leave out those of before this instant.

        Raises:
            SourceError: as above, or a cursor whose rows the source no longer has.
        """

    def sample(self, rows: int, today: dt.date) -> Iterator[tuple[RawPage, bool]]:
        """About this many raw rows, spread over the places of the source, each page with whether its place was read to the end.

        Args:
            today: day of the snapshot, for sources that have one for each day.

        Raises:
            SourceError: as above.
        """

    def abort(self) -> None:
        """End the requests in progress, as far as the source allows it. May be called by any thread."""

    def close(self) -> None:
        """Release connections."""

    def places(self) -> list[str]:
        """What the connector reads: files, or paths of an API."""

    def snapshot(self, day: dt.date) -> Iterator[RawPage]:
        """Every raw row as of the start of a day, for tables of snapshots; no page if the source has none for that day.

        Raises:
            SourceError: as above, or the source cannot answer as of a day.
        """


def page_of(
    fields: Mapping[str, Sequence[str | None] | pa.Array | pa.ChunkedArray],
    place: str | pa.Array,
    numbers: Sequence[int] | pa.Array,
    lines: Sequence[str | None] | None = None,
    *,
    day: dt.date | None = None,
    optional: bool = False,
) -> RawPage:
    """A page from text columns of equal length.

    Args:
        place: of all rows, or of each.
    """
    count = len(numbers)
    columns: dict[str, Any] = {
        name: values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values, pa.string())
        for name, values in fields.items()
    }
    columns[FILE] = pa.repeat(pa.scalar(place, pa.string()), count) if isinstance(place, str) else place
    columns[ROW] = pa.array(numbers, pa.int64())
    columns[LINE] = pa.nulls(count, pa.string()) if lines is None else pa.array(lines, pa.string())
    return RawPage(pa.table(columns), day, optional, place if isinstance(place, str) else "the source")


def page_of_records(
    records: Sequence[Any],
    place: str | pa.Array,
    numbers: Sequence[int],
    lines: Sequence[str | None],
    *,
    day: dt.date | None = None,
) -> RawPage:
    """A page from decoded JSON values; one that is no object is a broken row.

    Args:
        lines: JSON text of each broken row, NULL for the others.
    """
    names: dict[str, None] = {}
    for record in records:
        if isinstance(record, dict):
            names.update(dict.fromkeys(record))
    fields = {
        name: [_text(record.get(name)) if isinstance(record, dict) else None for record in records]
        for name in names
        if name not in OWN
    }
    return page_of(fields, place, numbers, lines, day=day, optional=True)


def decoded(text: str) -> Any:
    """A text as JSON with every number as its own text; None if it is not JSON."""
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str | None:
    """A JSON value as text: a text as it is, a number as it was written, an object or array as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else repr(value)
