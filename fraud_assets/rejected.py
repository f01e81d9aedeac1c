"""Rows that were refused: how many and why, the rows themselves, and taking them in again once a claim was changed."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from fraud_assets.errors import FraudError
from fraud_assets.intake import payload, row_id, take_in
from fraud_assets.queries import hiveql
from fraud_assets.schemas import DATABASE, PERSONAL, ApiTable
from hive_io import PARTITION, PartitionConflict, Span, Table, Warehouse
from hive_io.dialect import literal
from hive_io.table import DAY, ranges

MASK = "***"
_VALUES_A_QUERY = 2000
_UNREADABLE = object()


class UnknownClaim(FraudError):
    """No table has a claim of this name, and no row was refused for it."""


# --- looking ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusals:
    """How many rows for a table broke a claim on a day; a row that broke two is counted with each."""

    table: str
    day: str
    claim: str
    rows: int


@dataclass(frozen=True)
class RefusedRow:
    """A refused row.

    Attributes:
        day: it arrived, `2026-01-31`.
        row_id: SHA-256 of its payload.
        claims: it broke, sorted.
        payload: the row as it was served, JSON.
    """

    day: str
    row_id: str
    claims: Sequence[str]
    payload: str


def overview(
    warehouse: Warehouse, tables: Iterable[ApiTable], span: Span | None = None, claim: str | None = None
) -> list[Refusals]:
    """Refusals by table, day and claim: newest day first, the claim that most rows broke first.

    Args:
        span: days of arrival; None for all.
        claim: only this one.

    Raises:
        UnknownClaim: with the names there are.
    """
    tables = list(tables)
    made = warehouse.tables(DATABASE)
    found: list[Refusals] = []
    for api in tables:
        # a table that was never made has refused nothing
        refusals = _counted(warehouse, api, span) if api.rejected.name in made else []
        found += sorted(refusals, key=lambda r: (-dt.date.fromisoformat(r.day).toordinal(), -r.rows, r.claim))
    _check_claim(tables, claim, {refusals.claim for refusals in found})
    return [refusals for refusals in found if claim in (None, refusals.claim)]


def _counted(warehouse: Warehouse, api: ApiTable, span: Span | None) -> list[Refusals]:
    rows = warehouse.read(api.rejected.full_name, ["claims", PARTITION], span).to_pylist()
    counts = Counter((row[PARTITION], claim) for row in rows for claim in row["claims"] or ())
    return [Refusals(api.table.name, day, claim, count) for (day, claim), count in counts.items()]


def refused_rows(
    warehouse: Warehouse, api: ApiTable, span: Span | None = None, claim: str | None = None, limit: int | None = None
) -> list[RefusedRow]:
    """Refused rows with their payloads, the newest day first. A payload may be personal data, and a megabyte: see `masked`.

    Args:
        span: days of arrival; None for all.
        claim: only rows that broke it.
        limit: how many; None for all.

    Raises:
        UnknownClaim: with the names there are.
        TableNotFound: nothing was ever loaded.
    """
    twin = api.rejected
    # first without the payloads, which can be long
    rows = warehouse.read(twin.full_name, ["row_id", "claims", PARTITION], span).to_pylist()
    _check_claim([api], claim, {name for row in rows for name in row["claims"] or ()})
    wanted = [row for row in rows if row["claims"] and (claim is None or claim in row["claims"])]
    wanted.sort(key=lambda row: row["row_id"])
    wanted.sort(key=lambda row: row[PARTITION], reverse=True)
    wanted = wanted[:limit]
    payloads: dict[tuple[str, str], str] = {}
    for day in {row[PARTITION] for row in wanted}:
        ids = [row["row_id"] for row in wanted if row[PARTITION] == day]
        for found in _where(warehouse, twin, ["row_id", "payload"], day, "row_id", ids).to_pylist():
            payloads[day, found["row_id"]] = found["payload"]
    # who is taken in meanwhile, is no longer refused
    return [
        RefusedRow(row[PARTITION], row["row_id"], row["claims"], served)
        for row in wanted
        if (served := payloads.get((row[PARTITION], row["row_id"]))) is not None
    ]


def _check_claim(tables: Iterable[ApiTable], claim: str | None, found: set[str]) -> None:
    known = found.union(*(api.claim_names for api in tables))
    if claim is not None and claim not in known:
        raise UnknownClaim(f"There is no claim {claim}; claims: {', '.join(sorted(known))}")


def masked(api: ApiTable, served: str) -> str:
    """A payload that may be shown: for a table with personal data, only what its other columns are read from.

    A malformed row may have a name or an address anywhere, so whatever is not known to be something else is masked.
    """
    personal = [column.name for column in api.table.columns if column.description.startswith(PERSONAL)]
    if not personal:
        return served
    row = _decoded(served)
    shown = {path for name, path in api.paths.items() if name not in personal}
    return json.dumps(MASK) if row is _UNREADABLE else payload(_masked(row, (), shown))


def _masked(value: Any, path: tuple[str, ...], shown: set[tuple[str, ...]]) -> Any:
    if isinstance(value, dict) and any(path == known[: len(path)] for known in shown - {path}):
        return {key: _masked(inner, (*path, key), shown) for key, inner in value.items()}
    if value is None:
        return None
    items = value if isinstance(value, list) else [value]
    return MASK if path not in shown or any(isinstance(item, (dict, list)) for item in items) else value


def _decoded(served: str) -> Any:
    try:
        return json.loads(served)
    except (ValueError, RecursionError):  # not written by this intake; callers have an answer to it
        return _UNREADABLE


# --- taking in again --------------------------------------------------------------------------------------------------


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
    readable = [(row, served) for row in held if (served := _decoded(row["payload"])) is not _UNREADABLE]
    batch = take_in(api, [served for _, served in readable], asked if api.day_column else arrived, arrived_on=day)
    broken = {row["row_id"]: row["claims"] for row in batch.rejected.select(["row_id", "claims"]).to_pylist()}
    now = [(row, broken.get(row_id(served), [])) for row, served in readable]

    fresh, known_on = _ON_CONFLICT(_merge_newer, warehouse, api, batch.rows)
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


def _merge_newer(warehouse: Warehouse, api: ApiTable, rows: pa.Table) -> tuple[pa.Table, list[str]]:
    """Merge rows of which the table has no such version, nor a newer one; gives them, and the days of the others."""
    (key,) = api.table.key
    dated = "ingested_at" in rows.column_names
    have: dict[tuple[str, str], dt.datetime] = {}
    for day in rows.column(PARTITION).unique().to_pylist():
        keys = rows.filter(pc.equal(rows.column(PARTITION), day)).column(key).to_pylist()
        for row in _where(warehouse, api.table, [key, *(["ingested_at"] if dated else [])], day, key, keys).to_pylist():
            have[day, row[key]] = _arrival(row)
    # of versions with the same arrival, or none, the one in the table stays
    newer = [
        (at := (row[PARTITION], row[key])) not in have or _arrival(row) > have[at]
        for row in rows.select([PARTITION, key, *(["ingested_at"] if dated else [])]).to_pylist()
    ]
    fresh = rows.filter(pa.array(newer, pa.bool_()))
    if fresh.num_rows:
        warehouse.merge(api.table, fresh)
    others = rows.filter(pc.invert(pa.array(newer, pa.bool_())))
    return fresh, sorted(others.column(PARTITION).unique().to_pylist())


def _arrival(row: dict[str, Any]) -> dt.datetime:
    # as in intake: a version that names no arrival is the earliest
    return row.get("ingested_at") or dt.datetime.min


def _mark(warehouse: Warehouse, twin: Table, changed: Sequence[dict[str, Any]], fulfilled: Sequence[dict[str, Any]]) -> None:
    """Bring claims up to date, and mark rows that are to leave: their claims are NULL."""
    rows = [*changed, *(row | {"claims": None} for row in fulfilled if row["claims"] is not None)]
    if rows:
        warehouse.merge(twin, pa.Table.from_pylist(rows, schema=twin.arrow_schema))


def _sweep(warehouse: Warehouse, twin: Table, day: Span) -> None:
    """Remove marked rows of a day, by a query: a warehouse that notices another writer computes it again."""
    unmarked = exp.column("claims").is_(exp.null()).not_()
    columns = [exp.column(name) for name in twin.arrow_schema.names]
    rows = exp.select(*columns).from_(_name(twin)).where(exp.column(PARTITION).eq(literal(day.first_ds)), unmarked)
    warehouse.replace(twin, hiveql(rows), day)


def _where(
    warehouse: Warehouse, table: Table, columns: Sequence[str], day: str, column: str, values: Sequence[str]
) -> pa.Table:
    """Columns of the rows of a day whose column has one of the values."""
    found = [pa.schema([table.arrow_schema.field(name) for name in columns]).empty_table()]
    for start in range(0, len(values), _VALUES_A_QUERY):
        some = [literal(value) for value in values[start : start + _VALUES_A_QUERY]]
        rows = exp.select(*map(exp.column, columns)).from_(_name(table))
        rows = rows.where(exp.column(PARTITION).eq(literal(day)), exp.In(this=exp.column(column), expressions=some))
        found.append(warehouse.query(hiveql(rows)).cast(found[0].schema))
    return pa.concat_tables(found)


def _name(table: Table) -> exp.Table:
    return exp.table_(table.name, db=table.database)


def days_to_run(api: ApiTable, changed: Iterable[str], asked: Span) -> list[Span]:
    """The days whose rules, alerts and activity rest on the changed days of a table, as far as `asked` has them.

    A day's look-backs and profiles reach into the day before it, so the day after each changed day is among them.
    """
    days = {dt.date.fromisoformat(day) for day in changed}
    after = {day + DAY for day in days} if api.day_column else set()
    return ranges(day for day in days | after if asked.first_day <= day <= asked.last_day)
