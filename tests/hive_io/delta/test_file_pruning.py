"""File pruning: a query gets the files that can hold its rows, by their days and by the times in the log, and no others."""

from __future__ import annotations

from pathlib import Path

import deltalake
import pytest

from hive_io import EmbeddedWarehouse, HiveQL, Span
from hive_io.delta.file_pruning import Bound, bounds, files
from tests.hive_io_fixtures import PAYMENTS, at, day, days, ds, payment, payments, rows_of

NAME = PAYMENTS.full_name


@pytest.fixture
def lake(tmp_path: Path) -> EmbeddedWarehouse:
    """One file on each of days 1 and 3, and three files on day 2, for the hours 9, 10 and 11."""
    lake = EmbeddedWarehouse(tmp_path / "lake")
    for number in (1, 3):
        lake.replace(PAYMENTS, payments(payment(f"{number}", at(number, 8))), days(number))
    for hour in (9, 10, 11):
        rows = payments(payment(f"2 at {hour}", at(2, hour)), payment(f"2 after {hour}", at(2, hour, 59, 59, 999_999)))
        lake.replace(PAYMENTS, rows, Span(at(2, hour), at(2, hour + 1)))
    return lake


def opened(lake: EmbeddedWarehouse, query: str) -> int:
    """Number of files that the query gets."""
    tree = HiveQL(query).bound()
    delta = deltalake.DeltaTable(str(lake.root / "fintech.db" / "payments"))
    chosen = files(delta, bounds(tree)[NAME])
    assert set(chosen) <= set(delta.file_uris())
    return len(chosen)


ALL = 5


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("TRUE", ALL),
        (f"p.ds = '{ds(1)}'", 1),
        (f"ds >= '{ds(2)}' AND (ds <= '{ds(2)}')", 3),
        (f"'{ds(2)}' < ds", 4),  # strict bounds are inclusive here
        (f"ds BETWEEN '{ds(1)}' AND '{ds(2)}'", 4),
        (f"NOT ds = '{ds(1)}'", ALL),
        (f"ds = '{ds(1)}' OR ds = '{ds(2)}'", ALL),
        (f"ds IN ('{ds(1)}')", ALL),
        (f"ds = '{ds(9)}'", 0),
        (f"id = '2 at 9' AND ds = '{ds(2)}'", 3),
        (f"ds = '{ds(2)}' AND p.at >= CAST('2026-01-02 10:30:00' AS TIMESTAMP)", 2),
        ("p.at >= CAST('2026-01-02 10:30:00' AS TIMESTAMP) AND p.at < CAST('2026-01-02 10:31:00' AS TIMESTAMP)", 1),
        # the log has 09:59:59.999 for the file whose last row is 999 microseconds later
        ("p.at >= CAST('2026-01-02 09:59:59.999500' AS TIMESTAMP) AND p.at < CAST('2026-01-02 10:00:00' AS TIMESTAMP)", 2),
        ("p.at < CAST('2026-01-01 00:00:00' AS TIMESTAMP)", 0),
        ("p.amount >= 5", ALL),
    ],
)  # fmt: skip
def test_bounds_of_a_query_select_its_files(lake: EmbeddedWarehouse, where: str, number: int) -> None:
    query = f"SELECT id, at FROM {NAME} p WHERE {where}"
    assert opened(lake, query) == number
    everything = lake.read(NAME)  # without bounds
    found = rows_of(lake.query(HiveQL(query)))
    # the same rows as without bounds, which a join has not
    beside = f"SELECT p.id, p.at FROM {NAME} p JOIN (SELECT 1 AS one) o ON o.one = 1 WHERE {where}"
    assert bounds(HiveQL(beside).bound())[NAME] == [[]]
    assert rows_of(lake.query(HiveQL(beside))) == found
    assert everything.num_rows == 8


def test_a_table_that_is_read_twice_gets_the_files_of_both_places(lake: EmbeddedWarehouse) -> None:
    one, other = f"SELECT id FROM {NAME} WHERE ds = '{ds(1)}'", f"SELECT id FROM {NAME} WHERE ds = '{ds(3)}'"
    assert opened(lake, f"{one} UNION ALL {other}") == 2
    assert rows_of(lake.query(HiveQL(f"{one} UNION ALL {other}"))) == [("1",), ("3",)]
    assert opened(lake, f"{one} UNION ALL SELECT id FROM {NAME}") == ALL
    inside = f"SELECT a.id FROM ({one}) a JOIN {NAME} b ON b.id = a.id WHERE b.ds = '{ds(1)}'"
    assert opened(lake, inside) == ALL


def test_a_bound_of_an_outer_query_is_not_a_bound_of_the_table(lake: EmbeddedWarehouse) -> None:
    """A WHERE on computed rows does not restrict the rows that they are computed from."""
    query = f"SELECT w.n FROM (SELECT ds, COUNT(*) OVER (PARTITION BY amount) AS n FROM {NAME}) w WHERE w.ds = '{ds(1)}'"
    assert bounds(HiveQL(query).bound())[NAME] == [[]]
    assert rows_of(lake.query(HiveQL(query))) == [(8,)]
    exists = f"SELECT b.id FROM {NAME} b WHERE a.ds = '{ds(1)}' AND b.ds = '{ds(3)}'"
    correlated = f"SELECT a.id FROM {NAME} a WHERE a.ds = '{ds(1)}' AND EXISTS ({exists})"
    assert bounds(HiveQL(correlated).bound())[NAME][1] == [Bound("ds", True, ds(3)), Bound("ds", False, ds(3))]
    assert rows_of(lake.query(HiveQL(correlated))) == [("1",)]


def test_a_row_without_a_time_is_found_by_its_day(lake: EmbeddedWarehouse) -> None:
    nothing = payments(("nothing", None, None, ds(2)))
    lake.upsert(PAYMENTS, nothing)
    assert ("nothing",) in rows_of(lake.query(HiveQL(f"SELECT id FROM {NAME} WHERE ds = '{ds(2)}'")))
    assert lake.read(NAME, span=days(2)).num_rows == 7
    late = f"SELECT id FROM {NAME} WHERE ds = '{day(2)}' AND at IS NULL"
    assert rows_of(lake.query(HiveQL(late))) == [("nothing",)]
