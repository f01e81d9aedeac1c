"""Comparison of whole warehouses, and labelled files to fill them from."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hive_io import Warehouse

Rows = dict[str, Counter[tuple[object, ...]]]


def rows_of(warehouse: Warehouse, until: str = "9999") -> Rows:
    """Every row of every table before the day `until`, with its number of occurrences."""
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
        only = [list((a - b).elements()) for a, b in ((one[name], other[name]), (other[name], one[name]))]
        assert only == [[], []], f"{name}: rows of one warehouse only, then of the other: {only}"


def assert_parity(one: Warehouse, other: Warehouse, names: Iterable[str] = ()) -> None:
    """Assert that two warehouses have the same rows: doubles to 1e-9, all other values exactly.

    Args:
        names: tables to compare; by default all, of which both must have the same.
    """
    if not names:
        names = one.tables("fintech")
        assert other.tables("fintech") == names
    for name in names:
        left, right = one.read(f"fintech.{name}"), other.read(f"fintech.{name}")
        assert left.schema == right.schema, name
        assert left.num_rows == right.num_rows, name
        for a, b in zip(_sorted(left.to_pylist()), _sorted(right.to_pylist()), strict=True):
            assert a.keys() == b.keys()
            for column in a:
                assert _same(a[column], b[column]), f"{name}.{column}: {a} and {b}"


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort by all values except doubles, which can differ in their last digits."""
    return sorted(rows, key=lambda row: repr([value for value in row.values() if not isinstance(value, float)]))


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other


def labelled_file(
    path: Path, first: dt.date, days: int, *, a_day: int = 60, empty: frozenset[dt.date] = frozenset(), seed: int = 5
) -> list[dict[str, object]]:
    """Write a labelled file in the published format, with some rows exactly at midnight, and return its rows."""
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
