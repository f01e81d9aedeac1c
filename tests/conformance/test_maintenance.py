"""Maintenance: compaction and vacuum change no row, and the footprint counts what a table takes on disk."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from hive_io import Capability, Column, Span, TableNotFound, Warehouse
from tests.hive_io_fixtures import PAYMENTS, at, at_once, day, days, ds, payment, payments, rows_of, table_of

NAME = PAYMENTS.full_name
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def pieces(warehouse: Warehouse) -> Warehouse:
    """Days 1 and 2, written in pieces, and day 3, written at once."""
    for number in (1, 2):
        for piece in range(3):
            warehouse.upsert(PAYMENTS, payments(payment(f"p{piece}", at(number, piece))))
    warehouse.replace(PAYMENTS, payments(payment("moved", at(1, 1, 30), "2.00")), Span(at(1, 1), at(1, 2)))
    warehouse.replace(PAYMENTS, payments(payment("whole", at(3))), days(3))
    return warehouse


def test_compaction_and_vacuum_change_no_row(pieces: Warehouse) -> None:
    rows, counts = rows_of(pieces.read(NAME)), pieces.partitions(NAME)
    for before in (day(1), day(2), day(9), day(9)):
        pieces.compact(NAME, before)
        assert rows_of(pieces.read(NAME)) == rows and pieces.partitions(NAME) == counts
        assert rows_of(pieces.read(NAME, span=days(1))) == [row for row in rows if row[-1] == ds(1)]
        pieces.vacuum(NAME, HOUR)
        assert rows_of(pieces.read(NAME)) == rows
    assert len(rows) == 7


def test_compaction_returns_the_days_that_it_rewrote(pieces: Warehouse) -> None:
    rewritten = [ds(1), ds(2)] if Capability.COMPACTION in pieces.capabilities else []
    assert pieces.compact(NAME, day(1)) == []
    assert pieces.compact(NAME, day(9)) == rewritten
    assert pieces.compact(NAME, day(9)) == [], "compacted days are not compacted again"


def test_compacted_days_can_be_written_again(pieces: Warehouse) -> None:
    pieces.compact(NAME, day(9))
    pieces.upsert(PAYMENTS, payments(payment("p2", at(1, 5), "9.00"), payment("new", at(1, 6))))
    pieces.replace(PAYMENTS, payments(payment("noon", at(2, 12))), Span(at(2, 1), at(3)))
    expected = [payment("moved", at(1, 1, 30), "2.00"), payment("p0", at(1)), payment("p2", at(1, 5), "9.00")]
    expected += [payment("new", at(1, 6)), payment("p0", at(2)), payment("noon", at(2, 12)), payment("whole", at(3))]
    assert rows_of(pieces.read(NAME)) == sorted(expected, key=repr)


def test_compaction_keeps_gained_columns_null_in_earlier_rows(pieces: Warehouse) -> None:
    grown = replace(PAYMENTS, columns=(*PAYMENTS.columns, Column("country", "STRING")))
    row = (*payment("later", at(2, 9))[:3], "AT", ds(2))
    pieces.upsert(grown, table_of(grown, row))
    names = grown.arrow_schema.names  # in the lake, the gained column is the last
    rows = rows_of(pieces.read(NAME, names))
    pieces.compact(NAME, day(9))
    assert rows_of(pieces.read(NAME, names)) == rows and row in rows
    assert {found[-2] for found in rows} == {None, "AT"}


def test_the_footprint_counts_files_and_bytes(pieces: Warehouse) -> None:
    before = pieces.footprint(NAME)
    assert before.files >= 3 and before.bytes > before.files
    pieces.upsert(PAYMENTS, payments(payment("more", at(5))))
    after = pieces.footprint(NAME)
    assert after.files > before.files and after.bytes > before.bytes
    empty = replace(PAYMENTS, name="empty")
    pieces.ensure_table(empty)
    assert pieces.footprint(empty.full_name).files == 0
    assert pieces.compact(empty.full_name, day(9)) == []


def test_maintenance_of_a_missing_table_names_it_and_the_tables_that_exist(warehouse: Warehouse) -> None:
    warehouse.ensure_table(PAYMENTS)
    for step in (
        lambda: warehouse.compact("fintech.refunds", day(1)),
        lambda: warehouse.vacuum("fintech.refunds", HOUR),
        lambda: warehouse.footprint("fintech.refunds"),
    ):
        with pytest.raises(TableNotFound, match=r"fintech\.refunds.*payments"):
            step()


def test_compaction_does_not_disturb_a_writer_of_another_day(pieces: Warehouse) -> None:
    kept = [row for row in rows_of(pieces.read(NAME)) if row[-1] != ds(4)]

    def write() -> str:
        for piece in range(5):
            pieces.upsert(PAYMENTS, payments(payment(f"p{piece}", at(4, piece))))
        return "written"

    assert at_once(write, lambda: sorted(pieces.compact(NAME, day(4))) is not None) == ["written", True]
    assert rows_of(pieces.read(NAME)) == sorted([*kept, *[payment(f"p{n}", at(4, n)) for n in range(5)]], key=repr)
