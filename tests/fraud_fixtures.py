"""Fixtures for the tests of fraud_assets: rows as the APIs serve them, rows of tables, folders of rule files, servers."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from fraud_assets.detection.rule_book import RULES_FOLDER, RuleBook, read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.catalog import fixed_tables
from hive_io import EmbeddedWarehouse, Receipt, Span, Table, Warehouse

DAY = dt.date(2026, 1, 5)
SPAN = Span.days(DAY, DAY)
NOON = dt.datetime(2026, 1, 5, 12)


# --- rows of the APIs ---------------------------------------------------------------------------------------------------


def served(table: str, **changes: Any) -> dict[str, Any]:
    """A valid row as the API serves it. The name `a__b` changes the key `b` inside `a`."""
    row = _SERVED[table]()
    for name, value in changes.items():
        *outer, last = name.split("__")
        inner = row
        for key in outer:
            inner = inner[key]
        inner[last] = value
    if "date_time" in changes and "ingested_at" not in changes:
        # no transaction arrives before it happens
        with suppress(ValueError, TypeError):
            row["ingested_at"] = max(row["ingested_at"], changes["date_time"], key=_utc)
    return row


def _utc(text: str) -> dt.datetime:
    time = dt.datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


_SERVED: dict[str, Callable[[], dict[str, Any]]] = {
    "transactions": lambda: {
        "transaction_id": "t1",
        "date_time": "2026-01-05T10:00:00Z",
        "amount": 12.5,
        "currency": "EUR",
        "merchant_details": {
            "merchant_id": "m1",
            "name": "Café",
            "category": "food",
            "city": "Graz",
            "country": "AT",
            "latitude": 47.07,
            "longitude": 15.44,
        },
        "customer_id": "c1",
        "transaction_type": "purchase",
        "channel": "pos",
        "status": "approved",
        "ingested_at": "2026-01-05T10:00:05Z",
    },
    "customers": lambda: {
        "customer_id": "c1",
        "account_history": {"opened_at": "2020-02-01T00:00:00Z", "status": "active"},
        "demographics": {
            "name": "Zoë",
            "email": "z@example.org",
            "date_of_birth": "1990-12-31",
            "city": "Graz",
            "country": "AT",
            "latitude": 47.07,
            "longitude": 15.44,
        },
        "behavioral_patterns": {
            "home_currency": "EUR",
            "usual_countries": ["AT", "DE"],
            "usual_channels": ["pos"],
            "transactions_per_week": 3.5,
        },
    },
    "blacklist": lambda: {"merchant_id": "m1", "name": "Café", "reason": "chargebacks", "listed_at": "2025-12-01T00:00:00Z"},
    "credit_scores": lambda: {"customer_id": "c1", "score": 700, "scored_at": "2025-12-31T00:00:00Z"},
    "fraud_reports": lambda: {
        "report_id": "r1",
        "reported_at": "2026-01-05T09:00:00Z",
        "customer_id": "c1",
        "merchant_id": "m1",
        "transaction_id": "t0",
        "kind": "card_stolen",
    },
}

KEY_OF = {
    "transactions": "transaction_id",
    "customers": "customer_id",
    "blacklist": "merchant_id",
    "credit_scores": "customer_id",
    "fraud_reports": "report_id",
}


# --- rows of tables -----------------------------------------------------------------------------------------------------


def transaction(transaction_id: str, customer_id: str = "c1", amount: str | Decimal = "10.00", **more: Any) -> dict[str, Any]:
    """A row of fintech.transactions, by default at noon of DAY in Graz."""
    return {
        "transaction_id": transaction_id,
        "customer_id": customer_id,
        "amount": Decimal(amount),
        "event_time": NOON,
        "currency": "EUR",
        "merchant_id": "m1",
        "merchant_city": "Graz",
        "merchant_country": "AT",
        "transaction_type": "purchase",
        "status": "approved",
        **more,
    }


def fill(warehouse: Warehouse, table: str | Table, rows: Iterable[Mapping[str, Any]], span: Span = SPAN) -> Receipt:
    """Replace the rows of a table in a span.

    Missing columns are NULL. `ds` is by default the day of the row's time, or else the first day of the span.
    """
    described = table if isinstance(table, Table) else fixed_tables()[table]
    complete = []
    for row in rows:
        time = row.get(described.time_column or "")
        day = time.date() if isinstance(time, dt.datetime) else span.first_day
        complete.append({**dict.fromkeys(described.arrow_schema.names), "ds": day.isoformat(), **row})
    return warehouse.replace(described, pa.Table.from_pylist(complete, schema=described.arrow_schema), span)


def all_tables(warehouse: EmbeddedWarehouse, book: RuleBook) -> EmbeddedWarehouse:
    """The warehouse, with every table created."""
    for table in book.tables().values():
        warehouse.ensure_table(table)
    return warehouse


def compute(engine: Engine, warehouse: Warehouse, table: str, span: Span = SPAN) -> list[dict[str, Any]]:
    """Compute a table for a span, and return its rows of the days of the span. Tables that it reads are created if missing."""
    for name in engine.reads(table):
        warehouse.ensure_table(engine.tables[name])
    warehouse.replace(engine.tables[table], engine.query(table, span), span)
    return warehouse.read(f"fintech.{table}", span=span).to_pylist()


# --- results of a rule ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """Hits of a rule on DAY by transaction, the number of transactions, and how many the rule could judge."""

    hits: Mapping[str, dict[str, Any]]
    transactions: int
    judged: int

    def evidence(self, transaction_id: str) -> dict[str, Any]:
        return json.loads(self.hits[transaction_id]["evidence"], parse_float=Decimal)


def judge(engine: Engine, lake: EmbeddedWarehouse, rule: str, **tables: Iterable[Mapping[str, Any]]) -> Judged:
    """Fill the tables that a rule reads, compute its hits, and check that all ways of computing them agree."""
    assert tables.keys() <= engine.reads(rule).keys()
    for name in engine.reads(rule):
        lake.ensure_table(engine.tables[name])
        fill(lake, name, tables.get(name, []))
    rows = compute(engine, lake, rule)
    hits = {row["transaction_id"]: row for row in rows}
    assert len(hits) == len(rows)
    assert all(row["rule"] == rule and row["ds"] == DAY.isoformat() for row in rows)
    times = {row["transaction_id"]: row["event_time"] for row in tables.get("transactions", [])}
    assert all(row["event_time"] == times[row["transaction_id"]] for row in rows)
    assert all(row["rule_version"] == engine.book.rules[rule].version for row in rows)
    [counted] = lake.query(engine.coverage(rule, SPAN)).to_pylist()
    assert counted["ds"] == DAY.isoformat()
    assert counted["hits"] == len(hits)
    both = engine.counted_hits(rule, SPAN)
    assert sorted(lake.query(both).to_pylist(), key=_id) == sorted(rows, key=_id)
    assert both.counted == ({DAY.isoformat(): int(counted["judged"])} if counted["judged"] else {})
    return Judged(hits, int(counted["transactions"]), int(counted["judged"]))


def _id(row: Mapping[str, Any]) -> str:
    return str(row["transaction_id"])


def profile(customer_id: str, **changes: Any) -> dict[str, Any]:
    """A customer profile: a mean of 100, a deviation of 25 and a maximum of 190, from 10 transactions."""
    return {
        "customer_id": customer_id,
        "currency": "EUR",
        "transactions": 10,
        "amount_sum": Decimal(1000),
        "amount_square_sum": Decimal("106250"),
        "amount_max": Decimal(190),
        "amount_mean": Decimal(100),
        "amount_deviation": Decimal(25),
        **changes,
    }


# --- rule files ---------------------------------------------------------------------------------------------------------


def rule_folder(folder: Path, files: Mapping[str, str], of_the_package: Iterable[str] = ()) -> Path:
    """A folder with the given files and copies of some rules of the package."""
    folder.mkdir(parents=True)
    for name in of_the_package:
        shutil.copy(RULES_FOLDER / f"{name}.sql", folder)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def book_with(
    folder: Path, files: Mapping[str, str], overrides: str | None = None, of_the_package: Iterable[str] = ()
) -> RuleBook:
    """The rule book of such a folder, with the given text as rules file."""
    rules = rule_folder(folder / "rules", files, of_the_package)
    rules_file = None
    if overrides is not None:
        rules_file = folder / "overrides.yaml"
        rules_file.write_text(overrides, encoding="utf-8")
    return read_rule_book(rules, overrides=rules_file)
