"""The live path: what arrived since the last look is brought into the lake and judged, in seconds. Knows no Dagster.

The same queries write the same tables as every run of the graph; a run of the same days leaves the same rows. What a day
sums up (its activity) is left to such a run: no rule reads it before the next day begins.
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


MOST_SPANS = 3
"""Spans of time that one look judges. Rows further apart share a span, and what lies between is judged again."""


GAP = dt.timedelta(minutes=10)
"""Rows nearer than this share a span, too: judging what lies between costs less than another span."""


_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class MicroBatch:
    """What one page of arrivals became.

    Attributes:
        served: rows that arrived; `rejected` of them broke a claim.
        arrived: their arrival times, as the source reports them, UTC without a zone; NULL where it reports none.
        days: rows of transactions on each day that got some, counted after the write.
        spans: what was judged.
        concurrent_write: another writer had replaced the live day since our last write; the next look begins with it again.
    """

    served: int
    rejected: int
    arrived: pa.Array
    days: dict[str, int]
    spans: Sequence[Span] = field(default=())
    concurrent_write: bool = False


class MicroBatcher:
    """Brings arrivals into the lake, one look after the other.

    Args:
        file: where the checkpoint is kept; it moves only after the rows are in and judged, so that whoever is killed in
            between does the same again.
        first_day: the first partition; older transactions are refused.
        rejected_limit: as for `audit`, for the snapshots of a day that begins.
        rejudged: for how long after a row that is late others are judged again at once, where a rule looks back on it;
            what comes later waits for the next run of the graph, which has the whole day.
    """

    def __init__(
        self,
        engine: Engine,
        source: SourceClient,
        warehouse: Warehouse,
        file: Path,
        first_day: dt.date,
        rejected_limit: float,
        rejudged: dt.timedelta = GAP,
    ) -> None:
        self._engine = engine
        self._source = source
        self._warehouse = warehouse
        self._file = file
        self._first_day = first_day
        self._limit = rejected_limit
        self._lookbacks = {rule.name: min(rule.file.meta.lookback, rejudged) for rule in engine.book.evaluated}
        self._lookbacks[FRAUD_ALERTS.name] = max(self._lookbacks.values(), default=dt.timedelta())
        self._rows: dict[str, int] = {}  # of days, after our last write
        self._looked_for_missing = False
        self.checkpoint = Checkpoint.read(file)

    def poll(self, today: dt.date) -> Iterator[MicroBatch]:
        """All that arrived since the last look, page by page; the checkpoint moves with each.

        Args:
            today: of the source's clock, UTC. Without a checkpoint, the look begins with it.

        Raises:
            SourceError, HiveIOError: the checkpoint stays where it was; look again.
        """
        for rows, cursor in self._source.arrivals(self.checkpoint.cursor, Span.days(today, today).start):
            look = self._bring(rows, today)
            reopened = {*self.checkpoint.reopened, *(day for day in look.days if day < (self.checkpoint.day or ""))}
            self._move(replace(self.checkpoint, cursor=None if look.concurrent_write else cursor, reopened=sorted(reopened)))
            yield look
            if look.concurrent_write:
                return

    def concurrent_write(self) -> bool:
        """Whether another writer has replaced the live day since our last write; then the next look begins with it again.

        A run that began before that write, and ended after it, has taken rows away. What is read again is not written twice.
        """
        if self.checkpoint.day not in self._rows or not self._differs(self._warehouse.partitions(TRANSACTIONS.table.full_name)):
            return False
        self.expect_writes()
        self._move(replace(self.checkpoint, cursor=None))
        return True

    def expect_writes(self) -> None:
        """A run of ours begins: that rows change until the next look is no surprise."""
        self._rows.clear()

    def mark_reconciled(self, days: Sequence[str]) -> None:
        """A run of the graph has brought these days."""
        self._move(replace(self.checkpoint, reopened=[day for day in self.checkpoint.reopened if day not in days]))

    def _differs(self, rows: Mapping[str, int]) -> bool:
        day = self.checkpoint.day
        return day is not None and day in self._rows and rows.get(day, 0) != self._rows[day]

    def _move(self, checkpoint: Checkpoint) -> None:
        checkpoint.write(self._file)
        self.checkpoint = checkpoint

    def _bring(self, rows: list[Row], today: dt.date) -> MicroBatch:
        # a source's clock may be ahead of ours at midnight
        asked = Span.days(self._first_day, today + DAY)
        batch = validate(TRANSACTIONS, rows, asked, arrived_on=today)
        self._warehouse.upsert(TRANSACTIONS.rejected, batch.rejected)
        receipt = self._warehouse.upsert(TRANSACTIONS.table, batch.rows)
        concurrent_write = self.checkpoint.day in receipt.before and self._differs(receipt.before)
        self._rows.update(receipt.partitions)
        if receipt.partitions:
            self._begin(min(max(receipt.partitions), today.isoformat()))
        spans = self._judge(batch.rows.column("event_time"))
        arrived = batch.rows.column("ingested_at")
        return MicroBatch(len(rows), batch.rejected.num_rows, arrived, dict(receipt.partitions), spans, concurrent_write)

    def _judge(self, times: pa.ChunkedArray) -> list[Span]:
        """Compute every rule and the alerts for the moments of rows. Returns the spans in which there are new alerts."""
        by_lookback = {lookback: spans_of(times, lookback) for lookback in set(self._lookbacks.values())}
        alone = [table for table in self._lookbacks if self._engine.is_per_customer(table)]
        for table in self._lookbacks.keys() - alone:
            for span in by_lookback[self._lookbacks[table]]:
                self._compute(table, span)
        # the longest spans have all others in them; most rules read the same rows, so these are fetched once
        longest = by_lookback[self._lookbacks[FRAUD_ALERTS.name]]
        for whole in longest:
            with self._warehouse.preloaded(TRANSACTIONS.table.full_name, self._engine.lookback_rows(whole)):
                for table in alone:
                    for span in by_lookback[self._lookbacks[table]]:
                        if whole.start <= span.start and span.end <= whole.end:
                            self._compute(table, span)
        return longest

    def _compute(self, table: str, span: Span) -> None:
        self._warehouse.replace(self._engine.tables[table], self._engine.query(table, span), span)

    def _begin(self, ds: str) -> None:
        """The first transaction of a day has come: make what is known when the day begins, before anything is judged.

        Yesterday is summed up, as far as it has arrived, and stays open until a run of the graph has brought it.
        """
        if self.checkpoint.day is not None and ds <= self.checkpoint.day:
            self._make_missing(dt.date.fromisoformat(self.checkpoint.day))
            return
        day = dt.date.fromisoformat(ds)
        morning, yesterday = Span.days(day, day), self._day_before(day)
        for api in API_TABLES.values():
            todo = yesterday if api.day_column else morning
            if todo is None:
                self._warehouse.ensure_table(api.table)
            elif api is not TRANSACTIONS:
                load(api, self._source, self._warehouse, todo, self._limit)
        self._make(self._engine.upstream_features, day)
        reopened = set(self.checkpoint.reopened)
        if yesterday is not None and yesterday.first_ds in self._warehouse.partitions(TRANSACTIONS.table.full_name):
            reopened.add(yesterday.first_ds)
        self._move(replace(self.checkpoint, day=ds, reopened=sorted(reopened)))

    def _make_missing(self, day: dt.date) -> None:
        """Features that the warehouse does not have, since an earlier release began the day: rules read them."""
        if not self._looked_for_missing:
            there = set(self._warehouse.tables(DATABASE))
            self._make([name for name in self._engine.upstream_features if name not in there], day)
            self._looked_for_missing = True

    def _make(self, features: Iterable[str], day: dt.date) -> None:
        """What is known when the day begins, and what sums up the day before it; nothing does before the first day."""
        for name in features:
            span = Span.days(day, day) if self._engine.is_point_in_time(name) else self._day_before(day)
            if span is None:
                self._warehouse.ensure_table(self._engine.tables[name])
            else:
                self._warehouse.replace(self._engine.tables[name], self._engine.query(name, span), span)

    def _day_before(self, day: dt.date) -> Span | None:
        return Span.days(day - DAY, day - DAY) if day > self._first_day else None


def spans_of(times: pa.ChunkedArray, lookback: dt.timedelta, most: int = MOST_SPANS) -> list[Span]:
    """Spans, in order, that hold all times and what looks back on them: as few days' worth as `most` spans can have.

    Args:
        times: TIMESTAMP, UTC without a zone.
        lookback: how far the rules look back.
    """
    moments = sorted({moment.replace(tzinfo=dt.UTC) for moment in times.to_pylist()})
    if not moments:
        return []
    gaps = [(after - before, place) for place, (before, after) in enumerate(pairwise(moments), 1) if after - before > GAP]
    edges = [0, *sorted(place for _, place in nlargest(most - 1, gaps)), len(moments)]
    spans: list[Span] = []
    for first, end in pairwise(edges):
        start, last = moments[first], moments[end - 1] + lookback + _MICROSECOND
        if spans and start <= spans[-1].end:
            spans[-1] = Span(spans[-1].start, max(last, spans[-1].end))
        else:
            spans.append(Span(start, last))
    return spans
