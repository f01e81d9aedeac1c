"""Maintenance of an embedded warehouse: compaction beside writers, retention of files and commits, orphaned files."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from pathlib import Path

import deltalake
import duckdb
import pyarrow as pa
import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from hive_io import Column, EmbeddedWarehouse, HiveQL, PartitionConflict, Table
from hive_io.delta import maintenance, warehouse
from hive_io.delta.maintenance import UNNAMED_HOURS
from tests.hive_io.delta.samples import NAME, files_by_day, folder_of, make_old, write_in_pieces
from tests.hive_io_fixtures import PAYMENTS, at, at_once, day, days, ds, payment, payments, rows_of, table_of

# --- compaction -------------------------------------------------------------------------------------------------------


def test_compaction_leaves_one_file_a_day_that_other_readers_can_read(lake: EmbeddedWarehouse) -> None:
    write_in_pieces(lake, 1, 2, 3)
    rows = rows_of(lake.read(NAME))
    assert lake.compact(NAME, at(3).date()) == [ds(1), ds(2)]
    assert files_by_day(lake) == {f"ds={ds(1)}": 1, f"ds={ds(2)}": 1, f"ds={ds(3)}": 4}
    delta = deltalake.DeltaTable(str(folder_of(lake)))
    version = delta.version()
    assert lake.compact(NAME, at(3).date()) == []
    delta.update_incremental()
    assert delta.version() == version, "compacted days are not compacted again"
    names = PAYMENTS.arrow_schema.names
    assert rows_of(delta.to_pyarrow_table().select(names)) == rows
    how = "hive_partitioning = true, hive_types = {ds: VARCHAR}"
    assert rows_of(duckdb.sql(f"FROM read_parquet({delta.file_uris()}, {how})").to_arrow_table().select(names)) == rows
    lake.vacuum(NAME, dt.timedelta(0))
    assert lake.footprint(NAME).files == 6 and rows_of(lake.read(NAME)) == rows


class Interrupted(EmbeddedWarehouse):
    """Runs a step once, during the computation of a query."""

    step: Callable[[], object] | None = None

    def query(self, query: HiveQL) -> pa.Table:
        found = super().query(query)
        if self.step is not None:
            step, self.step = self.step, None
            step()
        return found


def test_a_query_whose_day_is_compacted_meanwhile_is_computed_again(tmp_path: Path) -> None:
    writer, other = Interrupted(tmp_path), EmbeddedWarehouse(tmp_path)
    write_in_pieces(writer, 1, 2)
    compacted: list[str] = []
    writer.step = lambda: compacted.extend(other.compact(NAME, at(9).date()))
    doubled = HiveQL(f"SELECT id, at, CAST(amount * 2 AS DECIMAL(18,2)) AS amount, ds FROM {NAME} WHERE ds = '{ds(1)}'")
    writer.replace(PAYMENTS, doubled, days(1))
    assert compacted == [ds(1), ds(2)]
    expected = [payment(f"p{n}", at(number, n), "2.00" if number == 1 else "1.00") for number in (1, 2) for n in range(4)]
    assert rows_of(other.read(NAME)) == sorted(expected, key=repr)


def test_writers_beside_a_compaction_of_their_day_lose_no_rows(tmp_path: Path) -> None:
    one, two, compactor = (EmbeddedWarehouse(tmp_path, attempts=30) for _ in range(3))
    one.ensure_table(PAYMENTS)
    finished: list[str] = []

    def write(warehouse: EmbeddedWarehouse, name: str) -> str:
        for minute in range(8):
            # a refused write is retried, as on the live path
            for attempt in Retrying(retry=retry_if_exception_type(PartitionConflict), stop=stop_after_attempt(100)):
                with attempt:
                    warehouse.upsert(PAYMENTS, payments(payment(f"{name}{minute}", at(1, 1, minute))))
        finished.append(name)
        return name

    def compact() -> list[str]:
        done = []
        while len(finished) < 2:
            done += compactor.compact(NAME, at(9).date())
            time.sleep(0.02)
        return done

    first, second, compacted = at_once(lambda: write(one, "a"), lambda: write(two, "b"), compact)
    assert (first, second) == ("a", "b")
    found = one.read(NAME, ["id"]).column("id").to_pylist()
    assert sorted(found) == sorted(f"{name}{minute}" for name in "ab" for minute in range(8))
    assert len(compacted) > 1, "the compaction never met the writers: the test shows nothing"


# --- vacuum -----------------------------------------------------------------------------------------------------------


def test_vacuum_deletes_expired_files_of_replaced_rows_and_no_others(lake: EmbeddedWarehouse) -> None:
    for amount in ("1.00", "2.00", "3.00"):
        lake.replace(PAYMENTS, payments(payment("a", at(1), amount)), days(1))
    lake.upsert(PAYMENTS, payments(payment("b", at(2))))
    rows = lake.read(NAME).to_pylist()
    folder = folder_of(lake)
    assert len(list(folder.glob("ds=*/*.parquet"))) == 4
    lake.vacuum(NAME, dt.timedelta(hours=1))
    assert len(list(folder.glob("ds=*/*.parquet"))) == 4, "readers that have begun may still need them"
    lake.vacuum(NAME, dt.timedelta(0))
    assert len(list(folder.glob("ds=*/*.parquet"))) == 2
    assert sorted(map(str, lake.read(NAME).to_pylist())) == sorted(map(str, rows))
    assert EmbeddedWarehouse(lake.root).read(NAME).num_rows == 2
    lake.upsert(PAYMENTS, payments(payment("c", at(2))))
    assert lake.partitions(NAME) == {ds(1): 1, ds(2): 2}


def test_orphaned_files_are_deleted_once_they_are_old(lake: EmbeddedWarehouse) -> None:
    write_in_pieces(lake, 1, pieces=1)
    folder = folder_of(lake) / f"ds={ds(1)}"
    (kept,) = folder.iterdir()
    orphan = folder / "part-00000-of-a-killed-writer.zstd.parquet"
    orphan.write_bytes(kept.read_bytes())
    lake.vacuum(NAME, dt.timedelta(0))
    assert orphan.exists(), "a writer may be about to commit it"
    make_old(dt.timedelta(hours=UNNAMED_HOURS + 1), orphan, kept)
    lake.vacuum(NAME, dt.timedelta(0))
    assert list(folder.iterdir()) == [kept]


def test_a_log_of_many_commits_is_retained_no_longer_than_replaced_rows(
    lake: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each commit in the log slows down every write, which a writer of each second would notice."""
    write_in_pieces(lake, 1, 2)
    log = folder_of(lake) / "_delta_log"
    make_old(dt.timedelta(hours=2), *log.glob("*.json"))
    lake.vacuum(NAME, dt.timedelta(hours=1))
    assert len(list(log.glob("*.json"))) > 8, "few commits are retained for a day"
    monkeypatch.setattr(maintenance, "MOST_COMMITS", 5)
    make_old(dt.timedelta(hours=2), *log.glob("*"))
    write_in_pieces(lake, 3, pieces=3)
    lake.vacuum(NAME, dt.timedelta(hours=1))
    assert len(list(log.glob("*.json"))) <= 5
    assert lake.partitions(NAME) == {ds(1): 4, ds(2): 4, ds(3): 3}
    assert len(rows_of(EmbeddedWarehouse(lake.root).read(NAME))) == 11


