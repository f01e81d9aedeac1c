"""What the check of a source says before anything is loaded, and what a guess proposes."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.own_data.mapping import CHOOSE
from fraud_assets.ingestion.own_data.source_check import TableReport, check_table
from fraud_assets.ingestion.own_data.source_file import read_source_file
from fraud_assets.ingestion.own_data.source_guess import guess_source

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
SOURCE = """\
tables:
  transactions:
    files: {path: rows.csv}
    columns:
      transaction_id: id
      event_time: at
      amount: amt
      merchant_id: m
      customer_id: c
"""


def report(tmp_path: Path, row: Callable[[int], str], source: str = SOURCE, header: str = "id,at,amt,m,c") -> TableReport:
    (tmp_path / "source.yaml").write_text(source)
    (tmp_path / "rows.csv").write_text("\n".join([header, *map(row, range(100))]) + "\n")
    with MappedSource.of(tmp_path / "source.yaml") as made:
        return check_table(made, "transactions", 1_000, NOW)


def good(n: int) -> str:
    return f"{n},2026-01-05T10:{n % 60:02}:00Z,{n}.25,m{n % 7},c{n % 9}"


def warned(found: TableReport, *words: str) -> bool:
    return any(all(word in warning for word in words) for warning in found.warnings)


def test_nothing_is_said_of_good_rows(tmp_path: Path) -> None:
    found = report(tmp_path, good)
    assert (found.sampled, found.valid, found.rejected, found.complete) == (100, 100, 0, True)
    assert (found.warnings, found.unmapped, found.refusals) == ([], [], [])
    assert found.days == ("2026-01-05", "2026-01-05")
    assert set(found.null_shares.values()) == {0.0}


def test_refused_rows_are_shown_with_place_and_raw_value(tmp_path: Path) -> None:
    found = report(tmp_path, lambda n: good(n).replace("3.25", "three") if n % 10 == 3 else good(n))
    (refusal,) = found.refusals
    assert (refusal.claim, refusal.rows, found.rejected) == ("amount_is_readable", 10, 10)
    assert refusal.examples[0] == ("rows.csv:4", "amt='three'")


def test_personal_data_is_not_shown(tmp_path: Path) -> None:
    source = SOURCE + "    personal: [amt]\n"
    found = report(tmp_path, lambda n: good(n).replace(".25", "x"), source)
    assert "x" not in found.refusals[0].examples[0][1]


def test_unmapped_fields_are_named(tmp_path: Path) -> None:
    assert report(tmp_path, lambda n: good(n) + ",x,y", header="id,at,amt,m,c,device,ip").unmapped == ["device", "ip"]


def test_amounts_that_look_like_cents(tmp_path: Path) -> None:
    assert warned(report(tmp_path, lambda n: good(n).replace(f"{n}.25", f"{n * 137 + 11}")), "amount", "minor_units")
    assert not warned(report(tmp_path, lambda n: good(n).replace(f"{n}.25", f"{n}00")), "minor_units")


def test_dates_in_two_formats(tmp_path: Path) -> None:
    source = SOURCE.replace("event_time: at", "event_time: {from: at, format: '%d.%m.%Y'}")
    found = report(tmp_path, lambda n: f"{n},{'25.01.2026' if n % 4 else '25/01/2026'},{n}.25,m,c{n % 9}", source)
    assert warned(found, "25 values", "%d/%m/%Y")
    assert (found.valid, found.rejected) == (75, 25)


def test_day_and_month_that_no_value_tells_apart(tmp_path: Path) -> None:
    source = SOURCE.replace("event_time: at", "event_time: {from: at, format: '%d/%m/%Y'}")
    assert warned(report(tmp_path, lambda n: f"{n},0{n % 9 + 1}/02/2026,{n}.25,m,c{n % 9}", source), "day and month")
    assert not warned(report(tmp_path, lambda n: f"{n},{n % 9 + 18}/02/2026,{n}.25,m,c{n % 9}", source), "day and month")


def test_times_in_the_future_and_without_a_time_of_day(tmp_path: Path) -> None:
    found = report(tmp_path, lambda n: good(n).replace("2026", "2027") if n < 5 else good(n))
    assert warned(found, "5 of 100", "future")
    assert warned(report(tmp_path, lambda n: re.sub("T[^,]*", "", good(n))), "no time of day")


def test_repeated_keys_customers_and_spoiled_numbers(tmp_path: Path) -> None:
    assert warned(report(tmp_path, lambda n: good(n % 50)), "50 rows", "transaction_id")
    assert warned(report(tmp_path, lambda n: good(n).replace(f"c{n % 9}", f"c{n}")), "100 of 100 customers")
    assert warned(report(tmp_path, lambda n: good(n).replace(f"c{n % 9}", "4.5031E+15")), "customer_id", "spreadsheet")


def test_a_column_that_is_never_filled(tmp_path: Path) -> None:
    source = SOURCE + "      channel: {from: ch}\n"
    assert warned(report(tmp_path, lambda n: good(n) + ",", source, "id,at,amt,m,c,ch"), "channel", "always NULL")


# --- guesses ----------------------------------------------------------------------------------------------------------


def guessed(tmp_path: Path, name: str, content: str | bytes) -> str:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    text = guess_source(str(file))
    (tmp_path / "source.yaml").write_text(text, encoding="utf-8")
    return text


def check_guess(tmp_path: Path, text: str) -> dict[str, TableReport]:
    (tmp_path / "source.yaml").write_text(text, encoding="utf-8")
    with MappedSource(read_source_file(tmp_path / "source.yaml")) as source:
        return {table: check_table(source, table, 1_000, NOW) for table in source.file.tables}


def test_a_counter_is_left_open_and_nothing_else(tmp_path: Path) -> None:
    header = "step,type,amount,nameOrig,oldbalanceOrg,nameDest,isFraud"
    rows = [f"{n % 30},{'CASH_OUT' if n % 3 else 'PAYMENT'},{n}.5,C{n},{n}.0,M{n % 5},{float(n % 20 == 0)}" for n in range(100)]
    text = guessed(tmp_path, "log.csv", "\n".join([header, *rows]))
    assert text.count(f"since: {CHOOSE}") == text.replace("#", "\n#").count(f"\n        since: {CHOOSE}") == 2
    found = check_guess(tmp_path, text.replace(CHOOSE, "2026-01-01T00:00:00", 99).replace("2026-01-01T00:00:00: only", "x"))
    assert (found["transactions"].valid, found["fraud_reports"].valid) == (100, 5)
    assert found["transactions"].rows is not None
    assert set(found["transactions"].rows.column("transaction_type").to_pylist()) == {"purchase", "transfer_out"}
    assert all(report.unmapped == [] for report in found.values())


def test_a_european_export(tmp_path: Path) -> None:
    rows = [
        f"R{n};{n % 28 + 1:02}.01.2026 10:00;{'-' if n % 2 else ''}1.{n:03},50;EUR;Käufer {n % 4};DE{n % 9}" for n in range(60)
    ]
    content = "\r\n".join(["Referenz;Buchungsdatum;Betrag;Währung;Empfänger;Konto", *rows]).encode("cp1252")
    text = guessed(tmp_path, "export.csv", content)
    assert "encoding: windows-1252" in text and "sign: debits_negative" in text
    found = check_guess(tmp_path, text)["transactions"]
    assert (found.valid, found.rejected, found.unmapped) == (60, 0, [])
    assert found.rows is not None
    first = found.rows.sort_by("transaction_id").to_pylist()[0]
    assert (str(first["amount"]), first["transaction_type"], first["merchant_id"]) == ("1000.50", "transfer_in", "Käufer 0")


def test_nested_json_with_epochs(tmp_path: Path) -> None:
    rows = [
        {"id": f"p{n}", "created": 1767607200 + n, "amount": n * 137 + 1, "currency": "eur", "card": {"token": f"t{n % 5}"}}
        | {"merchant": {"id": f"m{n}", "city": "Lyon"}, "customer_id": n % 7, "status": "approved" if n % 2 else "DECLINED"}
        for n in range(60)
    ]
    text = guessed(tmp_path, "pay.jsonl", "\n".join(map(json.dumps, rows)))
    assert "format: epoch_s" in text and "minor_units" in text
    found = check_guess(tmp_path, text)["transactions"]
    assert (found.valid, found.rejected, found.unmapped) == (60, 0, [])
    assert found.rows is not None
    row = found.rows.to_pylist()[0]
    assert (row["currency"], row["merchant_id"], row["merchant_city"], row["card_id"]) == ("EUR", "m0", "Lyon", "t0")
    assert row["status"] == "declined"


def test_a_plain_export_needs_no_choice(tmp_path: Path) -> None:
    lines = [f"TRX{n},{n // 4 + 1:02}/10/2026 10:00:00,{n}.50,EUR,SHOP-{n % 5},C{n % 7},ATM" for n in range(100)]
    text = guessed(tmp_path, "a.csv", "\n".join(["Transaction Ref,Date/Time,Amount,Currency,Shop,Client No,Kind", *lines]))
    assert f": {CHOOSE}" not in text and "day first?" not in text
    found = check_guess(tmp_path, text)["transactions"]
    assert (found.valid, found.unmapped, found.rejected) == (100, [], 0)


def test_a_field_that_differs_in_every_row_is_proposed_as_the_id(tmp_path: Path) -> None:
    lines = [f"A{n},2026-10-05 10:00:00,{n}.50,m,c" for n in range(20)]
    text = guessed(tmp_path, "a.csv", "\n".join(["voucher,date,amount,merchant_id,customer_id", *lines]))
    assert re.search(r"transaction_id: voucher +# different in every row", text)


def test_what_is_still_to_be_chosen_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source\.yaml:8: merchant_id is still to be chosen.*id, at, amt, m, c"):
        report(tmp_path, good, SOURCE.replace("merchant_id: m", f"merchant_id: {CHOOSE}"))


def test_no_rows_no_guess(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no rows"):
        guessed(tmp_path, "empty.csv", "a,b\n")


SHARED = Path(__file__).parents[5] / "shared" / "data"
"""Samples of public data sets beside the checkout; never part of it."""


@pytest.mark.parametrize(("name", "count"), [("paysim_sample.csv", 51_392), ("sparkov_sample.csv", 5_116)])
def test_public_samples_pass_after_the_choices(tmp_path: Path, name: str, count: int) -> None:
    if not (SHARED / name).exists():
        pytest.skip("the sample is not on this machine")
    text = re.sub(rf"since: {CHOOSE}", "since: 2026-01-01T00:00:00", guess_source(str(SHARED / name)))
    (tmp_path / "source.yaml").write_text(text)
    with MappedSource(read_source_file(tmp_path / "source.yaml")) as source:
        found = check_table(source, "transactions", 100_000, NOW)
    assert (found.sampled, found.valid, found.rejected, found.unmapped) == (count, count, 0, [])
