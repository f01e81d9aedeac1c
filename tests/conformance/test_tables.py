"""Tables: empty tables, added columns, listing, reading, joins, query plans."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from hive_io import Column, ColumnNotFound, HiveQL, QueryError, SchemaMismatch, Span, Table, TableNotFound, Warehouse
from tests.hive_io_fixtures import PAYMENTS, at, days, ds, payment, payments, rows_of, table_of

NAME = PAYMENTS.full_name
GROWN = replace(
    PAYMENTS, columns=(PAYMENTS.columns[0], Column("country", "STRING"), *PAYMENTS.columns[1:], Column("tags", "ARRAY<STRING>"))
)
ROWS = [payment("a", at(1, 6)), payment("b", at(2, 6)), payment("c", at(2, 7), "2.50"), payment("d", at(4))]


@pytest.fixture
def filled(warehouse: Warehouse) -> Warehouse:
    warehouse.replace(PAYMENTS, payments(*ROWS), days(1, 4))
    return warehouse


# --- empty tables and lists of tables ---------------------------------------------------------------------------------


def test_an_empty_table_exists_with_its_columns(warehouse: Warehouse) -> None:
    warehouse.ensure_table(PAYMENTS)
    assert warehouse.read(NAME).schema == PAYMENTS.arrow_schema
    assert warehouse.read(NAME).num_rows == 0
    assert warehouse.read(NAME, ["amount"], days(1)).schema.names == ["amount"]
    assert warehouse.partitions(NAME) == {}
    assert warehouse.query(HiveQL(f"SELECT count(*) AS n, max(amount) AS most FROM {NAME}")).to_pylist() == [
        {"n": 0, "most": None}
    ]


def test_an_empty_table_can_be_joined(filled: Warehouse) -> None:
    blacklist = Table("fintech", "blacklist", (Column("id", "STRING"), Column("reason", "STRING")))
    filled.ensure_table(blacklist)
    text = f"SELECT p.id, b.reason FROM {NAME} p LEFT JOIN fintech.blacklist b ON b.id = p.id AND b.ds = p.ds WHERE p.ds = :day"
    assert rows_of(filled.query(HiveQL(text, {"day": ds(2)}))) == [("b", None), ("c", None)]
    filled.replace(blacklist, table_of(blacklist, ("b", "stolen card", ds(2))), days(2))
    assert rows_of(filled.query(HiveQL(text, {"day": ds(2)}))) == [("b", "stolen card"), ("c", None)]


def test_ensuring_an_existing_table_keeps_its_rows(filled: Warehouse) -> None:
    filled.ensure_table(PAYMENTS)
    assert rows_of(filled.read(NAME)) == sorted(ROWS, key=repr)


def test_a_dropped_table_is_gone_with_its_rows(filled: Warehouse) -> None:
    for _ in range(2):
        filled.drop(NAME)
        assert filled.tables("fintech") == []
        with pytest.raises(TableNotFound):
            filled.read(NAME)
    filled.replace(PAYMENTS, payments(ROWS[0]), days(1))
    assert rows_of(filled.read(NAME)) == ROWS[:1]


def test_tables_are_listed_by_database(warehouse: Warehouse) -> None:
    assert warehouse.tables("fintech") == []
    for database, name in (("fintech", "payments"), ("fintech", "alerts"), ("other", "notes")):
        warehouse.ensure_table(replace(PAYMENTS, database=database, name=name))
    assert warehouse.tables("fintech") == ["alerts", "payments"]
    assert warehouse.tables("other") == ["notes"]
    assert warehouse.tables("unknown") == []


def test_two_databases_may_have_tables_of_the_same_name(warehouse: Warehouse) -> None:
    other = replace(PAYMENTS, database="archive")
    warehouse.replace(PAYMENTS, payments(payment("new", at(1))), days(1))
    warehouse.replace(other, payments(payment("old", at(1))), days(1))
    query = HiveQL(f"SELECT p.id AS now, a.id AS then FROM {NAME} p JOIN archive.payments a ON a.ds = p.ds")
    assert warehouse.query(query).to_pylist() == [{"now": "new", "then": "old"}]


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_table_is_read_by_span_by_columns_or_both(filled: Warehouse) -> None:
    assert rows_of(filled.read(NAME)) == sorted(ROWS, key=repr)
    assert rows_of(filled.read(NAME, span=days(2, 3))) == sorted(ROWS[1:3], key=repr)
    amounts = filled.read(NAME, columns=["amount", "id"])
    assert amounts.schema.names == ["amount", "id"]
    assert rows_of(amounts) == sorted([(row[2], row[0]) for row in ROWS], key=repr)
    assert rows_of(filled.read(NAME, ["ds", "id"], days(1, 2))) == [(ds(1), "a"), (ds(2), "b"), (ds(2), "c")]
    assert filled.read(NAME, ["id"], days(3)).num_rows == 0
    assert filled.read(NAME, ["id"], days(20, 25)).num_rows == 0


def test_a_span_reads_every_day_that_it_touches(filled: Warehouse) -> None:
    assert rows_of(filled.read(NAME, ["id"], Span(at(1, 23), at(2, 1)))) == [("a",), ("b",), ("c",)]
    assert rows_of(filled.read(NAME, ["id"], Span(at(1, 23), at(2)))) == [("a",)]


def test_the_error_for_an_unknown_column_or_table_names_those_that_exist(filled: Warehouse) -> None:
    with pytest.raises(ColumnNotFound, match=r"no column price.*id, at, amount, ds"):
        filled.read(NAME, ["id", "price"])
    for ask in (filled.read, filled.partitions, lambda name: filled.query(HiveQL(f"SELECT * FROM {name}"))):
        with pytest.raises(TableNotFound, match=r"fintech\.refunds.*payments"):
            ask("fintech.refunds")


@pytest.mark.parametrize(
    "name", ["payments", "", ".", "fintech.", "../fintech.payments", "fintech/payments", "fintech.../payments"]
)
def test_an_invalid_table_name_is_rejected(filled: Warehouse, name: str) -> None:
    with pytest.raises(TableNotFound):
        filled.read(name)


def test_partitions_counts_the_rows_of_each_day_that_has_any(filled: Warehouse) -> None:
    assert list(filled.partitions(NAME).items()) == [(ds(1), 1), (ds(2), 2), (ds(4), 1)]
    filled.replace(PAYMENTS, payments(payment("x", at(2)), payment("y", at(3))), days(2, 3))
    filled.replace(PAYMENTS, payments(), days(4))
    assert list(filled.partitions(NAME).items()) == [(ds(1), 1), (ds(2), 1), (ds(3), 1)]


# --- queries ----------------------------------------------------------------------------------------------------------


def test_a_query_reads_rows_just_written(filled: Warehouse) -> None:
    query = HiveQL(
        f"SELECT id, sum(amount) AS amount FROM {NAME} WHERE ds BETWEEN :first AND :last GROUP BY id",
        {"first": ds(2), "last": ds(4)},
    )
    assert rows_of(filled.query(query)) == [("b", Decimal("1.00")), ("c", Decimal("2.50")), ("d", Decimal("1.00"))]
    filled.replace(PAYMENTS, payments(), days(2))
    assert rows_of(filled.query(query)) == [("d", Decimal("1.00"))]


def test_a_query_reads_only_tables_named_with_their_database(filled: Warehouse) -> None:
    for name in ("payments", "tree", "`/etc/passwd`", "`file.csv`"):
        with pytest.raises(QueryError, match="database"):
            filled.query(HiveQL(f"SELECT * FROM {name}"))
    with_name = HiveQL(f"WITH late AS (SELECT id FROM {NAME} WHERE ds = '{ds(4)}') SELECT id FROM late")
    assert filled.query(with_name).to_pylist() == [{"id": "d"}]


# --- changed descriptions ---------------------------------------------------------------------------------------------


def test_added_columns_are_null_in_old_rows_and_filled_in_new_ones(filled: Warehouse) -> None:
    filled.ensure_table(GROWN)
    grown = table_of(GROWN, ("new", "NL", at(2).replace(tzinfo=None), Decimal("3.00"), ["x", None], ds(2)))
    assert filled.read(NAME, ["id", "country", "tags"], days(1)).to_pylist() == [{"id": "a", "country": None, "tags": None}]
    filled.replace(GROWN, grown, days(2))
    read = filled.read(NAME, GROWN.arrow_schema.names)
    assert read.schema == GROWN.arrow_schema
    assert read.sort_by("ds").to_pylist() == [
        {"id": "a", "country": None, "at": ROWS[0][1], "amount": Decimal("1.00"), "tags": None, "ds": ds(1)},
        *grown.to_pylist(),
        {"id": "d", "country": None, "at": ROWS[3][1], "amount": Decimal("1.00"), "tags": None, "ds": ds(4)},
    ]
    query = HiveQL(f"SELECT country, count(*) AS n, count(tags) AS tagged FROM {NAME} GROUP BY country")
    assert rows_of(filled.query(query)) == [("NL", 1, 1), (None, 2, 0)]
    assert filled.partitions(NAME) == {ds(1): 1, ds(2): 1, ds(4): 1}


def test_a_write_adds_the_new_columns_of_a_description(filled: Warehouse) -> None:
    row = ("b", "NL", at(2, 8).replace(tzinfo=None), Decimal("3.00"), [], ds(2))
    filled.upsert(GROWN, table_of(GROWN, row))
    assert rows_of(filled.read(NAME, GROWN.arrow_schema.names, days(2))) == sorted(
        [row, ("c", None, ROWS[2][1], ROWS[2][2], None, ds(2))], key=repr
    )


def test_rows_with_added_columns_replace_a_part_of_a_day_of_old_rows(filled: Warehouse) -> None:
    row = ("new", "NL", at(2, 6, 30).replace(tzinfo=None), Decimal("3.00"), ["t"], ds(2))
    filled.replace(GROWN, table_of(GROWN, row), Span(at(2, 6), at(2, 7)))
    kept = ("c", None, ROWS[2][1], ROWS[2][2], None, ds(2))
    assert rows_of(filled.read(NAME, GROWN.arrow_schema.names, days(2))) == sorted([row, kept], key=repr)


def test_columns_are_added_to_an_empty_table(warehouse: Warehouse) -> None:
    warehouse.ensure_table(PAYMENTS)
    warehouse.ensure_table(GROWN)
    row = ("new", "NL", at(2).replace(tzinfo=None), Decimal("3.00"), ["t"], ds(2))
    warehouse.replace(GROWN, table_of(GROWN, row), days(2))
    assert rows_of(warehouse.read(NAME, GROWN.arrow_schema.names)) == [row]


SHRUNK = replace(PAYMENTS, columns=PAYMENTS.columns[:2])
RETYPED = replace(PAYMENTS, columns=(*PAYMENTS.columns[:2], Column("amount", "DECIMAL(18,4)")))


@pytest.mark.parametrize("table", [SHRUNK, RETYPED], ids=["lost", "retyped"])
def test_a_lost_or_retyped_column_is_rejected_and_the_old_rows_stay(filled: Warehouse, table: Table) -> None:
    rows = table_of(table, (*payment("new", at(1))[: len(table.columns)], ds(1)))
    for write in (
        lambda: filled.ensure_table(table),
        lambda: filled.replace(table, rows, days(1)),
        lambda: filled.upsert(table, rows),
    ):
        with pytest.raises(SchemaMismatch, match=rf"{NAME}.*amount"):
            write()
    assert rows_of(filled.read(NAME)) == sorted(ROWS, key=repr)


# --- plans ------------------------------------------------------------------------------------------------------------


def test_an_open_table_may_have_columns_that_a_reader_does_not_describe(filled: Warehouse) -> None:
    grown, plain = replace(GROWN, is_open=True), replace(PAYMENTS, is_open=True)
    filled.ensure_table(grown)
    filled.ensure_table(plain)
    assert {"country", "tags"} <= set(filled.schema(NAME).names)
    # rows that are written without them would lose the values of others
    for write in (lambda: filled.replace(plain, payments(ROWS[0]), days(1)), lambda: filled.upsert(plain, payments(ROWS[0]))):
        with pytest.raises(SchemaMismatch, match="country"):
            write()
    with pytest.raises(SchemaMismatch, match="country"):
        filled.ensure_table(PAYMENTS)
    assert filled.read(NAME).num_rows == len(ROWS)


def test_explain_returns_a_plan_or_the_error_of_the_engine(filled: Warehouse) -> None:
    plan = filled.explain(HiveQL(f"SELECT count(*) AS n, max(amount) AS most FROM {NAME} WHERE ds = '2026-03-02'"))
    assert "amount" in plan
    with pytest.raises(TableNotFound):
        filled.explain(HiveQL("SELECT x.a FROM fintech.nosuch x"))
    with pytest.raises(QueryError):
        filled.explain(HiveQL(f"SELECT p.nosuch FROM {NAME} p"))
    with pytest.raises(QueryError):
        filled.explain(HiveQL(f"SELECT p.amount, count(*) AS n FROM {NAME} p"))
