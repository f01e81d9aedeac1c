"""Damaged logs of Delta Lake tables: an error names table, file and what to do; nothing is read or written."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hive_io import Column, DamagedTable, EmbeddedWarehouse, HiveQL, Table
from tests.hive_io.delta.samples import NAME, folder_of, write_in_pieces
from tests.hive_io_fixtures import PAYMENTS, at, day, days, ds, payment, payments, rows_of, table_of

Log = Path
Damage = Callable[[Log], object]


def entry(log: Log, version: int) -> Path:
    return log / f"{version:020}.json"


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def without(file: Path, kind: str) -> None:
    """Leave out the lines of a kind, as a copy that was interrupted does."""
    file.write_text("\n".join(line for line in file.read_text().split("\n") if f'"{kind}"' not in line[: len(kind) + 3]))


def filled(lake: EmbeddedWarehouse) -> Log:
    for number in (1, 2, 3):
        lake.replace(PAYMENTS, payments(payment(f"{number}", at(number))), days(number))
    return folder_of(lake) / "_delta_log"


def with_checkpoint(lake: EmbeddedWarehouse) -> Log:
    log = filled(lake)
    lake.vacuum(NAME, dt.timedelta(hours=1))
    lake.replace(PAYMENTS, payments(payment("4", at(4))), days(4))
    assert [file.name[:20] for file in log.glob("*.checkpoint.parquet")] == [f"{4:020}"]
    return log


STEPS: dict[str, Callable[[EmbeddedWarehouse], object]] = {
    "read": lambda lake: lake.read(NAME),
    "query": lambda lake: lake.query(HiveQL(f"SELECT id FROM {NAME}")),
    "schema": lambda lake: lake.schema(NAME),
    "partitions": lambda lake: lake.partitions(NAME),
    "footprint": lambda lake: lake.footprint(NAME),
    "ensure": lambda lake: lake.ensure_table(PAYMENTS),
    "replace": lambda lake: lake.replace(PAYMENTS, payments(payment("new", at(9))), days(9)),
    "upsert": lambda lake: lake.upsert(PAYMENTS, payments(payment("new", at(9)))),
    "compact": lambda lake: lake.compact(NAME, day(20)),
    "vacuum": lambda lake: lake.vacuum(NAME, dt.timedelta(hours=1)),
}

DAMAGED: dict[str, tuple[bool, Damage, str]] = {
    "the last entry is empty": (False, lambda log: entry(log, 3).write_text(""), "00003.json"),
    "the last entry has no action": (False, lambda log: entry(log, 3).write_text("\n{}\n"), "00003.json"),
    "the last entry is cut": (False, lambda log: cut(entry(log, 3)), "00003.json"),
    "the last entry is cut after a line": (False, lambda log: without(entry(log, 3), "add"), "00003.json"),
    "the last entry has other bytes": (False, lambda log: entry(log, 3).write_bytes(b"\x00\xff"), "00003.json"),
    "the last entry has other JSON": (False, lambda log: entry(log, 3).write_text("[]\n"), "00003.json"),
    "the last entry has other types": (False, lambda log: entry(log, 3).write_text('{"add": 5}\n'), "00003.json"),
    "the last entry is nested deep": (False, lambda log: entry(log, 3).write_text("[" * 100_000), "00003.json"),
    "the last entry is a folder": (False, lambda log: (entry(log, 3).unlink(), entry(log, 3).mkdir()), "version 3"),
    "an entry is empty": (False, lambda log: entry(log, 2).write_text(""), "00002.json"),
    "an entry is cut": (False, lambda log: cut(entry(log, 2)), "00002.json"),
    "an entry is missing": (False, lambda log: entry(log, 2).unlink(), "00002.json"),
    "the first entry is missing": (False, lambda log: entry(log, 0).unlink(), "00000.json"),
    "the first entry is empty": (False, lambda log: entry(log, 0).write_text(""), "00000.json"),
    "the first entry lacks the schema": (False, lambda log: without(entry(log, 0), "metaData"), "No table metadata"),
    "all entries are missing": (False, lambda log: [file.unlink() for file in log.iterdir()], "_delta_log has no commits"),
    "the checkpoint is cut": (True, lambda log: cut(log / f"{4:020}.checkpoint.parquet"), "00004.checkpoint.parquet"),
    "the checkpoint is empty": (True, lambda log: (log / f"{4:020}.checkpoint.parquet").write_bytes(b""), "checkpoint.parquet"),
    "the checkpoint is missing": (True, lambda log: (log / f"{4:020}.checkpoint.parquet").unlink(), "names version 4"),
    "the hint names another version": (True, lambda log: hint(log, 99), "delete _last_checkpoint"),
    "a hint without a checkpoint": (False, lambda log: hint(log, 1), "delete _last_checkpoint"),
    "the entry after the checkpoint is empty": (True, lambda log: entry(log, 5).write_text(""), "00005.json"),
    "the entry after the checkpoint is cut": (True, lambda log: cut(entry(log, 5)), "00005.json"),
}


def hint(log: Log, version: int) -> None:
    (log / "_last_checkpoint").write_text(json.dumps({"version": version, "size": 5}))


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_log_is_named_with_what_to_do_and_nothing_is_changed(lake: EmbeddedWarehouse, what: str) -> None:
    has_checkpoint, damage, named = DAMAGED[what]
    log = with_checkpoint(lake) if has_checkpoint else filled(lake)
    damage(log)
    before = {file: file.read_bytes() for file in log.parent.rglob("*") if file.is_file()}
    for name, step in STEPS.items():
        with pytest.raises(DamagedTable) as raised:
            step(EmbeddedWarehouse(lake.root))
        message = str(raised.value)
        for fact in (NAME, str(log.parent), named):
            assert fact in message, name
        assert "restore the file" in message or "delete _last_checkpoint" in message, name
        assert len(message.splitlines()) == 1, name
    assert {file: file.read_bytes() for file in log.parent.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    "what", [name for name, (checkpoint, *_) in DAMAGED.items() if "entry" in name and "first" not in name]
)
def test_a_damaged_entry_is_named_in_time_travel(lake: EmbeddedWarehouse, what: str) -> None:
    has_checkpoint, damage, named = DAMAGED[what]
    log = with_checkpoint(lake) if has_checkpoint else filled(lake)
    moment = dt.datetime.now(dt.UTC)
    damage(log)
    if what == "the last entry is a folder":
        named = "00003.json"
    with pytest.raises(DamagedTable, match=named) as raised:
        lake.as_of(moment).read(NAME)
    assert NAME in str(raised.value)


def test_a_process_that_has_the_table_open_writes_nothing_on_an_emptied_entry(lake: EmbeddedWarehouse) -> None:
    log = filled(lake)
    lake.read(NAME)
    entry(log, 3).write_text("")
    for step in STEPS.values():
        with pytest.raises(DamagedTable, match=r"00003\.json"):
            step(lake)
    assert not entry(log, 4).exists()


def test_a_damaged_entry_of_another_process_is_named_when_it_is_read(lake: EmbeddedWarehouse) -> None:
    log = filled(lake)
    lake.read(NAME)
    EmbeddedWarehouse(lake.root).replace(PAYMENTS, payments(payment("4", at(4))), days(4))
    without(entry(log, 4), "add")
    with pytest.raises(DamagedTable, match=r"00004\.json.*expected 1 lines with add, found 0"):
        lake.read(NAME)


def test_a_restored_file_makes_the_table_whole_again(lake: EmbeddedWarehouse) -> None:
    log = filled(lake)
    rows, saved = rows_of(lake.read(NAME)), entry(log, 3).read_bytes()
    entry(log, 3).write_text("")
    with pytest.raises(DamagedTable):
        lake.read(NAME)
    entry(log, 3).write_bytes(saved)
    assert rows_of(lake.read(NAME)) == rows
    hint(log, 7)
    (log / "_last_checkpoint").unlink()
    assert rows_of(EmbeddedWarehouse(lake.root).read(NAME)) == rows


@pytest.mark.parametrize("content", ["", "{", '{"version": "x"}', '{"version": 1}', "null"])
def test_a_hint_that_delta_rs_ignores_does_not_stop_a_table_with_a_checkpoint(lake: EmbeddedWarehouse, content: str) -> None:
    log = with_checkpoint(lake)
    rows = rows_of(lake.read(NAME))
    (log / "_last_checkpoint").write_text(content)
    assert rows_of(EmbeddedWarehouse(lake.root).read(NAME)) == rows


def test_a_log_whose_old_entries_have_expired_is_whole(lake: EmbeddedWarehouse) -> None:
    log = with_checkpoint(lake)
    for version in range(4):
        entry(log, version).unlink()
    assert EmbeddedWarehouse(lake.root).partitions(NAME) == {ds(number): 1 for number in (1, 2, 3, 4)}


def test_commits_of_every_kind_are_whole(lake: EmbeddedWarehouse) -> None:
    """Commits of delta-rs have the counts that are checked; line breaks of Unicode in values are no line breaks of the log."""
    write_in_pieces(lake, 1, 2)
    odd = "a\u2028b\u0085c"
    lake.upsert(PAYMENTS, payments(payment("p1", at(1), "2.00"), payment(odd, at(1))))
    grown = Table("fintech", "payments", (*PAYMENTS.columns, Column("note", "STRING")), PAYMENTS.key, "at")
    lake.replace(grown, table_of(grown, (*payment("x", at(2, 3))[:3], odd, ds(2))), days(2))
    lake.replace(grown, table_of(grown), days(2))
    lake.compact(NAME, day(9))
    moment = dt.datetime.now(dt.UTC)
    lake.vacuum(NAME, dt.timedelta(hours=1))
    again = EmbeddedWarehouse(lake.root)
    assert (
        rows_of(again.read(NAME, ["id"])) == rows_of(again.as_of(moment).read(NAME, ["id"])) == rows_of(lake.read(NAME, ["id"]))
    )
    assert (odd,) in rows_of(again.read(NAME, ["id"]))


def test_a_folder_of_a_table_that_was_moved_away_is_computed_again(lake: EmbeddedWarehouse, tmp_path: Path) -> None:
    log = filled(lake)
    entry(log, 3).write_text("")
    with pytest.raises(DamagedTable):
        lake.read(NAME)
    shutil.move(log.parent, tmp_path / "damaged")
    lake.replace(PAYMENTS, payments(payment("again", at(1))), days(1))
    assert rows_of(lake.read(NAME)) == [payment("again", at(1))]
