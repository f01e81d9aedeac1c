"""The live path: loads and judges what arrived since the last poll, within seconds. Independent of Dagster.

A micro-batch writes the same tables with the same queries as a run, and a later run of the same days leaves the same rows.
The daily sums of the day in progress (its activity) are left to that run: rules do not read them before the next day.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from heapq import nlargest
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.engine.corrections import remove_moved
from fraud_assets.engine.engine import Engine
from fraud_assets.errors import FraudError
from fraud_assets.ingestion.arrivals import arrivals
from fraud_assets.ingestion.batch import Batch
from fraud_assets.ingestion.load import Source
from fraud_assets.lists.files import read_lists
from fraud_assets.lists.rows import list_rows
from fraud_assets.live.checkpoint import Checkpoint
from fraud_assets.live.day_tables import DayTables, description, spans_of_day
from fraud_assets.live.hot_window import Change, HotWindow
from fraud_assets.live.pending import MissingTable, Pending
from fraud_assets.schemas.cases import DECISIONS
from fraud_assets.schemas.detection import ALERT_THRESHOLDS, FRAUD_ALERTS, TRANSACTION_SCORES
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.schemas.lists import LISTS
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import API_TABLES, TRANSACTIONS
from hive_io import Receipt, Span, TableNotFound, Warehouse
from hive_io.table import DAY, ranges

log = logging.getLogger("fraud_assets.live")

_TRANSACTIONS = TRANSACTIONS.table.full_name

MAX_SPANS = 3
"""Most spans of time per micro-batch. Rows further apart share a span, and the rows between them are judged again."""

MAX_LATE_DAYS = 3
"""Most days before yesterday per poll. Late transactions of further days are judged by later polls, the latest days first."""
PENDING_FILE = "pending.json"

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
            poll reads again what has arrived since the day began.
    """

    served: int
    rejected: int
    arrived: pa.Array
    days: dict[str, int]
    spans: Sequence[Span] = field(default=())
    concurrent_write: bool = False


@dataclass(frozen=True)
class _Reconciling:
    """Reconciliation runs in progress.

    Attributes:
        days: the days that they load and compute.
        pending: what was put off when they began.
        late_meanwhile: earlier days that have received rows since.
    """

    days: Collection[str]
    pending: Pending
    late_meanwhile: set[str] = field(default_factory=set)


