"""Records which days of a table were loaded, and when rows that are served late became known."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from fraud_assets.ingestion.batch import Batch, QueriedBatch
from fraud_assets.schemas.sources import ApiTable
from hive_io import PARTITION, HiveQL, Span, Table, Warehouse
from hive_io.warehouse import Data


def with_first_seen(api: ApiTable, warehouse: Warehouse, rows: Data, asked_at: dt.datetime) -> Data:
    """The rows with the time from which each is known, for a table with `first_seen`; other rows as they are.

    A row that the table has keeps its time. A new row is known since its own time, unless the source was asked for its day
    after that time and did not serve it: then it is known since `asked_at`. So a first load, however late, assumes that the
    source would have served every row in time.

    Args:
        rows: a query is returned as it is: a source that is read in place has no table with `first_seen`.
        asked_at: when the source was asked for the rows, aware.
    """
    if api.first_seen is None or api.day_column is None or isinstance(rows, HiveQL) or not rows.num_rows:
        return rows
    (key,) = api.table.key
    days = sorted(rows.column(PARTITION).unique().to_pylist())
    span = Span.days(dt.date.fromisoformat(days[0]), dt.date.fromisoformat(days[-1]))
    warehouse.ensure_table(api.table)
    columns = [PARTITION, key, api.day_column, api.first_seen]
    held = {(row[PARTITION], row[key]): row for row in warehouse.read(api.table.full_name, columns, span).to_pylist()}
    # days of earlier releases have rows and no record of a load
    until: dict[str, dt.datetime] = {ds: dt.datetime.max for ds, _ in held}
    until.update(_loaded_until(warehouse, api.loads, span))
    now = _naive(asked_at)

    def known_at(row: Mapping[str, Any]) -> dt.datetime:
        own: dt.datetime = row[str(api.day_column)]
        same = held.get((row[PARTITION], row[key]))
        if same is not None:
            return max(own, same[str(api.first_seen)] or same[str(api.day_column)])
        was_asked_after = until.get(row[PARTITION], dt.datetime.min) > own
        return max(own, now) if was_asked_after else own

    known = pa.array([known_at(row) for row in rows.select([PARTITION, key, api.day_column]).to_pylist()], pa.timestamp("us"))
    return rows.set_column(rows.column_names.index(api.first_seen), api.first_seen, known)


def load_records(
    api: ApiTable, warehouse: Warehouse, batch: Batch | QueriedBatch, span: Span, counts: Mapping[str, int]
) -> pa.Table:
    """The rows for `api.loads` after a load of a span: one for each of its days, none if the source lacks the table.

    Args:
        counts: rows of each day of the table after the load, by `ds`; none is 0.
    """
    assert api.loads is not None
    if not batch.has_source:
        return api.loads.arrow_schema.empty_table()
    before = _loaded_until(warehouse, api.loads, span)
    records = []
    for day in span.each_day():
        whole = Span.days(day, day)
        until = whole.start
        if api.day_column is not None:
            until = max(whole.start, min(batch.asked_at, span.end, whole.end))
        ds = day.isoformat()
        last = max(_naive(until), before.get(ds, dt.datetime.min))
        records.append({"rows_loaded": counts.get(ds, 0), "loaded_until": last, PARTITION: ds})
    return pa.Table.from_pylist(records, schema=api.loads.arrow_schema)


def _loaded_until(warehouse: Warehouse, loads: Table | None, span: Span) -> dict[str, dt.datetime]:
    if loads is None:
        return {}
    warehouse.ensure_table(loads)
    rows = warehouse.read(loads.full_name, ["loaded_until", PARTITION], span).to_pylist()
    return {row[PARTITION]: row["loaded_until"] for row in rows}


def _naive(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(tzinfo=None)
