"""What is special about the warehouse warehouse: its folder, other writers, sudden deaths, and readers without our code."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import deltalake
import duckdb
import pyarrow as pa
import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from hive_io import (
    Column,
    EmbeddedWarehouse,
    HiveIOError,
    HiveQL,
    NotAWarehouse,
    PartitionConflict,
    QueryError,
    Receipt,
    RowsOutsideSpan,
    SchemaMismatch,
    Span,
    Table,
)
from hive_io.delta import maintenance
from hive_io.delta import warehouse as module
from hive_io.delta.maintenance import UNNAMED_HOURS
from hive_io.delta.warehouse import MARKER
from tests.hive_io_fixtures import PAYMENTS, at, at_once, days, ds, payment, payments, rows_of, table_of

NAME = PAYMENTS.full_name
GENERATIONS = Table("fintech", "generations", (Column("generation", "BIGINT"), Column("n", "BIGINT")))


def generation(number: int, first: int, last: int, rows: int = 40) -> pa.Table:
    """The same number of rows on each day, all of one generation."""
    return table_of(GENERATIONS, *[(number, n, ds(day)) for day in range(first, last + 1) for n in range(rows)])


def generations_by_day(found: pa.Table) -> dict[str, list[tuple[int, int]]]:
    """Which generations a day holds, and how many rows of each."""
    counts = found.group_by(["ds", "generation"]).aggregate([([], "count_all")]).to_pylist()
    by_day: dict[str, list[tuple[int, int]]] = {}
    for row in sorted(counts, key=repr):
        by_day.setdefault(row["ds"], []).append((row["generation"], row["count_all"]))
    return by_day


# --- the folder -------------------------------------------------------------------------------------------------------


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("not a folder")
    return folder / "file" / "lake"


def a_file(folder: Path) -> Path:
    (folder / "lake").write_text("not a folder")
    return folder / "lake"


def somebody_elses(folder: Path) -> Path:
    (folder / "thesis.tex").write_text("do not touch")
    return folder


def of_another_format(folder: Path) -> Path:
    (folder / MARKER).write_text(json.dumps({"warehouse": "embedded", "format": 2}))
    return folder


def with_a_broken_marker(folder: Path) -> Path:
    (folder / MARKER).write_text("{")
    return folder


def with_a_folder_for_a_marker(folder: Path) -> Path:
    (folder / MARKER).mkdir()
    return folder


def on_a_file_system_that_takes_none(folder: Path) -> Path:
    return Path("/proc/lake")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (below_a_file, "Not a directory"),
        (a_file, "File exists"),
        (somebody_elses, "has other files in it"),
        (of_another_format, "names a format that this version does not know"),
        (with_a_broken_marker, "cannot be used as a warehouse"),
        (with_a_folder_for_a_marker, "Is a directory"),
        (on_a_file_system_that_takes_none, "cannot be used as a warehouse"),
        (lambda folder: folder / "100%20", "has % in its path"),
        (lambda folder: folder / "lake[1]*?\\", r"has \* \? \[ \\ \] in its path"),
        (lambda folder: folder / "ds=1" / "lake", "read as a partition"),
    ],
)
def test_a_folder_that_cannot_be_a_warehouse_is_named_and_left_alone(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    folder = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(NotAWarehouse, match=said) as refused:
        EmbeddedWarehouse(folder)
    assert str(folder) in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    folder = EmbeddedWarehouse(tmp_path / "lake").root
    folder.chmod(0o500)
    with pytest.raises(NotAWarehouse, match="not writable"):
        EmbeddedWarehouse(folder)


@pytest.mark.parametrize("name", ["with space", "Zürich 東京 😀", 'it\'s "quoted"', "a=b", "#1;--", "a+b&c", "deep/er/still"])
def test_folders_of_any_name_hold_a_warehouse(tmp_path: Path, name: str) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / name)
    warehouse.replace(PAYMENTS, payments(payment("old", at(1, 6)), payment("kept", at(1, 18))), days(1))
    warehouse.upsert(PAYMENTS, payments(payment("old", at(1, 7))))
    again = EmbeddedWarehouse(tmp_path / name)
    assert rows_of(again.read(NAME)) == rows_of(payments(payment("old", at(1, 7)), payment("kept", at(1, 18))))
    assert again.partitions(NAME) == {ds(1): 2}
    assert (tmp_path / name / "fintech.db" / "payments" / f"ds={ds(1)}").is_dir()


def test_a_path_as_text_and_a_relative_one_are_the_same_warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = EmbeddedWarehouse("lake")
    here.replace(PAYMENTS, payments(payment("a", at(1))), days(1))
    monkeypatch.chdir("/")
    assert here.root == tmp_path / "lake"
    assert rows_of(here.read(NAME)) == rows_of(EmbeddedWarehouse(str(tmp_path / "lake")).read(NAME)) == [payment("a", at(1))]


def test_a_new_folder_is_opened_by_many_at_once(tmp_path: Path) -> None:
    for attempt in range(6):
        root = tmp_path / str(attempt)
        opened = at_once(*[lambda root=root: EmbeddedWarehouse(root).ensure_table(PAYMENTS)] * 6)  # type: ignore[misc]
        assert opened == [None] * 6
        assert json.loads((root / MARKER).read_text()) == {"warehouse": "embedded", "format": 1}
        assert EmbeddedWarehouse(root).tables("fintech") == ["payments"]


def test_a_folder_of_something_else_in_the_place_of_a_table_is_left_alone(lake: EmbeddedWarehouse) -> None:
    folder = lake.root / "fintech.db" / "payments"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(HiveIOError, match=r"fintech\.payments cannot be made"):
        lake.ensure_table(PAYMENTS)
    assert [path.name for path in folder.parent.rglob("*")] == ["payments", "notes.txt"]
    assert lake.tables("fintech") == []


def test_a_table_that_somebody_died_making_is_no_table(lake: EmbeddedWarehouse) -> None:
    unfinished = lake.root / "fintech.db" / ".payments.0123456789abcdef"
    deltalake.DeltaTable.create(str(unfinished), schema=PAYMENTS.arrow_schema)
    assert lake.tables("fintech") == []
    lake.ensure_table(PAYMENTS)
    assert lake.tables("fintech") == ["payments"]


def test_the_zone_of_the_machine_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        warehouse = EmbeddedWarehouse(tmp_path)
        warehouse.replace(PAYMENTS, payments(payment("a", at(1, 1))), days(1))
        zoned = "CAST(CAST(at AS TIMESTAMPLTZ) AS STRING) AS zoned"
        seen = warehouse.query(HiveQL(f"SELECT {zoned}, unix_timestamp(at) AS s FROM {NAME}"))
        assert seen.to_pylist() == [{"zoned": "2026-01-01 01:00:00+00", "s": int(at(1, 1).timestamp())}]
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


# --- two writers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
def test_of_two_writers_of_a_day_one_is_refused_and_the_day_is_the_others(tmp_path: Path, filled: bool) -> None:
    one, two = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    one.ensure_table(GENERATIONS)
    conflicts = 0
    for day in range(1, 9):
        if filled:
            one.replace(GENERATIONS, generation(0, day, day), days(day))
        outcomes = at_once(
            lambda day=day: one.replace(GENERATIONS, generation(1, day, day, 30), days(day)),  # type: ignore[misc]
            lambda day=day: two.replace(GENERATIONS, generation(2, day, day, 50), days(day)),  # type: ignore[misc]
        )
        results = {1: (1, 30), 2: (2, 50)}
        winners = [number for number, outcome in enumerate(outcomes, 1) if isinstance(outcome, Receipt)]
        (held,) = generations_by_day(one.read("fintech.generations", span=days(day)))[ds(day)]
        assert held in [results[winner] for winner in winners]
        if len(winners) == 1:
            conflicts += 1
            (refused,) = [outcome for outcome in outcomes if not isinstance(outcome, Receipt)]
            assert isinstance(refused, PartitionConflict)
            assert "fintech.generations" in str(refused)
    assert conflicts, "the writers never met: the test shows nothing"


def test_of_two_writers_of_neighbouring_parts_of_a_day_none_loses_rows(tmp_path: Path) -> None:
    one, two = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    one.replace(PAYMENTS, payments(payment("other", at(1, 1))), days(1))
    written = {payment("other", at(1, 1))}
    for minute in range(0, 12, 2):
        rows = [payment(f"{minute}", at(1, 12, minute)), payment(f"{minute + 1}", at(1, 12, minute + 1))]
        steps = [
            lambda w=w, row=row, m=m: w.replace(PAYMENTS, payments(row), Span(at(1, 12, m), at(1, 12, m + 1)))  # type: ignore[misc]
            for w, row, m in ((one, rows[0], minute), (two, rows[1], minute + 1))
        ]
        outcomes = at_once(*steps)
        for row, outcome in zip(rows, outcomes, strict=True):
            if isinstance(outcome, Receipt):
                written.add(row)
            else:
                assert isinstance(outcome, PartitionConflict)
        assert set(rows_of(one.read(NAME))) == written


Write = Callable[[EmbeddedWarehouse], Receipt]


def adding(key: str, hour: int = 9, day: int = 1) -> Write:
    return lambda warehouse: warehouse.upsert(PAYMENTS, payments(payment(key, at(day, hour))))


def replacing(key: str, span: Span) -> Write:
    return lambda warehouse: warehouse.replace(PAYMENTS, payments(payment(key, at(1, 9))), span)


PART = Span(at(1, 9), at(1, 10))
BETWEEN: dict[str, tuple[Write, Write]] = {
    # what a writer does, and what another does before it commits
    "both add the same key": (adding("one", 9), adding("one", 11)),
    "both add": (adding("one"), adding("two")),
    "the day is replaced that is added to": (adding("one"), replacing("two", days(1))),
    "the day is added to that is replaced": (replacing("one", days(1)), adding("two")),
    "the part is added to that is replaced": (replacing("one", PART), adding("two")),
}


@pytest.mark.parametrize("case", BETWEEN)
def test_rows_that_are_only_added_conflict_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    write, other = BETWEEN[case]
    one, two, alone = (EmbeddedWarehouse(tmp_path / lake) for lake in ("shared", "shared", "alone"))
    for warehouse in (one, alone):
        adding("there", 6)(warehouse)
    before_the_commit(monkeypatch, lambda: other(two))
    with pytest.raises(PartitionConflict, match=NAME):
        write(one)
    other(alone)
    assert rows_of(one.read(NAME)) == rows_of(alone.read(NAME))


def test_rows_are_added_beside_those_that_another_adds_to_another_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    one.ensure_table(PAYMENTS)
    before_the_commit(monkeypatch, lambda: adding("two", 9, 2)(two))
    adding("one")(one)
    assert rows_of(one.read(NAME)) == [payment("one", at(1, 9)), payment("two", at(2, 9))]


def before_the_commit(monkeypatch: pytest.MonkeyPatch, step: Callable[[], object]) -> None:
    """Let something happen between what a write has read and its commit, once."""
    write = deltalake.write_deltalake

    def late(*args: Any, **options: Any) -> None:
        monkeypatch.setattr(deltalake, "write_deltalake", write)
        step()
        write(*args, **options)

    monkeypatch.setattr(deltalake, "write_deltalake", late)


def test_two_queries_that_count_up_a_day_are_both_computed_on_what_the_other_wrote(tmp_path: Path) -> None:
    one, two = (EmbeddedWarehouse(tmp_path, attempts=20) for _ in range(2))
    one.replace(GENERATIONS, generation(0, 1, 1, rows=300), days(1))
    # the join takes a while, so that the other writer comes in between
    count_up = HiveQL(
        "SELECT g.generation + 1 AS generation, g.n, g.ds FROM fintech.generations g JOIN (SELECT max(a.n * b.n * c.n) AS most "
        f"FROM fintech.generations a JOIN fintech.generations b ON a.ds = b.ds JOIN fintech.generations c ON c.ds = b.ds "
        f"AND c.n < 100) x ON x.most > 0 WHERE g.ds = '{ds(1)}'"
    )

    def five_times(warehouse: EmbeddedWarehouse) -> list[Receipt]:
        return [warehouse.replace(GENERATIONS, count_up, days(1)) for _ in range(5)]

    outcomes = at_once(lambda: five_times(one), lambda: five_times(two))
    assert [len(receipts) for receipts in outcomes] == [5, 5]
    assert generations_by_day(one.read("fintech.generations")) == {ds(1): [(10, 300)]}


def test_a_query_gives_up_after_its_attempts(tmp_path: Path) -> None:
    one, two = (EmbeddedWarehouse(tmp_path, attempts=1) for _ in range(2))
    one.ensure_table(GENERATIONS)
    query = HiveQL(f"SELECT CAST(1 AS BIGINT) AS generation, CAST(1 AS BIGINT) AS n, '{ds(1)}' AS ds")
    outcomes: list[object] = []
    while not any(isinstance(outcome, PartitionConflict) for outcome in outcomes) and len(outcomes) < 60:
        outcomes += at_once(*[lambda w=w: w.replace(GENERATIONS, query, days(1)) for w in (one, two)])  # type: ignore[misc]
    assert {type(outcome) for outcome in outcomes} == {Receipt, PartitionConflict}
    assert generations_by_day(one.read("fintech.generations")) == {ds(1): [(1, 1)]}


def test_writers_of_different_days_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each writer makes the table, if it is first, and writes its own day several times."""

    def five_generations(day: int) -> str:
        warehouse = EmbeddedWarehouse(tmp_path)
        for number in range(1, 6):
            warehouse.replace(GENERATIONS, generation(number, day, day, rows=day), days(day))
        return "done"

    outcomes = at_once(*[lambda day=day: five_generations(day) for day in (1, 2, 3)])  # type: ignore[misc]
    assert outcomes == ["done"] * 3
    found = EmbeddedWarehouse(tmp_path).read("fintech.generations")
    assert generations_by_day(found) == {ds(day): [(5, day)] for day in (1, 2, 3)}


