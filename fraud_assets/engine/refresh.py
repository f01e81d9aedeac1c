"""Computes every table for a span, in dependency order, without Dagster."""

from __future__ import annotations

import datetime as dt

from fraud_assets.engine.engine import Engine
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.ingestion.load import load
from fraud_assets.schemas.monitoring import LATENCIES
from fraud_assets.schemas.sources import API_TABLES
from hive_io import Span, Table, Warehouse
from hive_io.table import DAY


def refresh(engine: Engine, source: SourceClient, warehouse: Warehouse, span: Span, rejected_limit: float) -> None:
    """Bring a span, however short, through every table.

    Snapshots and profiles are of the beginning of a day: they are made when the span holds that instant, or they are
    missing. Spans are to be brought in the order of time.

    Raises:
        SourceError, HiveIOError: what was written until then stays, and is right; the rest is as it was.
    """
    warehouse.ensure_table(LATENCIES)
    for api in API_TABLES.values():
        todo = span if api.day_column else _mornings_due(warehouse, api.table, span)
        if todo is not None:
            load(api, source, warehouse, todo, rejected_limit)
    for name in engine.order:
        table = engine.tables[name]
        due: Span | None = span if table.time_column else span.whole_days()
        if engine.is_point_in_time(name):
            due = _mornings_due(warehouse, table, span)
        if due is not None:
            warehouse.replace(table, engine.query(name, due), due)


def _mornings_due(warehouse: Warehouse, table: Table, span: Span) -> Span | None:
    """The days of the span that begin in it, or have no rows yet."""
    first = span.first_day
    if span.start.time() != dt.time.min:
        warehouse.ensure_table(table)
        if first.isoformat() in warehouse.partitions(table.full_name):
            first += DAY
    return Span.days(first, span.last_day) if first <= span.last_day else None
