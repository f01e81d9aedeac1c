"""Latency of the live path, from arrival at the source to judgment: counted by `fraud watch`, stored by hour in `latencies`."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.schemas.monitoring import LATENCIES
from hive_io import PARTITION, Span, Warehouse

HOUR = dt.timedelta(hours=1)


class Latencies:
    """Counts that are not in the warehouse yet, by hour and by latency."""

    def __init__(self) -> None:
        self._pending: dict[dt.datetime, Counter[Decimal]] = {}

    def add(self, seconds: pa.Array, judged_at: dt.datetime) -> None:
        """Count transactions by their latency; NULLs are ignored.

        Args:
            seconds: latency of each transaction.
            judged_at: when they were judged, UTC.
        """
        counts = self._pending.setdefault(judged_at.replace(minute=0, second=0, microsecond=0), Counter())
        for counted in pc.value_counts(rounded_up(seconds.drop_null())).to_pylist():
            counts[counted["values"]] += counted["counts"]

    def write(self, warehouse: Warehouse) -> None:
        """Add the pending counts to those in the warehouse.

        Raises:
            HiveIOError: counts that were not written stay pending for the next call.
        """
        warehouse.ensure_table(LATENCIES)
        for hour in sorted(self._pending):
            span = Span(hour, hour + HOUR)
            counts = Counter(self._pending[hour])
            for row in warehouse.read(LATENCIES.full_name, span=span).to_pylist():
                if row["hour"] == hour.replace(tzinfo=None):
                    counts[row["seconds"]] += row["transactions"]
            warehouse.replace(LATENCIES, _rows(hour, counts), span)
            del self._pending[hour]


def rounded_up(seconds: pa.Array) -> pa.Array:
    """Seconds as DECIMAL(12,1), rounded up to a tenth or to two significant digits; negative ones (the clocks differ) are 0."""
    tenths = np.maximum(np.ceil(np.asarray(seconds.to_numpy(zero_copy_only=False), dtype=np.float64) * 10), 0).astype(np.int64)
    step = 10 ** np.maximum(np.floor(np.log10(np.maximum(tenths, 1))).astype(np.int64) - 1, 0)
    whole = pa.array(-(-tenths // step) * step).cast(pa.decimal128(19, 0))
    return pc.divide(whole, pa.scalar(Decimal(10), pa.decimal128(3, 0))).cast(LATENCIES.arrow_schema.field("seconds").type)


def _rows(hour: dt.datetime, counts: Counter[Decimal]) -> pa.Table:
    rows = [
        {"hour": hour.replace(tzinfo=None), "seconds": s, "transactions": n, PARTITION: hour.date().isoformat()}
        for s, n in sorted(counts.items())
    ]
    return pa.Table.from_pylist(rows, schema=LATENCIES.arrow_schema)