def test_a_column_gained_by_two_at_once_is_gained_once(tmp_path: Path) -> None:
    one, two = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    table = GENERATIONS
    one.replace(table, generation(1, 1, 1, rows=1), days(1))
    for number in range(5):
        table = Table(table.database, table.name, (*table.columns, Column(f"extra{number}", "STRING")))
        assert at_once(*[lambda w=w, t=table: w.ensure_table(t) for w in (one, two)]) == [None, None]  # type: ignore[misc]
    names = ["generation", "n", *(f"extra{number}" for number in range(5)), "ds"]
    assert rows_of(one.read("fintech.generations", names)) == [(1, 0, *[None] * 5, ds(1))]


# --- readers and sudden deaths ----------------------------------------------------------------------------------------


def test_a_reader_never_sees_a_half_state(tmp_path: Path) -> None:
    writer, reader = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    writer.replace(GENERATIONS, generation(0, 1, 3), days(1, 3))
    done, reads = Event(), list[dict[str, list[tuple[int, int]]]]()
    errors: list[Exception] = []

    def read() -> None:
        try:
            while not done.is_set():
                reads.append(generations_by_day(reader.read("fintech.generations")))
        except Exception as error:  # shown by the assertion below
            errors.append(error)

    thread = Thread(target=read)
    thread.start()
    for number in range(1, 26):
        writer.replace(GENERATIONS, generation(number, 1, 3), days(1, 3))
    done.set()
    thread.join()
    assert errors == []
    assert len(reads) >= 10
    seen = []
    for by_day in reads:
        assert list(by_day) == [ds(1), ds(2), ds(3)]
        (held,) = {tuple(held) for held in by_day.values()}
        ((number, rows),) = held
        assert rows == 40
        seen.append(number)
    assert seen == sorted(seen)
    assert len(set(seen)) > 1, "the reader saw one generation only: the test shows nothing"


