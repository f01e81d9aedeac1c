"""A batch: the validated and the rejected rows of one load, counted by day."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.schemas.sources import ApiTable
from hive_io import PARTITION, HiveQL

Row = dict[str, Any]

_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class Counts:
    """Rows that the API served for a day, by what happened to them. Each row counts once.

    Attributes:
        rounded: valid rows, superseded ones included, whose amount has more digits than the table and was rounded.
    """

    loaded: int
    rejected: int
    superseded: int
    rounded: int = 0

    @property
    def served(self) -> int:
        return self.loaded + self.rejected + self.superseded


class _Counted(ABC):
    """What the counts of a load say."""

    days: Mapping[str, Counts]

    @property
    @abstractmethod
    def rejected_rows(self) -> int:
        """Number of rows for the quarantine table."""

    @property
    def served(self) -> int:
        return sum(counts.served for counts in self.days.values())

    @property
    def rejected_share(self) -> float:
        return self.rejected_rows / self.served if self.served else 0.0


@dataclass(frozen=True)
class Batch(_Counted):
    """Rows of one load.

    Attributes:
        rows: validated rows for the table, one per key and day.
        rejected: rows for the quarantine table, one per payload and day.
        days: counts for each requested day; superseded rows are older versions of a key, and repeats.
        asked_at: when the source was asked for the first of them, aware; the earliest time for rows that no load fetched.
        has_source: False if the source does not have the table, so that its days count as not loaded.
    """

    rows: pa.Table
    rejected: pa.Table
    days: Mapping[str, Counts]
    asked_at: dt.datetime = _NEVER
    has_source: bool = True

    @property
    def rejected_rows(self) -> int:
        return int(self.rejected.num_rows)

    @property
    def broken_claims(self) -> Counter[str]:
        """Number of rejected rows by claim."""
        return Counter(claim for broken in self.rejected.column("claims").to_pylist() for claim in broken)


@dataclass(frozen=True)
class QueriedBatch(_Counted):
    """Rows of one load that the warehouse itself selects; none of them passes through this process.

    Attributes:
        rows: query of the valid rows, in their last versions.
        rejected: query of the rows for the quarantine table.
        days, asked_at, has_source: as in `Batch`.
        broken_claims: number of rejected rows by claim.
        stage: table that the queries read, `database.name`, which the load drops at its end.
    """

    rows: HiveQL
    rejected: HiveQL
    days: Mapping[str, Counts]
    broken_claims: Counter[str]
    stage: str
    asked_at: dt.datetime = _NEVER
    has_source: bool = True

    @property
    def rejected_rows(self) -> int:
        return sum(counts.rejected for counts in self.days.values())


def batch_of(rows: pa.Table, rejected: pa.Table, served: int, day: dt.date, rounded: int = 0) -> Batch:
    """A batch of one day; the served rows that are in neither table are superseded."""
    counts = Counts(rows.num_rows, rejected.num_rows, served - rows.num_rows - rejected.num_rows, rounded)
    return Batch(rows, rejected, {day.isoformat(): counts})


def join_pages(api: ApiTable, pages: Sequence[Batch], day: dt.date) -> Batch:
    """One batch from the pages of a day."""
    rows = last_versions(api, pa.concat_tables([api.table.arrow_schema.empty_table(), *(b.rows for b in pages)]))
    rejected = without_repeats(pa.concat_tables([api.rejected.arrow_schema.empty_table(), *(b.rejected for b in pages)]))
    rounded = sum(counts.rounded for b in pages for counts in b.days.values())
    return batch_of(rows, rejected, sum(b.served for b in pages), day, rounded)


def join_days(days: Sequence[Batch]) -> Batch:
    """One batch from the batches of several days."""
    rows = pa.concat_tables([b.rows for b in days])
    rejected = without_repeats(pa.concat_tables([b.rejected for b in days]))
    return Batch(rows, rejected, {day: counts for b in days for day, counts in b.days.items()})


def last_versions(api: ApiTable, rows: pa.Table) -> pa.Table:
    """One row per day and key: the version that arrived last, and among equal arrivals the one served last."""
    keys = [PARTITION, *api.table.key]
    if rows.group_by(keys).aggregate([]).num_rows == rows.num_rows:
        return rows
    numbers = pa.array(range(rows.num_rows), pa.int64())
    ranked = rows.append_column("served_as", numbers)
    order = [("served_as", "ascending")]
    if "ingested_at" in rows.column_names:
        # a version without an arrival time counts as the earliest
        arrived = pc.fill_null(rows.column("ingested_at"), pa.scalar(dt.datetime.min, pa.timestamp("us")))
        ranked = ranked.append_column("arrived", arrived)
        order.insert(0, ("arrived", "ascending"))
    ranked = ranked.sort_by(order).append_column("rank", numbers)
    last = ranked.group_by(keys).aggregate([("rank", "max")]).column("rank_max")
    return ranked.take(last).sort_by("served_as").select(rows.column_names)


def without_repeats(rejected: pa.Table) -> pa.Table:
    """Rejected rows with each payload once per day, in the order of first occurrence."""
    order = pa.array(range(rejected.num_rows), pa.int64())
    first = rejected.append_column("at", order).group_by([PARTITION, "row_id"]).aggregate([("at", "min")])
    return rejected.take(first.column("at_min").sort())


def payload(row: Any) -> str:
    """A served row as JSON in valid UTF-8 that decodes to the same row."""
    return _json(row).encode("utf-8", "backslashreplace").decode()


def row_id(row: Any) -> str:
    """Identifier of a served row: the SHA-256 of its JSON with sorted keys."""
    return hashlib.sha256(_json(row).encode("utf-8", "surrogatepass")).hexdigest()


class RawRow(str):
    """A row nested too deep to be decoded: its JSON text as served. It has no columns, so it is rejected."""


def _json(row: Any) -> str:
    if isinstance(row, RawRow):
        return str(row)
    try:
        return json.dumps(row, ensure_ascii=False, sort_keys=True)
    except RecursionError:
        return _json_without_recursion(row)


def _json_without_recursion(row: Any) -> str:
    """The text that `json.dumps` gives, for values nested deeper than Python's recursion limit."""
    parts: list[str] = []
    stack: list[Any] = [row]
    while stack:
        value = stack.pop()
        if isinstance(value, _Text):
            parts.append(value.text)
        elif isinstance(value, dict):
            pieces: list[Any] = [_Text("{")]
            for number, key in enumerate(sorted(value)):
                pieces += [_Text(f"{', ' if number else ''}{json.dumps(key, ensure_ascii=False)}: "), value[key]]
            stack += reversed([*pieces, _Text("}")])
        elif isinstance(value, list):
            pieces = [_Text("[")]
            for number, item in enumerate(value):
                pieces += [_Text(", "), item] if number else [item]
            stack += reversed([*pieces, _Text("]")])
        else:
            parts.append(json.dumps(value, ensure_ascii=False))
    return "".join(parts)


@dataclass(frozen=True)
class _Text:
    """JSON text that is ready to be written."""

    text: str
