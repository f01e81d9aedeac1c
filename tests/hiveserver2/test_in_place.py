"""A table of a bank on the warehouse's own server, read in place: the rows are those that the `sql` connector gives."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from fraud_assets.cli.main import main
from fraud_assets.ingestion.load import load
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.schemas.sources import CUSTOMERS, TRANSACTIONS
from hive_io import HiveQL, HiveServer, HiveServer2Warehouse, Span
from tests.fraud_assets.ingestion.own_data.in_place_rows import (
    DAY,
    PAYMENTS,
    SPAN,
    TEXTS,
    TEXTS_EXTRA,
    TYPED,
    TYPED_EXTRA,
    loaded,
    payments,
    sorted_rows,
    source_file,
    without_numbers,
)
from tests.services import drop_tables

IN_PLACE = """\
    hive:
      table: bank.payments
      window: {column: booked, format: "%Y-%m-%d"}"""
SQL = """\
    sql:
      url: hive://{user}@{host}:{port}/bank
      table: payments
      cursor: id
      window: {{column: booked, format: "%Y-%m-%d"}}"""


def create_payments(bank: HiveServer2Warehouse) -> None:
    """Let the server write the table, in a format of its own."""
    bank._run("CREATE DATABASE IF NOT EXISTS bank")
    drop_tables(bank, "bank")
    bank.replace(PAYMENTS, payments(), SPAN)
    own = [column for column in PAYMENTS.columns if column.name != "booked"]
    columns = ", ".join(f"`{column.name}` {column.type}" for column in own)
    bank._run(f"CREATE TABLE bank.payments ({columns}) PARTITIONED BY (booked STRING) STORED AS ORC")
    names = ", ".join(f"`{column.name}`" for column in own)
    bank._run(f"INSERT INTO bank.payments PARTITION (booked) SELECT {names}, booked FROM bank.payments_rows")


class Recording(HiveServer2Warehouse):
    """Notes the columns of what is read into this process."""

    def __init__(self, server: HiveServer) -> None:
        super().__init__(server)
        self.names: set[str] = set()

    def query(self, query: HiveQL) -> pa.Table:
        rows = super().query(query)
        self.names.update(rows.column_names)
        return rows

    def read(self, table: str, columns: Sequence[str] | None = None, span: Span | None = None) -> pa.Table:
        rows = super().read(table, columns, span)
        self.names.update(rows.column_names)
        return rows


def test_rows_are_those_of_the_sql_connector(server: HiveServer, tmp_path: Path) -> None:
    warehouse = Recording(server)
    create_payments(warehouse)
    sql = SQL.format(user=server.username or "fraud", host=server.host, port=server.port)
    # a zone of a column besides the time of the event makes a query that takes a server long to plan
    texts_extra = TEXTS_EXTRA.replace(", zone: Europe/Berlin, ambiguous: later", "")
    for columns, extra in ((TYPED, TYPED_EXTRA), (TEXTS, texts_extra)):
        with source_file(tmp_path, "sql.yaml", sql, columns, extra) as source:
            rows, rejected, _ = loaded(source, warehouse)
        warehouse.names.clear()
        with source_file(tmp_path, "in_place.yaml", IN_PLACE, columns, extra) as source:
            api = source.file.tables["transactions"].api
            load(api, source, warehouse, SPAN, 1.0)
        # numbers, and names that are not ASCII: no row
        assert warehouse.names == {"ds", "broken", "n", "last", "rounded", "text"}
        assert sorted_rows(warehouse.read(api.table.full_name)) == rows
        assert without_numbers(warehouse.read(api.rejected.full_name)) == rejected
        assert not any("_in_place_" in name for name in warehouse.tables("fintech")), "its stage is dropped"
        assert not [*server.staging.glob("fintech.db/*_in_place_*")]
        drop_tables(warehouse, "fintech")
    drop_tables(warehouse, "bank")
    warehouse.close()


MOVES = """\
tables:
  transactions:
    hive:
      table: bank.moves
      window: {column: at}
    columns: {transaction_id: id, event_time: at, amount: amount, merchant_id: shop, customer_id: client}
  customers:
    hive:
      query: |
        SELECT c.*, CONCAT(c.given, ' ', c.family) AS full_name, m.moves FROM bank.clients c
        JOIN (SELECT client, COUNT(*) AS moves FROM bank.moves GROUP BY client) m ON m.client = CAST(c.nr AS STRING)
        WHERE c.family <> 'test'
      valid_from: 2026-03-29
    columns: {customer_id: nr, name: full_name, opened_at: {from: since, zone: America/New_York}, country: country}
    unused: [moves, given, family]
    personal: [given, family]