WRITE_FOREVER = """
import itertools, sys
from hive_io import EmbeddedWarehouse
from tests.test_embedded import GENERATIONS, days, generation

warehouse, start = EmbeddedWarehouse(sys.argv[1]), int(sys.argv[2])
for number in itertools.count(start):
    warehouse.replace(GENERATIONS, generation(number, 1, 3, rows=2_000), days(1, 3))
    print(number, flush=True)
"""


def test_a_writer_killed_in_the_middle_leaves_whole_generations(tmp_path: Path) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / "lake")
    killed_after = [0.0, 0.011, 0.027]
    for round_, delay in enumerate(killed_after):
        start = 1_000 * (round_ + 1)
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOREVER, str(warehouse.root), str(start)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        with process:
            assert process.stdout is not None
            for _ in range(3):  # it is in its stride
                committed = int(process.stdout.readline())
            time.sleep(delay)
            process.kill()
            committed = max([committed, *(int(line) for line in process.stdout.read().split("\n") if line.isdigit())])
        (held,) = {tuple(held) for held in generations_by_day(warehouse.read("fintech.generations")).values()}
        # the last one that was confirmed, or the next: that may have been committed, and killed before it said so
        assert held in [((committed, 2_000),), ((committed + 1, 2_000),)]
        assert warehouse.partitions("fintech.generations") == {ds(1): 2_000, ds(2): 2_000, ds(3): 2_000}
    warehouse.replace(GENERATIONS, generation(7, 2, 2), days(2))
    assert generations_by_day(warehouse.read("fintech.generations", span=days(2))) == {ds(2): [(7, 40)]}


