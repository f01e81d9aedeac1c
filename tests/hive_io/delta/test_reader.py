"""Reading an embedded warehouse: files that are opened, other readers of Delta Lake, time zone, memory, errors of DuckDB."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import deltalake
import duckdb
import pyarrow as pa
import pytest

from hive_io import EmbeddedWarehouse, HiveIOError, HiveQL, QueryError, RowsOutsideSpan, SchemaMismatch
from tests.hive_io.delta.samples import GENERATIONS, NAME, folder_of, generation
from tests.hive_io_fixtures import PAYMENTS, at, days, ds, payment, payments, rows_of


def test_other_readers_of_delta_lake_and_parquet_read_the_same_rows(lake: EmbeddedWarehouse) -> None:
    rows = [payment("Zoë", at(1, 6)), payment("it's", at(2, 6), "-0.01")]
    lake.replace(PAYMENTS, payments(payment("old", at(1)), payment("old", at(2))), days(1, 2))
    lake.replace(PAYMENTS, payments(*rows), days(1, 2))
    lake.ensure_table(GENERATIONS)

    delta = deltalake.DeltaTable(str(folder_of(lake)))
    assert delta.metadata().partition_columns == ["ds"]
    assert rows_of(delta.to_pyarrow_table().select(PAYMENTS.arrow_schema.names)) == sorted(rows, key=repr)
    relation = duckdb.sql(f"FROM read_parquet({delta.file_uris()}, hive_partitioning = true, hive_types = {{ds: VARCHAR}})")
    assert rows_of(relation.to_arrow_table().select(PAYMENTS.arrow_schema.names)) == sorted(rows, key=repr)
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    assert types == {"id": "VARCHAR", "at": "TIMESTAMP", "amount": "DECIMAL(18,2)", "ds": "VARCHAR"}

    empty = deltalake.DeltaTable(str(lake.root / "fintech.db" / "generations"))
    assert empty.to_pyarrow_table().num_rows == 0
    assert [field.name for field in empty.schema().fields] == ["generation", "n", "ds"]


def test_a_query_of_some_days_opens_only_their_files(lake: EmbeddedWarehouse) -> None:
    lake.replace(PAYMENTS, payments(*[payment(f"{n}", at(n)) for n in (1, 2, 3)]), days(1, 3))
    for day in (1, 3):
        for file in (folder_of(lake) / f"ds={ds(day)}").iterdir():
            file.write_bytes(b"not Parquet")
    # a view reads the columns of the first file, so only the last day may be broken without an error
    lake.replace(PAYMENTS, payments(payment("1", at(1))), days(1))
    query = HiveQL(f"SELECT id FROM {NAME} WHERE ds BETWEEN '{ds(1)}' AND '{ds(2)}'")
    assert rows_of(lake.query(query)) == rows_of(lake.read(NAME, ["id"], days(1, 2))) == [("1",), ("2",)]


def test_the_time_zone_of_the_machine_has_no_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        warehouse = EmbeddedWarehouse(tmp_path)
        warehouse.replace(PAYMENTS, payments(payment("a", at(1, 1))), days(1))
        seen = warehouse.query(HiveQL(f"SELECT unix_timestamp(at) AS s FROM {NAME}"))
        assert seen.to_pylist() == [{"s": int(at(1, 1).timestamp())}]
        with warehouse._cursor() as cursor:
            zoned = cursor.execute("SELECT CAST(TIMESTAMPTZ '2026-01-01 01:00:00+00' AS VARCHAR)").fetchall()
        assert zoned == [("2026-01-01 01:00:00+00",)]
        assert rows_of(warehouse.read(NAME)) == [payment("a", at(1, 1))]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_memory_can_be_limited(tmp_path: Path) -> None:
    small = EmbeddedWarehouse(tmp_path / "lake", memory_limit="1MB")
    small.replace(GENERATIONS, generation(1, 1, 1, rows=30_000), days(1))
    sorting = HiveQL("SELECT n, ROW_NUMBER() OVER (ORDER BY n) AS position FROM fintech.generations")
    with pytest.raises(QueryError, match="Out of Memory"):
        small.query(sorting)
    assert EmbeddedWarehouse(tmp_path / "lake").query(sorting).num_rows == 30_000


# --- errors -----------------------------------------------------------------------------------------------------------


def logged(error: BaseException) -> str:
    """The text of an error in a log, with its causes."""
    return "".join(traceback.format_exception(error))


def test_no_error_shows_values_of_rows(lake: EmbeddedWarehouse) -> None:
    secret = payment("Ada Lovelace", at(1, 6), "-31337.00")
    lake.replace(PAYMENTS, payments(payment("Ada Lovelace", at(1))), days(1))
    deltalake.DeltaTable(str(folder_of(lake))).alter.add_constraint({"positive": "amount > 0"})
    rows = payments(secret)
    texts = rows.set_column(2, "amount", pa.array(["31337 EUR"]))

    def cast(value: object, kind: str) -> None:
        # allowed HiveQL gives NULL for invalid values, so this is DuckDB's own SQL
        with lake._cursor() as cursor:
            cursor.execute(f"SELECT CAST($value AS {kind})", {"value": value}).fetchall()

    attempts: list[tuple[type[HiveIOError], Callable[[], object]]] = [
        (HiveIOError, lambda: lake.replace(PAYMENTS, rows, days(1))),  # delta-rs shows a preview of the invalid rows
        (HiveIOError, lambda: lake.upsert(PAYMENTS, rows)),
        (RowsOutsideSpan, lambda: lake.replace(PAYMENTS, rows, days(2))),
        (SchemaMismatch, lambda: lake.replace(PAYMENTS, texts, days(1))),
        (SchemaMismatch, lambda: lake.upsert(PAYMENTS, texts)),
        (QueryError, lambda: cast(secret[0], "DATE")),
        (QueryError, lambda: cast(texts["amount"][0].as_py(), "DECIMAL(18,2)")),
    ]
    for error, attempt in attempts:
        with pytest.raises(error) as raised:
            attempt()
        text = logged(raised.value) + str(raised.value)
        assert "Lovelace" not in text
        assert "31337.00" not in text
        assert "31337 EUR" not in text
    assert rows_of(lake.read(NAME)) == [("Ada Lovelace", at(1).replace(tzinfo=None), Decimal("1.00"), ds(1))]


def test_the_error_for_a_rejected_query_names_its_fault(lake: EmbeddedWarehouse) -> None:
    lake.ensure_table(PAYMENTS)
    with pytest.raises(QueryError, match=r'"price".*not found'):
        lake.query(HiveQL(f"SELECT price FROM {NAME}"))


def test_a_warehouse_recovers_from_an_internal_error_of_duckdb(lake: EmbeddedWarehouse) -> None:
    lake.replace(PAYMENTS, payments(payment("a", at(1))), days(1))
    (file,) = (folder_of(lake) / f"ds={ds(1)}").iterdir()
    by_day = "sum(amount) OVER (PARTITION BY ds ORDER BY"
    with lake._duckdb.cursor() as cursor:
        files = f"read_parquet(['{file}'], hive_partitioning = true)"
        try:
            cursor.sql(f"SELECT {by_day} id), {by_day} amount) FROM {files}").fetchall()
        except duckdb.InternalException:
            pass
        else:
            pytest.skip("this version of DuckDB lacks the internal error of 2.0.0 that the test needs")
    with pytest.raises(QueryError, match="internal error") as raised:
        lake.read(NAME)
    assert len(str(raised.value).splitlines()) == 1
    assert rows_of(lake.read(NAME)) == [payment("a", at(1))]
