"""`upsert`: rows with the same day and key are replaced, new rows are inserted, all others stay."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest

from hive_io import Column, HiveIOError, HiveQL, RowsOutsideSpan, SchemaMismatch, Table, Warehouse
from tests.hive_io_fixtures import PAYMENTS, Payment, at, days, ds, payment, payments, rows_of, table_of

NAME = PAYMENTS.full_name
OLD = [payment("a", at(1, 6)), payment("b", at(1, 7)), payment("a", at(2, 6))]


@pytest.fixture
def filled(warehouse: Warehouse) -> Warehouse:
    warehouse.replace(PAYMENTS, payments(*OLD), days(1, 2))
    return warehouse


def test_a_row_with_the_same_day_and_key_is_replaced_others_stay(filled: Warehouse) -> None:
    receipt = filled.upsert(PAYMENTS, payments(payment("a", at(1, 9), "7.00"), payment("c", at(1, 5), None)))
    expected = [payment("a", at(1, 9), "7.00"), OLD[1], payment("c", at(1, 5), None), OLD[2]]
    assert rows_of(filled.read(NAME)) == sorted(expected, key=repr)
    assert (receipt.table, receipt.partitions, receipt.before) == (NAME, {ds(1): 3}, {ds(1): 2})


def test_an_upsert_is_idempotent(filled: Warehouse) -> None:
    new = payments(payment("a", at(1, 9), "7.00"), payment("c", at(3)))
    first = filled.upsert(PAYMENTS, new)
    rows = rows_of(filled.read(NAME))
    second = filled.upsert(PAYMENTS, new)
    assert first.before == {ds(1): 2, ds(3): 0} and second.before == second.partitions == first.partitions
    assert rows_of(filled.read(NAME)) == rows
    assert filled.partitions(NAME) == {ds(1): 2, ds(2): 1, ds(3): 1}


def test_an_upsert_creates_the_table(warehouse: Warehouse) -> None:
    warehouse.upsert(PAYMENTS, payments(OLD[0]))
    assert rows_of(warehouse.read(NAME)) == [OLD[0]]


def test_an_upsert_without_rows_creates_the_table_and_changes_no_rows(warehouse: Warehouse) -> None:
    assert warehouse.upsert(PAYMENTS, payments()).partitions == {}
    assert warehouse.read(NAME).schema == PAYMENTS.arrow_schema
    warehouse.upsert(PAYMENTS, payments(*OLD))
    assert warehouse.upsert(PAYMENTS, payments()).partitions == {}
    assert rows_of(warehouse.read(NAME)) == sorted(OLD, key=repr)


def test_a_key_may_have_two_columns_with_long_and_unusual_texts(warehouse: Warehouse) -> None:
    table = Table(
        "fintech", "pairs", (Column("one", "STRING"), Column("two", "STRING"), Column("n", "BIGINT")), key=("one", "two")
    )
    same = "x" * 200  # file statistics keep only the beginning of a text
    keys = [(same + "1", "😀"), (same + "1", "it's"), (same + "2", "😀"), ("", "\\")]
    for n in (1, 2):
        warehouse.upsert(table, table_of(table, *[(*key, n, ds(1)) for key in keys]))
    warehouse.upsert(table, table_of(table, (same + "1", "it's", 3, ds(1))))
    expected = [(*key, 3 if key[1] == "it's" else 2, ds(1)) for key in keys]
    assert rows_of(warehouse.read("fintech.pairs")) == sorted(expected, key=repr)


def doubled(where: str, times: str = "1") -> HiveQL:
    """A query of payments of twice the amount, each several times."""
    copies = " UNION ALL ".join(f"SELECT {n} AS n" for n in times.split())
    amount = "CAST(2 * p.amount AS DECIMAL(18,2)) AS amount"
    return HiveQL(f"SELECT p.id, p.at, {amount}, p.ds FROM {NAME} p CROSS JOIN ({copies}) c WHERE {where}")


def test_the_result_of_a_query_is_upserted_in_place(filled: Warehouse) -> None:
    receipt = filled.upsert(PAYMENTS, doubled("p.id = 'a'"))
    assert (receipt.partitions, receipt.before) == ({ds(1): 2, ds(2): 1}, {ds(1): 2, ds(2): 1})
    expected = [payment("a", at(1, 6), "2.00"), OLD[1], payment("a", at(2, 6), "2.00")]
    assert rows_of(filled.read(NAME)) == sorted(expected, key=repr)
    assert filled.upsert(PAYMENTS, doubled("p.id = 'z'")).partitions == {}


def test_a_query_whose_rows_keys_do_not_identify_is_rejected(filled: Warehouse) -> None:
    with pytest.raises(HiveIOError, match=r"1 rows.*repeat"):
        filled.upsert(PAYMENTS, doubled("p.id = 'b'", times="1 2"))
    with pytest.raises(HiveIOError, match="lack a value of the key"):
        filled.upsert(PAYMENTS, HiveQL(f"SELECT CAST(NULL AS STRING) AS id, at, amount, ds FROM {NAME} WHERE id = 'b'"))
    assert rows_of(filled.read(NAME)) == sorted(OLD, key=repr)


SECRET = dt.datetime(2026, 1, 1)
REFUSED: dict[str, tuple[list[Payment], type[HiveIOError]]] = {
    "a row given twice": ([("SECRET", SECRET, Decimal(1), ds(1)), ("SECRET", SECRET, Decimal(2), ds(1))], HiveIOError),
    "a new row given twice": ([("SECRET", SECRET, None, ds(9)), ("SECRET", SECRET, None, ds(9))], HiveIOError),
    "a key that is NULL": ([(None, SECRET, Decimal(1), ds(1))], HiveIOError),
    "a day that is NULL": ([("SECRET", SECRET, Decimal(1), None)], RowsOutsideSpan),
    "a text that is not a date": ([("SECRET", SECRET, Decimal(1), "2026-02-30")], RowsOutsideSpan),
}


@pytest.mark.parametrize("why", REFUSED)
def test_rows_that_day_and_key_do_not_identify_are_rejected_and_the_old_rows_stay(filled: Warehouse, why: str) -> None:
    rows, error = REFUSED[why]
    with pytest.raises(error, match=NAME) as refused:
        filled.upsert(PAYMENTS, payments(payment("good", at(1)), *rows))
    assert "SECRET" not in str(refused.value)
    assert rows_of(filled.read(NAME)) == sorted(OLD, key=repr)
    assert filled.partitions(NAME) == {ds(1): 2, ds(2): 1}


def test_other_columns_are_rejected_as_by_replace(filled: Warehouse) -> None:
    rows = payments(payment("a", at(1)))
    with pytest.raises(SchemaMismatch, match="amount"):
        filled.upsert(PAYMENTS, rows.drop_columns(["amount"]))
    with pytest.raises(SchemaMismatch, match="DECIMAL"):
        filled.upsert(PAYMENTS, rows.set_column(2, "amount", pa.array([0.5])))
    assert rows_of(filled.read(NAME)) == sorted(OLD, key=repr)


def test_a_table_without_a_key_cannot_be_upserted(filled: Warehouse) -> None:
    with pytest.raises(SchemaMismatch, match=f"{NAME} has no key"):
        filled.upsert(replace(PAYMENTS, key=()), payments(payment("a", at(1))))
    assert rows_of(filled.read(NAME)) == sorted(OLD, key=repr)