# --- without our code -------------------------------------------------------------------------------------------------


def test_the_lake_is_plain_delta_that_others_can_read(lake: EmbeddedWarehouse) -> None:
    rows = [payment("Zoë", at(1, 6)), payment("it's", at(2, 6), "-0.01")]
    lake.replace(PAYMENTS, payments(payment("old", at(1)), payment("old", at(2))), days(1, 2))
    lake.replace(PAYMENTS, payments(*rows), days(1, 2))
    lake.ensure_table(GENERATIONS)

    delta = deltalake.DeltaTable(str(lake.root / "fintech.db" / "payments"))
    assert delta.metadata().partition_columns == ["ds"]
    assert rows_of(delta.to_pyarrow_table().select(PAYMENTS.arrow_schema.names)) == sorted(rows, key=repr)
    relation = duckdb.sql(f"FROM read_parquet({delta.file_uris()}, hive_partitioning = true, hive_types = {{ds: VARCHAR}})")
    assert rows_of(relation.to_arrow_table().select(PAYMENTS.arrow_schema.names)) == sorted(rows, key=repr)
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    assert types == {"id": "VARCHAR", "at": "TIMESTAMP", "amount": "DECIMAL(18,2)", "ds": "VARCHAR"}

    empty = deltalake.DeltaTable(str(lake.root / "fintech.db" / "generations"))
    assert empty.to_pyarrow_table().num_rows == 0
    assert [field.name for field in empty.schema().fields] == ["generation", "n", "ds"]