class MicroBatcher:
    """Loads and judges arrivals, one micro-batch after the other.

    Args:
        file: the checkpoint. It advances only after rows are loaded and judged, so a process that is killed in between
            repeats the micro-batch, which is idempotent. `pending.json`, beside it, holds what is put off.
        first_day: first partition; older transactions are rejected.
        rejected_limit: largest share of rejected rows in the snapshots that are loaded when a day begins, as for `audit`.
        rejudge_within: time after a late row within which rules with lookback judge other transactions again at once. Later
            transactions wait for the next reconciliation run, which computes the whole day.
        lists: folder of the block and watch lists; None for the source's blacklist alone.
        correction_days: how many days apart two versions of a transaction may be, as for `remove_moved`.
        search_every: seconds between two searches for such versions, which read the ids of these days.
        patience: seconds to wait, when a day begins, for its snapshots. Detection goes on with those of an earlier day.
        clock: the time of their loads.
        whole_days: judge whole days, in the warehouse, and neither parts of days nor in memory. Late rows are judged with all
            others that depend on them, whatever `rejudge_within` says.

    Raises:
        FraudError: a file of the lists cannot be read.
    """

    def __init__(
        self,
        engine: Engine,
        source: Source,
        warehouse: Warehouse,
        file: Path,
        first_day: dt.date,
        rejected_limit: float,
        rejudge_within: dt.timedelta = GAP,
        lists: Path | None = None,
        correction_days: int = 7,
        search_every: float = 0.0,
        patience: float = 60.0,
        clock: Clock = SYSTEM_CLOCK,
        whole_days: bool = False,
    ) -> None:
        self._engine = engine
        self._transactions = engine.apis[TRANSACTIONS.table.name]
        self._source = source
        self._warehouse = warehouse
        self._file = file
        self._pending_file = file.with_name(PENDING_FILE)
        self._first_day = first_day
        self._day_tables = DayTables(source, warehouse, rejected_limit, patience, clock)
        self._lists_folder = lists
        self._lists = read_lists(lists)
        self._correction_days = correction_days
        self._search_every = search_every
        self._search_at = 0.0
        self._unsearched: list[pa.Array] = []
        """Times of transactions of which other versions, on other days, were not searched."""
        lookbacks = {rule.name: rule.file.meta.lookback for rule in engine.book.evaluated}
        lookbacks[TRANSACTION_FEATURES.name] = engine.book.features[TRANSACTION_FEATURES.name].meta.lookback
        self._whole_days = whole_days
        self._reach = dt.timedelta(math.ceil(max(lookbacks.values()) / DAY))
        self._lookbacks = {name: min(lookback, rejudge_within) for name, lookback in lookbacks.items()}
        # computed from those before, so in the widest of their spans
        self._lookbacks |= dict.fromkeys([TRANSACTION_SCORES.name, FRAUD_ALERTS.name], max(self._lookbacks.values()))
        in_memory = HotWindow.suits(engine) and not whole_days
        self._hot = HotWindow(engine, warehouse, rejudge_within) if in_memory else None
        self._writer = ThreadPoolExecutor(1, "writer")
        """One thread, because a warehouse keeps its tables open for each thread."""
        self._row_counts: dict[str, int] = {}
        """Transactions of each day after the last write of the live path."""
        self._reconciling: _Reconciling | None = None
        self._merged = 0
        self._features_are_complete = False
        self.checkpoint = Checkpoint.read(file)
        self._pending = Pending.read(self._pending_file)
        self._problems: dict[str, str] = {}
        """Why each missing table could not be loaded, at the last attempt."""

    @property
    def missing(self) -> Mapping[str, MissingTable]:
        """Tables of the current day that are not loaded, by name."""
        return {missing.table: missing for missing in self._pending.missing}

    @property
    def problems(self) -> dict[str, str]:
        """A description of each missing table, for people."""
        return {
            table: description(missing, self._problems.get(table, "is not loaded yet"))
            for table, missing in self.missing.items()
        }

    @property
    def refused(self) -> Mapping[str, int]:
        """How often a table was refused since the start, because too many of its rows were rejected; 0 without an entry."""
        return self._day_tables.refused

    def close(self) -> None:
        """Give up what is being fetched."""
        self._day_tables.close()
        self._writer.shutdown()
        self._forget()

    def poll(self, today: dt.date) -> Iterator[MicroBatch]:
        """Load and judge everything that arrived since the last poll, page by page; the checkpoint advances with each page.

        Args:
            today: date of the source's clock, UTC. Without a cursor, the poll reads from the beginning of this day.

        Raises:
            SourceError, HiveIOError: the checkpoint is unchanged; poll again.
        """
        # around midnight, the source's clock may be ahead
        allowed = Span.days(self._first_day, today + DAY)
        for arrived, cursor in arrivals(self._transactions, self._source, self.checkpoint.cursor, today, allowed):
            batch = self._load_and_judge(arrived, today)
            late = {day for day in batch.days if day < (self.checkpoint.day or "")}
            if self._reconciling is not None:
                self._reconciling.late_meanwhile.update(late)
            late_days = {*self.checkpoint.late_days, *late}
            again = self.checkpoint.day_cursor
            self._save(
                replace(self.checkpoint, cursor=again if batch.concurrent_write else cursor, late_days=sorted(late_days))
            )
            yield batch
            if batch.concurrent_write:
                return
        self._judge_late()

    @property
    def unjudged_days(self) -> int:
        """Days before yesterday with late transactions that wait to be judged, a few with each poll."""
        return len(self._pending.unjudged)

    def concurrent_write(self) -> bool:
        """True if another writer has replaced the current day since the last write of the live path.

        A run that began before that write and ended after it has removed its rows. The cursor is set back to where the day
        began, and the next poll reads again what has arrived since; the upsert makes that idempotent.
        """
        if self.checkpoint.day not in self._row_counts:
            return False
        if not self._row_count_differs(self._warehouse.partitions(_TRANSACTIONS)):
            return False
        self._row_counts.clear()
        self._forget()
        self._save(replace(self.checkpoint, cursor=self.checkpoint.day_cursor))
        return True

    def begin_reconciliation(self, days: Collection[str]) -> None:
        """Expect the writes of runs that load and compute these days; they are not concurrent ones."""
        self._reconciling = _Reconciling(days, self._pending)
        self._row_counts.clear()

    def end_reconciliation(self, complete: bool) -> None:
        """Read again what the runs may have changed, and forget what was put off for them.

        Args:
            complete: the runs have succeeded. What was put off since they began is not forgotten.
        """
        self._row_counts.clear()
        if self._hot is not None:
            self._hot.forget_what_changed()
        runs, self._reconciling = self._reconciling, None
        if runs is None or not complete:
            return
        missing = [each for each in self._pending.missing if each.day.isoformat() not in runs.days]
        unjudged = [
            times
            for times in self._pending.unjudged
            if times[0].date().isoformat() not in runs.days or times not in runs.pending.unjudged
        ]
        self._put_off(missing=tuple(missing), unjudged=tuple(unjudged))
        done = set(runs.days) - runs.late_meanwhile
        self._save(replace(self.checkpoint, late_days=[day for day in self.checkpoint.late_days if day not in done]))

    def _row_count_differs(self, row_counts: Mapping[str, int]) -> bool:
        day = self.checkpoint.day
        if self._reconciling is not None or day not in self._row_counts:
            return False
        return row_counts.get(day, 0) != self._row_counts[day]

    def _save(self, checkpoint: Checkpoint) -> None:
        checkpoint.write(self._file)
        self.checkpoint = checkpoint

    def _put_off(self, **changed: object) -> None:
        pending = self._pending.model_copy(update=changed)
        if pending != self._pending:
            pending.write(self._pending_file)
            self._pending = pending

    def _forget(self) -> None:
        """Read the hot window again before it is used, because tables that it holds have been written elsewhere."""
        if self._hot is not None:
            self._hot.forget()

    def _load_and_judge(self, batch: Batch, today: dt.date) -> MicroBatch:
        try:
            return self._loaded_and_judged(batch, today)
        except BaseException:
            # what is in memory may be ahead of what was written
            self._forget()
            raise

    def _loaded_and_judged(self, batch: Batch, today: dt.date) -> MicroBatch:
        self._warehouse.upsert(self._transactions.rejected, batch.rejected)
        times = self._hot.times_of(batch.rows) if self._hot is not None else None
        receipt = self._warehouse.upsert(self._transactions.table, batch.rows, times=times)
        if not receipt.alone:
            self._forget()
        concurrent_write = self.checkpoint.day in receipt.before and self._row_count_differs(receipt.before)
        self._row_counts.update(receipt.partitions)
        begun = self._begin_day(min(max(receipt.partitions), today.isoformat())) if receipt.partitions else None
        times = batch.rows.column("event_time")
        removed = self._search_moved(times)
        affected = pa.chunked_array([*times.chunks, *(pa.array(lost, times.type) for lost in removed.values())], times.type)
        if removed:
            self._forget()
        spans = self._judge_arrived(batch.rows, self._put_off_late(affected, today))
        if begun and receipt.before.get(begun):
            # judged before the day had its snapshots and profiles, because the source's clock is ahead
            self._judge_day(dt.date.fromisoformat(begun), self._lookbacks)
            self._forget()
        arrived = batch.rows.column("ingested_at")
        counts = {**receipt.partitions, **{day: self._row_counts[day] for day in removed}}
        return MicroBatch(batch.served, batch.rejected.num_rows, arrived, counts, spans, concurrent_write)

    def _search_moved(self, times: pa.ChunkedArray) -> dict[str, Sequence[dt.datetime]]:
        """`_remove_moved` for all times since the last search, if it is time for one.

        A process that is killed before it searches leaves that to the next reconciliation run.
        """
        self._unsearched += times.chunks
        if time.monotonic() < self._search_at:
            return {}
        times, self._unsearched = pa.chunked_array(self._unsearched, times.type), []
        removed = self._remove_moved(times)
        self._search_at = time.monotonic() + self._search_every
        return removed

    def _remove_moved(self, times: pa.ChunkedArray) -> dict[str, Sequence[dt.datetime]]:
        """Remove what the rows at these times have moved to another day; return the times of the removed rows by day."""
        removed: dict[str, Sequence[dt.datetime]] = {}
        for span in spans_of(times, dt.timedelta()):
            found = remove_moved(
                self._warehouse, self._engine.per_transaction, span, self._correction_days, self._transactions.table
            )
            for day, lost in found.times.items():
                removed[day] = [*removed.get(day, ()), *lost]
        if removed:
            row_counts = self._warehouse.partitions(_TRANSACTIONS)
            self._row_counts.update({day: row_counts.get(day, 0) for day in removed})
        return removed

    def _put_off_late(self, times: pa.ChunkedArray, today: dt.date) -> pa.ChunkedArray:
        """Put off what happened before yesterday; return the other times.

        Rows on hundreds of days would hold the live path up for minutes. `_judge_late` judges them, a few days with each poll.
        """
        since = pa.scalar(dt.datetime.combine(today - DAY, dt.time()), times.type)
        late = pc.less(times, since)
        unjudged = {start.date(): (start, end) for start, end in self._pending.unjudged}
        for moment in times.filter(late).to_pylist():
            moment = moment.replace(tzinfo=dt.UTC)
            start, end = unjudged.get(moment.date(), (moment, moment))
            unjudged[moment.date()] = min(start, moment), max(end, moment)
        self._put_off(unjudged=tuple(unjudged[day] for day in sorted(unjudged, reverse=True)))
        return times.filter(pc.invert(late))

    def merge_small_files(self) -> None:
        """Merge the small files of today in one of the tables, if there are many: a poll adds one to most tables.

        Raises:
            HiveIOError: nothing has changed.
        """
        if self.checkpoint.day is not None:
            tables = [self._transactions.table, *self._engine.per_transaction]
            self._merged = (self._merged + 1) % len(tables)
            with suppress(TableNotFound):
                self._warehouse.merge_small_files(tables[self._merged].full_name, dt.date.fromisoformat(self.checkpoint.day))

    def _judge_late(self) -> None:
        """Judge some of the days that were put off."""
        for times in self._pending.unjudged[:MAX_LATE_DAYS]:
            edges = pa.array([time.replace(tzinfo=None) for time in times], pa.timestamp("us"))
            self._judge(pa.chunked_array([edges]), limit=1)
            self._put_off(unjudged=tuple(each for each in self._pending.unjudged if each != times))

    def _judge_arrived(self, rows: pa.Table, times: pa.ChunkedArray) -> list[Span]:
        """Judge transactions of the current day in memory, and compute what others need in the warehouse.

        Args:
            times: of the rows to judge now, and of rows that were removed.
        """
        day = self.checkpoint.day
        if self._hot is None or day is None:
            return self._judge(times)
        today = Span.days(dt.date.fromisoformat(day), dt.date.fromisoformat(day))
        others = self._judge(times.filter(pc.invert(_inside(times, today))), before=today.start)
        rows = rows.filter(_inside(rows.column("event_time"), Span(today.start - DAY, today.end)))
        if not rows.num_rows:
            return others
        if self._hot.day != today.first_day:
            self._hot.load(today.first_day)
        for name in self._hot.elsewhere:
            for span in spans_of(rows.column("event_time"), self._lookbacks[name]):
                if span.end > today.start:
                    self._compute(name, Span(max(span.start, today.start), span.end))
        self._write(self._hot.judge(rows))
        return [*others, *spans_of(rows.column("event_time"), dt.timedelta())]

    def _write(self, changes: Iterable[Change]) -> None:
        """Write each change while the next ones are computed. None is written after one that failed."""
        writing: Future[Receipt] | None = None
        alone = True
        try:
            for change in changes:
                if writing is not None:
                    alone = writing.result().alone and alone
                if change.span is not None:
                    writing = self._writer.submit(self._warehouse.replace, change.table, change.rows, change.span)
                else:
                    writing = self._writer.submit(self._warehouse.upsert, change.table, change.rows, times=change.times)
            if writing is not None:
                alone = writing.result().alone and alone
        finally:
            if writing is not None:
                wait([writing])
        if not alone and self._hot is not None:
            if self._reconciling is None:
                self._hot.forget()
            else:
                # a run writes several tables; memory is read again once, at its end
                self._hot.doubt()

    def _judge(self, times: pa.ChunkedArray, limit: int = MAX_SPANS, before: dt.datetime | None = None) -> list[Span]:
        """Compute every rule and the alerts for the times of the rows; return the spans of the alerts.

        Args:
            before: where the day begins that is judged in memory, if rows lie before it.
        """
        if self._whole_days:
            return self._judge_whole_days(times)
        by_lookback = {
            lookback: [_until(span, before) for span in spans_of(times, lookback, limit)]
            for lookback in set(self._lookbacks.values())
        }
        per_customer = [table for table in self._lookbacks if self._engine.is_per_customer(table)]
        for table in self._lookbacks.keys() - per_customer:
            for span in by_lookback[self._lookbacks[table]]:
                self._compute(table, span)
        # each span of a shorter lookback lies in one of the longest; most rules read the same rows, so they are fetched once
        longest = by_lookback[self._lookbacks[FRAUD_ALERTS.name]]
        for outer in longest:
            with self._warehouse.preloaded(_TRANSACTIONS, self._engine.lookback_rows(outer)):
                for table in per_customer:
                    for span in by_lookback[self._lookbacks[table]]:
                        if outer.start <= span.start and span.end <= outer.end:
                            self._compute(table, span)
        return longest

    def _judge_whole_days(self, times: pa.ChunkedArray) -> list[Span]:
        """Compute every rule and the alerts for the days of the rows and for those whose lookback reaches them."""
        days: set[dt.date] = set()
        for day in pc.unique(times.cast(pa.date32())).to_pylist():
            current = dt.date.fromisoformat(str(self.checkpoint.day))
            days.update(Span.days(day, max(day, min(day + self._reach, current))).each_day())
        spans = ranges(days)
        for span in spans:
            for table in self._lookbacks:
                self._compute(table, span)
        return spans

    def _compute(self, table: str, span: Span) -> None:
        self._warehouse.replace(self._engine.tables[table], self._engine.data(table, span, self._warehouse), span)

    def _begin_day(self, ds: str) -> str | None:
        """With the first transaction of a day, compute its point-in-time tables before anything is judged; return the day.

        Daily sums of yesterday are computed from what has arrived; yesterday becomes a late day, to be reconciled. A snapshot
        that is refused, late or not available is that of the latest earlier day, until `load_missing` has loaded it.
        """
        if self.checkpoint.day is not None and ds <= self.checkpoint.day:
            self._add_missing_features(dt.date.fromisoformat(self.checkpoint.day))
            return None
        day = dt.date.fromisoformat(ds)
        yesterday = self._day_before(day)
        self._add_missing_columns()
        self._problems = self._day_tables.begin(spans_of_day(Span.days(day, day), yesterday))
        missing = [found for table in self._problems if (found := self._without(table, day))]
        # before the tables: after a kill, the rows of the day are known to be those of an earlier one
        self._put_off(missing=tuple(missing))
        for each in missing:
            self._day_tables.carry(each)
        self._load_lists(day)
        self._compute_features(self._engine.due_at_start, day)
        late_days = set(self.checkpoint.late_days)
        if yesterday is not None and yesterday.first_ds in self._warehouse.partitions(_TRANSACTIONS):
            late_days.add(yesterday.first_ds)
        self._save(replace(self.checkpoint, day=ds, day_cursor=self.checkpoint.cursor, late_days=sorted(late_days)))
        return ds

    def _load_lists(self, day: dt.date) -> None:
        """Write the entries of a day's lists, the source's blacklist among them.

        Detection goes on with the files as they were read last, if one of them cannot be read.
        """
        try:
            self._lists = read_lists(self._lists_folder)
        except FraudError as error:
            log.error("%s; the lists are used as they were read last", error)
        span = Span.days(day, day)
        self._warehouse.replace(LISTS, list_rows(self._lists, self._warehouse, span), span)

    def _without(self, table: str, day: dt.date) -> MissingTable | None:
        """What to use instead of a table's rows; None if another run has loaded the day's snapshot before."""
        known = self.missing.get(table)
        if known is not None and known.day == day:
            return known
        instead = self._day_tables.latest(table, day)
        return None if instead == day else MissingTable(table=table, day=day, instead=instead)

    def load_missing(self, ask: bool) -> list[str]:
        """Load missing tables that the source has answered by now, and judge the day again; return their names.

        Args:
            ask: True to ask the source for the missing tables again, in the background.

        Raises:
            HiveIOError: call it again.
        """
        loaded = []
        for table, missing in self.missing.items():
            span = spans_of_day(Span.days(missing.day, missing.day), self._day_before(missing.day))[table]
            if self._day_tables.is_fetched(table):
                problem = self._day_tables.commit(table)
                if problem:
                    self._problems[table] = problem
                    continue
                self._judge_again(table, missing.day)
                self._forget()
                self._put_off(missing=tuple(each for each in self._pending.missing if each.table != table))
                loaded.append(table)
            elif ask:
                self._day_tables.request({table: span})
        return loaded

    def _judge_again(self, table: str, day: dt.date) -> None:
        """Compute what depends on a table, for the whole day."""
        changed = {table}
        if table == API_TABLES["blacklist"].table.name:
            self._load_lists(day)
            changed.add(LISTS.name)
        for name in self._engine.order:
            if changed & self._engine.reads(name).keys():
                changed.add(name)
        self._compute_features([name for name in self._engine.upstream_features if name in changed], day)
        self._judge_day(day, changed)

    def _judge_day(self, day: dt.date, tables: Collection[str]) -> None:
        for table in self._lookbacks:
            if table in tables:
                self._compute(table, Span.days(day, day))

    def _add_missing_features(self, day: dt.date) -> None:
        """Add what the warehouse lacks because an earlier release, or one with other settings, began the day: rules and alerts
        read these features and columns.
        """
        if not self._features_are_complete:
            existing = set(self._warehouse.tables(DATABASE))
            thresholds = ALERT_THRESHOLDS.full_name
            if ALERT_THRESHOLDS.name in existing and day.isoformat() not in self._warehouse.partitions(thresholds):
                existing.remove(ALERT_THRESHOLDS.name)
            self._add_missing_columns()
            self._compute_features([name for name in self._engine.due_at_start if name not in existing], day)
            self._features_are_complete = True

    def _add_missing_columns(self) -> None:
        """Create the source tables that are missing, and add the columns that existing tables have gained."""
        existing = set(self._warehouse.tables(DATABASE))
        features = [self._engine.tables[name] for name in self._engine.upstream_features if name in existing]
        sources = [table for api in self._engine.apis.values() for table in (api.table, api.loads) if table]
        for table in (*sources, DECISIONS, *features):
            self._warehouse.ensure_table(table)

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


def _until(span: Span, end: dt.datetime | None) -> Span:
    return span if end is None or span.start >= end else Span(span.start, min(span.end, end))


def _inside(times: pa.ChunkedArray, span: Span) -> pa.ChunkedArray:
    start, end = (pa.scalar(edge.replace(tzinfo=None), times.type) for edge in (span.start, span.end))
    return pc.and_(pc.greater_equal(times, start), pc.less(times, end))


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
