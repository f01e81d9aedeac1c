"""Validates rows as an API served them against the claims of their table. No I/O."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pandera.errors
import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.ingestion.batch import Batch, Row, batch_of, last_versions, payload, row_id, without_repeats
from fraud_assets.ingestion.parse import read_column, values_at
from fraud_assets.schemas.sources import ApiTable
from hive_io import PARTITION, Span


def validate(api: ApiTable, served: Sequence[Row], span: Span, arrived_on: dt.date | None = None) -> Batch:
    """Parse rows, check every claim, and separate valid rows from rejected ones.

    Args:
        served: rows as decoded from JSON, in the order in which they were served.
        span: the requested span; for a snapshot, its first day becomes the rows' day.
        arrived_on: day of rejected rows without a readable arrival time; by default the first day of the span.
    """
    day = arrived_on or span.first_day
    columns: dict[str, pa.Array] = {}
    broken: dict[int, set[str]] = {}
    for column in api.table.columns:
        columns[column.name], unreadable = read_column(values_at(served, api.paths[column.name]), column.arrow_type)
        for index in unreadable:
            broken.setdefault(index, set()).add(api.readable_claim(column.name))
    frame = pa.table(columns)
    for index, claim in _broken_claims(api, frame):
        # an unreadable value is NULL here; a claim that this NULL violates adds nothing
        if api.readable_claim(claim.column) not in broken.get(index, ()):
            broken.setdefault(index, set()).add(claim.name)
    for index in _outside(api, frame, span):
        broken.setdefault(index, set()).add(api.span_claim or "")

    dated = _with_day(api, frame, day)
    valid = dated.filter(_unbroken(len(served), broken)) if broken else dated
    return batch_of(last_versions(api, valid), _rejected(api, served, frame, broken, day), len(served), day)


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


def _unbroken(length: int, broken: dict[int, set[str]]) -> pa.Array:
    return pa.array([index not in broken for index in range(length)])


def _with_day(api: ApiTable, frame: pa.Table, day: dt.date) -> pa.Table:
    """The rows with their partition: the day of their time, or `day` for a snapshot."""
    if api.day_column is not None:
        days = pc.strftime(frame.column(api.day_column), "%Y-%m-%d")
    else:
        days = pa.repeat(pa.scalar(day.isoformat()), frame.num_rows)
    return frame.append_column(PARTITION, days)


def _rejected(api: ApiTable, served: Sequence[Row], frame: pa.Table, broken: dict[int, set[str]], day: dt.date) -> pa.Table:
    """The rejected rows, in the partition of the day on which they arrived."""
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
    return without_repeats(pa.Table.from_pylist(rows, schema=api.rejected.arrow_schema))
