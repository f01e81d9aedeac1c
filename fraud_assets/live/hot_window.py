"""The hot window: what the rules need to judge the transactions of today, kept in memory.

It holds the transactions of today and of the longest lookback before it, the features and lists of the two days, and the hits
and alerts of today. Rules and features are the same queries as in a run, translated once a day. What they compute here for the
customers of a micro-batch is what they would compute in the warehouse for the whole day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import FRAUD_ALERTS, SCORECARDS, TRANSACTION_SCORES
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import TRANSACTIONS
from hive_io import PARTITION, HiveQL, Span, Table, Warehouse
from hive_io.memory import MemoryTables, TimedQuery

_MICROSECOND = dt.timedelta(microseconds=1)
_HELD = "held"
"""The transactions in memory. The queries of a micro-batch read only those of its customers."""
_POLLED = TRANSACTIONS.table.full_name
_KEYS = ("transaction_id", "customer_id", "event_time", PARTITION)
_OF_AFFECTED = "transaction_id IN (SELECT transaction_id FROM affected)"

_TRANSLATED: WeakKeyDictionary[Engine, tuple[dt.date, dict[str, TimedQuery]]] = WeakKeyDictionary()
"""The queries of an engine for the day that was loaded last. They depend on its rules, not on what is in the tables."""


@dataclass(frozen=True)
class Change:
    """What a micro-batch changes in a table.

    Attributes:
        rows: the new rows; if `span` is given, all rows of the span.
        times: those of the rows that these transactions have in the table.
        span: the part of the day to replace, because rows vanish or change; None to upsert the rows.
    """

    table: Table
    rows: pa.Table
    times: Collection[dt.datetime] = ()
    span: Span | None = None


class HotWindow:
    """Judges transactions of one day in memory.

    Args:
        warehouse: where the tables are read; nothing is written here.
        rejudge_within: time after a transaction within which others of its customer are judged again.
    """

    def __init__(self, engine: Engine, warehouse: Warehouse, rejudge_within: dt.timedelta) -> None:
        self._engine = engine
        self._warehouse = warehouse
        self._rejudge_within = rejudge_within
        self._rules = [rule.name for rule in engine.book.evaluated]
        self.elsewhere = [name for name in self._rules if not engine.is_per_customer(name)]
        """Rules that look back on all customers. Their hits are computed in the warehouse, before `judge`."""
        self._lookback = max(
            [
                *(rule.file.meta.lookback for rule in engine.book.evaluated),
                engine.book.features[TRANSACTION_FEATURES.name].meta.lookback,
            ]
        )
        self._memory: MemoryTables | None = None
        self._hit: dict[str, set[str]] = {}
        """Transactions of the day with a hit, by rule, and those with an alert."""
        self._columns: list[str] = []
        """The columns of transactions that a query uses."""
        self._reads: set[str] = set()
        """The tables that queries read, and that none of them computes."""
        self._noted: set[str] = set()
        """The tables of the warehouse, by full name, that memory depends on."""
        self._doubted = False
        self.day: dt.date | None = None
        """The day that can be judged; None if nothing is in memory."""

    @staticmethod
    def suits(engine: Engine) -> bool:
        """False if a rule looks back on hits, features or scores, of which memory has only the latest."""
        per_transaction = {table.name for table in engine.per_transaction}
        return not any(rule.file.meta.lookback and rule.file.tables() & per_transaction for rule in engine.book.evaluated)

    def forget(self) -> None:
        """Release the memory, because the tables in the warehouse have changed; `load` reads them again."""
        if self._memory is not None:
            self._memory.close()
        self._memory = None
        self._noted = set()
        self._doubted = False
        self.day = None

    def doubt(self) -> None:
        """Record that another writer has changed a table, so that `forget_what_changed` releases the memory."""
        self._doubted = True

    def forget_what_changed(self) -> None:
        """Release the memory if another writer may have changed a table that it was read from."""
        if self._doubted or not all(self._warehouse.is_as_noted(table) for table in self._noted):
            self.forget()

    def load(self, day: dt.date) -> None:
        """Read what a day needs.

        Raises:
            HiveIOError: nothing is in memory; call it again.
        """
        self.forget()
        memory = MemoryTables()
        both = Span(_midnight(day) - self._lookback, _midnight(day) + dt.timedelta(days=1))
        if not self._reads:
            queries = [self._query(name, Span.days(day, day)) for name in self._computed]
            needed = _columns_of(queries) | set(_KEYS)
            self._columns = [name for name in self._engine.tables["transactions"].column_types if name in needed]
            self._reads = _tables_of(queries) - {TRANSACTIONS.table.name, *self._computed, *self.elsewhere}
        # the points of the card in force are in a query
        self._note(SCORECARDS)
        self._note(TRANSACTIONS.table)
        held = self._warehouse.read(_POLLED, self._columns, both)
        memory.put(_HELD, held, key="transaction_id")
        memory.put(_POLLED, held.schema.empty_table())
        for name in (TRANSACTION_FEATURES.name, TRANSACTION_SCORES.name):
            # only those of a micro-batch, for the tables that are computed from them
            memory.put(self._engine.tables[name].full_name, self._engine.tables[name].arrow_schema.empty_table())
        for name in (*self._rules, FRAUD_ALERTS.name):
            hits = self._read(name, Span.days(day, day))
            memory.put(self._engine.tables[name].full_name, hits, key="transaction_id")
            self._hit[name] = set(hits.column("transaction_id").to_pylist())
        for name in sorted(self._reads):
            memory.put(self._engine.tables[name].full_name, self._read(name, both))
        memory.put("affected", pa.table({"transaction_id": pa.array([], pa.string())}))
        of_day, translated = _TRANSLATED.get(self._engine, (None, {}))
        if of_day != day:
            translated = {}
        # its query has the points of the card in force, which a run may have learned anew
        translated.pop(TRANSACTION_SCORES.name, None)
        for name in self._computed:
            if name not in translated:
                translated[name] = memory.translate(partial(self._query, name), day, self._changing, (_POLLED, "customer_id"))
            memory.prepare(name, translated[name], _OF_AFFECTED)
        _TRANSLATED[self._engine] = day, translated
        memory.drop_unread(self._engine.tables[name].full_name for name in sorted(self._reads))
        self._memory, self.day = memory, day

    def _note(self, table: Table) -> None:
        """Note a table before it is read."""
        self._warehouse.ensure_table(table)
        self._warehouse.note(table.full_name)
        self._noted.add(table.full_name)

    def _read(self, name: str, span: Span) -> pa.Table:
        table = self._engine.tables[name]
        self._note(table)
        return self._warehouse.read(table.full_name, span=span)

    @property
    def _changing(self) -> set[str]:
        """The tables that a micro-batch changes."""
        computed = (self._engine.tables[name].full_name for name in (*self._computed, *self.elsewhere))
        return {_POLLED, *computed}

    @property
    def _computed(self) -> list[str]:
        rules = [name for name in self._rules if name not in self.elsewhere]
        return [TRANSACTION_FEATURES.name, *rules, TRANSACTION_SCORES.name, FRAUD_ALERTS.name]

    def _query(self, name: str, span: Span) -> HiveQL:
        data = self._engine.data(name, span, self._warehouse)
        assert isinstance(data, HiveQL), f"{name} is computed by a query"
        return data

    def times_of(self, rows: pa.Table) -> list[dt.datetime] | None:
        """The times that the transactions of these rows have so far; None if they are not known to be the only ones.

        Memory has the versions of today and yesterday, but no others.
        """
        if self._memory is None or rows.column(PARTITION).unique().to_pylist() != [str(self.day)]:
            return None
        found = self._memory.run(f"SELECT event_time FROM {_HELD} SEMI JOIN rows USING (transaction_id)", rows=rows)
        return _aware(found.column(0))

    def judge(self, rows: pa.Table) -> Iterator[Change]:
        """Judge transactions of the day, and those of their customers shortly after; yield what changes, in order.

        Args:
            rows: columns of `transactions`. Those of the day before are not judged here, but those of the day after them are.
        """
        memory = self._loaded
        what = ", ".join(_KEYS)
        known = memory.run(f"SELECT {what} FROM {_HELD} SEMI JOIN rows USING (transaction_id)", rows=rows)
        columns = ", ".join(self._columns)
        memory.run(f"INSERT OR REPLACE INTO {_HELD} BY NAME SELECT {columns} FROM rows", rows=rows)
        memory.run("DELETE FROM affected")
        memory.run(f"INSERT INTO affected SELECT transaction_id FROM rows WHERE {PARTITION} = '{self.day}'", rows=rows)
        keys = rows.select(_KEYS)
        # where an earlier version stood, something is missing now
        causes = pa.concat_tables([each.cast(keys.schema) for each in (keys, known, *self._changed_elsewhere())])
        first, last = _edges(causes.column("event_time"))
        memory.run(f'DELETE FROM "{_POLLED}"')
        memory.run(
            f'INSERT INTO "{_POLLED}" SELECT * FROM {_HELD} SEMI JOIN causes USING (customer_id) '
            f"WHERE event_time >= TIMESTAMP '{(first - self._lookback).replace(tzinfo=None)}'",
            causes=causes,
        )
        memory.narrow(causes.column("customer_id"))
        within = f"c.event_time + to_microseconds({self._rejudge_within // _MICROSECOND})"
        again = memory.run(
            f'SELECT t.transaction_id, t.event_time FROM "{_POLLED}" t SEMI JOIN causes c ON t.customer_id = c.customer_id '
            f"AND t.event_time >= c.event_time AND t.event_time <= {within} "
            f"WHERE t.{PARTITION} = '{self.day}' AND t.transaction_id NOT IN (SELECT transaction_id FROM affected)",
            causes=causes,
        )
        memory.run("INSERT INTO affected SELECT transaction_id FROM again", again=again)
        if again.num_rows:
            last = max(last, pc.max(again.column("event_time")).as_py().replace(tzinfo=dt.UTC))
        affected = set(memory.run("SELECT transaction_id FROM affected").column(0).to_pylist())
        if not affected:
            return
        times = [*_aware(known.column("event_time")), *_aware(again.column("event_time"))]
        yield from self._judged(Span(max(first, _midnight(self._day)), last + _MICROSECOND), affected, times)

    def _judged(self, span: Span, affected: set[str], times: Collection[dt.datetime]) -> Iterator[Change]:
        """Compute the tables of the affected transactions.

        Args:
            span: has them all.
            times: those of the affected transactions that were judged before, as they were then.
        """
        features, *rules, scores, alerts = self._computed
        for names in ([features], rules, [scores], [alerts]):
            for name, rows in self._loaded.queries(names, span):
                table = self._engine.tables[name]
                if name in (features, scores):
                    self._loaded.run(f'DELETE FROM "{table.full_name}"')
                    self._loaded.add(table.full_name, rows)
                    yield Change(table, rows, times)
                elif rows.num_rows or not self._hit[name].isdisjoint(affected):
                    change = self._hits(table, rows)
                    self._hit[name] -= affected
                    self._hit[name].update(rows.column("transaction_id").to_pylist())
                    if change is not None:
                        yield change

    def _changed_elsewhere(self) -> list[pa.Table]:
        """Read the hits that were computed in the warehouse; add transactions whose hits have changed to the affected ones."""
        memory = self._loaded
        what = ", ".join(_KEYS)
        changed = []
        for name in self.elsewhere:
            table, full_name = self._engine.tables[name], self._engine.tables[name].full_name
            now = self._read(name, Span.days(self._day, self._day))
            compared = ", ".join(table.arrow_schema.names)
            either = f'(SELECT {compared} FROM now EXCEPT SELECT {compared} FROM "{full_name}")'
            either += f' UNION (SELECT {compared} FROM "{full_name}" EXCEPT SELECT {compared} FROM now)'
            found = memory.run(f"SELECT DISTINCT {what} FROM ({either})", now=now)
            if found.num_rows:
                memory.run(f'DELETE FROM "{full_name}"')
                memory.add(full_name, now)
                self._hit[name] = set(now.column("transaction_id").to_pylist())
                new = "SELECT DISTINCT transaction_id FROM found WHERE transaction_id NOT IN (FROM affected)"
                memory.run(f"INSERT INTO affected {new}", found=found)
                changed.append(found)
        return changed

    def _hits(self, table: Table, rows: pa.Table) -> Change | None:
        """Put hits or alerts of the affected transactions in the place of those that they had."""
        memory, name = self._loaded, table.full_name
        before = memory.run(f'SELECT * FROM "{name}" WHERE {_OF_AFFECTED}')
        rows = rows.select(before.column_names).cast(before.schema)
        if before.num_rows == rows.num_rows and before.sort_by("transaction_id") == rows.sort_by("transaction_id"):
            return None
        if not before.num_rows:
            memory.add(name, rows)
            return Change(table, rows)
        memory.run(f'DELETE FROM "{name}" WHERE {_OF_AFFECTED}')
        memory.add(name, rows)
        times = pa.chunked_array([*before.column("event_time").chunks, *rows.column("event_time").chunks])
        first, last = _edges(times)
        edges = f"event_time BETWEEN TIMESTAMP '{first:%Y-%m-%d %H:%M:%S.%f}' AND TIMESTAMP '{last:%Y-%m-%d %H:%M:%S.%f}'"
        return Change(table, memory.run(f'SELECT * FROM "{name}" WHERE {edges}'), span=Span(first, last + _MICROSECOND))

    @property
    def _loaded(self) -> MemoryTables:
        assert self._memory is not None, "load comes first"
        return self._memory

    @property
    def _day(self) -> dt.date:
        assert self.day is not None, "load comes first"
        return self.day


def _edges(times: pa.ChunkedArray) -> tuple[dt.datetime, dt.datetime]:
    """The first and the last of some times, aware."""
    first, last = (moment.replace(tzinfo=dt.UTC) for moment in pc.min_max(times).as_py().values())
    return first, last


def _aware(times: pa.ChunkedArray) -> list[dt.datetime]:
    return [moment.replace(tzinfo=dt.UTC) for moment in times.to_pylist()]


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def _columns_of(queries: Iterable[HiveQL]) -> set[str]:
    """Every name that a query uses for a column."""
    return {column.name for query in queries for column in query.bound().find_all(exp.Column)}


def _tables_of(queries: Iterable[HiveQL]) -> set[str]:
    """The names of the tables that queries read."""
    return {t.name for query in queries for t in query.bound().find_all(exp.Table) if t.db == DATABASE}
