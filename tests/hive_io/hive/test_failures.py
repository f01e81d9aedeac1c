"""Writes to a HiveServer2 that fail at each of their statements: rows, partitions, folders and messages afterwards."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyhive import exc

from hive_io import (
    Column,
    EmbeddedWarehouse,
    HiveQL,
    HiveServer,
    HiveServer2Warehouse,
    NotAWarehouse,
    PartitionConflict,
    Receipt,
    Span,
    Warehouse,
)
from hive_io.hive.connection import StatementRefused
from hive_io.hive.staging import ABANDONED, TableFolder
from tests.hive_io.delta.samples import make_old
from tests.hive_io.hive.fake_server import FakeHiveServer2, Fault
from tests.hive_io_fixtures import PAYMENTS, at, days, ds, payment, payments, table_of

NAME = PAYMENTS.full_name
GREW = replace(PAYMENTS, columns=(*PAYMENTS.columns, Column("country", "STRING")))
OLD = payments(*[payment(f"{hour}h of {number}", at(number, hour)) for number in (1, 2, 3) for hour in (6, 18)])
PART = Span(at(2, 6), at(2, 12))

Write = Callable[[Warehouse], Receipt]


def query(where: str, at_noon: bool = False) -> HiveQL:
    time = "CAST('2026-01-02 07:00:00' AS TIMESTAMP)" if at_noon else "at"
    return HiveQL(
        f"SELECT concat(id, '!') AS id, {time} AS at, amount + 1 AS amount, '{ds(2)}' AS ds FROM {NAME} WHERE {where}"
    )


WRITES: dict[str, Write] = {
    "rows of a day": lambda to: to.replace(PAYMENTS, payments(payment("new", at(2, 7))), days(2)),
    # day 2 gets other rows, day 3 none, day 4 its first
    "rows of a range": lambda to: to.replace(PAYMENTS, payments(payment("new", at(2, 7)), payment("4", at(4))), days(2, 4)),
    # the queries read another day than they replace: a write that failed halfway is completed by the same query
    "a query of a range": lambda to: to.replace(PAYMENTS, query(f"ds = '{ds(1)}'"), days(2, 3)),
    "rows of a part of a day": lambda to: to.replace(PAYMENTS, payments(payment("new", at(2, 7))), PART),
    "a query of a part of a day": lambda to: to.replace(PAYMENTS, query(f"ds = '{ds(1)}'", at_noon=True), PART),
    "an upsert": lambda to: to.upsert(PAYMENTS, payments(payment("6h of 2", at(2, 7), "9.00"), payment("4", at(4)))),
    "rows with a gained column": lambda to: to.replace(
        GREW, table_of(GREW, (*payment("new", at(2, 7))[:3], "NL", ds(2))), days(2)
    ),
}
IS_IDEMPOTENT = re.compile(
    r"SHOW |DESCRIBE |SELECT |INSERT OVERWRITE |(CREATE|DROP) (DATABASE|EXTERNAL TABLE|TABLE) IF (NOT )?EXISTS "
    r"|ALTER TABLE \S+ (ADD IF NOT EXISTS|DROP IF EXISTS|PARTITION \([^)]*\) SET LOCATION) "
)
CHANGES_PARTITIONS = re.compile(r"ALTER TABLE `fintech`\.`payments` (ADD IF NOT EXISTS |DROP IF EXISTS |)PARTITION ")
READS_PARTITIONS = re.compile(r"SHOW PARTITIONS `fintech`\.`payments`$|DESCRIBE FORMATTED `fintech`\.`payments` PARTITION ")

State = dict[str, list[tuple[Any, ...]]]


@dataclass
class Lake:
    """A fake server with the old rows, and a warehouse on it."""

    server: FakeHiveServer2
    warehouse: HiveServer2Warehouse
    folder: Path

    def state(self) -> State:
        """The rows that readers see, by day."""
        return by_day(self.server.rows(NAME).to_pylist())

    def stages(self) -> list[str]:
        """External tables that were not dropped."""
        return [name for name in self.server.tables if name != NAME]

    def folders(self) -> set[Path]:
        """Folders with staged files of a day."""
        return set(self.folder.glob("staged_*/ds=*"))

    def used(self) -> set[Path]:
        """Folders that are the location of a partition."""
        return {partition.location for partition in self.server.tables[NAME].partitions.values()}

    def noted(self, kind: str) -> list[Path]:
        """Folders that the notes of a kind name, `pending` or `retired`."""
        notes = [json.loads(file.read_text(encoding="utf-8")) for file in (self.folder / kind).glob("*.json")]
        return [Path(folder) for note in notes for folder in note["folders"]]

    def age_pending(self, seconds: float) -> None:
        """Let unfinished writes have begun so much earlier."""
        for file in (self.folder / "pending").glob("*.json"):
            note = json.loads(file.read_text(encoding="utf-8"))
            file.write_text(json.dumps({**note, "since": note["since"] - seconds}), encoding="utf-8")


def by_day(rows: list[dict[str, Any]]) -> State:
    found: State = {ds(number): [] for number in (1, 2, 3, 4)}
    for row in rows:
        found[row["ds"]].append((row["id"], row["at"], row["amount"], row.get("country")))
    return {day: sorted(each) for day, each in found.items()}


Open = Callable[..., Lake]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens lakes with the old rows, each in a folder of its own."""
    servers: dict[str, FakeHiveServer2] = {}
    monkeypatch.setattr("hive_io.hive.connection.hive.connect", lambda host, **options: servers[host].connect(**options))
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda seconds: None))

    def opened(engine: str = "Apache Hive", **options: Any) -> Lake:
        host = f"server{len(servers)}"
        servers[host] = server = FakeHiveServer2(engine)
        warehouse = HiveServer2Warehouse(HiveServer(host, tmp_path / host, **options))
        warehouse.replace(PAYMENTS, OLD, days(1, 3))
        server.sent, server.run = [], []
        return Lake(server, warehouse, tmp_path / host / "fintech.db" / "payments")

    return opened