"""
BY_DATE = """\
tables:
  transactions:
    sql:
      url: hive://{user}@{host}:{port}/bank
      table: moves
      window: {{column: booked}}
    columns: {{transaction_id: id, event_time: at, amount: amount, merchant_id: shop, customer_id: client}}
"""


def create_moves(bank: HiveServer2Warehouse) -> None:
    """Rows around the midnights of a day, booked on the days of Vienna, and three clients."""
    bank._run("CREATE DATABASE IF NOT EXISTS bank")
    drop_tables(bank, "bank")
    columns = "id STRING, at TIMESTAMP, amount DECIMAL(12,2), shop STRING, client STRING, booked DATE"
    bank._run(f"CREATE TABLE bank.moves ({columns}) STORED AS ORC")
    times = {
        "before": ("2026-03-28 23:59:59.999999", "2026-03-29"),
        "first": ("2026-03-29 00:00:00", "2026-03-29"),
        "last": ("2026-03-29 23:59:59.999999", "2026-03-30"),
        "after": ("2026-03-30 00:00:00", "2026-03-30"),
    }
    rows = ", ".join(
        f"('{name}', TIMESTAMP '{at}', 1.20, 'm', '{1 + n % 2}', DATE '{booked}')"
        for n, (name, (at, booked)) in enumerate(times.items())
    )
    bank._run(f"INSERT INTO bank.moves VALUES {rows}")
    bank._run("CREATE TABLE bank.clients (nr INT, given STRING, family STRING, since DATE, country STRING) STORED AS ORC")
    bank._run(
        "INSERT INTO bank.clients VALUES (1, 'Ann', 'Lee', DATE '2020-07-01', 'US'), "
        "(2, 'Eve', 'Orr', DATE '2019-01-01', 'usa'), (1, 'Bob', 'test', DATE '2020-07-01', 'US')"
    )


def test_a_window_of_times_and_a_snapshot_of_a_query(
    server: HiveServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    warehouse = HiveServer2Warehouse(server)
    create_moves(warehouse)
    (tmp_path / "source.yaml").write_text(MOVES, encoding="utf-8")
    address = request.config.getoption("--hiveserver2")
    env = {"FRAUD_WAREHOUSE": address, "FRAUD_REJECTED_LIMIT": "0.6", "COLUMNS": "200"}
    checked = CliRunner().invoke(main, ["sources", "check", str(tmp_path / "source.yaml")], env=env)
    assert checked.exit_code == 0, checked.output
    for part in ("bank.moves", "2026-03-30 00:00:00", "country_is_iso_3166", "all 2 rows"):
        assert part in checked.output, checked.output
    days = Span.days(DAY - dt.timedelta(days=1), DAY)
    with MappedSource.of(tmp_path / "source.yaml") as source:
        for api in (TRANSACTIONS, CUSTOMERS):
            load(api, source, warehouse, days if api is CUSTOMERS else Span.days(DAY, DAY), 1.0)
    assert sorted(warehouse.read("fintech.transactions").column("transaction_id").to_pylist()) == ["first", "last"]
    found = warehouse.read("fintech.customers", ["customer_id", "name", "opened_at", "ds"]).to_pylist()
    assert [tuple(map(str, row.values())) for row in found] == [("1", "Ann Lee", "2020-07-01 04:00:00", "2026-03-29")]
    (rejected,) = warehouse.read("fintech.customers_rejected").to_pylist()
    assert rejected["ds"] == "2026-03-29" and '"given": "***"' in rejected["payload"] and "usa" in rejected["payload"]
    # the day of a row's booking is that of Vienna
    by_date = BY_DATE.format(user=server.username or "fraud", host=server.host, port=server.port)
    (tmp_path / "by_date.yaml").write_text(by_date, encoding="utf-8")
    with MappedSource.of(tmp_path / "by_date.yaml") as source:
        rows = source.fetch(TRANSACTIONS, Span.days(DAY, DAY)).rows
    assert isinstance(rows, pa.Table) and sorted(rows.column("transaction_id").to_pylist()) == ["first", "last"]
    drop_tables(warehouse, "fintech", "bank")
    warehouse.close()
