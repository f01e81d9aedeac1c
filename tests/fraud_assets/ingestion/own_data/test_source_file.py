"""The source file: every mistake at once, each with its line and what was meant."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from fraud_assets.ingestion.own_data.source_file import ORIGINS, SourceFileError, TimeColumn, read_source_file

GOOD = """\
tables:
  transactions:
    files: {path: rows.csv}
    columns:
      transaction_id: id
      event_time: at
      amount: amt
      currency: {constant: NO}
      merchant_id: m
      customer_id: {constant: 007}
"""


def mistakes(tmp_path: Path, text: str) -> dict[int, str]:
    """The messages by line; a line has one here."""
    (tmp_path / "source.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SourceFileError) as error:
        read_source_file(tmp_path / "source.yaml")
    found = {}
    for message in str(error.value).splitlines():
        place, _, rest = message.partition(": ")
        found[int(place.rpartition(":")[2])] = rest
    return found


def test_texts_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "source.yaml").write_text(GOOD)
    table = read_source_file(tmp_path / "source.yaml").tables["transactions"]
    assert (table.columns["currency"].constant, table.columns["customer_id"].constant) == ("NO", "007")
    assert table.origin.path == tmp_path / "rows.csv"
    assert table.lines["amount"] == 7


def test_all_mistakes_at_once_with_their_lines(tmp_path: Path) -> None:
    text = """\
tabels: {}
tables:
  transactions:
    files:
      pth: rows.csv
      delimiter: ';;'
      encoding: utf-88
    columns:
      transaction_id: id
      event_time: {from: at, zone: Europe/Berln, formt: iso}
      amuont: amt
      amount: {from: amt, constant: 3}
      merchant_id: {from: m, minor_units: true}
      currency: {constant: EUR, constant: USD}
      status: {from: s, unmapped: drop}
  custommers: {}
"""
    found = mistakes(tmp_path, text)
    assert sorted(found) == [1, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16]
    assert "'tables'" in found[1] and "'path'" in found[5] and "'customers'" in found[16]
    assert "'path' is missing" in found[4] and "one character" in found[6] and "utf-88" in found[7]
    assert "'customer_id'" in found[8] and "'amount'" in found[11] and "from and constant" in found[12]
    assert "minor_units" in found[13] and "twice" in found[14] and "drop" in found[15]


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("{from: at, zone: Europe/Berln}", "Europe/Berlin"),
        ("{from: at, format: epoch}", "epoch_s"),
        ("{from: at, format: counter}", "since"),
        ("{from: at, unit: hours}", "counter"),
        ("{from: at, plus: 7 weeks}", "7d"),
        ("{from: at, format: counter, unit: hours, since: CHOOSE}", "CHOOSE"),
        ("{}", "from, constant and expression"),
        ("[at]", "keys"),
    ],
)
def test_mistakes_of_times(tmp_path: Path, spec: str, part: str) -> None:
    found = mistakes(tmp_path, GOOD.replace("event_time: at", f"event_time: {spec}"))
    assert part in found[6]


def test_not_yaml_and_no_tables(tmp_path: Path) -> None:
    assert "YAML" in mistakes(tmp_path, "tables:\n  transactions: [\n")[3]
    assert "'*.csv'" in mistakes(tmp_path, "tables:\n  transactions:\n    files: {path: *.csv}\n")[3]
    assert "transactions" in mistakes(tmp_path, "")[1]
    with pytest.raises(SourceFileError, match="no such file"):
        read_source_file(tmp_path / "nothing.yaml")


def test_the_apis_are_a_source_and_snapshots_need_their_days(tmp_path: Path) -> None:
    (tmp_path / "source.yaml").write_text("apis: {url: 'http://127.0.0.1:5000'}\n")
    source = read_source_file(tmp_path / "source.yaml")
    assert (source.apis, source.tables) == ("http://127.0.0.1:5000", {})
    snapshot = GOOD + "  blacklist:\n    files: {path: list.csv}\n    columns: {merchant_id: m}\n"
    assert "valid_from" in mistakes(tmp_path, snapshot)[12]
    (tmp_path / "source.yaml").write_text(snapshot.replace("list.csv", "list.csv, valid_from: 2026-01-01"))
    assert read_source_file(tmp_path / "source.yaml").tables["blacklist"].origin.valid_from == dt.date(2026, 1, 1)


def test_a_counter_starts_in_its_zone() -> None:
    column = TimeColumn.model_validate(
        {"from": "step", "format": "counter", "unit": "hours", "since": "2026-01-01T00:00:00", "zone": "Europe/Berlin"}
    )
    assert column.origin == dt.datetime(2025, 12, 31, 23)


GUIDE = Path(__file__).parents[4] / "docs" / "bring-your-data.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_what_the_guide_shows_is_valid(tmp_path: Path, number: int) -> None:
    columns = "    columns: {transaction_id: a, event_time: b, amount: c, merchant_id: d, customer_id: e}\n"
    block = BLOCKS[number]
    if not block.startswith("tables:"):
        origin = "    files: {path: a.csv}\n" if block.lstrip().startswith("extra:") else ""
        block = f"tables:\n  transactions:\n{origin}{columns}{block}"
    (tmp_path / "source.yaml").write_text(block, encoding="utf-8")
    assert "transactions" in read_source_file(tmp_path / "source.yaml").tables


def test_the_guide_shows_every_origin() -> None:
    shown = {origin for origin in ORIGINS for block in BLOCKS if re.search(rf"^    {origin}:", block, re.MULTILINE)}
    assert shown == {*ORIGINS}
