"""A source that a source file describes: from connectors and mappings to the same batches as those of the APIs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.batch import Batch, Counts, QueriedBatch, last_versions, without_repeats
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.ingestion.own_data.connectors.base import Connector, Context, RawPage
from fraud_assets.ingestion.own_data.connectors.hive import HiveLayout
from fraud_assets.ingestion.own_data.in_place import batch_in_place
from fraud_assets.ingestion.own_data.mapping import Mapped, TableMapping
from fraud_assets.ingestion.own_data.source_file import SourceFile, read_source_file
from fraud_assets.ingestion.prefetch import prefetch
from fraud_assets.ingestion.validate import AHEAD, ahead_of_arrival, judge, judge_in_span
from fraud_assets.schemas.sources import ApiTable
from hive_io import PARTITION, Span, Warehouse

_FIRST, _LAST = dt.date(2000, 1, 1), dt.date(2100, 1, 1)
"""Bounds of plausible times, as in `is_plausible_time`. No run loads days outside of them."""
_NO_CONTEXT = Context()


@dataclass(frozen=True)
class JudgedPage:
    """Rows of a page, validated.

    Attributes:
        rows: valid rows.
        rejected: rows that break a claim.
        days: the day to which each row of the page belongs, `ds` as text.
        refused: for each row, whether it is rejected.
        mapped: the page, in the order of `days`.
        left_out: raw rows that are no rows of the table.
    """

    rows: pa.Table
    rejected: pa.Table
    days: pa.Array
    refused: pa.Array
    mapped: Mapped
    left_out: int = 0


class MappedSource:
    """Tables as a source file describes them. A table that it does not describe comes from its APIs, or stays empty.

    Args:
        mask_key: secret of keyed hashes; see `TableMapping`.
        connect: makes the client of the APIs at a base URL.
        ahead: time by which an event may be later than its arrival, as for `validate`.
        context: what connectors need besides the source file.

    Raises:
        SourceFileError: a mistake in the source file.
    """

    def __init__(
        self,
        source: SourceFile,
        mask_key: str | None = None,
        connect: Callable[[str], SourceClient] = SourceClient,
        ahead: dt.timedelta = AHEAD,
        context: Context = _NO_CONTEXT,
    ) -> None:
        self.file = source
        self._ahead = ahead
        self._mappings = {name: TableMapping(table, mask_key) for name, table in source.tables.items()}
        self._connectors = {name: table.origin.connector(context) for name, table in source.tables.items()}
        self.apis = connect(source.apis) if source.apis else None
        """Client of the APIs that fill the other tables."""

    @classmethod
    def of(cls, path: Path, mask_key: str | None = None, context: Context = _NO_CONTEXT) -> MappedSource:
        """The source that a file describes."""
        return cls(read_source_file(path), mask_key, context=context)

    def describes(self, table: str) -> bool:
        """True if the source file says how the table is made."""
        return table in self._mappings

    def mapping(self, table: str) -> TableMapping:
        """The mapping of a table that the source file describes."""
        return self._mappings[table]

    def connector(self, table: str) -> Connector:
        """The connector of a table that the source file describes."""
        return self._connectors[table]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.apis is not None:
            self.apis.close()
        for connector in self._connectors.values():
            connector.close()

    def abort(self) -> None:
        """End the requests in progress. May be called by any thread."""
        if self.apis is not None:
            self.apis.abort()
        for connector in self._connectors.values():
            connector.abort()

    def fetch(
        self, api: ApiTable, span: Span, warehouse: Warehouse | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> Batch | QueriedBatch:
        """Read, map and validate a table's rows of a span.

        Args:
            warehouse: runs the queries of a table that is read in place.
            clock: for the ages of what such loads have left behind.

        Raises:
            SourceError: the source cannot be read.
            SourceFileError: an expression of the source file is wrong.
        """
        if not self.describes(api.table.name):
            return empty_batch(api, span)
        table = self.file.tables[api.table.name]
        if isinstance(table.origin, HiveLayout):
            assert warehouse is not None
            return batch_in_place(table, warehouse, span, self._ahead, clock)
        if api.day_column is None:
            return self._snapshots(api, span)
        loaded = _Loaded(api, span)
        # the mapping of a page runs while the page before it is validated
        pages = self.connector(api.table.name).pages(span)
        for mapped in prefetch(self.mapping(api.table.name).apply(page) for page in pages):
            loaded.add(self._judged(api, mapped, span))
        return loaded.batch()

    def arrivals(
        self, api: ApiTable, cursor: str | None, since: dt.datetime, allowed: Span, today: dt.date
    ) -> Iterator[tuple[Batch, str]]:
        """Rows in order of arrival, in pages, each with the cursor of its last row; as `arrivals` of the module of that name.

        Args:
            since: without a cursor, rows with an earlier time are left to runs.
        """
        name = api.table.name
        if not self.describes(name):
            raise SourceError(f"{self.file.path} does not say where {name} come from")
        mapping = self.mapping(name)
        for page, last in self.connector(name).arrivals(cursor, since):
            mapped = mapping.apply(page)
            if cursor is None:
                times = mapped.frame.column(str(api.day_column))
                earlier = pc.less(times, pa.scalar(since.astimezone(dt.UTC).replace(tzinfo=None), times.type))
                mapped = mapped.rows_where(pc.invert(pc.fill_null(earlier, False)))
            rounded = set(pc.indices_nonzero(mapped.rounded).to_pylist())
            raw = mapped.raw
            batch = judge_in_span(
                api, mapped.frame, mapped.broken, rounded, allowed, partial(mapping.served, raw), today, self._ahead
            )
            yield batch, last

    def judged(self, api: ApiTable, page: RawPage) -> JudgedPage:
        """A page, mapped and validated; rows of every day."""
        everything = Span.days(_FIRST, _LAST)
        mapped = self.mapping(api.table.name).apply(page)
        return replace(self._judged(api, mapped, everything), left_out=mapped.left_out)

    def row_counts(self, api: ApiTable) -> dict[str, int]:
        """Number of raw rows of each day (`ds`) of a table of events, of everything that the source has."""
        name, time = api.table.name, str(api.day_column)
        table = self.file.tables[name]
        # only the time is read: it decides on the day
        mapping = TableMapping(replace(table, columns={time: table.columns[time]}))
        days = [_days_of(mapping.apply(page), api, table.origin.spill) for page in self.connector(name).pages()]
        return _counts([part.drop_null() for part in days])

    def _snapshots(self, api: ApiTable, span: Span) -> Batch:
        """The snapshot of each day. A file that holds for many days is read once."""
        loaded = _Loaded(api, span)
        name = api.table.name
        table = self.file.tables[name]
        read: list[Mapped] | None = None
        for day in span.each_day():
            if read is None or table.origin.by_day:
                read = [self.mapping(name).apply(page) for page in self.connector(name).snapshot(day)]
            for mapped in read:
                loaded.add(self._judged(api, mapped, Span.days(day, day)))
            if not read:
                read = None
        return loaded.batch()

    def _judged(self, api: ApiTable, mapped: Mapped, span: Span) -> JudgedPage:
        """Validate the rows of a page that belong to the span; rows of other days are left out."""
        mapping = self.mapping(api.table.name)
        if api.day_column is None:
            days = pa.repeat(pa.scalar(span.first_ds), mapped.frame.num_rows)
        else:
            days = _days_of(mapped, api, self.file.tables[api.table.name].origin.spill)
        inside = _inside(days, span)
        if not pc.all(inside).as_py():
            mapped, days = mapped.rows_where(inside), days.filter(inside)
        frame, raw, broken, rounded = mapped.frame, mapped.raw, mapped.broken, mapped.rounded
        if api.day_column is not None:
            for index in ahead_of_arrival(api, frame, self._ahead):
                broken.setdefault(index, set()).add(str(api.ahead_claim))
        result = judge(api, frame, broken, days, lambda index: mapping.served(raw, index))
        return JudgedPage(
            result.rows, result.rejected, days, result.refused, Mapped(frame, broken, raw, mapped.day, 0, rounded)
        )


def _days_of(mapped: Mapped, api: ApiTable, spill: int) -> pa.Array:
    """The day (`ds`) to which each row belongs: that of its time.

    A row whose time is missing, unreadable or absurd belongs to the day that its file is of, or else to the day of the nearest
    row before it that has one (or after it, at the beginning): so each row belongs to exactly one day, whatever is loaded. So
    does a row whose time is further from the day of its file than `spill` days, and it breaks the claim of the span.
    """
    times = _combined(mapped.frame.column(str(api.day_column)))
    low, high = (pa.scalar(dt.datetime.combine(day, dt.time.min), times.type) for day in (_FIRST, _LAST))
    plausible = pc.fill_null(pc.and_(pc.greater_equal(times, low), pc.less(times, high)), False)
    if mapped.day is not None:
        near = (
            pa.scalar(dt.datetime.combine(mapped.day + days * dt.timedelta(days=1), dt.time.min), times.type)
            for days in (-spill, spill + 1)
        )
        within = pc.fill_null(pc.and_(pc.greater_equal(times, next(near)), pc.less(times, next(near))), False)
        for index in pc.indices_nonzero(pc.and_(plausible, pc.invert(within))).to_pylist():
            mapped.broken.setdefault(int(index), set()).add(str(api.span_claim))
        days = pc.strftime(times, "%Y-%m-%d")
        return pc.if_else(within, days, pa.scalar(mapped.day.isoformat()))
    days = pc.if_else(plausible, pc.strftime(times, "%Y-%m-%d"), pa.scalar(None, pa.string()))
    return pc.fill_null_backward(pc.fill_null_forward(days))


def _inside(days: pa.Array, span: Span) -> pa.Array:
    """Whether each day is in the span. A page without any day belongs to every span, so that its audit fails."""
    inside = pc.and_(pc.greater_equal(days, pa.scalar(span.first_ds)), pc.less_equal(days, pa.scalar(span.last_ds)))
    return pc.fill_null(inside, True)


def _combined(values: Any) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


@dataclass
class _Loaded:
    """The rows of a span, collected page by page."""

    api: ApiTable
    span: Span
    rows: list[pa.Table] = field(default_factory=list)
    rejected: list[pa.Table] = field(default_factory=list)
    days: list[pa.Array] = field(default_factory=list)
    refused_days: list[pa.Array] = field(default_factory=list)
    rounded_days: list[pa.Array] = field(default_factory=list)

    def add(self, page: JudgedPage) -> None:
        first = pa.scalar(self.span.first_ds)
        days = pc.fill_null(page.days, first)
        self.rows.append(page.rows)
        self.rejected.append(page.rejected)
        self.days.append(days)
        self.refused_days.append(days.filter(page.refused))
        self.rounded_days.append(days.filter(pc.and_(page.mapped.rounded, pc.invert(page.refused))))

    def batch(self) -> Batch:
        rows = last_versions(self.api, pa.concat_tables([self.api.table.arrow_schema.empty_table(), *self.rows]))
        rejected = without_repeats(pa.concat_tables([self.api.rejected.arrow_schema.empty_table(), *self.rejected]))
        served, loaded, refused = _counts(self.days), _counts([rows.column(PARTITION)]), _counts(self.refused_days)
        rounded = _counts(self.rounded_days)
        days = {}
        for day in self.span.each_day():
            ds = day.isoformat()
            kept, broken = loaded.get(ds, 0), refused.get(ds, 0)
            days[ds] = Counts(kept, broken, served.get(ds, 0) - kept - broken, rounded.get(ds, 0))
        return Batch(rows, rejected, days)


def _counts(days: Sequence[Any]) -> dict[str, int]:
    """Number of rows of each day."""
    counted = pa.chunked_array([_combined(part) for part in days], pa.string()).value_counts()
    return {item["values"]: item["counts"] for item in counted.to_pylist()}


def empty_batch(api: ApiTable, span: Span) -> Batch:
    """A table that the source does not have: no rows on any day, so rules that need it do not judge."""
    nothing = api.table.arrow_schema.empty_table(), api.rejected.arrow_schema.empty_table()
    days = {day.isoformat(): Counts(0, 0, 0) for day in span.each_day()}
    return Batch(*nothing, days, has_source=False)
