"""Writes to an embedded warehouse: number of commits, files that are rewritten, preloaded rows, open tables."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from uuid import uuid4

import deltalake
import pytest

from hive_io import EmbeddedWarehouse, HiveQL, QueryError, Span
from hive_io.delta import warehouse as module
from tests.hive_io.delta.samples import NAME, folder_of, write_in_pieces
from tests.hive_io_fixtures import PAYMENTS, at, days, ds, payment, payments, rows_of


def test_replacing_no_rows_by_no_rows_commits_nothing(lake: EmbeddedWarehouse) -> None:
    lake.replace(PAYMENTS, payments(payment("noon", at(1, 12))), days(1))
    delta = deltalake.DeltaTable(str(folder_of(lake)))
    version = delta.version()
    receipt = lake.replace(PAYMENTS, payments(), Span(at(1, 13), at(1, 14)))
    delta.update_incremental()
    assert (delta.version(), receipt.partitions) == (version, {ds(1): 1})
    lake.replace(PAYMENTS, payments(), Span(at(1, 12), at(1, 13)))
    delta.update_incremental()
    assert (delta.version(), rows_of(lake.read(NAME))) == (version + 1, [])


def test_a_write_of_a_part_of_a_day_does_not_rewrite_the_day(lake: EmbeddedWarehouse) -> None:
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def write(first: int, end: int) -> list[int]:
        """Write one payment a second. Return the number of rows of each file that the commit added."""
        rows = [payment(uuid4().hex * 4, start.replace(tzinfo=None) + dt.timedelta(seconds=n)) for n in range(first, end)]
        span = Span(start + dt.timedelta(seconds=first), start + dt.timedelta(seconds=end + 600))
        lake.replace(PAYMENTS, payments(*rows), span)
        log = folder_of(lake) / "_delta_log"
        actions = [json.loads(line) for line in max(log.glob("*.json")).read_text().splitlines()]
        return [json.loads(action["add"]["stats"])["numRecords"] for action in actions if "add" in action]

    assert len(write(0, 50_000)) > 1
    # three seconds overlap, as on the live path, where rows do not arrive in the order of their times
    assert sum(write(49_997, 50_100)) < 20_000
    assert sum(write(50_097, 50_200)) < 20_000
    assert lake.partitions(NAME) == {ds(1): 50_200}


def test_preloaded_rows_are_read_until_another_writer_changes_the_table(lake: EmbeddedWarehouse) -> None:
    lake.replace(PAYMENTS, payments(payment("1", at(1)), payment("2", at(2))), days(1, 2))
    ids = HiveQL(f"SELECT id FROM {NAME}")
    with lake.preloaded(NAME, HiveQL(f"SELECT * FROM {NAME} WHERE id = '2'")):
        assert rows_of(lake.query(ids)) == [("2",)]
        assert lake.query(HiveQL(f"SELECT * FROM {NAME}")).schema.names == PAYMENTS.arrow_schema.names
        EmbeddedWarehouse(lake.root).replace(PAYMENTS, payments(payment("3", at(3))), days(3))
        assert rows_of(lake.query(ids)) == [("1",), ("2",), ("3",)]
    assert rows_of(lake.query(ids)) == [("1",), ("2",), ("3",)]
    with pytest.raises(QueryError), lake.preloaded(NAME, HiveQL(f"SELECT nothing FROM {NAME}")):
        pass
    assert rows_of(lake.query(ids)) == [("1",), ("2",), ("3",)]
    assert lake._duckdb.execute("SELECT table_name FROM duckdb_tables()").fetchall() == []


def test_a_reader_whose_next_commits_were_deleted_reads_the_latest_rows(lake: EmbeddedWarehouse) -> None:
    lake.replace(PAYMENTS, payments(payment("a", at(1), "1.00")), days(1))
    reader = EmbeddedWarehouse(lake.root)
    assert reader.partitions(NAME) == {ds(1): 1}
    for amount in ("2.00", "3.00"):
        lake.replace(PAYMENTS, payments(payment("a", at(1), amount), payment("b", at(1))), days(1))
    lake.vacuum(NAME, dt.timedelta(0))
    log = folder_of(lake) / "_delta_log"
    commits = sorted(log.glob("*.json"))
    for commit in commits[:-1]:
        commit.unlink()
    assert len(commits) > 3 and list(log.glob("*.checkpoint.parquet"))
    assert rows_of(reader.read(NAME)) == rows_of(lake.read(NAME))
    assert reader.partitions(NAME) == {ds(1): 2}


def test_a_table_that_was_moved_away_and_created_again_is_another_table(lake: EmbeddedWarehouse) -> None:
    lake.replace(PAYMENTS, payments(payment("a", at(1))), days(1))
    reader = EmbeddedWarehouse(lake.root)
    assert reader.partitions(NAME) == {ds(1): 1}
    folder = folder_of(lake)
    folder.rename(folder.with_name("payments_old"))
    EmbeddedWarehouse(lake.root).replace(PAYMENTS, payments(payment("b", at(2))), days(2))
    assert reader.partitions(NAME) == {ds(2): 1}


def test_an_open_table_is_opened_again_after_many_commits(lake: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    table = deltalake.DeltaTable

    class Counted(table):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **options: Any) -> None:
            opened.append(args)
            super().__init__(*args, **options)

    monkeypatch.setattr(deltalake, "DeltaTable", Counted)
    monkeypatch.setattr(module, "REOPENED_AFTER", 4)
    write_in_pieces(lake, 1, pieces=12)
    assert 3 <= len(opened) <= 5
    assert lake.partitions(NAME) == {ds(1): 12} and lake.read(NAME).num_rows == 12
