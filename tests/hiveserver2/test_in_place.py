"""A table of a bank on the warehouse's own server, read in place: the rows are those that the `sql` connector gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from fraud_assets.ingestion.load import load
from hive_io import HiveQL, HiveServer, HiveServer2Warehouse, Span
from tests.fraud_assets.ingestion.own_data.in_place_rows import (
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
        (stage,) = (name for name in warehouse.tables("fintech") if "_in_place_" in name)
        assert not warehouse.partitions(f"fintech.{stage}"), "it is empty after a load"
        drop_tables(warehouse, "fintech")
    drop_tables(warehouse, "bank")
    warehouse.close()
