"""What goes wrong with files in life: each mistake ends with an error that names the file, and nothing is half loaded."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.load import load
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.schemas.sources import TRANSACTIONS
from hive_io import EmbeddedWarehouse, Span

DAY = dt.date(2026, 1, 5)
ONE = Span.days(DAY, DAY)
COLUMNS = "{transaction_id: id, event_time: at, amount: amt, merchant_id: m, customer_id: c}"
HEADER = "id,at,amt,m,c"


def rows(file: int, delimiter: str = ",") -> str:
    lines = ([f"{file}-{n}", f"{DAY} 10:{n:02}:00", f"{n}.50", f"Müller {n % 3}", f"c{n % 7}"] for n in range(20))
    return "".join(delimiter.join(line) + "\n" for line in lines)


def good(file: int) -> str:
    return f"{HEADER}\n{rows(file)}"


@pytest.mark.parametrize(
    ("broken", "parts"),
    [
        (good(4).replace(",", ";").encode(), ["04.csv", "no field 'amt'", "delimiter"]),
        (good(4).encode("cp1252"), ["04.csv", "not utf-8", "encoding: windows-1252"]),
        (good(4).encode("utf-16"), ["04.csv", "not utf-8", "utf-16"]),
        (rows(4).encode(), ["04.csv", "no field 'id'", "header: false"]),
        (good(4).replace("amt", "amount").encode(), ["04.csv", "no field 'amt'", "did you mean 'amount'?"]),
        (b"<html>503 Service Unavailable</html>\n", ["04.csv", "no field 'id'", "<html>"]),
        (good(4).replace("4-3,", '"4-3,').encode(), ["04.csv", "row 4", "quote"]),
        (good(4).replace(HEADER, "id,at,amt,m,m").encode(), ["04.csv", "two columns", "'m'"]),
    ],
    ids=["delimiter", "encoding", "utf-16", "no header", "renamed column", "error page", "open quote", "column twice"],
)
def test_a_broken_file_among_others_is_named_and_the_day_stays_as_it_was(
    tmp_path: Path, broken: bytes, parts: list[str]
) -> None:
    origin = "files: {path: 'export/*.csv'}"
    (tmp_path / "source.yaml").write_text(f"tables:\n  transactions:\n    {origin}\n    columns: {COLUMNS}\n")
    (tmp_path / "export").mkdir()
    for number in range(4):
        (tmp_path / "export" / f"{number:02}.csv").write_text(good(number), encoding="utf-8")
    lake = EmbeddedWarehouse(tmp_path / "lake")
    with MappedSource.of(tmp_path / "source.yaml") as source:
        load(TRANSACTIONS, source, lake, ONE, 0.2)
        file = tmp_path / "export" / "04.csv"
        file.write_bytes(broken)
        with pytest.raises(SourceError) as error:
            load(TRANSACTIONS, source, lake, ONE, 0.2)
        assert all(part in str(error.value) for part in parts), error.value
        assert lake.partitions("fintech.transactions") == {DAY.isoformat(): 80}
        # corrected, the same command loads all of it, and nothing twice
        file.write_text(good(4), encoding="utf-8")
        load(TRANSACTIONS, source, lake, ONE, 0.2)
    assert lake.partitions("fintech.transactions") == {DAY.isoformat(): 100}
    assert lake.read("fintech.transactions_rejected").num_rows == 0


def test_a_file_without_rows_is_a_day_without_rows(tmp_path: Path) -> None:
    (tmp_path / "source.yaml").write_text(
        f"tables:\n  transactions:\n    files: {{path: '{{day}}.csv', spill_days: 0}}\n    columns: {COLUMNS}\n"
    )
    for content in ("", HEADER + "\n"):
        (tmp_path / f"{DAY}.csv").write_text(content)
        with MappedSource.of(tmp_path / "source.yaml") as source:
            assert source.fetch(TRANSACTIONS, ONE).served == 0
