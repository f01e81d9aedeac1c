"""Loading rejected rows again after a claim was changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from fraud_assets.ingestion.batch import row_id
from fraud_assets.ingestion.quarantine import UNREADABLE, decoded, rows_where, table_node
from fraud_assets.ingestion.validate import validate
from fraud_assets.schemas.sources import ApiTable
from fraud_assets.sql.windows import hiveql
from hive_io import PARTITION, PartitionConflict, Span, Table, Warehouse
from hive_io.dialect import literal
from hive_io.table import DAY, ranges


@dataclass(frozen=True)
class Retried:
    """What became of the refused rows that arrived on a day.

    Attributes:
        day: of arrival.
        taken: rows that are in the table now.
        known: rows that fulfil every claim, but of which the table had this version or a newer one; they were removed.
        refused: rows that still break a claim.
        changed: days of the table that got rows, sorted.
        known_on: days of the table that had this version, or a newer one, sorted.
    """

    day: str
    taken: int
    known: int
    refused: int
    changed: Sequence[str]
    known_on: Sequence[str]


def retry(warehouse: Warehouse, api: ApiTable, asked: Span, span: Span | None = None) -> Iterator[Retried]:
    """Take refused rows in again, with the claims as they are now; day of arrival by day, the oldest first.

    A row that fulfils every claim goes to the table, on its own day (of a snapshot, on that of its arrival), unless the
    table has that key in the same or a newer version; then it leaves the twin. One that breaks a claim stays, with the
    claims it breaks now.

    Whoever is killed in between does it again: the table is written first, rows are marked in the twin (no claims) next,
    and marked rows are removed last, by a query.

    Beside another writer: on the embedded warehouse no row is lost that it adds to the twin meanwhile, for that query is
    computed again on what it wrote; the other may meet a PartitionConflict. On a HiveServer2 the last of two writers of a
    day wins: what a load adds to the table or the twin of that day at that moment is lost until it is loaded again. On
    either, a newer version that is written just between the look at the table and the merge is replaced by the retried one
    until its day is loaded again, and a load that asked the source before the claim was changed replaces the table's day.

    Args:
        asked: the days that the table may have; a row of another day stays refused.
        span: days of arrival; None for all.

    Raises:
        TableNotFound: nothing was ever loaded.
        HiveIOError: what was done until then stays, and is right.
    """
    days = warehouse.partitions(api.rejected.full_name)
    warehouse.ensure_table(api.table)
    for day in days:
        if span is None or span.first_ds <= day <= span.last_ds:
            yield _retry_day(warehouse, api, asked, dt.date.fromisoformat(day))


def _retry_day(warehouse: Warehouse, api: ApiTable, asked: Span, day: dt.date) -> Retried:
    arrived = Span.days(day, day)
    # the order decides between versions that name no arrival, and a table has none
    held = warehouse.read(api.rejected.full_name, span=arrived).sort_by("row_id").to_pylist()
    readable = [(row, served) for row in held if (served := decoded(row["payload"])) is not UNREADABLE]
    batch = validate(api, [served for _, served in readable], asked if api.day_column else arrived, arrived_on=day)
    broken = {row["row_id"]: row["claims"] for row in batch.rejected.select(["row_id", "claims"]).to_pylist()}
    now = [(row, broken.get(row_id(served), [])) for row, served in readable]

    fresh, known_on = _ON_CONFLICT(_upsert_newer, warehouse, api, batch.rows)
    fulfilled = [row for row, claims in now if not claims]
    brought_up_to_date = [row | {"claims": claims} for row, claims in now if claims and claims != row["claims"]]
    _ON_CONFLICT(_mark, warehouse, api.rejected, brought_up_to_date, fulfilled)
    if fulfilled:
        _sweep(warehouse, api.rejected, arrived)
    changed = sorted(fresh.column(PARTITION).unique().to_pylist())
    refused = len(held) - len(fulfilled)
    return Retried(day.isoformat(), fresh.num_rows, len(fulfilled) - fresh.num_rows, refused, changed, known_on)


# what is done again is computed again, on what the other writer wrote
_ON_CONFLICT = Retrying(
    retry=retry_if_exception_type(PartitionConflict),
    stop=stop_after_attempt(5),
    wait=wait_random_exponential(multiplier=0.05, max=2),
    reraise=True,
)


def _upsert_newer(warehouse: Warehouse, api: ApiTable, rows: pa.Table) -> tuple[pa.Table, list[str]]:
    """Merge rows of which the table has no such version, nor a newer one; gives them, and the days of the others."""
    (key,) = api.table.key
    dated = "ingested_at" in rows.column_names
    have: dict[tuple[str, str], dt.datetime] = {}
    for day in rows.column(PARTITION).unique().to_pylist():
        keys = rows.filter(pc.equal(rows.column(PARTITION), day)).column(key).to_pylist()
        for row in rows_where(warehouse, api.table, [key, *(["ingested_at"] if dated else [])], day, key, keys).to_pylist():
            have[day, row[key]] = _arrival(row)
    # of versions with the same arrival, or none, the one in the table stays
    newer = [
        (at := (row[PARTITION], row[key])) not in have or _arrival(row) > have[at]
        for row in rows.select([PARTITION, key, *(["ingested_at"] if dated else [])]).to_pylist()
    ]
    fresh = rows.filter(pa.array(newer, pa.bool_()))
    if fresh.num_rows:
        warehouse.upsert(api.table, fresh)
    others = rows.filter(pc.invert(pa.array(newer, pa.bool_())))
    return fresh, sorted(others.column(PARTITION).unique().to_pylist())


def _arrival(row: dict[str, Any]) -> dt.datetime:
    # as in intake: a version that names no arrival is the earliest
    return row.get("ingested_at") or dt.datetime.min


def _mark(warehouse: Warehouse, twin: Table, changed: Sequence[dict[str, Any]], fulfilled: Sequence[dict[str, Any]]) -> None:
    """Bring claims up to date, and mark rows that are to leave: their claims are NULL."""
    rows = [*changed, *(row | {"claims": None} for row in fulfilled if row["claims"] is not None)]
    if rows:
        warehouse.upsert(twin, pa.Table.from_pylist(rows, schema=twin.arrow_schema))


def _sweep(warehouse: Warehouse, twin: Table, day: Span) -> None:
    """Remove marked rows of a day, by a query: a warehouse that notices another writer computes it again."""
    unmarked = exp.column("claims").is_(exp.null()).not_()
    columns = [exp.column(name) for name in twin.arrow_schema.names]
    rows = exp.select(*columns).from_(table_node(twin)).where(exp.column(PARTITION).eq(literal(day.first_ds)), unmarked)
    warehouse.replace(twin, hiveql(rows), day)


def days_to_run(api: ApiTable, changed: Iterable[str], asked: Span) -> list[Span]:
    """The days whose rules, alerts and activity rest on the changed days of a table, as far as `asked` has them.

    A day's look-backs and profiles reach into the day before it, so the day after each changed day is among them.
    """
    days = {dt.date.fromisoformat(day) for day in changed}
    after = {day + DAY for day in days} if api.day_column else set()
    return ranges(day for day in days | after if asked.first_day <= day <= asked.last_day)
