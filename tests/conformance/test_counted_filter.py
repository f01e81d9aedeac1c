"""A query that keeps some rows and counts all: the rows that a WHERE gives, and how many it looked at on each day."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest
from sqlglot import exp

from hive_io import CountedFilter, HiveQL, QueryError, Table, Warehouse
from hive_io.dialect import parse
from tests.hive_io_fixtures import PAYMENTS, at, days, ds, payment, payments, rows_of

KEPT = replace(PAYMENTS, name="kept", description="Some of what was paid.")
LOOKED_AT = """
WITH named AS (SELECT p.id, p.at, p.amount FROM fintech.payments p WHERE p.id <> 'nobody')
SELECT n.id, n.at, n.amount, n.amount > 10 AS is_large FROM named n
"""


def sift(keep: str | None = "is_large", query: str = LOOKED_AT) -> CountedFilter:
    rows = parse(query)
    assert isinstance(rows, exp.Select)
    projection = [
        exp.alias_(exp.func("CONCAT", exp.Literal.string("kept "), exp.column("id")), "id"),
        exp.column("at"),
        exp.column("amount"),
        exp.alias_(exp.TimeToStr(this=exp.column("at"), format=exp.Literal.string("%Y-%m-%d")), "ds"),
    ]
    return CountedFilter(rows, keep, "at", projection)


@pytest.fixture
def paid(warehouse: Warehouse) -> Table:
    """Two large payments on day 1 and one on day 3, small ones on days 1 and 2, and one of an amount that nobody knows."""
    rows = [
        payment("a", at(1), "10.01"),
        payment("b", at(1, 23, 59, 59, 999_999), "99.00"),
        payment("small", at(1, 12), "10.00"),
        payment("unknown", at(2, 1), None),
        payment("small", at(2, 2), "0.10"),
        payment("nobody", at(2, 3), "50.00"),
        payment("c", at(3), "11.00"),
    ]
    warehouse.replace(PAYMENTS, payments(*rows), days(1, 3))
    return PAYMENTS


def test_what_is_kept_is_written_and_all_is_counted(warehouse: Warehouse, paid: Table) -> None:
    query = sift()
    receipt = warehouse.replace(KEPT, query, days(1, 3))
    expected = [
        ("kept a", at(1).replace(tzinfo=None), Decimal("10.01"), ds(1)),
        ("kept b", at(1, 23, 59, 59, 999_999).replace(tzinfo=None), Decimal("99.00"), ds(1)),
        ("kept c", at(3).replace(tzinfo=None), Decimal("11.00"), ds(3)),
    ]
    assert rows_of(warehouse.read(KEPT.full_name)) == expected
    assert query.counted == {ds(1): 3, ds(2): 2, ds(3): 1}
    assert receipt.partitions == {ds(1): 2, ds(2): 0, ds(3): 1}
    # the same as any query, with the same types
    plain = warehouse.query(HiveQL.of(query.bound()))
    sifted = warehouse.query(query)
    assert rows_of(plain) == rows_of(sifted) == expected
    assert plain.schema.types == sifted.schema.types


def test_without_a_column_everything_is_kept(warehouse: Warehouse, paid: Table) -> None:
    query = sift(None)
    assert len(rows_of(warehouse.query(query))) == 6
    assert query.counted == {ds(1): 3, ds(2): 2, ds(3): 1}


def test_what_was_counted_is_of_the_last_time(warehouse: Warehouse, paid: Table) -> None:
    query = sift()
    warehouse.query(query)
    warehouse.replace(PAYMENTS, payments(payment("only", at(2), "3.00")), days(1, 3))
    assert warehouse.query(query).num_rows == 0
    assert query.counted == {ds(2): 1}
    warehouse.replace(PAYMENTS, payments(), days(1, 3))
    found = warehouse.query(query)
    assert found.num_rows == 0 and found.schema.names == ["id", "at", "amount", "ds"]
    assert found.schema.field("amount").type == pa.decimal128(18, 2)
    assert query.counted == {}


def test_a_query_that_cannot_run_says_so(warehouse: Warehouse, paid: Table) -> None:
    with pytest.raises(QueryError):
        warehouse.query(sift(query=LOOKED_AT.replace("n.amount > 10", "n.nothing > 10")))
