"""A table that is read in place gives the rows that the same values as text give; what has no equivalent is refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from pathlib import Path

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud_assets.clock import Clock
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.load import RejectedShareTooHigh, fetch, load, write
from fraud_assets.ingestion.own_data.connectors.sql import text_of
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.own_data.source_file import SourceFileError, read_source_file
from fraud_assets.schemas.sources import CUSTOMERS, TRANSACTIONS
from hive_io import EmbeddedWarehouse, HiveIOError, HiveQL, Receipt, Span, Table
from hive_io.warehouse import Data
from tests.fraud_assets.ingestion.own_data.in_place_rows import (
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

IN_PLACE = """\
    hive:
      table: bank.payments
      folders: {bank.payments: payments}
      window: {column: booked, format: "%Y-%m-%d"}"""
AS_TEXT = """\
    files: {path: texts.parquet}"""


@pytest.mark.parametrize(("columns", "extra"), [(TYPED, TYPED_EXTRA), (TEXTS, TEXTS_EXTRA)], ids=["typed", "texts"])
def test_rows_are_those_of_the_same_values_as_text(tmp_path: Path, columns: str, extra: str) -> None:
    rows = payments()
    pq.write_to_dataset(rows.drop_columns(["ds"]), tmp_path / "payments", partition_cols=["booked"])
    # as the `sql` connector reads them
    texts = {name: pa.array(map(text_of, rows.column(name).to_pylist()), pa.string()) for name in rows.column_names[:-1]}
    pq.write_table(pa.table(texts), tmp_path / "texts.parquet")
    lake = EmbeddedWarehouse(tmp_path / "lake")
    expected = loaded(source_file(tmp_path, "texts.yaml", AS_TEXT, columns, extra), lake)
    found = loaded(source_file(tmp_path, "in_place.yaml", IN_PLACE, columns, extra), lake)
    for one, other in zip(found, expected, strict=True):
        assert one == other
    assert len(found[0]) > 30 and len(found[1]) > 30


CLIENTS = """\
tables:
  transactions:
    files: {path: none.csv}
    columns: {transaction_id: a, event_time: b, amount: c, merchant_id: d, customer_id: e}
  customers:
    hive:
      query: SELECT c.*, CONCAT(c.first, ' ', c.last) AS full_name FROM bank.clients c WHERE c.last <> 'test'
      folders: {bank.clients: clients}
      valid_from: 2026-01-02
    columns:
      customer_id: {from: nr}
      name: full_name
      opened_at: {from: since, zone: America/New_York}
      country: country
    personal: [first, last]