def test_a_query_of_a_window_opens_only_the_files_of_its_days(lake: EmbeddedWarehouse) -> None:
    lake.replace(PAYMENTS, payments(*[payment(f"{n}", at(n)) for n in (1, 2, 3)]), days(1, 3))
    for day in (1, 3):
        for file in (lake.root / "fintech.db" / "payments" / f"ds={ds(day)}").iterdir():
            file.write_bytes(b"not Parquet")
    # a view looks at the first file's columns, so only the last day may be broken without notice
    lake.replace(PAYMENTS, payments(payment("1", at(1))), days(1))
    query = HiveQL(f"SELECT id FROM {NAME} WHERE ds BETWEEN '{ds(1)}' AND '{ds(2)}'")
    assert rows_of(lake.query(query)) == rows_of(lake.read(NAME, ["id"], days(1, 2))) == [("1",), ("2",)]


def test_a_part_of_a_day_does_not_write_the_day_anew(lake: EmbeddedWarehouse) -> None:
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def write(first: int, end: int) -> list[int]:
        """Payments, one a second. Returns how many rows the files have that the commit added."""
        rows = [payment(uuid4().hex * 4, start.replace(tzinfo=None) + dt.timedelta(seconds=n)) for n in range(first, end)]
        span = Span(start + dt.timedelta(seconds=first), start + dt.timedelta(seconds=end + 600))
        lake.replace(PAYMENTS, payments(*rows), span)
        log = lake.root / "fintech.db" / "payments" / "_delta_log"
        actions = [json.loads(line) for line in max(log.glob("*.json")).read_text().splitlines()]
        return [json.loads(action["add"]["stats"])["numRecords"] for action in actions if "add" in action]

    assert len(write(0, 50_000)) > 1
    # three seconds of it again, as on the live path, where rows are not served in the order in which they happened
    assert sum(write(49_997, 50_100)) < 20_000
    assert sum(write(50_097, 50_200)) < 20_000
    assert lake.partitions(NAME) == {ds(1): 50_200}


def test_held_rows_are_read_until_somebody_writes_the_table(lake: EmbeddedWarehouse) -> None:
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


# --- what errors say --------------------------------------------------------------------------------------------------


def whole_text(error: BaseException) -> str:
    """As a log shows it, with everything that led to it."""
    return "".join(traceback.format_exception(error))


def test_no_error_shows_values_of_rows(lake: EmbeddedWarehouse) -> None:
    secret = payment("Ada Lovelace", at(1, 6), "-31337.00")
    lake.replace(PAYMENTS, payments(payment("Ada Lovelace", at(1))), days(1))
    path = str(lake.root / "fintech.db" / "payments")
    deltalake.DeltaTable(path).alter.add_constraint({"positive": "amount > 0"})
    rows = payments(secret)
    texts = rows.set_column(2, "amount", pa.array(["31337 EUR"]))
    dates = HiveQL(f"SELECT date_format(date_sub(id, 1), 'yyyy-MM-dd') AS d FROM {NAME}")
    digits = "CAST('9999999999999999999999999999999999.99' AS DECIMAL(38,2))"
    overflow = HiveQL(f"SELECT id, at, CAST(31337 AS DECIMAL(38,2)) * {digits} AS amount, ds FROM {NAME}")
    attempts: list[tuple[type[HiveIOError], Callable[[], object]]] = [
        (HiveIOError, lambda: lake.replace(PAYMENTS, rows, days(1))),  # delta-rs shows a preview of the invalid rows
        (HiveIOError, lambda: lake.upsert(PAYMENTS, rows)),
        (RowsOutsideSpan, lambda: lake.replace(PAYMENTS, rows, days(2))),
        (SchemaMismatch, lambda: lake.replace(PAYMENTS, texts, days(1))),
        (SchemaMismatch, lambda: lake.upsert(PAYMENTS, texts)),
        (QueryError, lambda: lake.query(dates)),
        (QueryError, lambda: lake.replace(PAYMENTS, overflow, days(1))),
    ]
    for error, attempt in attempts:
        with pytest.raises(error) as refused:
            attempt()
        said = whole_text(refused.value).partition("test_embedded.py")[0] + str(refused.value)
        assert "Lovelace" not in said
        assert "31337.00" not in said
        assert "31337 EUR" not in said
    assert rows_of(lake.read(NAME)) == [("Ada Lovelace", at(1).replace(tzinfo=None), Decimal("1.00"), ds(1))]


def test_a_query_that_the_engine_refuses_says_what_is_wrong_with_it(lake: EmbeddedWarehouse) -> None:
    lake.ensure_table(PAYMENTS)
    with pytest.raises(QueryError, match=r'"price".*not found'):
        lake.query(HiveQL(f"SELECT price FROM {NAME}"))


