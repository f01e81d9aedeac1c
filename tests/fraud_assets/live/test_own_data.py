"""The live path on a source file: rows that are appended are judged once, and a run of the day leaves the same rows."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.refresh import refresh
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.own_data.source_file import read_source_file
from fraud_assets.live.micro_batch import MicroBatcher
from hive_io import EmbeddedWarehouse, Span

DAY = dt.date(2026, 1, 5)
HEADER = "id,at,amt,m,c,ip\n"
SOURCE = """\
tables:
  transactions:
    {origin}
    columns:
      {{transaction_id: id, event_time: at, amount: amt, currency: {{constant: EUR}}, merchant_id: m, customer_id: c}}
    extra: {{ip: ip}}
"""


def row(n: int, amount: str = "10.00", day: str = "2026-01-05") -> tuple[Any, ...]:
    return n, f"{day} 10:{n:02}:00", amount, f"m{n % 3}", f"c{n % 4}", f"10.0.0.{n}"


def append_to_csv(folder: Path, *rows: tuple[Any, ...]) -> None:
    with (folder / "rows.csv").open("a") as out:
        out.writelines(",".join(map(str, values)) + "\n" for values in rows)


def insert(folder: Path, *rows: tuple[Any, ...]) -> None:
    with closing(sqlite3.connect(folder / "bank.db")) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS p (id INTEGER PRIMARY KEY, at TEXT, amt TEXT, m TEXT, c TEXT, ip TEXT)")
        connection.executemany("INSERT INTO p VALUES (?, ?, ?, ?, ?, ?)", rows)


ORIGINS: list[Any] = [
    pytest.param("files: {path: rows.csv}", append_to_csv, id="csv", marks=pytest.mark.slow),
    pytest.param("sql: {url: 'sqlite:///bank.db', table: p, cursor: id}", insert, id="sql", marks=pytest.mark.slow),
]


@pytest.fixture
def engine(tmp_path: Path) -> Callable[[], Engine]:
    return lambda: Engine(read_rule_book(apis=read_source_file(tmp_path / "source.yaml").apis_with_extra_columns))


def batcher(folder: Path, engine: Engine) -> MicroBatcher:
    source = MappedSource.of(folder / "source.yaml")
    lake = EmbeddedWarehouse(folder / "live")
    return MicroBatcher(engine, source, lake, folder / "watch.json", dt.date(2026, 1, 1), 0.2, patience=5)


def polled(made: MicroBatcher) -> tuple[int, int]:
    batches = [*made.poll(DAY)]
    return sum(batch.served for batch in batches), sum(batch.rejected for batch in batches)


@pytest.mark.parametrize(("origin", "add"), ORIGINS)
def test_later_rows_are_judged_once_also_after_a_kill(
    tmp_path: Path, engine: Callable[[], Engine], origin: str, add: Callable[..., None]
) -> None:
    (tmp_path / "source.yaml").write_text(SOURCE.format(origin=origin))
    (tmp_path / "rows.csv").write_text(HEADER)
    add(tmp_path, row(0, day="2026-01-04"), *(row(n) for n in range(1, 6)))
    one = batcher(tmp_path, engine())
    # rows of earlier days are left to `fraud run`
    assert polled(one) == (5, 0)
    assert polled(one) == (0, 0)
    add(tmp_path, row(6, "90000.00"), row(7, "eight"))
    one.close()
    # another process goes on at the checkpoint
    two = batcher(tmp_path, engine())
    assert polled(two) == (2, 1)
    # a late row of yesterday, which arrived now
    add(tmp_path, row(8, day="2026-01-04"))
    assert polled(two) == (1, 0)
    two.close()
    live = EmbeddedWarehouse(tmp_path / "live")
    rows = {r["transaction_id"]: (r["ds"], r["ip"]) for r in live.read("fintech.transactions").to_pylist()}
    assert rows == {str(n): ("2026-01-04" if n == 8 else "2026-01-05", f"10.0.0.{n}") for n in (1, 2, 3, 4, 5, 6, 8)}
    assert live.read("fintech.transactions_rejected").column("claims").to_pylist() == [["amount_is_readable"]]
    assert live.read("fintech.fraud_alerts").column("transaction_id").to_pylist() == ["6"]
    run = EmbeddedWarehouse(tmp_path / "run")
    with MappedSource.of(tmp_path / "source.yaml") as source:
        refresh(engine(), source, run, Span.days(DAY, DAY), 0.2)
    today = Span.days(DAY, DAY)
    for table in ("transactions", "fraud_alerts", "high_value"):
        found, expected = (
            lake.read(f"fintech.{table}", span=today).sort_by("transaction_id").to_pylist() for lake in (live, run)
        )
        assert found == expected


def test_half_a_line_waits_for_its_end(tmp_path: Path, engine: Callable[[], Engine]) -> None:
    (tmp_path / "source.yaml").write_text(SOURCE.format(origin="files: {path: rows.csv}"))
    (tmp_path / "rows.csv").write_text("id,at,am")
    made = batcher(tmp_path, engine())
    assert polled(made) == (0, 0)
    with (tmp_path / "rows.csv").open("a") as out:
        out.write(HEADER.removeprefix("id,at,am") + ",".join(map(str, row(0, day="2026-01-04"))) + "\n")
    # nothing of today
    assert polled(made) == (0, 0)
    line = ",".join(map(str, row(2)))
    with (tmp_path / "rows.csv").open("a") as out:
        out.write(",".join(map(str, row(1))) + "\n" + line[:9])
    assert polled(made) == (1, 0)
    with (tmp_path / "rows.csv").open("a") as out:
        out.write(line[9:] + "\n")
    assert polled(made) == (1, 0)
    found = EmbeddedWarehouse(tmp_path / "live").read("fintech.transactions").column("transaction_id").to_pylist()
    assert sorted(found) == ["1", "2"]
