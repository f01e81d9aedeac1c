"""Loads rejected rows again, after a claim was changed in the code."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.ingestion.batch import row_id
from fraud_assets.ingestion.loads import with_first_seen
from fraud_assets.ingestion.own_data.connectors.base import FILE, ROW
from fraud_assets.ingestion.quarantine import UNREADABLE, decoded, rows_where
from fraud_assets.ingestion.validate import AHEAD, validate
from fraud_assets.schemas.sources import ApiTable
from fraud_assets.sql.windows import hiveql, table_node
from hive_io import PARTITION, PartitionConflict, Span, Table, Warehouse
from hive_io.dialect import literal
from hive_io.table import DAY, ranges


@dataclass(frozen=True)
class Retried:
    """Result for the rejected rows that arrived on one day.

    Attributes:
        day: day of arrival.
        taken: rows that were loaded into the table.
        known: valid rows that were only removed, because the table already had the same or a newer version.
        refused: rows that still violate a claim.
        changed: days of the table that gained rows, sorted.
        known_on: days of the table that already had the same or a newer version, sorted.
    """

    day: str
    taken: int
    known: int
    refused: int
    changed: Sequence[str]
    known_on: Sequence[str]


def retry(
    warehouse: Warehouse,
    api: ApiTable,
    asked: Span,
    span: Span | None = None,
    clock: Clock = SYSTEM_CLOCK,
    ahead: dt.timedelta = AHEAD,
) -> Iterator[Retried]:
    """Validate rejected rows with the current claims and load the valid ones, by day of arrival, oldest first.

    A valid row is upserted on its own day (for a snapshot, on its day of arrival), unless the table has the same or a newer
    version of its key. Either way it leaves quarantine. A row that violates a claim stays, with the claims it violates now.

    A killed retry can be repeated: each day writes the table first, then marks rows in quarantine (no claims), and removes
    marked rows last, by a query.

    Concurrent writers: on the embedded warehouse, rows that another writer adds to quarantine meanwhile are kept, since the
    removal is recomputed on its result; the other writer may get a PartitionConflict. On a HiveServer2 the last writer of a
    day wins: rows that a load adds to that day of the table or of quarantine at that moment are lost until the day is loaded
    again. On both, a newer version that is written between reading the table and the upsert is replaced by the retried row
    until its day is loaded again, and a load that queried the source before the claim was changed replaces the table's day.

    Args:
        asked: days that the table may hold; a row of another day stays rejected.
        span: days of arrival; None for all.
        clock: the time of the retry, for rows that become known by it.
        ahead: as for `validate`.

    Raises:
        TableNotFound: nothing was ever loaded.
        HiveIOError: the days before it are complete and stay.
    """
    days = warehouse.partitions(api.rejected.full_name)
    warehouse.ensure_table(api.table)
    for day in days:
        if span is None or span.first_ds <= day <= span.last_ds:
            yield _retry_day(warehouse, api, asked, dt.date.fromisoformat(day), clock, ahead)


def _retry_day(warehouse: Warehouse, api: ApiTable, asked: Span, day: dt.date, clock: Clock, ahead: dt.timedelta) -> Retried:
    arrived = Span.days(day, day)
    # order decides between versions without an arrival time, and a table has no order of its own
    held = warehouse.read(api.rejected.full_name, span=arrived).sort_by("row_id").to_pylist()
    readable = [(row, served) for row in held if is_of_apis(served := decoded(row["payload"]))]
    span = asked if api.day_column else arrived
    batch = validate(api, [served for _, served in readable], span, arrived_on=day, ahead=ahead)
    violated = {row["row_id"]: row["claims"] for row in batch.rejected.select(["row_id", "claims"]).to_pylist()}
    now = [(row, violated.get(row_id(served), [])) for row, served in readable]

    rows = with_first_seen(api, warehouse, batch.rows, clock.now())
    fresh, known_on = _ON_CONFLICT(_upsert_newer, warehouse, api, rows)
    valid = [row for row, claims in now if not claims]
    updated = [row | {"claims": claims} for row, claims in now if claims and claims != row["claims"]]
    _ON_CONFLICT(_mark, warehouse, api.rejected, updated, valid)
    if valid:
        _remove_marked(warehouse, api.rejected, arrived)
    changed = sorted(fresh.column(PARTITION).unique().to_pylist())
    return Retried(day.isoformat(), fresh.num_rows, len(valid) - fresh.num_rows, len(held) - len(valid), changed, known_on)


def is_of_apis(served: Any) -> bool:
    """True for a row as the APIs serve it. A row of a file needs the mapping of its source file: its day is run again."""
    return served is not UNREADABLE and not (isinstance(served, dict) and {FILE, ROW} <= served.keys())


# each attempt reads the table again, with the rows of the other writer
_ON_CONFLICT = Retrying(
    retry=retry_if_exception_type(PartitionConflict),
    stop=stop_after_attempt(5),
    wait=wait_random_exponential(multiplier=0.05, max=2),
    reraise=True,
)


def _upsert_newer(warehouse: Warehouse, api: ApiTable, rows: pa.Table) -> tuple[pa.Table, list[str]]:
    """Upsert rows that the table does not have in the same or a newer version.

    Returns:
        The upserted rows, and the days of the others.
    """
    (key,) = api.table.key
    versioned = [key, *(["ingested_at"] if "ingested_at" in rows.column_names else [])]
    existing: dict[tuple[str, str], dt.datetime] = {}
    for day in rows.column(PARTITION).unique().to_pylist():
        keys = rows.filter(pc.equal(rows.column(PARTITION), day)).column(key).to_pylist()
        for row in rows_where(warehouse, api.table, versioned, day, key, keys).to_pylist():
            existing[day, row[key]] = _arrival(row)
    # among versions that arrived at the same time, or without a time, the table's version stays
    newer = [
        (at := (row[PARTITION], row[key])) not in existing or _arrival(row) > existing[at]
        for row in rows.select([PARTITION, *versioned]).to_pylist()
    ]
    fresh = rows.filter(pa.array(newer, pa.bool_()))
    if fresh.num_rows:
        warehouse.upsert(api.table, fresh)
    others = rows.filter(pc.invert(pa.array(newer, pa.bool_())))
    return fresh, sorted(others.column(PARTITION).unique().to_pylist())


def _arrival(row: dict[str, Any]) -> dt.datetime:
    # as in `last_versions`: a version without an arrival time counts as the earliest
    return row.get("ingested_at") or dt.datetime.min


def _mark(warehouse: Warehouse, table: Table, updated: Sequence[dict[str, Any]], valid: Sequence[dict[str, Any]]) -> None:
    """Write the current claims, and NULL claims for the valid rows, which marks them for removal."""
    rows = [*updated, *(row | {"claims": None} for row in valid if row["claims"] is not None)]
    if rows:
        warehouse.upsert(table, pa.Table.from_pylist(rows, schema=table.arrow_schema))


def _remove_marked(warehouse: Warehouse, table: Table, day: Span) -> None:
    """Remove the marked rows of a day by a query, which the embedded warehouse recomputes if it detects a concurrent write."""
    unmarked = exp.column("claims").is_(exp.null()).not_()
    columns = [exp.column(name) for name in table.arrow_schema.names]
    rows = exp.select(*columns).from_(table_node(table)).where(exp.column(PARTITION).eq(literal(day.first_ds)), unmarked)
    warehouse.replace(table, hiveql(rows), day)


def days_to_run(api: ApiTable, changed: Iterable[str], asked: Span) -> list[Span]:
    """The days within `asked` whose rules, alerts and activity depend on changed days of a table.

    Lookbacks and profiles of a day reach into the day before, so the day after each changed day is included.
    """
    days = {dt.date.fromisoformat(day) for day in changed}
    after = {day + DAY for day in days} if api.day_column else set()
    return ranges(day for day in days | after if asked.first_day <= day <= asked.last_day)
