"""A query that keeps some rows and counts all: the rows of a plain WHERE, and the number of rows that it read on each day."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest
from sqlglot import exp

from hive_io import CountedFilter, HiveQL, QueryError, Table, Warehouse
from hive_io.dialect import literal, parse
from tests.hive_io_fixtures import PAYMENTS, at, days, ds, payment, payments, rows_of

KEPT = replace(PAYMENTS, name="kept", description="Large payments.")
LARGE = """
WITH named AS (SELECT p.id, p.at, p.amount FROM fintech.payments p WHERE p.id <> 'ignored')
SELECT n.id, n.at, n.amount, n.amount > 10 AS is_large FROM named n
"""


def large_payments(keep: str | None = "is_large", query: str = LARGE) -> CountedFilter:
    rows = parse(query)
    assert isinstance(rows, exp.Select)
    day = exp.TimeToStr(this=exp.column("at"), format=exp.Literal.string("%Y-%m-%d"))
    name = exp.func("CONCAT", literal("kept "), exp.column("id"))
    return CountedFilter(rows, keep, "at", [name.as_("id"), exp.column("at"), exp.column("amount"), day.as_("ds")])


@pytest.fixture
def paid(warehouse: Warehouse) -> Table:
    """Two large payments on day 1 and one on day 3, small ones on days 1 and 2, and one without an amount."""
    rows = [
        payment("a", at(1), "10.01"),
        payment("b", at(1, 23, 59, 59, 999_999), "99.00"),
        payment("small", at(1, 12), "10.00"),
        payment("unknown", at(2, 1), None),
        payment("small", at(2, 2), "0.10"),
        payment("ignored", at(2, 3), "50.00"),
        payment("c", at(3), "11.00"),
    ]
    warehouse.replace(PAYMENTS, payments(*rows), days(1, 3))
    return PAYMENTS


def test_kept_rows_are_written_and_all_rows_are_counted(warehouse: Warehouse, paid: Table) -> None:
    query = large_payments()
    receipt = warehouse.replace(KEPT, query, days(1, 3))
    expected = [
        ("kept a", at(1).replace(tzinfo=None), Decimal("10.01"), ds(1)),
        ("kept b", at(1, 23, 59, 59, 999_999).replace(tzinfo=None), Decimal("99.00"), ds(1)),
        ("kept c", at(3).replace(tzinfo=None), Decimal("11.00"), ds(3)),
    ]
    assert rows_of(warehouse.read(KEPT.full_name)) == expected
    assert query.counted == {ds(1): 3, ds(2): 2, ds(3): 1}
    assert receipt.partitions == {ds(1): 2, ds(2): 0, ds(3): 1}
    # the same rows as the plain query, with the same types
    plain = warehouse.query(HiveQL.of(query.bound()))
    filtered = warehouse.query(query)
    assert rows_of(plain) == rows_of(filtered) == expected
    assert plain.schema.types == filtered.schema.types


def test_without_a_keep_column_all_rows_are_kept(warehouse: Warehouse, paid: Table) -> None:
    query = large_payments(None)
    assert len(rows_of(warehouse.query(query))) == 6
    assert query.counted == {ds(1): 3, ds(2): 2, ds(3): 1}


def test_counts_are_those_of_the_last_computation(warehouse: Warehouse, paid: Table) -> None:
    query = large_payments()
    warehouse.query(query)
    warehouse.replace(PAYMENTS, payments(payment("only", at(2), "3.00")), days(1, 3))
    assert warehouse.query(query).num_rows == 0
    assert query.counted == {ds(2): 1}
    warehouse.replace(PAYMENTS, payments(), days(1, 3))
    found = warehouse.query(query)
    assert found.num_rows == 0 and found.schema.names == ["id", "at", "amount", "ds"]
    assert found.schema.field("amount").type == pa.decimal128(18, 2)
    assert query.counted == {}


def test_an_unknown_column_is_named(warehouse: Warehouse, paid: Table) -> None:
    with pytest.raises(QueryError, match="nosuch"):
        warehouse.query(large_payments(query=LARGE.replace("n.amount > 10", "n.nosuch > 10")))
