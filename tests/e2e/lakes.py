"""Comparing whole warehouses, and labelled files to fill them from."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hive_io import Warehouse

Rows = dict[str, Counter[tuple[object, ...]]]


def rows_of(warehouse: Warehouse, until: str = "9999") -> Rows:
    """Every row of every table, of the days before `until`, with how often it stands there."""
    found: Rows = {}
    for name in warehouse.tables("fintech"):
        table = warehouse.read(f"fintech.{name}").to_pylist()
        found[name] = Counter(_frozen(row) for row in table if row["ds"] < until)
    return found


def _frozen(row: dict[str, object]) -> tuple[object, ...]:
    return tuple((key, tuple(value) if isinstance(value, list) else value) for key, value in sorted(row.items()))


def assert_same(one: Rows, other: Rows) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert one[name] == other[name], name


def labelled_file(
    path: Path, first: dt.date, days: int, *, a_day: int = 60, empty: frozenset[dt.date] = frozenset(), seed: int = 5
) -> list[dict[str, object]]:
    """Write a labelled file of the published form, with some rows at midnight to the second; give its rows."""
    draw = random.Random(seed)
    rows: list[dict[str, object]] = []
    for number in range(days):
        day = first + dt.timedelta(days=number)
        if day in empty:
            continue
        seconds = sorted([0, 86_399, *(draw.randrange(86_400) for _ in range(a_day - 2))])
        for second in seconds:
            customer, terminal = draw.randrange(12), draw.randrange(8)
            fraud = terminal == 3 and draw.random() < 0.5
            cents = draw.randrange(100, 9_000) * (8 if fraud and draw.random() < 0.5 else 1)
            rows.append(
                {
                    "transaction_id": len(rows),
                    "tx_datetime": dt.datetime.combine(day, dt.time()) + dt.timedelta(seconds=second),
                    "customer_id": customer,
                    "terminal_id": terminal,
                    "tx_amount": float(Decimal(cents) / 100),
                    "tx_fraud": int(fraud),
                    "tx_fraud_scenario": 2 if fraud else 0,
                }
            )
    schema = pa.schema(
        [
            ("transaction_id", pa.int32()),
            ("tx_datetime", pa.timestamp("ns")),
            ("customer_id", pa.int32()),
            ("terminal_id", pa.int32()),
            ("tx_amount", pa.float64()),
            ("tx_fraud", pa.int32()),
            ("tx_fraud_scenario", pa.int32()),
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return rows
