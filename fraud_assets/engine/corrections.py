"""Corrections that move a transaction to another day: its earlier version is removed there, with its hits and alerts.

A load replaces the days that it covers. A correction that changes the day of a transaction arrives with the new day, and the
earlier version stays on a day that the load does not cover.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.sql.windows import between, hiveql, table_node, union_all, within
from hive_io import PARTITION, HiveQL, Span, Table, Warehouse
from hive_io.dialect import literal
from hive_io.table import DAY

_VALUES_PER_QUERY = 1_000
_MICROSECOND = dt.timedelta(microseconds=1)
_TABLE = TRANSACTIONS.table


@dataclass(frozen=True)
class Removed:
    """Earlier versions of transactions that were removed.

    Attributes:
        times: event times of the removed versions, UTC without a zone, by `ds`.
    """

    times: Mapping[str, Sequence[dt.datetime]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of versions removed."""
        return sum(map(len, self.times.values()))


def remove_moved(
    warehouse: Warehouse, dependent: Iterable[Table], loaded: Span, days: int, transactions: Table = _TABLE
) -> Removed:
    """Leave each transaction of a loaded span on one day only, that of its last version.

    The version that arrived last stays. Where neither or both arrived at the same time, a version of the loaded span takes
    precedence over one outside it, and a later event time over an earlier one. Other transactions of the days are unchanged:
    rules whose windows contained the removed version judge them again when those days are computed again.

    Args:
        dependent: tables with rows for transactions, those of the rules and of alerts; missing ones are skipped.
        loaded: the span whose transactions were written.
        days: how many days before and after the span to search; 0 for none.
        transactions: the table, with the columns that a source file adds.

    Raises:
        HiveIOError: what was removed until then stays removed; call it again.
    """
    ids = _on_several_days(warehouse, loaded, days) if days else []
    if not ids:
        return Removed()
    around = _around(loaded, days)
    versions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for some in _chunks(ids):
        for row in warehouse.query(_versions(some, around)).to_pylist():
            versions[row["transaction_id"]].append(row)
    obsolete: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for rows in versions.values():
        last = max(rows, key=lambda row: _precedence(row, loaded))
        for row in rows:
            if row[PARTITION] != last[PARTITION]:
                obsolete[row[PARTITION]].append(row)
    existing = set(warehouse.tables(_TABLE.database))
    tables = [table for table in dependent if table.name in existing]
    for ds, rows in sorted(obsolete.items()):
        _remove(warehouse, transactions, tables, ds, rows)
    return Removed({ds: [row["event_time"] for row in rows] for ds, rows in sorted(obsolete.items())})


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _VALUES_PER_QUERY] for start in range(0, len(ids), _VALUES_PER_QUERY))


def _around(loaded: Span, days: int) -> Span:
    return Span.days(loaded.first_day - days * DAY, loaded.last_day + days * DAY)


def _on_several_days(warehouse: Warehouse, loaded: Span, days: int) -> list[str]:
    """Transactions of the span that are on more than one day."""
    inside = within(_select("transaction_id", PARTITION), _TABLE, loaded).subquery("n")
    nearby = within(_select("transaction_id", PARTITION), _TABLE, _around(loaded, days)).subquery("o")
    same = "n.transaction_id = o.transaction_id"
    tree = (
        exp.select("n.transaction_id").distinct().from_(inside).join(nearby, on=same).where(f"n.{PARTITION} <> o.{PARTITION}")
    )
    return sorted(warehouse.query(hiveql(tree)).column("transaction_id").to_pylist())


def _versions(ids: Sequence[str], span: Span) -> HiveQL:
    columns = ("transaction_id", "event_time", "ingested_at", PARTITION)
    return hiveql(within(_select(*columns), _TABLE, span).where(_is_one_of(ids)))


def _precedence(row: Mapping[str, Any], loaded: Span) -> tuple[dt.datetime, bool, dt.datetime]:
    event_time = row["event_time"]
    # as in `last_versions`: a version without an arrival time counts as the earliest
    return row["ingested_at"] or dt.datetime.min, loaded.start <= event_time.replace(tzinfo=dt.UTC) < loaded.end, event_time


def _remove(
    warehouse: Warehouse, transactions: Table, dependent: Sequence[Table], ds: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Remove transactions of a day, after their hits and alerts: one commit for each table that has any.

    Hits and alerts go first: an attempt that fails in between finds the transactions again.
    """
    ids = sorted(row["transaction_id"] for row in rows)
    times = [row["event_time"].replace(tzinfo=dt.UTC) for row in rows]
    span = Span(min(times), max(times) + _MICROSECOND)
    for some in _chunks(ids):
        for table in _with_rows(warehouse, dependent, ds, some):
            warehouse.replace(table, _others(table, span, some), span)
    for some in _chunks(ids):
        warehouse.replace(transactions, _others(transactions, span, some), span)


def _with_rows(warehouse: Warehouse, tables: Sequence[Table], ds: str, ids: Sequence[str]) -> list[Table]:
    """The tables that have rows of the transactions on the day."""
    if not tables:
        return []
    rows = [
        _select(literal(table.name).as_("name"), source=table).where(exp.column(PARTITION).eq(literal(ds)), _is_one_of(ids))
        for table in tables
    ]
    names = set(
        warehouse.query(hiveql(exp.select("name").distinct().from_(union_all(rows).subquery("r")))).column(0).to_pylist()
    )
    return [table for table in tables if table.name in names]


def _others(table: Table, span: Span, ids: Sequence[str]) -> HiveQL:
    """The table's rows of the span without those of the transactions."""
    day = exp.column(PARTITION).eq(literal(span.first_ds))
    times = between(exp.column(str(table.time_column)), span.start, span.end)
    return hiveql(_select(*table.arrow_schema.names, source=table).where(day, *times, _is_one_of(ids).not_()))


def _is_one_of(ids: Sequence[str]) -> exp.Expr:
    return exp.column("transaction_id").isin(*map(literal, ids))


def _select(*columns: str | exp.Expr, source: Table = _TABLE) -> exp.Select:
    return exp.select(*columns).from_(table_node(source))
