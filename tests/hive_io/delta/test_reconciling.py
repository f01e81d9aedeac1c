"""A writer beside others: it writes what differs, and leaves alone what others wrote meanwhile."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hive_io import Column, EmbeddedWarehouse, HiveQL, PartitionConflict, RowsOutsideSpan, Span, Table
from hive_io.delta import reconciling
from hive_io.delta.log import commits
from hive_io.delta.reconciling import ReconcilingWarehouse
from hive_io.locations import open_warehouse
from tests.hive_io.delta.samples import NAME
from tests.hive_io_fixtures import PAYMENTS, Payment, at, at_once, days, payment, payments, rows_of

STORED = [payment("same", at(1, 6)), payment("wrong", at(1, 7), "1.00"), payment("lost", at(1, 8))]
RIGHT = [STORED[0], payment("wrong", at(1, 7), "2.00"), payment("found", at(1, 9))]


@pytest.fixture
def live(tmp_path: Path) -> EmbeddedWarehouse:
    """A warehouse with the rows of a day, and one of another day."""
    live = EmbeddedWarehouse(tmp_path)
    live.replace(PAYMENTS, payments(*STORED, payment("other", at(2))), days(1, 2))
    return live


@pytest.fixture
def beside(live: EmbeddedWarehouse) -> ReconcilingWarehouse:
    return beside_of(live)


def beside_of(live: EmbeddedWarehouse) -> ReconcilingWarehouse:
    time.sleep(0.002)  # the log has times in milliseconds
    return ReconcilingWarehouse(live.root)


def of_the_day(warehouse: EmbeddedWarehouse) -> list[Payment]:
    return rows_of(warehouse.read(NAME, span=days(1)))


def versions(warehouse: EmbeddedWarehouse) -> int:
    return len(commits(warehouse.root / "fintech.db" / "payments"))


@pytest.mark.parametrize("as_query", [False, True])
def test_the_day_has_the_new_rows(live: EmbeddedWarehouse, beside: ReconcilingWarehouse, as_query: bool) -> None:
    staged = replace(PAYMENTS, name="staged")
    live.replace(staged, payments(*RIGHT), days(1))
    data = HiveQL("SELECT id, at, amount, ds FROM fintech.staged") if as_query else payments(*RIGHT)
    receipt = beside.replace(PAYMENTS, data, days(1))
    assert of_the_day(live) == sorted(RIGHT, key=repr)
    assert live.partitions(NAME) == {"2026-01-01": 3, "2026-01-02": 1}
    assert (receipt.before, receipt.partitions) == ({"2026-01-01": 3}, {"2026-01-01": 3})
    assert (receipt.query is not None) is as_query


def test_the_same_rows_are_not_written(live: EmbeddedWarehouse, beside: ReconcilingWarehouse) -> None:
    before = versions(live)
    receipt = beside.replace(PAYMENTS, payments(*reversed(STORED)), days(1))
    assert receipt.rows == 3 and versions(live) == before


def test_a_difference_is_one_commit(live: EmbeddedWarehouse, beside: ReconcilingWarehouse) -> None:
    before = versions(live)
    beside.replace(PAYMENTS, payments(*RIGHT), days(1))
    assert versions(live) == before + 1


MEANWHILE: dict[str, tuple[Callable[[EmbeddedWarehouse], object], list[Payment]]] = {
    # what another writer does, and the rows of the day after RIGHT was written beside it
    "inserts": (
        lambda live: live.upsert(PAYMENTS, payments(payment("new", at(1, 10)))),
        [*RIGHT, payment("new", at(1, 10))],
    ),
    "changes a row that differs": (
        lambda live: live.upsert(PAYMENTS, payments(payment("wrong", at(1, 7), "3.00"))),
        [RIGHT[0], payment("wrong", at(1, 7), "3.00"), RIGHT[2]],
    ),
    "changes a row that is gone": (
        lambda live: live.upsert(PAYMENTS, payments(payment("lost", at(1, 8), "3.00"))),
        [*RIGHT, payment("lost", at(1, 8), "3.00")],
    ),
    "changes a row that is the same": (
        lambda live: live.upsert(PAYMENTS, payments(payment("same", at(1, 6), "3.00"))),
        [payment("same", at(1, 6), "3.00"), *RIGHT[1:]],
    ),
    "inserts a row that was found": (
        lambda live: live.upsert(PAYMENTS, payments(payment("found", at(1, 9), "3.00"))),
        [*RIGHT[:2], payment("found", at(1, 9), "3.00")],
    ),
    "removes a row that differs": (
        lambda live: live.replace(PAYMENTS, payments(), Span(at(1, 7), at(1, 8))),
        [RIGHT[0], RIGHT[2]],
    ),
    "removes a row that is gone": (
        lambda live: live.replace(PAYMENTS, payments(), Span(at(1, 8), at(1, 9))),
        RIGHT,
    ),
}


@pytest.mark.parametrize("what", MEANWHILE)
@pytest.mark.parametrize("during_the_write", [False, True])
def test_what_others_wrote_meanwhile_stays(
    live: EmbeddedWarehouse,
    beside: ReconcilingWarehouse,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    during_the_write: bool,
) -> None:
    write, expected = MEANWHILE[what]
    if during_the_write:
        merge = reconciling.merge

        def late(*given: Any, **more: Any) -> None:
            monkeypatch.setattr(reconciling, "merge", merge)
            write(live)
            merge(*given, **more)

        monkeypatch.setattr(reconciling, "merge", late)
    else:
        write(live)
    beside.replace(PAYMENTS, payments(*RIGHT), days(1))
    assert of_the_day(live) == sorted(expected, key=repr)


def test_a_day_without_rows_gets_them_and_loses_them(live: EmbeddedWarehouse) -> None:
    beside_of(live).replace(PAYMENTS, payments(payment("a", at(3))), days(3))
    assert live.partitions(NAME)["2026-01-03"] == 1
    beside_of(live).replace(PAYMENTS, payments(), days(3))
    assert "2026-01-03" not in live.partitions(NAME)


def test_a_table_that_others_create_meanwhile_keeps_their_rows(tmp_path: Path) -> None:
    beside = ReconcilingWarehouse(tmp_path)
    time.sleep(0.002)
    live = EmbeddedWarehouse(tmp_path)
    live.upsert(PAYMENTS, payments(payment("new", at(1, 10)), payment("found", at(1, 9), "3.00")))
    beside.replace(PAYMENTS, payments(*RIGHT), days(1))
    assert of_the_day(live) == sorted([*RIGHT[:2], payment("found", at(1, 9), "3.00"), payment("new", at(1, 10))], key=repr)


def test_a_column_that_the_table_has_gained_is_compared(live: EmbeddedWarehouse, beside: ReconcilingWarehouse) -> None:
    wider = replace(PAYMENTS, columns=(*PAYMENTS.columns, Column("note", "STRING")))
    notes = pa.array(["seen", None, None])
    beside.replace(wider, payments(*STORED).append_column("note", notes), days(1))
    found = live.read(NAME, span=days(1)).to_pylist()
    assert {row["id"]: row["note"] for row in found} == {"same": "seen", "wrong": None, "lost": None}


UNKEYED = replace(PAYMENTS, key=())


@pytest.mark.parametrize(
    ("table", "rows", "span"),
    [
        (UNKEYED, RIGHT, days(1)),
        (PAYMENTS, [payment("twice", at(1, 6)), payment("twice", at(1, 7))], days(1)),
        (PAYMENTS, [payment("part", at(1, 6))], Span(at(1, 6), at(1, 9))),
    ],
    ids=["no key", "repeated keys", "part of a day"],
)
def test_what_keys_do_not_identify_is_replaced(
    live: EmbeddedWarehouse, beside: ReconcilingWarehouse, table: Table, rows: list[Payment], span: Span
) -> None:
    live.upsert(PAYMENTS, payments(payment("new", at(1, 8, 30))))
    beside.replace(table, payments(*rows), span)
    assert of_the_day(live) == sorted(rows, key=repr)


def test_rows_of_another_day_are_refused(live: EmbeddedWarehouse, beside: ReconcilingWarehouse) -> None:
    with pytest.raises(RowsOutsideSpan):
        beside.replace(PAYMENTS, payments(payment("a", at(2))), days(1))
    assert of_the_day(live) == sorted(STORED, key=repr)


def test_beside_a_writer_that_never_pauses_nothing_is_lost(live: EmbeddedWarehouse) -> None:
    """One adds a row at a time; the other writes the rows that were there, one of them changed, again and again."""
    ids = [f"n{number}" for number in range(40)]

    def adding() -> None:
        for number, name in enumerate(ids):
            # the writer of a row tries again until it is written
            while True:
                try:
                    live.upsert(PAYMENTS, payments(payment(name, at(1, 10, number))), times=())
                    break
                except PartitionConflict:
                    continue

    def comparing() -> None:
        for amount in range(2, 8):
            beside = beside_of(live)
            rows = [row for row in of_the_day(beside) if row[0] != "wrong"]
            beside.replace(PAYMENTS, payments(*rows, payment("wrong", at(1, 7), f"{amount}.00")), days(1))

    assert at_once(adding, comparing) == [None, None]
    expected = [STORED[0], STORED[2], payment("wrong", at(1, 7), "7.00")]
    assert of_the_day(live) == sorted([*expected, *(payment(name, at(1, 10, n)) for n, name in enumerate(ids))], key=repr)


def test_a_location_is_opened_for_a_writer_beside_others(live: EmbeddedWarehouse) -> None:
    opened = open_warehouse(str(live.root), since=dt.datetime.now(dt.UTC))
    assert isinstance(opened, ReconcilingWarehouse)
