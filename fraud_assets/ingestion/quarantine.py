"""Rows that were refused: how many and why, the rows themselves, and taking them in again once a claim was changed."""

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
from fraud_assets.sql.windows import hiveql
from hive_io import PARTITION, Span, Table, Warehouse
from hive_io.dialect import literal

MASK = "***"


_VALUES_A_QUERY = 2000


UNREADABLE = object()


class UnknownClaim(FraudError):
    """No table has a claim of this name, and no row was refused for it."""


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
        for found in rows_where(warehouse, twin, ["row_id", "payload"], day, "row_id", ids).to_pylist():
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
    personal = [column.name for column in api.table.columns if column.personal]
    if not personal:
        return served
    row = decoded(served)
    shown = {path for name, path in api.paths.items() if name not in personal}
    return json.dumps(MASK) if row is UNREADABLE else payload(_masked(row, (), shown))


def _masked(value: Any, path: tuple[str, ...], shown: set[tuple[str, ...]]) -> Any:
    if isinstance(value, dict) and any(path == known[: len(path)] for known in shown - {path}):
        return {key: _masked(inner, (*path, key), shown) for key, inner in value.items()}
    if value is None:
        return None
    items = value if isinstance(value, list) else [value]
    return MASK if path not in shown or any(isinstance(item, (dict, list)) for item in items) else value


def decoded(served: str) -> Any:
    try:
        return json.loads(served)
    except (ValueError, RecursionError):  # not written by this intake; callers have an answer to it
        return UNREADABLE


def rows_where(
    warehouse: Warehouse, table: Table, columns: Sequence[str], day: str, column: str, values: Sequence[str]
) -> pa.Table:
    """Columns of the rows of a day whose column has one of the values."""
    found = [pa.schema([table.arrow_schema.field(name) for name in columns]).empty_table()]
    for start in range(0, len(values), _VALUES_A_QUERY):
        some = [literal(value) for value in values[start : start + _VALUES_A_QUERY]]
        rows = exp.select(*map(exp.column, columns)).from_(table_node(table))
        rows = rows.where(exp.column(PARTITION).eq(literal(day)), exp.In(this=exp.column(column), expressions=some))
        found.append(warehouse.query(hiveql(rows)).cast(found[0].schema))
    return pa.concat_tables(found)


def table_node(table: Table) -> exp.Table:
    return exp.table_(table.name, db=table.database)