@dataclass
class Undisturbed:
    """What a write does without failures."""

    old: State
    new: State
    receipt: Receipt
    statements: list[str]

    @property
    def numbers(self) -> range:
        """Numbers of its statements, from 1."""
        return range(1, len(self.statements) + 1)

    @property
    def first_change(self) -> int:
        """Number of the first statement that changes what readers see."""
        return next(n for n, text in enumerate(self.statements, 1) if CHANGES_PARTITIONS.match(text))


def undisturbed(lake: Open, write: Write) -> Undisturbed:
    one = lake()
    old = one.state()
    receipt = write(one.warehouse)
    return Undisturbed(old, one.state(), receipt, one.server.run)


def assert_message_is_true(message: str, state: State, whole: Undisturbed) -> None:
    """The message says of each day whether it has its old or its new rows."""
    dates = r"(\d{4}-\d\d-\d\d(?:, \d{4}-\d\d-\d\d)*)"
    new = re.search(rf"(?<!or )new rows on {dates}", message)
    unknown = re.search(rf"old or new rows on {dates}", message)
    assert "its old rows" in message
    for day in state:
        if new and day in new[1]:
            assert state[day] == whole.new[day], message
        elif unknown and day in unknown[1]:
            assert state[day] in (whole.old[day], whole.new[day]), message
        else:
            assert state[day] == whole.old[day], message


@pytest.mark.parametrize("what", WRITES)
def test_without_failures_rows_are_those_of_the_embedded_warehouse(lake: Open, tmp_path: Path, what: str) -> None:
    whole, embedded = undisturbed(lake, WRITES[what]), EmbeddedWarehouse(tmp_path / "embedded")
    embedded.replace(PAYMENTS, OLD, days(1, 3))
    receipt = WRITES[what](embedded)
    assert whole.new == by_day(embedded.read(NAME).to_pylist()) != whole.old
    assert (whole.receipt.partitions, whole.receipt.before) == (receipt.partitions, receipt.before)


@pytest.mark.parametrize("what", WRITES)
def test_partitions_change_last_and_no_folder_is_forgotten(lake: Open, what: str) -> None:
    whole = undisturbed(lake, WRITES[what])
    after = whole.statements[whole.first_change - 1 :]
    assert all(CHANGES_PARTITIONS.match(text) or READS_PARTITIONS.match(text) for text in after)
    one = lake()
    before = one.folders()
    WRITES[what](one.warehouse)
    assert one.stages() == [] and one.noted("pending") == []
    retired = set(one.noted("retired"))
    for folder in one.folders() - one.used():
        assert {folder, folder.parent} & retired, f"{folder} is not used and not noted"
    assert before <= one.folders(), "readers may still read the old rows"
    assert not one.used() & retired


