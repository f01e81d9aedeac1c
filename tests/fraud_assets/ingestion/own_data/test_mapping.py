"""Mapping: what a raw text becomes, and which claim it breaks where it cannot be read."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fraud_assets.errors import FraudError, SourceError
from fraud_assets.ingestion.own_data.connectors.base import RawPage, page_of
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.own_data.mapping import TableMapping, unmapped_fields
from fraud_assets.ingestion.own_data.source_file import SourceFileError, read_source_file
from fraud_assets.ingestion.parse import read_column
from fraud_assets.ingestion.quarantine import decoded
from fraud_assets.ingestion.quarantine_retry import is_of_apis
from fraud_assets.schemas.sources import TRANSACTIONS
from hive_io import Span

REQUIRED = {"transaction_id": "id", "event_time": "at", "amount": "amt", "merchant_id": "m", "customer_id": "c"}
ROW = {"id": "1", "at": "2026-01-05T10:00:00Z", "amt": "1.50", "m": "m1", "c": "c1"}


def mapping(tmp_path: Path, where: str = "", mask_key: str | None = None, **columns: str) -> TableMapping:
    lines = [f"      {name}: {spec}" for name, spec in {**REQUIRED, **columns}.items()]
    text = "tables:\n  transactions:\n    files: {path: rows.csv}\n" + where + "    columns:\n" + "\n".join(lines)
    (tmp_path / "source.yaml").write_text(text, encoding="utf-8")
    return TableMapping(read_source_file(tmp_path / "source.yaml").tables["transactions"], mask_key)


def page(*rows: dict[str, str | None], optional: bool = False) -> RawPage:
    full = [{**ROW, **row} for row in rows]
    names = dict.fromkeys(name for row in full for name in row)
    return page_of({n: [row.get(n) for row in full] for n in names}, "rows.csv", range(1, len(full) + 1), optional=optional)


def values(made: TableMapping, column: str, field: str, *texts: str | None, **more: str) -> list[Any]:
    """The value of a column for each raw text; UNREADABLE for one that breaks the claim."""
    mapped = made.apply(page(*({field: text, **more} for text in texts)))
    found = mapped.frame.column(column).to_pylist()
    return ["unreadable" if f"{column}_is_readable" in mapped.broken.get(i, ()) else value for i, value in enumerate(found)]


@pytest.mark.parametrize(
    ("spec", "given", "expected"),
    [
        ("amt", "38398.68", "38398.68"),
        ("amt", " +1e3 ", "1000.00"),
        ("amt", "-5", "-5.00"),
        ("amt", "1.234", "unreadable"),
        ("amt", "1.5000000000000000001", "unreadable"),
        ("amt", "1,50", "unreadable"),
        ("amt", "NaN", "unreadable"),
        ("amt", "", None),
        ("{from: amt, round: true}", "1.235", "1.24"),
        ("{from: amt, decimal: ','}", "1234,5", "1234.50"),
        ("{from: amt, decimal: ','}", "1.5", "unreadable"),
        ("{from: amt, decimal: ',', thousands: '.'}", "-1.234.567,89", "-1234567.89"),
        ("{from: amt, decimal: ',', thousands: '.'}", "1.5", "unreadable"),
        ("{from: amt, thousands: ' '}", "1\u00a0234.5", "1234.50"),
        ("{from: amt, sign: debits_negative}", "-12.00", "12.00"),
        ("{from: amt, sign: debits_negative}", "12.00-", "12.00"),
        ("{from: amt, minor_units: true}", "1250", "12.50"),
        ("{from: amt, minor_units: true}", "12.5", "unreadable"),
        ("{from: amt, empty: ['-', n/a]}", "n/a", None),
    ],
)
def test_amounts(tmp_path: Path, spec: str, given: str, expected: str | None) -> None:
    (value,) = values(mapping(tmp_path, amount=spec), "amount", "amt", given)
    assert value == (Decimal(expected) if expected and expected != "unreadable" else expected)


@pytest.mark.parametrize(
    "text", ["12", "12.5", "12.50", "0.001", "1e2", "-3", "x", "1_000", "1.", "99999999999999999.99", "1e40"]
)
def test_amounts_are_read_as_the_apis_read_them(tmp_path: Path, text: str) -> None:
    array, unreadable = read_column([text], TRANSACTIONS.table.arrow_schema.field("amount").type)
    (value,) = values(mapping(tmp_path), "amount", "amt", text)
    if text == "1.":  # JSON has no such number; a spreadsheet writes it
        assert value == 1
    else:
        assert value == ("unreadable" if unreadable else array[0].as_py())


def test_minor_units_have_the_digits_of_their_currency(tmp_path: Path) -> None:
    made = mapping(tmp_path, amount="{from: amt, minor_units: true}", currency="cur")
    rows = page(*({"amt": "12345", "cur": code} for code in ("EUR", "JPY", "KWD", "XXX")))
    mapped = made.apply(rows)
    assert mapped.frame.column("amount").to_pylist() == [Decimal(text) for text in ("123.45", "12345", "12.35", "123.45")]
    assert mapped.rounded.to_pylist() == [False, False, True, False]
    assert mapped.broken == {}


@pytest.mark.parametrize(
    ("spec", "given", "expected"),
    [
        ("at", "2026-01-05 10:00:00", "2026-01-05 10:00:00"),
        ("at", "2026-01-05T10:00:00.5+02:00", "2026-01-05 08:00:00.500000"),
        ("at", "2026-01-05", "2026-01-05 00:00:00"),
        ("at", "05.01.2026", "unreadable"),
        ("at", "2026-02-30", "unreadable"),
        ("at", "infinity", "unreadable"),
        ("{from: at, format: epoch_s}", "1767607200", "2026-01-05 10:00:00"),
        ("{from: at, format: epoch_ms}", "1767607200500", "2026-01-05 10:00:00.500000"),
        ("{from: at, format: epoch_s}", "99999999999999", "unreadable"),
        ("{from: at, format: counter, unit: hours, since: 2026-01-05T00:00:00}", "10.0", "2026-01-05 10:00:00"),
        ("{from: at, format: counter, unit: days, since: 2026-01-05T00:00:00+02:00}", "1", "2026-01-05 22:00:00"),
        ("{from: at, format: '%d.%m.%Y %H:%M'}", "05.01.2026 10:00", "2026-01-05 10:00:00"),
        ("{from: at, format: ['%d.%m.%Y', '%d/%m/%Y']}", "05/01/2026", "2026-01-05 00:00:00"),
        ("{from: at, format: '%Y-%m-%dT%H:%M:%S%z'}", "2026-01-05T10:00:00+0200", "2026-01-05 08:00:00"),
        ("{from: at, plus: 7d}", "2026-01-05T10:00:00Z", "2026-01-12 10:00:00"),
        ("{from: at, zone: Europe/Berlin}", "2026-01-05 10:00:00", "2026-01-05 09:00:00"),
        ("{from: at, zone: Europe/Berlin}", "2026-10-25 02:30:00", "2026-10-25 00:30:00"),
        ("{from: at, zone: Europe/Berlin, ambiguous: later}", "2026-10-25 02:30:00", "2026-10-25 01:30:00"),
        ("{from: at, zone: Europe/Berlin, ambiguous: reject}", "2026-10-25 02:30:00", "unreadable"),
        ("{from: at, zone: Europe/Berlin}", "2026-03-29 02:30:00", "unreadable"),
        ("{from: at, zone: Europe/Berlin, nonexistent: shift}", "2026-03-29 02:30:00", "2026-03-29 01:30:00"),
    ],
)
def test_times(tmp_path: Path, spec: str, given: str, expected: str) -> None:
    (value,) = values(mapping(tmp_path, event_time=spec), "event_time", "at", given)
    assert value == (expected if expected == "unreadable" else dt.datetime.fromisoformat(expected))


@pytest.mark.parametrize(
    ("unmapped", "expected"),
    [
        ("reject", ["transfer_out", "unreadable", None]),
        ("keep", ["transfer_out", "PAY", None]),
        ("empty", ["transfer_out", None, None]),
    ],
)
def test_value_maps(tmp_path: Path, unmapped: str, expected: list[str | None]) -> None:
    made = mapping(tmp_path, transaction_type=f"{{from: type, values: {{CASH_OUT: transfer_out}}, unmapped: {unmapped}}}")
    assert values(made, "transaction_type", "type", "CASH_OUT", "PAY", None) == expected


def test_the_sign_says_the_direction(tmp_path: Path) -> None:
    kind = "{from: _direction, values: {debit: purchase, credit: transfer_in}}"
    made = mapping(tmp_path, amount="{from: amt, decimal: ',', sign: debits_negative}", transaction_type=kind)
    assert values(made, "transaction_type", "amt", "-1,50", "1,50", "x") == ["purchase", "transfer_in", None]


def test_masks_keep_no_number(tmp_path: Path) -> None:
    hashed = mapping(tmp_path, mask_key="key", customer_id="{from: c, mask: hash}", card_id="{from: c, mask: last4}")
    mapped = hashed.apply(page({"c": "4503101193493052864"}, {"c": "123"}))
    first, second = mapped.frame.column("customer_id").to_pylist()
    assert len(first) == len(second) == 64 and first != second
    assert mapped.frame.column("card_id").to_pylist() == ["****2864", "****"]
    other = mapping(tmp_path, mask_key="other", customer_id="{from: c, mask: hash}").apply(page({"c": "123"}))
    assert other.frame.column("customer_id").to_pylist() != [second]
    assert hashed.served(mapped.raw, 0)["c"] == "***"
    with pytest.raises(SourceFileError, match=r"source\.yaml:\d+: customer_id.*FRAUD_MASK_KEY"):
        mapping(tmp_path, customer_id="{from: c, mask: hash}")


def test_expressions_are_evaluated_row_by_row(tmp_path: Path) -> None:
    made = mapping(
        tmp_path, customer_id='{expression: "CAST(CAST(n AS INT) AS VARCHAR)"}', merchant_id='{expression: "CAST(n AS INT)"}'
    )
    mapped = made.apply(page({"n": "007"}, {"n": "x"}, {"n": None}))
    assert mapped.frame.column("customer_id").to_pylist() == ["7", None, None]
    assert mapped.broken == {1: {"customer_id_is_readable", "merchant_id_is_readable"}}


@pytest.mark.parametrize(
    "expression", ["(SELECT 1)", "a, b", "1 FROM x", "nothing || 'x'", "read_text('/etc/hostname')", "no_such_function(id)"]
)
def test_a_wrong_expression_names_file_and_line(tmp_path: Path, expression: str) -> None:
    with pytest.raises(FraudError, match=r"source\.yaml:9"):
        mapping(tmp_path, customer_id=f'{{expression: "{expression}"}}').apply(page({}))


def test_where_leaves_rows_out_and_loses_none_that_it_cannot_judge(tmp_path: Path) -> None:
    made = mapping(tmp_path, where='    where: "CAST(n AS INT) = 1"\n')
    mapped = made.apply(page({"n": "1", "id": "in"}, {"n": "0", "id": "out"}, {"n": "x", "id": "broken"}))
    assert mapped.frame.column("transaction_id").to_pylist() == ["in", "broken"]
    assert (mapped.left_out, mapped.broken) == (1, {1: {"row_is_readable"}})


def test_a_missing_column_of_a_file_names_the_closest(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"rows\.csv has no field 'merchnt'.*'merchant'"):
        mapping(tmp_path, merchant_name="merchnt").apply(page({"merchant": "x"}))
    optional = mapping(tmp_path, merchant_name="merchnt.name").apply(page({}, optional=True))
    assert optional.frame.column("merchant_name").to_pylist() == [None]


def test_paths_reach_into_json(tmp_path: Path) -> None:
    made = mapping(tmp_path, merchant_name="merchant.names.0", card_id="a.b")
    assert values(made, "merchant_name", "merchant", '{"names": ["Café"]}', "no json", **{"a.b": "x"}) == ["Café", None]


def test_fields_that_nothing_reads_are_named(tmp_path: Path) -> None:
    made = mapping(tmp_path, where="    unused: [V*]\n    personal: [name]\n")
    source = read_source_file(tmp_path / "source.yaml").tables["transactions"]
    assert unmapped_fields(made, source, [*ROW, "V1", "V339", "name", "W1"]) == ["W1"]


SPAN = Span.days(dt.date(2026, 1, 5), dt.date(2026, 1, 7))


def batch_of_csv(tmp_path: Path, lines: list[str], span: Span = SPAN) -> Any:
    mapping(tmp_path)
    (tmp_path / "rows.csv").write_text("id,at,amt,m,c\n" + "\n".join(lines) + "\n", encoding="utf-8")
    with MappedSource.of(tmp_path / "source.yaml") as source:
        return source.fetch(TRANSACTIONS, span)


MIXED = [
    "a,2026-01-05T10:00:00Z,1,m,c",
    "b,yesterday,2,m,c",
    "c,2026-01-06T10:00:00Z,-3,m,c",
    "d,2026-01-06T11:00:00Z",
    "e,1970-01-01T00:00:00Z,5,m,c",
    "f,2026-01-09T10:00:00Z,6,m,c",
    "a,2026-01-05T12:00:00Z,7,m,c",
]


def test_every_row_is_loaded_or_rejected_with_its_raw_text(tmp_path: Path) -> None:
    batch = batch_of_csv(tmp_path, MIXED)
    assert [(row["transaction_id"], row["amount"]) for row in batch.rows.to_pylist()] == [("a", 7)]
    rejected = sorted((row["ds"], row["claims"], row["payload"]) for row in batch.rejected.to_pylist())
    assert [(ds, claims) for ds, claims, _ in rejected] == [
        ("2026-01-05", ["event_time_is_readable"]),
        ("2026-01-06", ["amount_is_not_negative_nor_absurd"]),
        ("2026-01-06", ["event_time_is_plausible"]),
        ("2026-01-06", ["row_is_readable"]),
    ]
    assert '"at": "yesterday"' in rejected[0][2] and "d,2026-01-06T11:00:00Z" in rejected[3][2]
    counts = {day: (c.loaded, c.rejected, c.superseded) for day, c in batch.days.items()}
    assert counts == {"2026-01-05": (1, 1, 1), "2026-01-06": (0, 3, 0), "2026-01-07": (0, 0, 0)}


def test_a_range_gives_the_same_as_its_days_one_by_one(tmp_path: Path) -> None:
    whole = batch_of_csv(tmp_path, MIXED)
    parts = [batch_of_csv(tmp_path, MIXED, Span.days(day, day)) for day in SPAN.each_day()]
    assert whole.rows.to_pylist() == [row for part in parts for row in part.rows.to_pylist()]
    key = lambda row: row["row_id"]  # noqa: E731
    assert sorted(whole.rejected.to_pylist(), key=key) == sorted((r for p in parts for r in p.rejected.to_pylist()), key=key)
    assert whole.days == {day: counts for part in parts for day, counts in part.days.items()}


def test_local_days_and_rows_of_another_day_in_files_by_day(tmp_path: Path) -> None:
    mapping(tmp_path, event_time="{from: at, zone: Europe/Berlin}")
    text = (tmp_path / "source.yaml").read_text().replace("rows.csv", "'{day}.csv'")
    (tmp_path / "source.yaml").write_text(text)
    (tmp_path / "2026-01-05.csv").write_text("id,at,amt,m,c\na,2026-01-05 00:30:00,1,m,c\nb,2026-01-05 12:00:00,2,m,c\n")
    (tmp_path / "2026-01-06.csv").write_text("id,at,amt,m,c\nc,2026-01-06 00:30:00,3,m,c\nlate,2026-01-01 12:00:00,4,m,c\n")
    with MappedSource.of(tmp_path / "source.yaml") as source:
        fifth, sixth = (source.fetch(TRANSACTIONS, Span.days(day, day)) for day in (SPAN.first_day, dt.date(2026, 1, 6)))
    assert fifth.rows.column("transaction_id").to_pylist() == ["b", "c"]
    assert [row["claims"] for row in sixth.rejected.to_pylist()] == [[TRANSACTIONS.span_claim]]


def test_a_row_later_than_its_arrival_is_rejected_as_from_the_apis(tmp_path: Path) -> None:
    mapping(tmp_path, ingested_at="arrived")
    (tmp_path / "rows.csv").write_text("id,at,amt,m,c,arrived\na,2026-01-05T10:00:00Z,1,m,c,2026-01-05T09:00:00Z\n")
    with MappedSource.of(tmp_path / "source.yaml") as source:
        batch = source.fetch(TRANSACTIONS, SPAN)
    assert [row["claims"] for row in batch.rejected.to_pylist()] == [[TRANSACTIONS.ahead_claim]]


def test_rejected_rows_of_files_are_left_to_the_run_of_their_day(tmp_path: Path) -> None:
    (row, *_) = batch_of_csv(tmp_path, MIXED).rejected.to_pylist()
    assert not is_of_apis(decoded(row["payload"]))
    assert is_of_apis({"transaction_id": "t1"})
