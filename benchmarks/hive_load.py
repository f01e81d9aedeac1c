"""Rows per second into one partition of a HiveServer2: INSERT of single rows, INSERT of 1,000 rows, and staged Parquet.

`python benchmarks/hive_load.py URL`, with the URL of a running server, `hive://…`. All three load into an empty partition of
the same table, one after the other; the figure to compare is the ratio to the first.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyhive import hive

from hive_io import Column, HiveServer, HiveServer2Warehouse, Span, Table

TABLE = Table(
    "benchmarks",
    "payments",
    (Column("id", "STRING"), Column("at", "TIMESTAMP"), Column("amount", "DECIMAL(18,2)"), Column("merchant", "STRING")),
    key=("id",),
    time_column="at",
)
DAY = Span.days(dt.date(2026, 1, 1), dt.date(2026, 1, 1))
BY_ROW, BY_THOUSAND, OURS = 30, 4_000, 1_000_000


def payments(number: int) -> pa.Table:
    """Rows of one day, with varied values."""
    draw = np.random.default_rng(7)
    seconds = pa.array(np.sort(draw.integers(0, 86_400, number)) * 1_000_000 + 1_767_225_600_000_000, pa.timestamp("us"))
    cents = draw.integers(1, 5_000_000, number)
    columns = {
        "id": pc.cast(pa.array(np.arange(number)), pa.string()),
        "at": seconds,
        "amount": pa.array([Decimal(int(cent)).scaleb(-2) for cent in cents], pa.decimal128(18, 2)),
        "merchant": pc.cast(pa.array(draw.integers(0, 5_000, number)), pa.string()),
        "ds": pa.array(["2026-01-01"] * number),
    }
    return pa.table(columns).cast(TABLE.arrow_schema)


def insert(cursor: hive.Cursor, rows: pa.Table, at_once: int) -> None:
    """Load rows by INSERT … VALUES, `at_once` rows per statement."""
    for start in range(0, rows.num_rows, at_once):
        values = ", ".join(
            f"('{row['id']}', CAST('{row['at']}' AS TIMESTAMP), {row['amount']}, '{row['merchant']}')"
            for row in rows.slice(start, at_once).to_pylist()
        )
        cursor.execute(f"INSERT INTO benchmarks.payments PARTITION (ds = '2026-01-01') VALUES {values}")


def rate(work: Callable[[], None], number: int) -> float:
    began = time.perf_counter()
    work()
    return number / (time.perf_counter() - began)


def main() -> None:
    server = HiveServer.of(sys.argv[1])
    warehouse = HiveServer2Warehouse(server)
    cursor = hive.connect(host=server.host, port=server.port, username=server.username).cursor()
    methods = {
        "INSERT by row": (BY_ROW, lambda: insert(cursor, payments(BY_ROW), 1)),
        "INSERT of 1,000 rows": (BY_THOUSAND, lambda: insert(cursor, payments(BY_THOUSAND), 1000)),
        "staged Parquet (ours)": (OURS, lambda: warehouse.replace(TABLE, big, DAY)),
    }
    big = payments(OURS)
    # one write of each kind first, so that none includes the server's warm-up
    warehouse.replace(TABLE, payments(10), DAY)
    insert(cursor, payments(1), 1)
    first = None
    for name, (number, work) in methods.items():
        warehouse.replace(TABLE, TABLE.arrow_schema.empty_table(), DAY)
        found = rate(work, number)
        have = warehouse.partitions(TABLE.full_name).get("2026-01-01", 0)
        if have != number:
            raise SystemExit(f"{name}: expected {number} rows, found {have}")
        first = first or found
        print(f"{name:24} {number:>9,} rows  {found:>12,.1f} rows/s  {found / first:>10,.0f} times the first")
    warehouse.close()


if __name__ == "__main__":
    main()
