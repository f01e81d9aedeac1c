"""Maintenance of the lake: compaction of past days, and vacuum of files past their retention. Independent of Dagster."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fraud_assets.engine.engine import Engine
from fraud_assets.ingestion.stages import begun_at
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.monitoring import LATENCIES
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import API_TABLES
from hive_io import Footprint, Warehouse
from hive_io.table import DAY

KEPT_LIVE = dt.timedelta(hours=1)
"""Retention of replaced files in tables that the live path writes, as every micro-batch replaces some."""


@dataclass(frozen=True)
class TableMaintenance:
    """Result of maintaining one table.

    Attributes:
        table: name without the database.
        compacted: days whose files were compacted.
        before, after: files and bytes on disk.
        rows: number of rows on all days.
    """

    table: str
    compacted: Sequence[str]
    before: Footprint
    after: Footprint
    rows: int


def retention_of(engine: Engine, table: str, keep_days: int) -> dt.timedelta:
    """Retention of a table's replaced files; vacuum works on whole tables, so all days have the same."""
    transactions = API_TABLES["transactions"]
    live = {transactions.table.name, transactions.rejected.name, FRAUD_ALERTS.name, LATENCIES.name}
    live |= {rule.name for rule in engine.book.evaluated}
    return KEPT_LIVE if table in live else keep_days * DAY


def _lasting(warehouse: Warehouse) -> list[str]:
    """The tables but for the stages of loads, which may end at any moment."""
    return [name for name in warehouse.tables(DATABASE) if begun_at(name) is None]


def vacuum(engine: Engine, warehouse: Warehouse, keep_days: int) -> None:
    """Delete replaced files past their retention, in all tables.

    Raises:
        HiveIOError: the remaining tables are left for the next run.
    """
    for name in _lasting(warehouse):
        warehouse.vacuum(f"{DATABASE}.{name}", retention_of(engine, name, keep_days))


def maintain(engine: Engine, warehouse: Warehouse, keep_days: int, today: dt.date) -> Iterator[TableMaintenance]:
    """Compact the small files of past days and vacuum, table by table.

    Today and yesterday are not compacted, since the live path writes them: late-arriving data falls on yesterday.

    Raises:
        HiveIOError: the tables before it are done, and the rows of this one are unchanged.
    """
    for name in _lasting(warehouse):
        table = f"{DATABASE}.{name}"
        before = warehouse.footprint(table)
        compacted = warehouse.compact(table, today - DAY)
        warehouse.vacuum(table, retention_of(engine, name, keep_days))
        yield TableMaintenance(name, compacted, before, warehouse.footprint(table), sum(warehouse.partitions(table).values()))
