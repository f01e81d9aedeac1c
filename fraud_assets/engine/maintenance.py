"""Upkeep of the lake: small files put together, files of replaced rows deleted when their time is over. Knows no Dagster."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.monitoring import LATENCIES
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import API_TABLES
from hive_io import Footprint, Warehouse
from hive_io.table import DAY

KEPT_LIVE = dt.timedelta(hours=1)
"""How long files of replaced rows are kept of the tables that the live path writes; each look leaves some."""


@dataclass(frozen=True)
class TableMaintenance:
    """A table after its upkeep.

    Attributes:
        table: its name, without the database.
        compacted: the days whose files were put together.
        before, after: what it took on disk.
        rows: of all its days.
    """

    table: str
    compacted: Sequence[str]
    before: Footprint
    after: Footprint
    rows: int


def retention_of(engine: Engine, table: str, keep_days: int) -> dt.timedelta:
    """How long the files of a table's replaced rows are kept: files are deleted table by table, not day by day."""
    transactions = API_TABLES["transactions"]
    live = {transactions.table.name, transactions.rejected.name, FRAUD_ALERTS.name, LATENCIES.name}
    live |= {rule.name for rule in engine.book.evaluated}
    return KEPT_LIVE if table in live else keep_days * DAY


def vacuum(engine: Engine, warehouse: Warehouse, keep_days: int) -> None:
    """Delete the files, of all tables, whose time is over.

    Raises:
        HiveIOError: the rest is left for the next time.
    """
    for name in warehouse.tables(DATABASE):
        warehouse.vacuum(f"{DATABASE}.{name}", retention_of(engine, name, keep_days))


def maintain(engine: Engine, warehouse: Warehouse, keep_days: int, today: dt.date) -> Iterator[TableMaintenance]:
    """Put the small files of past days together, and delete the files whose time is over, table by table.

    Today and yesterday are left as they are: the live path writes them, what is late for yesterday included.

    Raises:
        HiveIOError: the tables before it are done, and this one is as it was.
    """
    for name in warehouse.tables(DATABASE):
        table = f"{DATABASE}.{name}"
        before = warehouse.footprint(table)
        compacted = warehouse.compact(table, today - DAY)
        warehouse.vacuum(table, retention_of(engine, name, keep_days))
        yield TableMaintenance(name, compacted, before, warehouse.footprint(table), sum(warehouse.partitions(table).values()))
