"""Columns that a table of an embedded warehouse gains: concurrent writers, and readers without this package."""

from __future__ import annotations

from pathlib import Path

import deltalake

from hive_io import Column, EmbeddedWarehouse, Table
from tests.hive_io.delta.samples import GENERATIONS, generation
from tests.hive_io_fixtures import at_once, days, ds, rows_of, table_of

NAME = GENERATIONS.full_name


def test_a_column_added_by_two_writers_at_once_is_added_once(tmp_path: Path) -> None:
    one, two = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    table = GENERATIONS
    one.replace(table, generation(1, 1, 1, rows=1), days(1))
    for number in range(5):
        table = Table(table.database, table.name, (*table.columns, Column(f"extra{number}", "STRING")))
        assert at_once(*[lambda w=w, t=table: w.ensure_table(t) for w in (one, two)]) == [None, None]  # type: ignore[misc]
    names = ["generation", "n", *(f"extra{number}" for number in range(5)), "ds"]
    assert rows_of(one.read(NAME, names)) == [(1, 0, *[None] * 5, ds(1))]


def test_a_reader_that_has_the_table_open_reads_an_added_column(tmp_path: Path) -> None:
    writer, reader = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    writer.replace(GENERATIONS, generation(1, 1, 1, rows=1), days(1))
    assert rows_of(reader.read(NAME)) == [(1, 0, ds(1))]
    grown = Table("fintech", "generations", (*GENERATIONS.columns, Column("extra", "STRING")))
    writer.replace(grown, table_of(grown, (2, 0, "new", ds(2))), days(2))
    assert rows_of(reader.read(NAME, ["generation", "extra", "ds"])) == [(1, None, ds(1)), (2, "new", ds(2))]
    plain = deltalake.DeltaTable(str(tmp_path / "fintech.db" / "generations")).to_pyarrow_table()
    assert rows_of(plain.select(["generation", "extra", "ds"])) == [(1, None, ds(1)), (2, "new", ds(2))]
