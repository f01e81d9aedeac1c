"""The live path: loads and judges what arrived since the last poll, within seconds. Independent of Dagster.

A micro-batch writes the same tables with the same queries as a run, and a later run of the same days leaves the same rows.
The daily sums of the day in progress (its activity) are left to that run: rules do not read them before the next day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nlargest
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from fraud_assets.engine.engine import Engine
from fraud_assets.ingestion.batch import Row
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.ingestion.load import load
from fraud_assets.ingestion.validate import validate
from fraud_assets.live.checkpoint import Checkpoint
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import API_TABLES
from hive_io import Span, Warehouse
from hive_io.table import DAY

TRANSACTIONS = API_TABLES["transactions"]

MAX_SPANS = 3
"""Most spans of time per micro-batch. Rows further apart share a span, and the rows between them are judged again."""

GAP = dt.timedelta(minutes=10)
"""Longest time between rows that share a span: judging the rows between them costs less than another span."""

_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class MicroBatch:
    """Outcome of one page of arrivals.

    Attributes:
        served: rows in the page.
        rejected: rows that violate a claim.
        arrived: arrival times of the other rows as reported by the source, UTC without a zone; NULL where it reports none.
        days: number of transactions on each day that received rows, counted after the write.
        spans: the spans that were judged.
        concurrent_write: True if another writer had replaced the current day since the last write of the live path. The next
            poll reads the day again from its beginning.
    """

    served: int
    rejected: int
    arrived: pa.Array
    days: dict[str, int]
    spans: Sequence[Span] = field(default=())
    concurrent_write: bool = False


class MicroBatcher:
    """Loads and judges arrivals, one micro-batch after the other.

    Args:
        file: the checkpoint. It advances only after rows are loaded and judged, so a process that is killed in between
            repeats the micro-batch, which is idempotent.
        first_day: first partition; older transactions are rejected.
        rejected_limit: largest share of rejected rows in the snapshots that are loaded when a day begins, as for `audit`.
        rejudge_within: time after a late row within which rules with lookback judge other transactions again at once. Later
            transactions wait for the next reconciliation run, which computes the whole day.
    """

    def __init__(
        self,
        engine: Engine,
        source: SourceClient,
        warehouse: Warehouse,
        file: Path,
        first_day: dt.date,
        rejected_limit: float,
        rejudge_within: dt.timedelta = GAP,
    ) -> None:
        self._engine = engine
        self._source = source
        self._warehouse = warehouse
        self._file = file
        self._first_day = first_day
        self._rejected_limit = rejected_limit
        self._lookbacks = {rule.name: min(rule.file.meta.lookback, rejudge_within) for rule in engine.book.evaluated}
        self._lookbacks[FRAUD_ALERTS.name] = max(self._lookbacks.values(), default=dt.timedelta())
        self._row_counts: dict[str, int] = {}
        """Transactions of each day after the last write of the live path."""
        self._features_are_complete = False
        self.checkpoint = Checkpoint.read(file)

    def poll(self, today: dt.date) -> Iterator[MicroBatch]:
        """Load and judge everything that arrived since the last poll, page by page; the checkpoint advances with each page.

        Args:
            today: date of the source's clock, UTC. Without a cursor, the poll reads from the beginning of this day.

        Raises:
            SourceError, HiveIOError: the checkpoint is unchanged; poll again.
        """
        for rows, cursor in self._source.arrivals(self.checkpoint.cursor, Span.days(today, today).start):
            batch = self._load_and_judge(rows, today)
            late_days = {*self.checkpoint.late_days, *(day for day in batch.days if day < (self.checkpoint.day or ""))}
            self._save(replace(self.checkpoint, cursor=None if batch.concurrent_write else cursor, late_days=sorted(late_days)))
            yield batch
            if batch.concurrent_write:
                return

    def concurrent_write(self) -> bool:
        """True if another writer has replaced the current day since the last write of the live path.

        A run that began before that write and ended after it has removed its rows. The cursor is reset, and the next poll
        reads the day again from its beginning; the upsert makes that idempotent.
        """
        if self.checkpoint.day not in self._row_counts:
            return False
        if not self._row_count_differs(self._warehouse.partitions(TRANSACTIONS.table.full_name)):
            return False
        self.expect_writes()
        self._save(replace(self.checkpoint, cursor=None))
        return True

    def expect_writes(self) -> None:
        """Forget row counts before a reconciliation run, whose writes are not concurrent ones."""
        self._row_counts.clear()

    def mark_reconciled(self, days: Sequence[str]) -> None:
        """Remove days from the late days of the checkpoint after a reconciliation run has computed them."""
        self._save(replace(self.checkpoint, late_days=[day for day in self.checkpoint.late_days if day not in days]))

    def _row_count_differs(self, row_counts: Mapping[str, int]) -> bool:
        day = self.checkpoint.day
        return day is not None and day in self._row_counts and row_counts.get(day, 0) != self._row_counts[day]

    def _save(self, checkpoint: Checkpoint) -> None:
        checkpoint.write(self._file)
        self.checkpoint = checkpoint

    def _load_and_judge(self, rows: list[Row], today: dt.date) -> MicroBatch:
        # around midnight, the source's clock may be ahead
        allowed = Span.days(self._first_day, today + DAY)
        batch = validate(TRANSACTIONS, rows, allowed, arrived_on=today)
        self._warehouse.upsert(TRANSACTIONS.rejected, batch.rejected)
        receipt = self._warehouse.upsert(TRANSACTIONS.table, batch.rows)
        concurrent_write = self.checkpoint.day in receipt.before and self._row_count_differs(receipt.before)
        self._row_counts.update(receipt.partitions)
        if receipt.partitions:
            self._begin_day(min(max(receipt.partitions), today.isoformat()))
        spans = self._judge(batch.rows.column("event_time"))
        arrived = batch.rows.column("ingested_at")
        return MicroBatch(len(rows), batch.rejected.num_rows, arrived, dict(receipt.partitions), spans, concurrent_write)

    def _judge(self, times: pa.ChunkedArray) -> list[Span]:
        """Compute every rule and the alerts for the times of the rows; return the spans of the alerts."""
        by_lookback = {lookback: spans_of(times, lookback) for lookback in set(self._lookbacks.values())}
        per_customer = [table for table in self._lookbacks if self._engine.is_per_customer(table)]
        for table in self._lookbacks.keys() - per_customer:
            for span in by_lookback[self._lookbacks[table]]:
                self._compute(table, span)
        # each span of a shorter lookback lies in one of the longest; most rules read the same rows, so they are fetched once
        longest = by_lookback[self._lookbacks[FRAUD_ALERTS.name]]
        for outer in longest:
            with self._warehouse.preloaded(TRANSACTIONS.table.full_name, self._engine.lookback_rows(outer)):
                for table in per_customer:
                    for span in by_lookback[self._lookbacks[table]]:
                        if outer.start <= span.start and span.end <= outer.end:
                            self._compute(table, span)
        return longest

    def _compute(self, table: str, span: Span) -> None:
        self._warehouse.replace(self._engine.tables[table], self._engine.query(table, span), span)

    def _begin_day(self, ds: str) -> None:
        """With the first transaction of a day, compute its point-in-time tables before anything is judged.

        Daily sums of yesterday are computed from what has arrived; yesterday becomes a late day, to be reconciled.
        """
        if self.checkpoint.day is not None and ds <= self.checkpoint.day:
            self._add_missing_features(dt.date.fromisoformat(self.checkpoint.day))
            return
        day = dt.date.fromisoformat(ds)
        yesterday = self._day_before(day)
        for api in API_TABLES.values():
            span = yesterday if api.day_column else Span.days(day, day)
            if span is None:
                self._warehouse.ensure_table(api.table)
            elif api is not TRANSACTIONS:
                load(api, self._source, self._warehouse, span, self._rejected_limit)
        self._compute_features(self._engine.upstream_features, day)
        late_days = set(self.checkpoint.late_days)
        if yesterday is not None and yesterday.first_ds in self._warehouse.partitions(TRANSACTIONS.table.full_name):
            late_days.add(yesterday.first_ds)
        self._save(replace(self.checkpoint, day=ds, late_days=sorted(late_days)))

    def _add_missing_features(self, day: dt.date) -> None:
        """Compute features that the warehouse lacks because an earlier release began the day: rules read them."""
        if not self._features_are_complete:
            existing = set(self._warehouse.tables(DATABASE))
            self._compute_features([name for name in self._engine.upstream_features if name not in existing], day)
            self._features_are_complete = True

    def _compute_features(self, features: Iterable[str], day: dt.date) -> None:
        """Compute point-in-time features of a day and the other features of the day before.

        Before the first partition there is no such day; the table is created empty.
        """
        for name in features:
            span = Span.days(day, day) if self._engine.is_point_in_time(name) else self._day_before(day)
            if span is None:
                self._warehouse.ensure_table(self._engine.tables[name])
            else:
                self._compute(name, span)

    def _day_before(self, day: dt.date) -> Span | None:
        return Span.days(day - DAY, day - DAY) if day > self._first_day else None


def spans_of(times: pa.ChunkedArray, lookback: dt.timedelta, limit: int = MAX_SPANS) -> list[Span]:
    """Spans, in order, that cover all times and the lookback time after each.

    Args:
        times: TIMESTAMP, UTC without a zone.
        lookback: how far back the rules read, and so how long after a row other rows depend on it.
        limit: most spans to return; the largest gaps separate them.
    """
    moments = sorted({moment.replace(tzinfo=dt.UTC) for moment in times.to_pylist()})
    if not moments:
        return []
    gaps = [(after - before, place) for place, (before, after) in enumerate(pairwise(moments), 1) if after - before > GAP]
    edges = [0, *sorted(place for _, place in nlargest(limit - 1, gaps)), len(moments)]
    spans: list[Span] = []
    for first, end in pairwise(edges):
        start, last = moments[first], moments[end - 1] + lookback + _MICROSECOND
        if spans and start <= spans[-1].end:
            spans[-1] = Span(spans[-1].start, max(last, spans[-1].end))
        else:
            spans.append(Span(start, last))
    return spans