def statistics_of(lake: EmbeddedWarehouse, number: int) -> dict[str, set[str]]:
    """Add a payment. Return, for each kind of statistic of its file in the log, the columns that have it."""
    lake.upsert(PAYMENTS, payments(payment("long name " * 1000, at(number))))
    commit = max((folder_of(lake) / "_delta_log").glob("*.json"))
    (added,) = [action["add"] for line in commit.read_text().splitlines() if "add" in (action := json.loads(line))]
    found = json.loads(added["stats"])
    assert found.pop("numRecords") == 1
    return {kind: set(columns) for kind, columns in found.items()}


def test_the_log_has_statistics_of_times_alone(lake: EmbeddedWarehouse) -> None:
    """Of other columns, they would slow down each commit, and show rows in the log."""
    found = statistics_of(lake, 1)
    assert set(map(frozenset, found.values())) == {frozenset({"at"})}
    names = Table("fintech", "names", (Column("name", "STRING"),), key=("name",))
    lake.upsert(names, table_of(names, ("Ada", ds(1))))
    assert "Ada" not in "".join(map(Path.read_text, (lake.root / "fintech.db" / "names").glob("_delta_log/*.json")))
    assert lake.partitions(names.full_name) == {ds(1): 1}


def test_vacuum_ends_statistics_of_other_columns(lake: EmbeddedWarehouse) -> None:
    deltalake.DeltaTable.create(str(folder_of(lake)), schema=PAYMENTS.arrow_schema, partition_by=["ds"])
    assert statistics_of(lake, 1)["minValues"] == {"id", "at", "amount"}
    lake.vacuum(NAME, dt.timedelta(hours=1))
    assert statistics_of(lake, 2)["minValues"] == {"at"}
    assert lake.partitions(NAME) == {ds(1): 1, ds(2): 1}


def test_an_earlier_version_can_be_read_while_its_files_are_retained(lake: EmbeddedWarehouse) -> None:
    write_in_pieces(lake, 1, 2)
    path = folder_of(lake)
    version = deltalake.DeltaTable(str(path)).version()
    lake.replace(PAYMENTS, payments(payment("new", at(1))), days(1))
    lake.compact(NAME, at(9).date())
    keep = dt.timedelta(days=7)
    for age, is_retained in ((dt.timedelta(days=6), True), (dt.timedelta(days=9), False)):
        make_old(age, *(path / "_delta_log").glob("*.json"), *(path / "_delta_log").glob("*.parquet"))
        lake.vacuum(NAME, keep)
        if is_retained:
            assert deltalake.DeltaTable(str(path), version=version).to_pyarrow_table().num_rows == 8
        else:
            with pytest.raises(deltalake.exceptions.DeltaError):
                deltalake.DeltaTable(str(path), version=version)
    assert rows_of(lake.read(NAME)) == sorted(
        [payment("new", at(1)), *[payment(f"p{n}", at(2, n)) for n in range(4)]], key=repr
    )


def test_small_files_of_a_day_that_is_written_are_merged_when_there_are_many(
    lake: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warehouse, "MOST_SMALL_FILES", 5)
    rows = [payment("other", at(1)), *(payment(f"p{number}", at(2, number)) for number in range(5))]
    lake.ensure_table(PAYMENTS)
    for row in rows:
        assert not lake.merge_small_files(NAME, day(2)), "a few files are left as they are"
        lake.upsert(PAYMENTS, payments(row), times=())
    assert files_by_day(lake) == {f"ds={ds(1)}": 1, f"ds={ds(2)}": 5}
    assert lake.merge_small_files(NAME, day(2))
    assert rows_of(lake.read(NAME)) == sorted(rows, key=repr)
    assert len(deltalake.DeltaTable(str(folder_of(lake))).file_uris()) == 2
    assert not lake.merge_small_files(NAME, day(2)), "one file is left"
    assert lake.upsert(PAYMENTS, payments(payment("new", at(2))), times=()).alone, "merging is no other writer"