def test_a_warehouse_outlives_an_error_of_duckdb_itself(lake: EmbeddedWarehouse) -> None:
    lake.replace(PAYMENTS, payments(payment("a", at(1))), days(1))
    (file,) = (lake.root / "fintech.db" / "payments" / f"ds={ds(1)}").iterdir()
    by_day = "sum(amount) OVER (PARTITION BY ds ORDER BY"
    with lake._duckdb.cursor() as cursor:
        files = f"read_parquet(['{file}'], hive_partitioning = true)"
        try:
            cursor.sql(f"SELECT {by_day} id), {by_day} amount) FROM {files}").fetchall()
        except duckdb.InternalException:
            pass
        else:
            pytest.skip("DuckDB has mended the error of 2.0.0 that this test needs")
    with pytest.raises(QueryError, match="error of DuckDB itself") as refused:
        lake.read(NAME)
    assert len(str(refused.value).splitlines()) == 1
    assert rows_of(lake.read(NAME)) == [payment("a", at(1))]


def test_clean_deletes_the_files_of_replaced_rows_and_no_others(lake: EmbeddedWarehouse) -> None:
    for amount in ("1.00", "2.00", "3.00"):
        lake.replace(PAYMENTS, payments(payment("a", at(1), amount)), days(1))
    lake.upsert(PAYMENTS, payments(payment("b", at(2))))
    rows = lake.read(PAYMENTS.full_name).to_pylist()
    folder = lake.root / "fintech.db" / "payments"
    assert len(list(folder.glob("ds=*/*.parquet"))) == 4
    lake.vacuum(PAYMENTS.full_name, dt.timedelta(hours=1))
    assert len(list(folder.glob("ds=*/*.parquet"))) == 4, "a reader may read them yet"
    lake.vacuum(PAYMENTS.full_name, dt.timedelta(0))
    assert len(list(folder.glob("ds=*/*.parquet"))) == 2
    assert sorted(map(str, lake.read(PAYMENTS.full_name).to_pylist())) == sorted(map(str, rows))
    assert EmbeddedWarehouse(lake.root).read(PAYMENTS.full_name).num_rows == 2
    lake.upsert(PAYMENTS, payments(payment("c", at(2))))
    assert lake.partitions(PAYMENTS.full_name) == {ds(1): 1, ds(2): 2}


def test_a_reader_whose_commits_were_cleaned_up_reads_the_latest_rows(lake: EmbeddedWarehouse) -> None:
    lake.replace(PAYMENTS, payments(payment("a", at(1), "1.00")), days(1))
    reader = EmbeddedWarehouse(lake.root)
    assert reader.partitions(NAME) == {ds(1): 1}
    for amount in ("2.00", "3.00"):
        lake.replace(PAYMENTS, payments(payment("a", at(1), amount), payment("b", at(1))), days(1))
    lake.vacuum(NAME, dt.timedelta(0))
    log = lake.root / "fintech.db" / "payments" / "_delta_log"
    commits = sorted(log.glob("*.json"))
    for commit in commits[:-1]:
        commit.unlink()
    assert len(commits) > 3 and list(log.glob("*.checkpoint.parquet"))
    assert rows_of(reader.read(NAME)) == rows_of(lake.read(NAME))
    assert reader.partitions(NAME) == {ds(1): 2}


def test_a_table_that_was_moved_away_and_made_again_is_another(lake: EmbeddedWarehouse) -> None:
    lake.replace(PAYMENTS, payments(payment("a", at(1))), days(1))
    reader = EmbeddedWarehouse(lake.root)
    assert reader.partitions(NAME) == {ds(1): 1}
    folder = lake.root / "fintech.db" / "payments"
    folder.rename(folder.with_name("payments_old"))
    EmbeddedWarehouse(lake.root).replace(PAYMENTS, payments(payment("b", at(2))), days(2))
    assert reader.partitions(NAME) == {ds(2): 1}


# --- upkeep -------------------------------------------------------------------------------------------------------------


def in_pieces(warehouse: EmbeddedWarehouse, *numbers: int, pieces: int = 4) -> None:
    """Days of PAYMENTS in as many files as there are pieces."""
    for number in numbers:
        for piece in range(pieces):
            warehouse.upsert(PAYMENTS, payments(payment(f"p{piece}", at(number, piece))))


def test_a_part_without_rows_before_and_after_is_no_commit(lake: EmbeddedWarehouse) -> None:
    lake.replace(PAYMENTS, payments(payment("noon", at(1, 12))), days(1))
    delta = deltalake.DeltaTable(str(lake.root / "fintech.db" / "payments"))
    version = delta.version()
    receipt = lake.replace(PAYMENTS, payments(), Span(at(1, 13), at(1, 14)))
    delta.update_incremental()
    assert (delta.version(), receipt.partitions) == (version, {ds(1): 1})
    lake.replace(PAYMENTS, payments(), Span(at(1, 12), at(1, 13)))
    delta.update_incremental()
    assert (delta.version(), rows_of(lake.read(NAME))) == (version + 1, [])


