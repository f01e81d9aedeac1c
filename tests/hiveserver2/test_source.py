"""A table of a bank that is on a HiveServer2 already, as a source through `sql`: types, partitions, errors."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.load import load
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.schemas.sources import TRANSACTIONS
from hive_io import EmbeddedWarehouse, HiveServer, HiveServer2Warehouse, Span
from tests.services import drop_tables

DAY = dt.date(2026, 1, 5)
SOURCE = """\
tables:
  transactions:
    sql:
      url: hive://{user}@{host}:{port}/bank
      query: |
        SELECT p.*, 'a:b' AS note FROM bank.{table} p
      window: {{column: booked, format: "%Y-%m-%d"}}
    columns:
      {{transaction_id: id, event_time: at, amount: amount, merchant_id: shop, customer_id: client}}
    extra: {{note: note}}
"""


def rows_of(day: int) -> str:
    """A query of two rows of a day of January, late in the evening."""
    return " UNION ALL ".join(
        f"SELECT {n}, TIMESTAMP '2026-01-0{day} 23:30:0{n % 10}', CAST({n}.10 AS DECIMAL(12,2)), 'M\u00fcller & S\u00f6hne', "
        f"'c{n}'"
        for n in range(10 * day, 10 * day + 2)
    )


def source(folder: Path, server: HiveServer, table: str) -> MappedSource:
    text = SOURCE.format(user=server.username or "fraud", host=server.host, port=server.port, table=table)
    (folder / "source.yaml").write_text(text, encoding="utf-8")
    return MappedSource.of(folder / "source.yaml")


def test_a_table_of_the_bank_is_read_by_its_partitions(server: HiveServer, tmp_path: Path) -> None:
    bank = HiveServer2Warehouse(server)
    bank._run("CREATE DATABASE IF NOT EXISTS bank")
    drop_tables(bank, "bank")
    columns = "id INT, at TIMESTAMP, amount DECIMAL(12,2), shop STRING, client STRING"
    bank._run(f"CREATE TABLE bank.payments ({columns}) PARTITIONED BY (booked STRING) STORED AS PARQUET")
    for day in (5, 6):
        bank._run(f"INSERT INTO bank.payments PARTITION (booked = '2026-01-0{day}') {rows_of(day)}")
    lake = EmbeddedWarehouse(tmp_path / "lake")
    with source(tmp_path, server, "payments") as made:
        load(TRANSACTIONS, made, lake, Span.days(DAY, DAY), 0.0)
        assert sum(page.rows.num_rows for page in made.connector("transactions").pages()) == 4
    rows = sorted(lake.read("fintech.transactions").to_pylist(), key=lambda row: str(row["transaction_id"]))
    # the server's zone is not UTC: a TIMESTAMP has none
    assert [(row["transaction_id"], row["event_time"], row["amount"], row["merchant_id"]) for row in rows] == [
        ("50", dt.datetime(2026, 1, 5, 23, 30), Decimal("50.10"), "M\u00fcller & S\u00f6hne"),
        ("51", dt.datetime(2026, 1, 5, 23, 30, 1), Decimal("51.10"), "M\u00fcller & S\u00f6hne"),
    ]
    with (
        source(tmp_path, server, "payment") as made,
        pytest.raises(SourceError, match=r"query cannot be read: Error.*payment.*`query`"),
    ):
        made.fetch(TRANSACTIONS, Span.days(DAY, DAY))
    drop_tables(bank, "bank")
    bank.close()
