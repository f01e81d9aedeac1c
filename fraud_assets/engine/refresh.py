"""Loads and computes every table for a span, in dependency order, without Dagster."""

from __future__ import annotations

import datetime as dt

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.engine.corrections import remove_moved
from fraud_assets.engine.engine import Engine
from fraud_assets.ingestion.load import Source, load
from fraud_assets.schemas.cases import DECISIONS
from fraud_assets.schemas.lists import LISTS
from fraud_assets.schemas.monitoring import LATENCIES
from fraud_assets.schemas.sources import TRANSACTIONS
from hive_io import Span, Table, Warehouse
from hive_io.table import DAY


def refresh(
    engine: Engine,
    source: Source,
    warehouse: Warehouse,
    span: Span,
    rejected_limit: float,
    correction_days: int = 7,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Load the source tables and compute the others for a span of any length.

    Snapshots and profiles are as of the start of a day: they are written if the span contains that instant, or if the day has
    none yet. Refresh spans in chronological order.

    Args:
        rejected_limit: largest share of rejected rows, from 0 to 1.
        correction_days: how many days apart two versions of a transaction may be, as for `remove_moved`.
        clock: the time of the loads.

    Raises:
        SourceError, HiveIOError: tables written before it are complete; the others are unchanged.
    """
    # other processes write them
    warehouse.ensure_table(LATENCIES)
    warehouse.ensure_table(DECISIONS)
    warehouse.ensure_table(LISTS)
    for api in engine.apis.values():
        due = span if api.day_column else _mornings_due(warehouse, api.table, span)
        if due is not None:
            load(api, source, warehouse, due, rejected_limit, clock)
        if api.table.name == TRANSACTIONS.table.name:
            remove_moved(warehouse, engine.per_transaction, span, correction_days, api.table)
    for name in engine.order:
        table = engine.tables[name]
        due = span if table.time_column else span.whole_days()
        if engine.is_point_in_time(name):
            due = _mornings_due(warehouse, table, span)
        if due is not None:
            warehouse.replace(table, engine.data(name, due, warehouse), due)


def _mornings_due(warehouse: Warehouse, table: Table, span: Span) -> Span | None:
    """The days of the span whose start is in it, or that have no rows yet."""
    first = span.first_day
    if span.start.time() != dt.time.min:
        warehouse.ensure_table(table)
        if first.isoformat() in warehouse.partitions(table.full_name):
            first += DAY
    return Span.days(first, span.last_day) if first <= span.last_day else None