def files_by_day(warehouse: EmbeddedWarehouse) -> dict[str, int]:
    """Files that have rows now, by the name of their folder."""
    files = deltalake.DeltaTable(str(warehouse.root / "fintech.db" / "payments")).file_uris()
    return dict(sorted(Counter(Path(file).parent.name for file in files).items()))


def test_compaction_leaves_one_file_a_day_that_others_can_read(lake: EmbeddedWarehouse) -> None:
    in_pieces(lake, 1, 2, 3)
    rows = rows_of(lake.read(NAME))
    assert lake.compact(NAME, at(3).date()) == [ds(1), ds(2)]
    assert files_by_day(lake) == {f"ds={ds(1)}": 1, f"ds={ds(2)}": 1, f"ds={ds(3)}": 4}
    delta = deltalake.DeltaTable(str(lake.root / "fintech.db" / "payments"))
    version = delta.version()
    assert lake.compact(NAME, at(3).date()) == []
    delta.update_incremental()
    assert delta.version() == version, "what is done is not done again"
    names = PAYMENTS.arrow_schema.names
    assert rows_of(delta.to_pyarrow_table().select(names)) == rows
    how = "hive_partitioning = true, hive_types = {ds: VARCHAR}"
    assert rows_of(duckdb.sql(f"FROM read_parquet({delta.file_uris()}, {how})").to_arrow_table().select(names)) == rows
    lake.vacuum(NAME, dt.timedelta(0))
    assert lake.footprint(NAME).files == 6 and rows_of(lake.read(NAME)) == rows


class Meanwhile(EmbeddedWarehouse):
    """While a query of it is computed, something happens, once."""

    happens: Callable[[], object] | None = None

    def query(self, query: HiveQL) -> pa.Table:
        found = super().query(query)
        if self.happens is not None:
            happens, self.happens = self.happens, None
            happens()
        return found


def test_a_query_whose_day_is_compacted_meanwhile_is_computed_again_and_loses_nothing(tmp_path: Path) -> None:
    writer, other = Meanwhile(tmp_path), EmbeddedWarehouse(tmp_path)
    in_pieces(writer, 1, 2)
    compacted: list[str] = []
    writer.happens = lambda: compacted.extend(other.compact(NAME, at(9).date()))
    doubled = HiveQL(f"SELECT id, at, CAST(amount * 2 AS DECIMAL(18,2)) AS amount, ds FROM {NAME} WHERE ds = '{ds(1)}'")
    writer.replace(PAYMENTS, doubled, days(1))
    assert compacted == [ds(1), ds(2)]
    expected = [payment(f"p{n}", at(number, n), "2.00" if number == 1 else "1.00") for number in (1, 2) for n in range(4)]
    assert rows_of(other.read(NAME)) == sorted(expected, key=repr)


def test_writers_and_a_compaction_of_one_day_lose_nothing(tmp_path: Path) -> None:
    one, two, cleaner = (EmbeddedWarehouse(tmp_path, attempts=30) for _ in range(3))
    one.ensure_table(PAYMENTS)
    finished: list[str] = []

    def write(warehouse: EmbeddedWarehouse, name: str) -> str:
        for minute in range(8):
            # who is refused tries again, as the live path does
            for attempt in Retrying(retry=retry_if_exception_type(PartitionConflict), stop=stop_after_attempt(100)):
                with attempt:
                    warehouse.upsert(PAYMENTS, payments(payment(f"{name}{minute}", at(1, 1, minute))))
        finished.append(name)
        return name

    def compact() -> list[str]:
        done = []
        while len(finished) < 2:
            done += cleaner.compact(NAME, at(9).date())
            time.sleep(0.02)
        return done

    first, second, compacted = at_once(lambda: write(one, "a"), lambda: write(two, "b"), compact)
    assert (first, second) == ("a", "b")
    found = one.read(NAME, ["id"]).column("id").to_pylist()
    assert sorted(found) == sorted(f"{name}{minute}" for name in "ab" for minute in range(8))
    assert len(compacted) > 1, "the compaction never met them: the test shows nothing"


COMPACT_FOREVER = """
import itertools, sys
from hive_io import EmbeddedWarehouse
from tests.hive_io_fixtures import PAYMENTS, at, payment, payments
from tests.test_embedded import NAME

warehouse = EmbeddedWarehouse(sys.argv[1])
for number in itertools.count(int(sys.argv[2])):
    warehouse.upsert(PAYMENTS, payments(payment(f"r{number}", at(1, 0, number % 60))))
    print(number, flush=True)
    warehouse.compact(NAME, at(9).date())
    if number % 3 == 0:
        warehouse.vacuum(NAME, __import__("datetime").timedelta(hours=1))
"""


