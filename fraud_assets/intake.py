"""From rows as an API served them to rows of a table, and rows refused with the claims they broke. No I/O."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import pandas as pd
import pandera.errors
import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.schemas import ApiTable
from hive_io import PARTITION, Span

Row = dict[str, Any]

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_EARLIEST, _LATEST = (pa.scalar(value, pa.timestamp("us")) for value in (dt.datetime.min, dt.datetime.max))


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


def take_in(api: ApiTable, served: Sequence[Row], span: Span, arrived_on: dt.date | None = None) -> Batch:
    """Read, check and sort rows that an API served.

    Args:
        served: rows as decoded from JSON, in the order they were served.
        span: what was asked for; its first day is that of a snapshot.
        arrived_on: the day of refused rows whose arrival is unreadable; the span's first, unless given.
    """
    day = arrived_on or span.first_day
    columns: dict[str, pa.Array] = {}
    broken: dict[int, set[str]] = {}
    for column in api.table.columns:
        columns[column.name], unreadable = _read(_at(served, api.paths[column.name]), column.arrow_type)
        for index in unreadable:
            broken.setdefault(index, set()).add(api.readable_claim(column.name))
    frame = pa.table(columns)
    for index, claim in _broken_claims(api, frame):
        # a value that could not be read is NULL here; what that NULL breaks in turn says nothing new
        if api.readable_claim(claim.column) not in broken.get(index, ()):
            broken.setdefault(index, set()).add(claim.name)
    for index in _outside(api, frame, span):
        broken.setdefault(index, set()).add(api.span_claim or "")

    kept = _with_day(api, frame, day).filter(_mask(len(served), broken)) if broken else _with_day(api, frame, day)
    rows = _last_versions(api, kept)
    rejected = _rejected(api, served, frame, broken, day)
    return _batch(rows, rejected, len(served), day)


def join_pages(api: ApiTable, pages: Sequence[Batch], day: dt.date) -> Batch:
    """One batch of the pages that were served for a day."""
    rows = _last_versions(api, pa.concat_tables([api.table.arrow_schema.empty_table(), *(b.rows for b in pages)]))
    rejected = _once(pa.concat_tables([api.rejected.arrow_schema.empty_table(), *(b.rejected for b in pages)]))
    return _batch(rows, rejected, sum(b.served for b in pages), day)


def join_days(days: Sequence[Batch]) -> Batch:
    """One batch of those of several days."""
    rows = pa.concat_tables([b.rows for b in days])
    rejected = _once(pa.concat_tables([b.rejected for b in days]))
    return Batch(rows, rejected, {day: counts for b in days for day, counts in b.days.items()})


def payload(row: Any) -> str:
    """A row as served, as JSON that can be kept and read again as the same row."""
    return _json(row).encode("utf-8", "backslashreplace").decode()


def row_id(row: Any) -> str:
    """What identifies a row as served: the SHA-256 of its JSON."""
    return hashlib.sha256(_json(row).encode("utf-8", "surrogatepass")).hexdigest()


def _json(row: Any) -> str:
    return json.dumps(row, ensure_ascii=False, sort_keys=True)


def _batch(rows: pa.Table, rejected: pa.Table, served: int, day: dt.date) -> Batch:
    counts = Counts(rows.num_rows, rejected.num_rows, served - rows.num_rows - rejected.num_rows)
    return Batch(rows, rejected, {day.isoformat(): counts})


# --- reading values ---------------------------------------------------------------------------------------------------


def _at(rows: Sequence[Any], path: tuple[str, ...]) -> list[Any]:
    """The value of each row at a path; None where the path ends early."""
    values: list[Any] = list(rows)
    for key in path:
        values = [value.get(key) if isinstance(value, dict) else None for value in values]
    return values


def _read(values: list[Any], wanted: pa.DataType) -> tuple[pa.Array, list[int]]:
    """The values as an Arrow array, NULL where one cannot be read; and the indexes of those."""
    quick = _read_at_once(values, wanted)
    if quick is not None:
        return quick, []
    read = _READERS[wanted.id]
    result: list[Any] = []
    unreadable: list[int] = []
    for index, value in enumerate(values):
        try:
            parsed = None if value is None else read(value)
            pa.array([parsed], wanted)
        except (ValueError, TypeError, OverflowError, InvalidOperation, pa.ArrowException):
            parsed = None
            unreadable.append(index)
        result.append(parsed)
    return pa.array(result, wanted), unreadable


def _read_at_once(values: list[Any], wanted: pa.DataType) -> pa.Array | None:
    """The whole column through Arrow, or None where a value needs a closer look."""
    kinds = set(map(type, values)) - {type(None)}
    try:
        if not kinds:
            return pa.nulls(len(values), wanted)
        if pa.types.is_timestamp(wanted) and kinds == {str}:
            # texts without a zone fail here, and are read one by one
            read = pa.array(values, pa.string()).cast(pa.timestamp("us", "UTC")).cast(wanted)
            # Arrow has a year 0 and a year 10000, datetime has not
            early, late = pc.less(read, _EARLIEST), pc.greater(read, _LATEST)
            return None if pc.any(pc.or_(early, late)).as_py() else read
        if pa.types.is_decimal(wanted) and kinds <= {int, float}:
            return pa.array([None if v is None else _decimal(v) for v in values], wanted)
        if pa.types.is_floating(wanted) and kinds <= {int, float}:
            return pa.array(values, wanted)
        if (pa.types.is_integer(wanted) and kinds == {int}) or (pa.types.is_string(wanted) and kinds == {str}):
            return pa.array(values, wanted)
    except (ValueError, OverflowError, InvalidOperation, pa.ArrowException):
        return None  # the slow path says which value it is
    return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(value)
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError(value)  # Decimal itself also reads 1_000, blanks around, and the digits of other scripts
    # the shortest text that reads as the same float is what stood in the JSON, up to 15 digits
    parsed = Decimal(repr(value) if isinstance(value, float) else value)
    if not parsed.is_finite():
        raise ValueError(value)
    return parsed


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(value)
    return float(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(value)
    return value


def _timestamp(value: Any) -> dt.datetime:
    parsed = dt.datetime.fromisoformat(_text(value))
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)
    return aware.astimezone(dt.UTC).replace(tzinfo=None)


def _texts(value: Any) -> list[str | None]:
    if not isinstance(value, list):
        raise TypeError(value)
    return [None if item is None else _text(item) for item in value]


_READERS: dict[int, Callable[[Any], Any]] = {
    pa.string().id: _text,
    pa.decimal128(18, 2).id: _decimal,
    pa.float64().id: _double,
    pa.int32().id: _integer,
    pa.int64().id: _integer,
    pa.timestamp("us").id: _timestamp,
    pa.list_(pa.string()).id: _texts,
}


# --- claims, days, versions -------------------------------------------------------------------------------------------


def _broken_claims(api: ApiTable, frame: pa.Table) -> list[tuple[int, Any]]:
    claims = {claim.name: claim for claim in api.claims}
    if not frame.num_rows:
        return []
    try:
        api.pandera_schema.validate(frame.to_pandas(types_mapper=pd.ArrowDtype), lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        unplaced = cases[cases["index"].isna() | ~cases["check"].isin(list(claims))]
        if len(unplaced):
            # a claim that raised is a fault of ours, not of the row
            raise ValueError(f"{api.table.full_name}: {unplaced['check'].iloc[0]} could not be checked") from errors
        return [(int(i), claims[name]) for i, name in zip(cases["index"], cases["check"], strict=True)]
    return []


def _outside(api: ApiTable, frame: pa.Table, span: Span) -> list[int]:
    """Rows that did not happen when they were asked for; a source that gives those would have them replace each other."""
    if api.day_column is None:
        return []
    time = frame.column(api.day_column)
    start, end = (pa.scalar(value.replace(tzinfo=None), time.type) for value in (span.start, span.end))
    outside = pc.or_(pc.less(time, start), pc.greater_equal(time, end))
    return [int(index) for index in pc.indices_nonzero(pc.fill_null(outside, False)).to_pylist()]


def _mask(length: int, broken: dict[int, set[str]]) -> pa.Array:
    return pa.array([index not in broken for index in range(length)])


def _with_day(api: ApiTable, frame: pa.Table, day: dt.date) -> pa.Table:
    if api.day_column is not None:
        days = pc.strftime(frame.column(api.day_column), "%Y-%m-%d")
    else:
        days = pa.repeat(pa.scalar(day.isoformat()), frame.num_rows)
    return frame.append_column(PARTITION, days)


def _last_versions(api: ApiTable, rows: pa.Table) -> pa.Table:
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


def _rejected(api: ApiTable, served: Sequence[Row], frame: pa.Table, broken: dict[int, set[str]], day: dt.date) -> pa.Table:
    arrival = frame.column("ingested_at") if "ingested_at" in frame.column_names else None
    rows = []
    for index in sorted(broken):
        arrived = arrival[index].as_py() if arrival is not None else None
        arrived_on = arrived.date() if arrived and "ingested_at_is_plausible" not in broken[index] else day
        rows.append(
            {
                "row_id": row_id(served[index]),
                "payload": payload(served[index]),
                "claims": sorted(broken[index]),
                PARTITION: arrived_on.isoformat(),
            }
        )
    return _once(pa.Table.from_pylist(rows, schema=api.rejected.arrow_schema))


def _once(rejected: pa.Table) -> pa.Table:
    order = pa.array(range(rejected.num_rows), pa.int64())
    first = rejected.append_column("at", order).group_by([PARTITION, "row_id"]).aggregate([("at", "min")])
    return rejected.take(first.column("at_min").sort())
