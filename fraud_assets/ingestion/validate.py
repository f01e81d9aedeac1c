"""Validates rows as an API served them against the claims of their table. No I/O."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pandera.errors
import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.ingestion.batch import Batch, Row, batch_of, last_versions, payload, row_id, without_repeats
from fraud_assets.ingestion.normal_form import normal_form
from fraud_assets.ingestion.parse import read_amounts, read_column, values_at
from fraud_assets.schemas.sources import ApiTable
from hive_io import PARTITION, Span

ROW_CLAIM = "row_is_readable"
"""Claim that a row of a file can be split into fields. A row that breaks it breaks no other claim."""


AHEAD = dt.timedelta(minutes=10)
"""Time by which an event may be later than its arrival at the source, by default."""


def validate(
    api: ApiTable, served: Sequence[Row], span: Span, arrived_on: dt.date | None = None, ahead: dt.timedelta = AHEAD
) -> Batch:
    """Parse rows, check every claim, and separate valid rows from rejected ones.

    Args:
        served: rows as decoded from JSON, in the order in which they were served.
        span: the requested span; for a snapshot, its first day becomes the rows' day.
        arrived_on: day of rejected rows without a readable arrival time; by default the first day of the span.
        ahead: time by which an event may be later than its arrival, since the clocks of the source differ. Both times are those
            of the row, so that every load gives a row the same verdict.
    """
    day = arrived_on or span.first_day
    columns: dict[str, pa.Array] = {}
    broken: dict[int, set[str]] = {}
    rounded: set[int] = set()
    for column in api.read_columns:
        values = values_at(served, api.paths[column.name])
        if column.name in api.currency_of:
            currencies = values_at(served, api.paths[api.currency_of[column.name]])
            columns[column.name], unreadable, more_digits = read_amounts(values, currencies, column.arrow_type)
            rounded.update(more_digits)
        else:
            columns[column.name], unreadable = read_column(values, column.arrow_type)
        for index in unreadable:
            broken.setdefault(index, set()).add(api.readable_claim(column.name))
    return judge_in_span(api, pa.table(columns), broken, rounded, span, served.__getitem__, day, ahead)


def judge_in_span(
    api: ApiTable,
    frame: pa.Table,
    broken: dict[int, set[str]],
    rounded: set[int],
    span: Span,
    served: Callable[[int], Row],
    day: dt.date,
    ahead: dt.timedelta,
) -> Batch:
    """Check every claim, those about times among them, and separate valid rows from rejected ones.

    Args:
        frame, broken, served: as for `judge`.
        rounded: indexes of rows with an amount that was rounded.
        span: times outside of it break a claim.
        day: day of snapshots, and of rejected rows without a readable arrival time.
        ahead: as for `validate`.
    """
    outside = _outside(api, frame, span)
    for index in outside:
        broken.setdefault(index, set()).add(api.span_claim or "")
    for index in set(ahead_of_arrival(api, frame, ahead)).difference(outside):
        broken.setdefault(index, set()).add(api.ahead_claim or "")
    if api.day_column is not None:
        days = pc.strftime(frame.column(api.day_column), "%Y-%m-%d")
    else:
        days = pa.repeat(pa.scalar(day.isoformat()), frame.num_rows)
    judged = judge(api, frame, broken, days, served, day)
    rejected = without_repeats(judged.rejected)
    return batch_of(last_versions(api, judged.rows), rejected, frame.num_rows, day, len(rounded - broken.keys()))


def ahead_of_arrival(api: ApiTable, frame: pa.Table, ahead: dt.timedelta) -> list[int]:
    """Indexes of rows whose time is later than their arrival, by more than `ahead`."""
    if api.ahead_claim is None:
        return []
    latest = pc.add(frame.column("ingested_at"), pa.scalar(ahead, pa.duration("us")))
    later = pc.greater(frame.column(str(api.day_column)), latest)
    return [int(index) for index in pc.indices_nonzero(pc.fill_null(later, False)).to_pylist()]


@dataclass(frozen=True)
class Judged:
    """Rows that were read into columns, separated into valid and rejected ones.

    Attributes:
        rows: valid rows, in every version.
        rejected: rows for the quarantine table, with repeats.
        refused: for each row, True if it is rejected.
    """

    rows: pa.Table
    rejected: pa.Table
    refused: pa.Array


def judge(
    api: ApiTable,
    frame: pa.Table,
    broken: dict[int, set[str]],
    days: pa.Array,
    served: Callable[[int], Row],
    day: dt.date | None = None,
) -> Judged:
    """Check every claim, and separate valid rows from rejected ones.

    Args:
        frame: the columns that are read from a source, NULL where a value is unreadable.
        broken: row index and claims of rows that could not be read; the claims that they break are added.
        days: day of each row, as `ds`.
        served: gives a row as the source served it, for quarantine.
        day: day of every rejected row without a readable arrival time; by default, the day of the row.
    """
    for index, claim in _broken_claims(api, frame):
        if ROW_CLAIM in broken.get(index, ()):
            continue
        # an unreadable value is NULL here; a claim that this NULL violates adds nothing
        if api.readable_claim(claim.column) not in broken.get(index, ()):
            broken.setdefault(index, set()).add(claim.name)
    dated = _complete(api, frame).append_column(PARTITION, days)
    refused = pa.array([index in broken for index in range(frame.num_rows)], pa.bool_())
    valid = dated.filter(pc.invert(refused)) if broken else dated
    return Judged(valid, _rejected(api, served, frame, broken, days, day), refused)


def _complete(api: ApiTable, frame: pa.Table) -> pa.Table:
    """The rows with all columns of the table: normal forms of what was read, and NULL for what the load adds."""
    added = {name: normal_form([frame.column(part) for part in parts]) for name, parts in api.normal_forms.items()}
    columns = [
        frame.column(column.name)
        if column.name in api.paths
        else added.get(column.name, pa.nulls(frame.num_rows, column.arrow_type))
        for column in api.table.columns
    ]
    return pa.table(columns, names=[column.name for column in api.table.columns])


def _broken_claims(api: ApiTable, frame: pa.Table) -> list[tuple[int, Any]]:
    """Row index and claim of each violation."""
    claims = {claim.name: claim for claim in api.claims}
    if not frame.num_rows:
        return []
    try:
        api.pandera_schema.validate(frame.to_pandas(types_mapper=pd.ArrowDtype), lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        unplaced = cases[cases["index"].isna() | ~cases["check"].isin(list(claims))]
        if len(unplaced):
            # the claim itself raised: a defect of this package, not of the row
            raise ValueError(f"{api.table.full_name}: claim {unplaced['check'].iloc[0]} raised an error") from errors
        return [(int(i), claims[name]) for i, name in zip(cases["index"], cases["check"], strict=True)]
    return []


def _outside(api: ApiTable, frame: pa.Table, span: Span) -> list[int]:
    """Indexes of rows whose time is outside the requested span; loading them would let spans overwrite each other's rows."""
    if api.day_column is None:
        return []
    time = frame.column(api.day_column)
    start, end = (pa.scalar(value.replace(tzinfo=None), time.type) for value in (span.start, span.end))
    outside = pc.or_(pc.less(time, start), pc.greater_equal(time, end))
    return [int(index) for index in pc.indices_nonzero(pc.fill_null(outside, False)).to_pylist()]


def _rejected(
    api: ApiTable,
    served: Callable[[int], Row],
    frame: pa.Table,
    broken: dict[int, set[str]],
    days: pa.Array,
    day: dt.date | None,
) -> pa.Table:
    """The rejected rows, in the partition of the day on which they arrived."""
    arrival = frame.column("ingested_at") if "ingested_at" in frame.column_names else None
    rows = []
    for index in sorted(broken):
        arrived = arrival[index].as_py() if arrival is not None else None
        if arrived and "ingested_at_is_plausible" not in broken[index]:
            ds = arrived.date().isoformat()
        else:
            ds = day.isoformat() if day else days[index].as_py()
        row = served(index)
        rows.append({"row_id": row_id(row), "payload": payload(row), "claims": sorted(broken[index]), PARTITION: ds})
    return pa.Table.from_pylist(rows, schema=api.rejected.arrow_schema)
