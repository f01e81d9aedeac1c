"""Concurrent writers of an embedded warehouse: no row is lost, and conflicts are detected."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import pytest

from hive_io import EmbeddedWarehouse, HiveQL, PartitionConflict, Receipt, Span
from hive_io.delta import warehouse as module
from tests.hive_io.delta.samples import GENERATIONS, NAME, before_the_commit, generation, generations_by_day
from tests.hive_io_fixtures import PAYMENTS, at, at_once, days, ds, payment, payments, rows_of


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
def test_of_two_writers_of_a_day_one_may_be_refused_and_the_other_wins(tmp_path: Path, filled: bool) -> None:
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
        (found,) = generations_by_day(one.read("fintech.generations", span=days(day)))[ds(day)]
        assert found in [results[winner] for winner in winners]
        if len(winners) == 1:
            conflicts += 1
            (refused,) = [outcome for outcome in outcomes if not isinstance(outcome, Receipt)]
            assert isinstance(refused, PartitionConflict)
            assert "fintech.generations" in str(refused)
    assert conflicts, "the writers never met: the test shows nothing"


def test_two_writers_of_adjacent_parts_of_a_day_lose_no_rows(tmp_path: Path) -> None:
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
CONFLICTS: dict[str, tuple[Write, Write]] = {
    # the write of one, and the write of another that is committed first
    "both add the same key": (adding("one", 9), adding("one", 11)),
    "both add": (adding("one"), adding("two")),
    "one adds to a day that another replaces": (adding("one"), replacing("two", days(1))),
    "one replaces a day to which another adds": (replacing("one", days(1)), adding("two")),
    "one replaces a part to which another adds": (replacing("one", PART), adding("two")),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_appended_rows_conflict_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    write, other = CONFLICTS[case]
    one, two, alone = (EmbeddedWarehouse(tmp_path / lake) for lake in ("shared", "shared", "alone"))
    for warehouse in (one, alone):
        adding("there", 6)(warehouse)
    before_the_commit(monkeypatch, lambda: other(two))
    with pytest.raises(PartitionConflict, match=rf"{NAME}.*nothing was written.*run again"):
        write(one)
    other(alone)
    assert rows_of(one.read(NAME)) == rows_of(alone.read(NAME))


def test_rows_appended_to_different_days_do_not_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    one.ensure_table(PAYMENTS)
    before_the_commit(monkeypatch, lambda: adding("two", 9, 2)(two))
    adding("one")(one)
    assert rows_of(one.read(NAME)) == [payment("one", at(1, 9)), payment("two", at(2, 9))]


def test_two_queries_that_increment_a_day_are_each_computed_on_the_other_result(tmp_path: Path) -> None:
    one, two = (EmbeddedWarehouse(tmp_path, attempts=20) for _ in range(2))
    one.replace(GENERATIONS, generation(0, 1, 1, rows=200), days(1))
    # the join takes a while, so that the other writer commits in between
    count_up = HiveQL(
        "SELECT g.generation + 1 AS generation, g.n, g.ds FROM fintech.generations g JOIN (SELECT max(a.n * b.n * c.n) AS most "
        f"FROM fintech.generations a JOIN fintech.generations b ON a.ds = b.ds JOIN fintech.generations c ON c.ds = b.ds "
        f"AND c.n < 100) x ON x.most > 0 WHERE g.ds = '{ds(1)}'"
    )

    def twice(warehouse: EmbeddedWarehouse) -> list[Receipt]:
        return [warehouse.replace(GENERATIONS, count_up, days(1)) for _ in range(2)]

    outcomes = at_once(lambda: twice(one), lambda: twice(two))
    assert [len(receipts) for receipts in outcomes] == [2, 2]
    assert generations_by_day(one.read("fintech.generations")) == {ds(1): [(4, 200)]}


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
    """Each writer creates the table, if it is first, and writes its own day several times."""

    def five_generations(day: int) -> str:
        warehouse = EmbeddedWarehouse(tmp_path)
        for number in range(1, 6):
            warehouse.replace(GENERATIONS, generation(number, day, day, rows=day), days(day))
        return "done"

    outcomes = at_once(*[lambda day=day: five_generations(day) for day in (1, 2, 3)])  # type: ignore[misc]
    assert outcomes == ["done"] * 3
    found = EmbeddedWarehouse(tmp_path).read("fintech.generations")
    assert generations_by_day(found) == {ds(day): [(5, day)] for day in (1, 2, 3)}


def test_known_keys_are_searched_only_if_another_writer_was_there(tmp_path: Path) -> None:
    one, two = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    one.upsert(PAYMENTS, payments(payment("a", at(1))))
    assert one.upsert(PAYMENTS, payments(payment("b", at(1))), times=()).alone
    two.upsert(PAYMENTS, payments(payment("c", at(1), "1.00")))
    receipt = one.upsert(PAYMENTS, payments(payment("c", at(1), "2.00")), times=())
    assert not receipt.alone
    expected = [payment("a", at(1)), payment("b", at(1)), payment("c", at(1), "2.00")]
    assert rows_of(two.read(PAYMENTS.full_name)) == expected
    assert one.upsert(PAYMENTS, payments(payment("d", at(1))), times=()).alone, "from then on it is alone again"


def test_a_table_is_as_noted_until_another_writes_it(tmp_path: Path) -> None:
    one, other = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    assert not one.is_as_noted(NAME), "there is no such table"
    other.upsert(PAYMENTS, payments(payment("a", at(1))))
    assert not one.is_as_noted(NAME)
    one.note(NAME)
    assert one.is_as_noted(NAME)
    assert one.upsert(PAYMENTS, payments(payment("b", at(1)))).alone
    assert one.is_as_noted(NAME), "its own writes do not count"
    other.upsert(PAYMENTS, payments(payment("c", at(1))))
    assert not one.is_as_noted(NAME)
    one.note(NAME)
    other.upsert(PAYMENTS, payments(payment("d", at(1))))
    assert not one.upsert(PAYMENTS, payments(payment("e", at(1)))).alone


def test_what_is_said_to_have_no_row_is_not_searched(tmp_path: Path) -> None:
    lake = EmbeddedWarehouse(tmp_path)
    lake.upsert(PAYMENTS, payments(payment("a", at(1))))
    lake.upsert(PAYMENTS, payments(payment("a", at(1))), times=())
    assert len(rows_of(lake.read(PAYMENTS.full_name))) == 2, "the caller said that there is no such row"


@pytest.mark.parametrize("others", [0, 30], ids=["few", "many"])
@pytest.mark.parametrize("known", [False, True])
def test_rows_are_found_at_their_times(tmp_path: Path, others: int, known: bool) -> None:
    """Files without the times are not read; a row that moves within the day is replaced all the same."""
    lake = EmbeddedWarehouse(tmp_path)
    old = [payment(f"old{number}", at(1, 6, number)) for number in range(others + 1)]
    for row in (*old, payment("other", at(1, 7))):
        lake.upsert(PAYMENTS, payments(row), times=())
    new = [(name, when.replace(hour=9), amount, day) for name, when, amount, day in old]
    times = [when.replace(tzinfo=dt.UTC) for _, when, _, _ in old] if known else None
    lake.upsert(PAYMENTS, payments(*new, payment("new", at(1, 8))), times=times)
    assert rows_of(lake.read(NAME)) == sorted([*new, payment("new", at(1, 8)), payment("other", at(1, 7))], key=repr)
    merged = deltalake.DeltaTable(str(lake.root / "fintech.db" / "payments")).history(1)[0]["operationMetrics"]
    assert merged["num_target_files_removed"] == others + 1, "the file of the other row was left alone"
    assert merged["num_target_files_skipped_during_scan"] >= 1


def test_another_writer_that_moves_a_row_during_the_write_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    one.upsert(PAYMENTS, payments(payment("a", at(1, 6))))
    merge = module.merge

    def late(*given: Any, **more: Any) -> None:
        monkeypatch.setattr(module, "merge", merge)
        two.upsert(PAYMENTS, payments(payment("a", at(1, 8))))
        merge(*given, **more)

    monkeypatch.setattr(module, "merge", late)
    with pytest.raises(PartitionConflict):
        one.upsert(PAYMENTS, payments(payment("a", at(1, 9))), times=[at(1, 6)])
    assert rows_of(two.read(NAME)) == [payment("a", at(1, 8))]


def test_a_replacement_tells_of_another_writer(tmp_path: Path) -> None:
    one, two = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    assert one.replace(PAYMENTS, payments(payment("a", at(1))), days(1)).alone
    two.upsert(PAYMENTS, payments(payment("b", at(1))))
    assert not one.replace(PAYMENTS, payments(payment("a", at(1))), days(1)).alone