@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER])
@pytest.mark.parametrize("what", WRITES)
def test_a_lost_connection_changes_nothing_about_a_write(lake: Open, what: str, fault: Fault) -> None:
    whole = undisturbed(lake, WRITES[what])
    for number in whole.numbers:
        one = lake(patience=60.0)
        one.server.fail_at(number, fault)
        receipt = WRITES[what](one.warehouse)
        where = f"lost at {number}: {whole.statements[number - 1]}"
        assert one.state() == whole.new, where
        assert (receipt.partitions, receipt.before) == (whole.receipt.partitions, whole.receipt.before), where
        assert len(one.server.sent) > len(whole.statements), where
        again = [text for text, count in Counter(one.server.run).items() if count > 1 and not IS_IDEMPOTENT.match(text)]
        assert again == [], where
        assert one.stages() == [] and one.noted("pending") == [], where


@pytest.mark.parametrize("what", WRITES)
def test_a_refused_statement_leaves_each_day_whole_and_no_folder_forgotten(lake: Open, what: str) -> None:
    whole = undisturbed(lake, WRITES[what])
    for number in whole.numbers:
        one = lake()
        one.server.fail_at(number, Fault.REFUSED)
        with pytest.raises(StatementRefused) as refused:
            WRITES[what](one.warehouse)
        where = f"refused at {number}: {whole.statements[number - 1]}"
        assert_message_is_true(str(refused.value), one.state(), whole)
        for fact in ("server", "the disk is full", NAME, "run the write again"):
            assert fact in str(refused.value), where
        assert "stack trace" not in str(refused.value)
        if number <= whole.first_change:
            assert one.state() == whole.old, where
        assert one.stages() == [] and one.noted("pending") == [], where
        retired = set(one.noted("retired"))
        for folder in one.folders() - one.used():
            assert {folder, folder.parent} & retired, f"{where}: {folder} is not used and not noted"
        assert not one.used() & retired and not {folder.parent for folder in one.used()} & retired, where
        one.server.recover()
        WRITES[what](one.warehouse)
        assert one.state() == whole.new, where


@pytest.mark.parametrize("fault", [Fault.GONE_BEFORE, Fault.GONE_AFTER])
@pytest.mark.parametrize("what", WRITES)
def test_a_server_that_goes_away_leaves_each_day_whole_and_folders_for_the_vacuum(lake: Open, what: str, fault: Fault) -> None:
    whole = undisturbed(lake, WRITES[what])
    for number in whole.numbers:
        one = lake(patience=0.0, grace=0.0)
        one.server.fail_at(number, fault)
        with pytest.raises(NotAWarehouse) as gone:
            WRITES[what](one.warehouse)
        where = f"gone at {number}: {whole.statements[number - 1]}"
        assert_message_is_true(str(gone.value), one.state(), whole)
        for fact in ("does not answer", NAME, "run the write again"):
            assert fact in str(gone.value), where
        if number < whole.first_change:
            assert one.state() == whole.old, where
        assert (len(one.server.sent), one.server.missed) == (number, 0), f"{where}: a server that is gone is asked nothing more"

        one.server.recover()
        left = one.state()
        one.age_pending(ABANDONED.total_seconds())
        one.warehouse.vacuum(NAME, ABANDONED)
        assert one.state() == left, where
        assert one.folders() == one.used(), where
        assert one.stages() == [] and one.noted("pending") == one.noted("retired") == [], where
        WRITES[what](one.warehouse)
        assert one.state() == whole.new, where


def test_the_vacuum_leaves_a_write_alone_that_may_still_run(lake: Open) -> None:
    one = lake(grace=0.0)
    write = TableFolder(one.folder, 0.0).begin_write()
    stage = one.folder / "staged_running"
    (stage / f"ds={ds(2)}").mkdir(parents=True)
    write.add(stage)
    one.age_pending(ABANDONED.total_seconds() - 60)
    one.warehouse.vacuum(NAME, ABANDONED)
    assert (stage / f"ds={ds(2)}").is_dir() and one.noted("pending") == [stage]
    one.age_pending(120)
    one.warehouse.vacuum(NAME, ABANDONED)
    assert not stage.exists() and one.noted("pending") == []


