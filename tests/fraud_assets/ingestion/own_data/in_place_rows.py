"""Rows of a bank's table with every kind of value that its columns can have, and two source files that map them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from fraud_assets.ingestion.batch import Batch
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from hive_io import PARTITION, Column, Span, Table, Warehouse

DAY = dt.date(2026, 3, 29)
SPAN = Span.days(DAY - dt.timedelta(days=1), DAY)
"""In its second night, clocks go forward in Berlin."""
PAYMENTS = Table(
    "bank",
    "payments_rows",
    (
        Column("id", "STRING"),
        Column("at", "TIMESTAMP"),
        Column("written", "STRING"),
        Column("posted", "STRING"),
        Column("millis", "BIGINT"),
        Column("amount", "DECIMAL(20,4)"),
        Column("amount_text", "STRING"),
        Column("fee", "DOUBLE"),
        Column("cents", "BIGINT"),
        Column("cur", "STRING"),
        Column("shop", "STRING"),
        Column("city", "STRING"),
        Column("country", "STRING"),
        Column("lat", "DOUBLE"),
        Column("lon", "STRING"),
        Column("kind", "STRING"),
        Column("online", "BOOLEAN"),
        Column("code", "INT"),
        Column("digits", "STRING"),
        Column("card", "STRING"),
        Column("client", "STRING"),
        Column("arrived", "TIMESTAMP"),
        Column("booked", "STRING"),
    ),
)
TYPED = """
      transaction_id: id
      event_time: {from: at, zone: Europe/Berlin, nonexistent: shift, plus: 30m}
      amount: {from: amount, sign: debits_negative}
      currency: {from: cur, values: {YEN: JPY, DINAR: KWD}, unmapped: keep}
      merchant_id: shop
      merchant_city: city
      merchant_country: {from: country, empty: ["-"]}
      merchant_latitude: lat
      merchant_longitude: lon
      transaction_type: {from: _direction, values: {debit: purchase, credit: transfer_in}}
      channel: {from: online, values: {"true": web, "false": pos}}
      card_id: {from: card, mask: last4}
      customer_id: client
      ingested_at: arrived
"""
TYPED_EXTRA = """
      code: {from: code, type: INT}
      fee: {from: fee, type: "DECIMAL(18,2)"}
      tip: {from: fee, type: DOUBLE}
      minor: {from: cents, minor_units: true, type: "DECIMAL(18,2)"}
      seen: {from: millis, format: epoch_ms, type: TIMESTAMP}
      web: {from: online, type: BOOLEAN}
      big: {from: digits, type: BIGINT}
      noted: {from: at}
"""
TEXTS = """
      transaction_id: id
      event_time: {from: written, zone: Europe/Berlin}
      amount: {from: amount_text, decimal: ",", thousands: ".", round: true}
      currency: {constant: EUR}
      merchant_id: shop
      transaction_type: {from: kind, values: {P: purchase, W: withdrawal}, unmapped: empty}
      customer_id: client
"""
TEXTS_EXTRA = """
      posted: {from: posted, format: ["%d.%m.%Y %H:%M", "%d.%m.%Y"], zone: Europe/Berlin, ambiguous: later, type: TIMESTAMP}
      swiss: {from: lon, thousands: "'", type: "DECIMAL(18,2)"}
      share: {from: lon, type: DOUBLE}
      yes: {from: kind, values: {P: "yes", W: F}, unmapped: keep, type: BOOLEAN}
      cents: {from: digits, minor_units: true, type: "DECIMAL(18,2)"}
