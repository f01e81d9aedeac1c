"""A batch: validated and rejected rows of one load, with counts by day."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.schemas.sources import ApiTable
from hive_io import PARTITION

Row = dict[str, Any]


@dataclass(frozen=True)
class Counts:
    """What became of the rows that were served for a day: each is in one of the three."""

    loaded: int
    rejected: int
    superseded: int

    @property
    def served(self) -> int:
        return self.loaded + self.rejected + self.superseded


@dataclass(frozen=True)
class Batch:
    """What became of the rows that were served.

    Attributes:
        rows: for the table, one a key and day.
        rejected: for its rejected twin, one a payload and day.
        days: counts for each day that was asked for; superseded are rows that another version of the same key replaced,
            or that were served again.
    """

    rows: pa.Table
    rejected: pa.Table
    days: Mapping[str, Counts]

    @property
    def served(self) -> int:
        return sum(counts.served for counts in self.days.values())

    @property
    def rejected_share(self) -> float:
        return self.rejected.num_rows / self.served if self.served else 0.0


def join_pages(api: ApiTable, pages: Sequence[Batch], day: dt.date) -> Batch:
    """One batch of the pages that were served for a day."""
    rows = last_versions(api, pa.concat_tables([api.table.arrow_schema.empty_table(), *(b.rows for b in pages)]))
    rejected = without_repeats(pa.concat_tables([api.rejected.arrow_schema.empty_table(), *(b.rejected for b in pages)]))
    return batch_of(rows, rejected, sum(b.served for b in pages), day)


def join_days(days: Sequence[Batch]) -> Batch:
    """One batch of those of several days."""
    rows = pa.concat_tables([b.rows for b in days])
    rejected = without_repeats(pa.concat_tables([b.rejected for b in days]))
    return Batch(rows, rejected, {day: counts for b in days for day, counts in b.days.items()})


def payload(row: Any) -> str:
    """A row as served, as JSON that can be kept and read again as the same row."""
    return _json(row).encode("utf-8", "backslashreplace").decode()


def row_id(row: Any) -> str:
    """What identifies a row as served: the SHA-256 of its JSON."""
    return hashlib.sha256(_json(row).encode("utf-8", "surrogatepass")).hexdigest()


def _json(row: Any) -> str:
    return json.dumps(row, ensure_ascii=False, sort_keys=True)


def batch_of(rows: pa.Table, rejected: pa.Table, served: int, day: dt.date) -> Batch:
    counts = Counts(rows.num_rows, rejected.num_rows, served - rows.num_rows - rejected.num_rows)
    return Batch(rows, rejected, {day.isoformat(): counts})


def last_versions(api: ApiTable, rows: pa.Table) -> pa.Table:
    """One row a day and key: the last that arrived; among equals, the last that was served."""
    keys = [PARTITION, *api.table.key]
    if rows.group_by(keys).aggregate([]).num_rows == rows.num_rows:
        return rows
    numbers = pa.array(range(rows.num_rows), pa.int64())
    ranked = rows.append_column("served_as", numbers)
    order = [("served_as", "ascending")]
    if "ingested_at" in rows.column_names:
        # a version that names no arrival is the earliest
        arrived = pc.fill_null(rows.column("ingested_at"), pa.scalar(dt.datetime.min, pa.timestamp("us")))
        ranked = ranked.append_column("arrived", arrived)
        order.insert(0, ("arrived", "ascending"))
    ranked = ranked.sort_by(order).append_column("rank", numbers)
    last = ranked.group_by(keys).aggregate([("rank", "max")]).column("rank_max")
    return ranked.take(last).sort_by("served_as").select(rows.column_names)


def without_repeats(rejected: pa.Table) -> pa.Table:
    order = pa.array(range(rejected.num_rows), pa.int64())
    first = rejected.append_column("at", order).group_by([PARTITION, "row_id"]).aggregate([("at", "min")])
    return rejected.take(first.column("at_min").sort())