def test_the_vacuum_keeps_folders_outside_the_table(lake: Open, tmp_path: Path) -> None:
    one = lake(grace=0.0)
    elsewhere = tmp_path / "elsewhere" / f"ds={ds(2)}"
    elsewhere.mkdir(parents=True)
    (elsewhere / "rows.parquet").write_bytes((next(iter(one.used())) / "rows.parquet").read_bytes())
    one.server.tables[NAME].partitions[ds(2)].location = elsewhere
    one.warehouse.replace(PAYMENTS, payments(payment("new", at(2, 7))), days(2))
    one.warehouse.vacuum(NAME, ABANDONED)
    assert list(elsewhere.iterdir()), "these files belong to someone else"


# --- two writers ------------------------------------------------------------------------------------------------------


def just_before(lake: Lake, pattern: str, step: Callable[[], object]) -> None:
    """Let another writer finish a step just before the next statement like this runs."""
    answer = lake.server._run

    def run(statement: str) -> Any:
        if re.search(pattern, statement):
            lake.server._run = answer  # type: ignore[method-assign]
            step()
        return answer(statement)

    lake.server._run = run  # type: ignore[method-assign]


ADDS, SETS = r"`payments` ADD IF NOT EXISTS", r"`payments` PARTITION .* SET LOCATION"
FOURTH = payments(payment("of the other", at(4)))
TO_A_NEW_DAY: dict[str, Write] = {
    "rows": lambda to: to.replace(PAYMENTS, payments(payment("mine", at(4, 7))), days(4)),
    "a query": lambda to: to.replace(
        PAYMENTS, HiveQL(f"SELECT 'mine' AS id, at, amount, '{ds(4)}' AS ds FROM {NAME} WHERE ds = '{ds(1)}'"), days(4)
    ),
    "an upsert": lambda to: to.upsert(PAYMENTS, payments(payment("mine", at(4, 7)))),
}


@pytest.mark.parametrize("engine", ["Apache Hive", "Spark SQL"])
@pytest.mark.parametrize("what", TO_A_NEW_DAY)
def test_the_second_writer_of_a_new_day_gets_a_conflict(lake: Open, what: str, engine: str) -> None:
    one = lake(engine, grace=0.0)
    other = HiveServer2Warehouse(one.warehouse._server)
    just_before(one, ADDS, lambda: other.replace(PAYMENTS, FOURTH, days(4)))
    with pytest.raises(PartitionConflict) as conflict:
        TO_A_NEW_DAY[what](one.warehouse)
    for fact in (NAME, ds(4), "changed no day"):
        assert fact in str(conflict.value)
    assert one.state()[ds(4)] == by_day(FOURTH.to_pylist())[ds(4)]
    assert one.stages() == [] and one.noted("pending") == []
    one.warehouse.vacuum(NAME, ABANDONED)
    assert one.folders() == one.used()
    receipt = TO_A_NEW_DAY[what](one.warehouse)
    assert "mine" in [row[0] for row in one.state()[ds(4)]]
    assert (receipt.before, receipt.partitions) == ({ds(4): 1}, {ds(4): len(one.state()[ds(4)])})


def test_a_conflict_on_one_day_of_a_range_names_the_days_that_were_changed(lake: Open) -> None:
    one = lake()
    just_before(one, ADDS, lambda: HiveServer2Warehouse(one.warehouse._server).replace(PAYMENTS, FOURTH, days(4)))
    rows = payments(payment("mine", at(4, 7)), payment("mine", at(5, 7)), payment("mine", at(3, 7)))
    with pytest.raises(PartitionConflict, match=rf"changed {ds(4)} of {NAME} first; this write changed {ds(5)} only"):
        one.warehouse.replace(PAYMENTS, rows, days(3, 5))
    found = {day: [row["id"] for row in one.server.rows(NAME).to_pylist() if row["ds"] == day] for day in (ds(3), ds(4), ds(5))}
    assert found == {ds(3): ["6h of 3", "18h of 3"], ds(4): ["of the other"], ds(5): ["mine"]}
    assert one.noted("pending") == []
    retired = set(one.noted("retired"))
    assert {folder for folder in one.folders() - one.used() if not {folder, folder.parent} & retired} == set()
    assert not one.used() & retired and not {folder.parent for folder in one.used()} & retired


def test_a_day_that_another_writer_dropped_is_a_conflict(lake: Open) -> None:
    one = lake()
    other = HiveServer2Warehouse(one.warehouse._server)
    just_before(one, SETS, lambda: other.replace(PAYMENTS, payments(), days(2)))
    with pytest.raises(PartitionConflict, match=rf"{ds(2)} of {NAME} first; this write changed no day"):
        one.warehouse.replace(PAYMENTS, payments(payment("mine", at(2, 7))), days(2))
    assert one.state()[ds(2)] == [] and one.stages() == [] and one.noted("pending") == []