"""
_AT = dt.datetime(2026, 3, 29, 1, 15, 0, 120)
_PLAIN: dict[str, Any] = {
    "id": "p",
    "at": _AT,
    "written": "2026-03-29 12:00:00",
    "posted": "29.03.2026 08:05",
    "millis": 1_774_800_000_123,
    "amount": Decimal("10.2500"),
    "amount_text": "12,50",
    "fee": 1.25,
    "cents": 1234,
    "cur": "EUR",
    "shop": "Shop 1",
    "city": "Wien",
    "country": "AT",
    "lat": 48.2,
    "lon": "16.37",
    "kind": "P",
    "online": True,
    "code": 7,
    "digits": "42",
    "card": "4111222233334444",
    "client": "c1",
    "arrived": _AT,
    "booked": "2026-03-29",
}
_CASES: dict[str, Sequence[Any]] = {
    "id": [None, "", "  ", "\t", "x" * 1001, "Ünïcode\u00a0", 'quote " \\ \t \n \x01 end', "'", "𝄞"],
    "at": [
        None,
        dt.datetime(2026, 3, 29, 2, 30),
        dt.datetime(2026, 3, 29, 3, 0),
        dt.datetime(2026, 3, 28, 0, 10),
        dt.datetime(2026, 3, 29, 23, 59, 59, 999999),
        dt.datetime(1999, 12, 31),
        dt.datetime(2026, 3, 30, 1, 40),
    ],
    "written": [
        None,
        "2026-03-29T13:14",
        "2026-03-29T13:14:15,5",
        "2026-03-29 13:14:15.123456789",
        "2026-03-29T13:14:15Z",
        "2026-03-29T13:14:15.25+02:00",
        "2026-03-29 01:14:15 -0330",
        "2026-03-29T13:14:15+05",
        "2026-03-29T02:30:00",
        "2026-02-30",
        "2026-03-29 25:00:00",
        "29.03.2026",
        " 2026-03-29 08:00:00 ",
        "yesterday",
        "2026-03-29",
    ],
    "posted": [None, "1.4.2026 7:05", "25.10.2026 02:30", "31.02.2026 10:00", "29.03.2026", "2026-03-29", " 01.04.2026 07:05 "],
    "millis": [None, 0, -1, 1_774_800_000_000, 253_402_300_799_999, 253_402_300_800_000],
    "amount": [None, *map(Decimal, ["-3.5", "0", "1.2345", "1.2340", "9999999999999999.99", "12345678901234.5", "-0.0001"])],
    "amount_text": [
        None,
        "",
        "1.234,56",
        "1234,5",
        "1.23,4",
        "-7",
        "7,00-",
        "−5,5",
        "+3",
        "1,005",
        "1,995",
        "abc",
        "0,1234567890123",
        "12345678901234567890",
        "1'234.50",
        "5.",
        ".5",
        "100",
        " 42 ",
        "1,2,3",
    ],
    "fee": [None, 0.1, 1.005, -2.5, 349.4799999999999, 1e-7, 123456.75, 1e17],
    "cents": [None, 0, -5, 10**17],
    "cur": [None, "JPY", "YEN", "DINAR", "KWD", "eur", "EURO", " EUR", "EUR\n"],
    "shop": [None, "MÜLLER  &\tSöhne", "Straße", "Cafe\u0301", "ΣΑΣ", " Shop\u00a01 ", "A  B", "İstanbul", "\u00a0"],
    "city": [None, "Zürich", "  ", "New  York", "é" * 1001],
    "country": [None, "-", "DE\n", "de", "CH"],
    "lat": [None, 90.0, 90.5, -91.0, 1e10],
    "lon": [None, "x", "180", "-180.5", "1'6.37", "1'234.5", "5.", ".5", "1,5"],
    "kind": [None, "W", "X", " P ", "yes", "0", "F"],
    "online": [None, False],
    "code": [None, -(2**31), 2**31 - 1],
    "digits": [None, "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1.0", "1.5", "x", " 7 "],
    "card": [None, "12", "Käse-1234"],
    "client": [None, " "],
    "arrived": [None, dt.datetime(2026, 3, 27, 8), dt.datetime(1999, 1, 1), _AT - dt.timedelta(hours=1)],
}


def payments() -> pa.Table:
    """A plain row; for each odd value of each column, a row like it; repetitions; and versions of one key."""
    rows = [dict(_PLAIN)]
    for name, values in _CASES.items():
        for number, value in enumerate(values):
            row = {**_PLAIN, "id": f"{name} {number:02}", "client": f"{name} {number}", name: value}
            # a row is of one of the days of the span
            row["booked"] = f"{row['at'] or _AT:2026-03-%d}" if name == "at" and number < 5 else "2026-03-29"
            rows.append(row)
    for hour in (3, 5, 4):
        rows.append({**_PLAIN, "id": "versions", "arrived": _AT + dt.timedelta(hours=hour), "code": hour})
    rows += [{**_PLAIN, "id": "same"}] * 2 + [{**_PLAIN, "id": "bad", "shop": None}] * 2
    return pa.Table.from_pylist([{**row, PARTITION: row["booked"]} for row in rows], schema=PAYMENTS.arrow_schema)


def source_file(folder: Path, name: str, origin: str, columns: str, extra: str) -> MappedSource:
    """A source of transactions with one of the mappings."""
    path = folder / name
    path.write_text(f"tables:\n  transactions:\n{origin}\n    columns:{columns}    extra:{extra}", encoding="utf-8")
    return MappedSource.of(path)


def loaded(source: MappedSource, warehouse: Warehouse) -> tuple[Any, Any, Any]:
    """Rows, rejected rows without their numbers, and counts by day, as a load would leave them."""
    api = source.file.tables["transactions"].api
    batch = source.fetch(api, SPAN, warehouse)
    if isinstance(batch, Batch):
        rows, rejected = batch.rows, batch.rejected
    else:
        rows, rejected = (warehouse.query(query) for query in (batch.rows, batch.rejected))
    return sorted_rows(rows), without_numbers(rejected), batch.days


def sorted_rows(rows: pa.Table) -> list[dict[str, Any]]:
    """Transactions in an order of their own, because a table has none."""
    return sorted(rows.to_pylist(), key=lambda row: str(row["transaction_id"]))


def without_numbers(rejected: pa.Table) -> list[tuple[Any, ...]]:
    """Day, served row and claims of rejected rows; without place and number, which depend on the connector."""
    found = []
    for row in rejected.to_pylist():
        served = {name: value for name, value in json.loads(row["payload"]).items() if name not in ("_file", "_row")}
        found.append((row[PARTITION], json.dumps(served, sort_keys=True), row["claims"]))
    return sorted(found)