def test_a_compaction_killed_in_the_middle_leaves_the_table_whole(lake: EmbeddedWarehouse) -> None:
    in_pieces(lake, 1, 2)
    start, told = 0, 0
    for delay in (0.0, 0.009, 0.021):
        process = subprocess.Popen(
            [sys.executable, "-c", COMPACT_FOREVER, str(lake.root), str(start)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        with process:
            assert process.stdout is not None
            for _ in range(4):
                told = int(process.stdout.readline())
            time.sleep(delay)
            process.kill()
            told = max([told, *(int(line) for line in process.stdout.read().split("\n") if line.isdigit())])
        names = set(lake.read(NAME, ["id"]).column("id").to_pylist())
        wanted = {f"r{number}" for number in range(told + 1)} | {f"p{n}" for n in range(4)}
        # one more may have been committed, and killed before it said so
        assert names in (wanted, wanted | {f"r{told + 1}"})
        assert sum(lake.partitions(NAME).values()) == lake.read(NAME).num_rows == len(names) + 4
        start = told + 2
        lake.upsert(PAYMENTS, payments(payment(f"r{told + 1}", at(1, 0, (told + 1) % 60))))
    lake.compact(NAME, at(9).date())
    assert files_by_day(lake) == {f"ds={ds(1)}": 1, f"ds={ds(2)}": 1}


def made_old(age: dt.timedelta, *files: Path) -> None:
    then = time.time() - age.total_seconds()
    for file in files:
        os.utime(file, (then, then))


def test_files_of_writers_that_died_go_once_they_are_old(lake: EmbeddedWarehouse) -> None:
    in_pieces(lake, 1, pieces=1)
    folder = lake.root / "fintech.db" / "payments" / f"ds={ds(1)}"
    (kept,) = folder.iterdir()
    stray = folder / "part-00000-of-a-writer-that-died.zstd.parquet"
    stray.write_bytes(kept.read_bytes())
    lake.vacuum(NAME, dt.timedelta(0))
    assert stray.exists(), "somebody may be about to commit it"
    made_old(dt.timedelta(hours=UNNAMED_HOURS + 1), stray, kept)
    lake.vacuum(NAME, dt.timedelta(0))
    assert list(folder.iterdir()) == [kept]


def test_a_log_of_many_commits_is_kept_no_longer_than_replaced_rows(
    lake: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes each second would wait for it: to commit takes the longer the more commits the log has."""
    in_pieces(lake, 1, 2)
    log = lake.root / "fintech.db" / "payments" / "_delta_log"
    made_old(dt.timedelta(hours=2), *log.glob("*.json"))
    lake.vacuum(NAME, dt.timedelta(hours=1))
    assert len(list(log.glob("*.json"))) > 8, "few commits are kept for a day"
    monkeypatch.setattr(maintenance, "MOST_COMMITS", 5)
    made_old(dt.timedelta(hours=2), *log.glob("*"))
    in_pieces(lake, 3, pieces=3)
    lake.vacuum(NAME, dt.timedelta(hours=1))
    assert len(list(log.glob("*.json"))) <= 5
    assert lake.partitions(NAME) == {ds(1): 4, ds(2): 4, ds(3): 3}
    assert len(rows_of(EmbeddedWarehouse(lake.root).read(NAME))) == 11


def test_a_table_that_was_opened_long_ago_is_opened_anew(lake: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    table = deltalake.DeltaTable

    class Counted(table):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **options: Any) -> None:
            opened.append(args)
            super().__init__(*args, **options)

    monkeypatch.setattr(deltalake, "DeltaTable", Counted)
    monkeypatch.setattr(module, "REOPENED_AFTER", 4)
    in_pieces(lake, 1, pieces=12)
    assert 3 <= len(opened) <= 5
    assert lake.partitions(NAME) == {ds(1): 12} and lake.read(NAME).num_rows == 12


def test_a_table_can_be_read_as_it_was_for_as_long_as_files_are_kept(lake: EmbeddedWarehouse) -> None:
    in_pieces(lake, 1, 2)
    path = lake.root / "fintech.db" / "payments"
    version = deltalake.DeltaTable(str(path)).version()
    lake.replace(PAYMENTS, payments(payment("new", at(1))), days(1))
    lake.compact(NAME, at(9).date())
    keep = dt.timedelta(days=7)
    for age, there in ((dt.timedelta(days=6), True), (dt.timedelta(days=9), False)):
        made_old(age, *(path / "_delta_log").glob("*.json"), *(path / "_delta_log").glob("*.parquet"))
        lake.vacuum(NAME, keep)
        if there:
            assert deltalake.DeltaTable(str(path), version=version).to_pyarrow_table().num_rows == 8
        else:
            with pytest.raises(deltalake.exceptions.DeltaError):
                deltalake.DeltaTable(str(path), version=version)
    assert rows_of(lake.read(NAME)) == sorted(
        [payment("new", at(1)), *[payment(f"p{n}", at(2, n)) for n in range(4)]], key=repr
    )
