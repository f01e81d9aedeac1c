"""Reads the quarantine tables: counts of rejected rows by claim, and the rows with their payloads."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlglot import exp

from fraud_assets.errors import FraudError
from fraud_assets.ingestion.batch import payload
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import ApiTable
from fraud_assets.sql.windows import hiveql, table_node
from hive_io import PARTITION, Span, Table, Warehouse
from hive_io.dialect import literal

MASK = "***"
"""Replaces personal data in a payload."""
UNREADABLE = object()
"""Result of decoding a payload that is not JSON."""
_VALUES_PER_QUERY = 2000


class UnknownClaim(FraudError):
    """No table declares a claim of this name, and no row was rejected for it."""


@dataclass(frozen=True)
class Refusals:
    """Number of rows for a table that violated a claim on a day. A row counts once for each claim that it violated."""

    table: str
    day: str
    claim: str
    rows: int


@dataclass(frozen=True)
class RefusedRow:
    """A rejected row.

    Attributes:
        day: day of arrival, like `2026-01-31`.
        row_id: SHA-256 of the payload.
        claims: violated claims, sorted.
        payload: the row as served, as JSON.
    """

    day: str
    row_id: str
    claims: Sequence[str]
    payload: str


def overview(
    warehouse: Warehouse, tables: Iterable[ApiTable], span: Span | None = None, claim: str | None = None
) -> list[Refusals]:
    """Counts by table, day and claim: newest day first, then the claim that most rows violated.

    Args:
        span: days of arrival; None for all.
        claim: restrict to this claim.

    Raises:
        UnknownClaim: lists the known claims.
    """
    tables = list(tables)
    existing = warehouse.tables(DATABASE)
    found: list[Refusals] = []
    for api in tables:
        # nothing was loaded yet if the quarantine table does not exist
        refusals = _counted(warehouse, api, span) if api.rejected.name in existing else []
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
    """Rejected rows with their payloads, newest day first.

    A payload can hold personal data (see `masked`) and can be a megabyte long.

    Args:
        span: days of arrival; None for all.
        claim: restrict to rows that violate this claim.
        limit: maximum number of rows; None for all.

    Raises:
        UnknownClaim: lists the known claims.
        TableNotFound: nothing was ever loaded.
    """
    # payloads can be long: choose the rows without them first
    rows = warehouse.read(api.rejected.full_name, ["row_id", "claims", PARTITION], span).to_pylist()
    _check_claim([api], claim, {name for row in rows for name in row["claims"] or ()})
    chosen = [row for row in rows if row["claims"] and (claim is None or claim in row["claims"])]
    chosen.sort(key=lambda row: row["row_id"])
    chosen.sort(key=lambda row: row[PARTITION], reverse=True)
    chosen = chosen[:limit]
    payloads: dict[tuple[str, str], str] = {}
    for day in {row[PARTITION] for row in chosen}:
        ids = [row["row_id"] for row in chosen if row[PARTITION] == day]
        for found in rows_where(warehouse, api.rejected, ["row_id", "payload"], day, "row_id", ids).to_pylist():
            payloads[day, found["row_id"]] = found["payload"]
    # rows without a payload were loaded between the two queries
    return [
        RefusedRow(row[PARTITION], row["row_id"], row["claims"], served)
        for row in chosen
        if (served := payloads.get((row[PARTITION], row["row_id"]))) is not None
    ]


def _check_claim(tables: Iterable[ApiTable], claim: str | None, found: set[str]) -> None:
    known = found.union(*(api.claim_names for api in tables))
    if claim is not None and claim not in known:
        raise UnknownClaim(f"{claim} is not a claim; known claims: {', '.join(sorted(known))}")


def masked(api: ApiTable, served: str) -> str:
    """A payload with personal data masked.

    For a table with personal data, only the fields behind its other columns are shown: a malformed row can hold a name or an
    address in any field.
    """
    personal = [column.name for column in api.table.columns if column.personal]
    if not personal:
        return served
    row = decoded(served)
    public = {path for name, path in api.paths.items() if name not in personal}
    return json.dumps(MASK) if row is UNREADABLE else payload(_masked(row, (), public))


def _masked(value: Any, path: tuple[str, ...], public: set[tuple[str, ...]]) -> Any:
    if isinstance(value, dict) and any(path == other[: len(path)] for other in public - {path}):
        return {key: _masked(inner, (*path, key), public) for key, inner in value.items()}
    if value is None:
        return None
    items = value if isinstance(value, list) else [value]
    return MASK if path not in public or any(isinstance(item, (dict, list)) for item in items) else value


def decoded(served: str) -> Any:
    """The row of a payload; UNREADABLE if it is not JSON, which only another program can have written."""
    try:
        return json.loads(served)
    except (ValueError, RecursionError):
        return UNREADABLE


def rows_where(
    warehouse: Warehouse, table: Table, columns: Sequence[str], day: str, column: str, values: Sequence[str]
) -> pa.Table:
    """Rows of a day in which a column has one of the values."""
    found = [pa.schema([table.arrow_schema.field(name) for name in columns]).empty_table()]
    for start in range(0, len(values), _VALUES_PER_QUERY):
        some = map(literal, values[start : start + _VALUES_PER_QUERY])
        rows = exp.select(*map(exp.column, columns)).from_(table_node(table))
        rows = rows.where(exp.column(PARTITION).eq(literal(day)), exp.column(column).isin(*some))
        found.append(warehouse.query(hiveql(rows)).cast(found[0].schema))
    return pa.concat_tables(found)