def test_two_writers_that_add_the_same_column_both_write(lake: Open) -> None:
    one = lake()
    other = HiveServer2Warehouse(one.warehouse._server)
    just_before(one, "ADD COLUMNS", lambda: WRITES["rows with a gained column"](other))
    WRITES["rows with a gained column"](one.warehouse)
    assert [row[3] for row in one.state()[ds(2)]] == ["NL"]
    assert len([text for text in one.server.run if "ADD COLUMNS" in text]) == 1


def test_the_vacuum_deletes_the_folders_of_the_writer_that_lost_a_day(lake: Open) -> None:
    """Of two writers of a day that exists, the last one wins. It does not know the folder of the first."""
    one = lake(grace=0.0)
    other = HiveServer2Warehouse(one.warehouse._server)
    just_before(one, SETS, lambda: other.replace(PAYMENTS, payments(payment("of the other", at(2))), days(2)))
    one.warehouse.replace(PAYMENTS, payments(payment("mine", at(2, 7))), days(2))
    left = one.state()
    assert [row[0] for row in left[ds(2)]] == ["mine"]
    one.warehouse.vacuum(NAME, ABANDONED)
    forgotten = one.folders() - one.used()
    assert len(forgotten) == 1, "a folder of today may belong to a write that has just begun"
    make_old(ABANDONED, *one.folders())
    one.server.sent = []
    one.warehouse.vacuum(NAME, ABANDONED)
    assert one.folders() == one.used() and one.state() == left
    described = [text for text in one.server.sent if "DESCRIBE FORMATTED" in text]
    assert described and all(ds(2) in text for text in described), "days in a single folder are not asked for"


@pytest.mark.parametrize("kind", ["pending", "retired"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"since": "x", "folders": []}', '{"since": 1, "folders": 5}', "null"])
def test_a_damaged_note_is_moved_aside_and_its_folders_are_deleted(
    lake: Open, caplog: pytest.LogCaptureFixture, kind: str, content: str
) -> None:
    one = lake(grace=0.0)
    left = one.folder / "staged_left" / f"ds={ds(2)}"
    left.mkdir(parents=True)
    note = one.folder / kind / "note.json"
    note.parent.mkdir(exist_ok=True)
    note.write_text(content, encoding="utf-8")
    # a process that was killed while it wrote a note
    (one.folder / kind / "partial.new").write_text("{", encoding="utf-8")
    WRITES["rows of a day"](one.warehouse)
    make_old(ABANDONED, *one.folders())
    one.warehouse.vacuum(NAME, ABANDONED)
    assert one.folders() == one.used() and not left.exists()
    assert not note.exists() and note.with_name("note.json.damaged").read_text(encoding="utf-8") == content
    assert any(str(note) in record.getMessage() for record in caplog.records)


def test_the_vacuum_deletes_results_of_readers_that_were_killed(lake: Open) -> None:
    one = lake()
    results = one.warehouse._server.staging / "results"
    for name in ("old", "new"):
        (results / name).mkdir(parents=True)
    make_old(ABANDONED, results / "old")
    one.warehouse.vacuum(NAME, ABANDONED)
    assert [path.name for path in results.iterdir()] == ["new"]


# --- columns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["Apache Hive", "Spark SQL"])
def test_values_of_a_gained_column_are_read_in_old_partitions_too(lake: Open, engine: str) -> None:
    one = lake(engine)
    row = (*payment("6h of 2", at(2, 7))[:3], "NL", ds(2))
    one.warehouse.upsert(GREW, table_of(GREW, row))
    found = one.warehouse.read(NAME, ["id", "country"], days(1, 2)).to_pylist()
    assert {row["id"]: row["country"] for row in found} == {
        "6h of 1": None,
        "18h of 1": None,
        "6h of 2": "NL",
        "18h of 2": None,
    }


def test_the_fake_server_refuses_what_is_not_idempotent_the_second_time(lake: Open) -> None:
    one = lake()
    WRITES["rows with a gained column"](one.warehouse)
    (added,) = [text for text in one.server.run if not IS_IDEMPOTENT.match(text)]
    assert "ADD COLUMNS" in added
    for text in (added, next(text for text in one.server.run if "CREATE TABLE" in text).replace("IF NOT EXISTS ", "")):
        with pytest.raises(exc.OperationalError):
            one.server.answer(text)