"""


def test_a_snapshot_of_a_query_over_a_delta_table_holds_from_a_day_on(tmp_path: Path) -> None:
    rows = [
        {"nr": 1, "first": "Ann", "last": "Lee", "since": dt.date(2020, 7, 1), "country": "US"},
        {"nr": 2, "first": "Bob", "last": "test", "since": dt.date(2020, 7, 1), "country": "US"},
        {"nr": 3, "first": "Eve", "last": "Orr", "since": dt.date(2019, 1, 1), "country": "usa"},
    ]
    deltalake.write_deltalake(str(tmp_path / "clients"), pa.Table.from_pylist(rows))
    (tmp_path / "source.yaml").write_text(CLIENTS, encoding="utf-8")
    lake = EmbeddedWarehouse(tmp_path / "lake")
    with MappedSource.of(tmp_path / "source.yaml") as source:
        load(CUSTOMERS, source, lake, Span.days(dt.date(2026, 1, 1), dt.date(2026, 1, 3)), 1.0)
    found = lake.read("fintech.customers", ["customer_id", "name", "opened_at", "ds"]).to_pylist()
    assert sorted(map(str, (tuple(row.values()) for row in found))) == [
        str(("1", "Ann Lee", dt.datetime(2020, 7, 1, 4), day)) for day in ("2026-01-02", "2026-01-03")
    ]
    rejected = lake.read("fintech.customers_rejected").to_pylist()
    assert sorted(row["ds"] for row in rejected) == ["2026-01-02", "2026-01-03"]
    assert '"first": "***"' in rejected[0]["payload"] and "Eve Orr" in rejected[0]["payload"]


REFUSED = {
    "where: a = 'b'": "`where` is not evaluated in place; write it into `query`",
    "note: {expression: upper(a)}": "an expression is DuckDB's, and is not evaluated in place",
    "note: {from: a, mask: hash}": "nothing is hashed in place",
    "note: {from: a, type: TIMESTAMP, format: '%d %b %Y'}": "the pattern '%d %b %Y' is not read in place",
    "note: {from: a, type: TIMESTAMP, format: counter, unit: days, since: 2026-01-01}": "a counter is not read in place",
    "note: {from: a, type: ARRAY<STRING>}": "a list is not made in place",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_has_no_equivalent_is_refused_before_anything_is_read(tmp_path: Path, line: str) -> None:
    columns = "{transaction_id: a, event_time: b, amount: c, merchant_id: d, customer_id: e}"
    more = f"    {line}" if line.startswith("where") else f"    extra:\n      {line}"
    (tmp_path / "source.yaml").write_text(f"tables:\n  transactions:\n{IN_PLACE}\n    columns: {columns}\n{more}\n")
    with pytest.raises(SourceFileError) as refused:
        read_source_file(tmp_path / "source.yaml")
    assert REFUSED[line] in str(refused.value) and "\n" not in str(refused.value)


def test_a_table_of_events_needs_a_window_and_small_tables_are_read_by_sql(tmp_path: Path) -> None:
    (tmp_path / "source.yaml").write_text(
        "tables:\n  blacklist: {hive: {table: bank.b, valid_from: 2026-01-01}, columns: {merchant_id: a}}\n"
        "  transactions:\n    hive: {query: SELECT ILIKE FROM x LIMIT 3}\n"
        "    columns: {transaction_id: a, event_time: b, amount: c, merchant_id: d, customer_id: e}\n"
    )
    with pytest.raises(SourceFileError, match=r"yaml:2: blacklist is not read in place.*(?s:.)*yaml:4: .*LIMIT"):
        read_source_file(tmp_path / "source.yaml")
    (tmp_path / "source.yaml").write_text(
        "tables:\n  transactions: {hive: {table: bank.t}, "
        "columns: {transaction_id: a, event_time: b, amount: c, merchant_id: d, customer_id: e}}\n"
    )
    with pytest.raises(SourceFileError, match="under `window`"):
        read_source_file(tmp_path / "source.yaml")


def test_a_field_that_is_missing_or_of_another_type_is_named_with_its_line(tmp_path: Path) -> None:
    pq.write_to_dataset(payments().drop_columns(["ds"]), tmp_path / "payments", partition_cols=["booked"])
    lake = EmbeddedWarehouse(tmp_path / "lake")
    for given, problem in {
        "extra: {note: nothing}": "bank.payments has no field 'nothing' .*its fields are id, at",
        "extra: {note: {from: fee}}": "note cannot be made in place from fee, a field of the type double",
        "extra: {note: {from: amount, type: TIMESTAMP, format: epoch_s}}": "in place as epoch_s from amount",
    }.items():
        columns = "{transaction_id: id, event_time: at, amount: amount, merchant_id: shop, customer_id: client}"
        (tmp_path / "source.yaml").write_text(f"tables:\n  transactions:\n{IN_PLACE}\n    columns: {columns}\n    {given}\n")
        with MappedSource.of(tmp_path / "source.yaml") as source, pytest.raises(SourceError, match=problem):
            loaded(source, lake)
    lake.ensure_table(CUSTOMERS.table)
    with pytest.raises(HiveIOError, match=r"fintech\.customers is a table of this warehouse"):
        lake.attach(CUSTOMERS.table.full_name, tmp_path)


def in_place(folder: Path) -> MappedSource:
    """Payments of the bank, of which some are rejected."""
    pq.write_to_dataset(payments().drop_columns(["ds"]), folder / "payments", partition_cols=["booked"])
    columns = "{transaction_id: id, event_time: at, amount: amount, merchant_id: shop, customer_id: client}"
    (folder / "source.yaml").write_text(f"tables:\n  transactions:\n{IN_PLACE}\n    columns: {columns}\n")
    return MappedSource.of(folder / "source.yaml")


def stages_of(lake: EmbeddedWarehouse) -> list[str]:
    return [name for name in lake.tables("fintech") if "_in_place_" in name]


def test_two_loads_of_a_day_at_once_do_not_meet(tmp_path: Path) -> None:
    lake = EmbeddedWarehouse(tmp_path / "lake")
    with in_place(tmp_path) as source:
        api = source.file.tables["transactions"].api
        first, second = (fetch(api, source, SPAN, lake) for _ in range(2))
        assert len(stages_of(lake)) == 2
        write(api, lake, first, SPAN, 1.0)
        rows, rejected = sorted_rows(lake.read(api.table.full_name)), without_numbers(lake.read(api.rejected.full_name))
        write(api, lake, second, SPAN, 1.0)
    assert len(rows) > 30 and rows == sorted_rows(lake.read(api.table.full_name))
    assert len(rejected) > 10 and rejected == without_numbers(lake.read(api.rejected.full_name))
    assert not stages_of(lake)


def test_what_a_killed_load_leaves_is_dropped_by_a_load_a_day_later(tmp_path: Path) -> None:
    lake = EmbeddedWarehouse(tmp_path / "lake")
    began = dt.datetime(2026, 4, 1, 12, tzinfo=dt.UTC)
    with in_place(tmp_path) as source:
        api = source.file.tables["transactions"].api
        # it never writes what it has staged
        fetch(api, source, SPAN, lake, Clock(lambda: began))
        (left,) = stages_of(lake)
        assert left.startswith("transactions_in_place_20260401t120000_")
        load(api, source, lake, SPAN, 1.0, Clock(lambda: began + dt.timedelta(hours=23)))
        assert stages_of(lake) == [left]
        load(api, source, lake, SPAN, 1.0, Clock(lambda: began + dt.timedelta(hours=25)))
    assert not stages_of(lake) and not [*(tmp_path / "lake" / "fintech.db").glob("*_in_place_*")]


class Failing(EmbeddedWarehouse):
    """Fails where a table is written or a query runs, as a server that refuses it."""

    def __init__(self, root: Path, at: str) -> None:
        super().__init__(root)
        self._at = at

    def _fail(self, at: str) -> None:
        if at == self._at:
            raise HiveIOError(f"refused: {at}")

    def query(self, query: HiveQL) -> pa.Table:
        self._fail("counts" if "COUNT(*)" in query.text else "another query")
        return super().query(query)

    def replace(self, table: Table, data: Data, span: Span) -> Receipt:
        self._fail(table.name)
        return super().replace(table, data, span)

    def upsert(self, table: Table, data: Data, *, times: Collection[dt.datetime] | None = None) -> Receipt:
        self._fail(table.name)
        return super().upsert(table, data, times=times)


@pytest.mark.parametrize("at", ["counts", "normal_forms", "transactions_rejected", "transactions", "nothing"])
def test_a_load_that_fails_leaves_no_stage(tmp_path: Path, at: str) -> None:
    lake = Failing(tmp_path / "lake", at)
    with in_place(tmp_path) as source:
        api = source.file.tables["transactions"].api
        expected = (RejectedShareTooHigh, "rejected") if at == "nothing" else (HiveIOError, f"refused: {at}")
        with pytest.raises(expected[0], match=expected[1]):
            load(api, source, lake, SPAN, 0.0 if at == "nothing" else 1.0)
    assert not stages_of(lake)


def test_a_row_near_its_partition_is_loaded_on_its_own_day_and_one_far_away_is_rejected(tmp_path: Path) -> None:
    times = {"near": dt.datetime(2026, 3, 29, 0, 30), "far": dt.datetime(2026, 3, 26, 12), "none": None}
    rows = [{"id": name, "at": at, "amount": 1, "booked": dt.date(2026, 3, 29)} for name, at in times.items()]
    schema = pa.schema([("id", pa.string()), ("at", pa.timestamp("us")), ("amount", pa.int64()), ("booked", pa.date32())])
    deltalake.write_deltalake(str(tmp_path / "payments"), pa.Table.from_pylist(rows, schema))
    text = IN_PLACE.replace(', format: "%Y-%m-%d"', "")
    columns = (
        "{transaction_id: id, event_time: {from: at, zone: Europe/Berlin}, amount: amount, merchant_id: id, customer_id: id}"
    )
    (tmp_path / "source.yaml").write_text(f"tables:\n  transactions:\n{text}\n    columns: {columns}\n")
    lake = EmbeddedWarehouse(tmp_path / "lake")
    with MappedSource.of(tmp_path / "source.yaml") as source:
        for day in range(26, 31):
            load(TRANSACTIONS, source, lake, Span.days(dt.date(2026, 3, day), dt.date(2026, 3, day)), 1.0)
    assert lake.read("fintech.transactions", ["transaction_id", "ds"]).to_pylist() == [
        {"transaction_id": "near", "ds": "2026-03-28"}
    ]
    rejected = lake.read("fintech.transactions_rejected", ["claims", "ds"]).to_pylist()
    assert sorted((*row["claims"], row["ds"]) for row in rejected) == [
        ("event_time_is_given", "2026-03-29"),
        ("event_time_is_in_the_span_asked_for", "2026-03-29"),
    ]
