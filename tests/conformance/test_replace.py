"""`replace`: rows in the span are replaced, rows outside it stay, a rejected write leaves the old rows."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hive_io import (
    Column,
    HiveIOError,
    HiveQL,
    QueryError,
    RowsOutsideSpan,
    SchemaMismatch,
    Span,
    Table,
    TableNotFound,
    Warehouse,
)
from tests.hive_io_fixtures import PAYMENTS, Payment, at, day, days, ds, payment, payments, rows_of, table_of

NAME = PAYMENTS.full_name


@pytest.fixture
def three_days(warehouse: Warehouse) -> list[Payment]:
    """Two rows on each of days 1 to 3."""
    rows = [payment(f"{hour}h of {number}", at(number, hour)) for number in (1, 2, 3) for hour in (6, 18)]
    warehouse.replace(PAYMENTS, payments(*rows), days(1, 3))
    return rows


def on(rows: list[Payment], number: int) -> list[Payment]:
    return [row for row in rows if row[-1] == ds(number)]


def found(warehouse: Warehouse, span: Span | None = None) -> list[Payment]:
    return rows_of(warehouse.read(NAME, span=span))


# --- rows -------------------------------------------------------------------------------------------------------------


def test_a_day_is_replaced_and_its_neighbours_stay(warehouse: Warehouse, three_days: list[Payment]) -> None:
    new = [payment("new", at(2, 7)), payment("also new", at(2, 8)), payment("third", at(2, 9))]
    receipt = warehouse.replace(PAYMENTS, payments(*new), days(2))
    assert found(warehouse) == sorted([*on(three_days, 1), *new, *on(three_days, 3)], key=repr)
    assert (receipt.table, receipt.partitions, receipt.rows, receipt.query) == (NAME, {ds(2): 3}, 3, None)


def test_a_range_is_replaced_and_days_without_rows_become_empty(warehouse: Warehouse, three_days: list[Payment]) -> None:
    warehouse.replace(PAYMENTS, payments(payment("fourth", at(4))), days(4))
    receipt = warehouse.replace(PAYMENTS, payments(payment("new", at(3, 5))), days(1, 3))
    assert found(warehouse) == rows_of(payments(payment("new", at(3, 5)), payment("fourth", at(4))))
    assert receipt.partitions == {ds(1): 0, ds(2): 0, ds(3): 1}
    assert warehouse.partitions(NAME) == {ds(3): 1, ds(4): 1}


def test_a_day_replaced_by_no_rows_is_empty(warehouse: Warehouse, three_days: list[Payment]) -> None:
    receipt = warehouse.replace(PAYMENTS, payments(), days(2))
    assert found(warehouse) == sorted([*on(three_days, 1), *on(three_days, 3)], key=repr)
    assert receipt.partitions == {ds(2): 0}


def test_a_first_write_without_rows_creates_the_table(warehouse: Warehouse) -> None:
    receipt = warehouse.replace(PAYMENTS, payments(), days(1, 2))
    assert receipt.partitions == {ds(1): 0, ds(2): 0}
    assert warehouse.read(NAME).schema == PAYMENTS.arrow_schema
    assert warehouse.partitions(NAME) == {}


def test_the_same_write_twice_leaves_the_same_rows(warehouse: Warehouse, three_days: list[Payment]) -> None:
    first = warehouse.replace(PAYMENTS, payments(*three_days), days(1, 3))
    second = warehouse.replace(PAYMENTS, payments(*three_days), days(1, 3))
    assert found(warehouse) == sorted(three_days, key=repr)
    assert first == second


def test_a_range_may_include_ends_of_months_and_a_leap_day(warehouse: Warehouse) -> None:
    span = Span.days(dt.date(2028, 2, 27), dt.date(2028, 3, 2))
    rows = [payment(f"{each}", dt.datetime.combine(each, dt.time(12), dt.UTC)) for each in span.each_day()]
    receipt = warehouse.replace(PAYMENTS, payments(*rows), span)
    assert receipt.partitions == {f"2028-{each}": 1 for each in ("02-27", "02-28", "02-29", "03-01", "03-02")}
    warehouse.replace(PAYMENTS, payments(), Span.days(dt.date(2028, 2, 29), dt.date(2028, 2, 29)))
    assert found(warehouse) == [row for row in rows if row[-1] != "2028-02-29"]


# --- a part of a day --------------------------------------------------------------------------------------------------


def test_a_part_of_a_day_is_half_open(warehouse: Warehouse) -> None:
    before, start, inside = (
        payment("before", at(1, 11, 59, 59, 999_999)),
        payment("start", at(1, 12)),
        payment("in", at(1, 12, 30)),
    )
    last, end = payment("last", at(1, 12, 59, 59, 999_999)), payment("end", at(1, 13))
    warehouse.replace(PAYMENTS, payments(before, start, inside, last, end), days(1))
    new = payment("new", at(1, 12, 15))
    receipt = warehouse.replace(PAYMENTS, payments(new), Span(at(1, 12), at(1, 13)))
    assert found(warehouse) == sorted([before, new, end], key=repr)
    assert receipt.partitions == {ds(1): 3}


def test_a_part_of_a_day_is_exact_to_the_microsecond(warehouse: Warehouse) -> None:
    rows = [payment(str(micro), at(1, 12, 0, 0, micro)) for micro in (499, 500, 999, 1_000)]
    warehouse.replace(PAYMENTS, payments(*rows), days(1))
    warehouse.replace(PAYMENTS, payments(), Span(at(1, 12, 0, 0, 500), at(1, 12, 0, 0, 1_000)))
    assert found(warehouse) == sorted([rows[0], rows[3]], key=repr)


def test_a_row_less_than_a_millisecond_inside_the_span_is_replaced(warehouse: Warehouse) -> None:
    # file statistics are in milliseconds, so they place the row before the span
    warehouse.replace(PAYMENTS, payments(payment("old", at(1, 12, 0, 0, 900))), days(1))
    new = payment("new", at(1, 12, 0, 0, 950))
    warehouse.replace(PAYMENTS, payments(new), Span(at(1, 12, 0, 0, 800), at(1, 12, 0, 0, 999)))
    assert found(warehouse) == [new]


def test_a_row_less_than_a_millisecond_inside_the_span_is_deleted_if_no_row_replaces_it(warehouse: Warehouse) -> None:
    kept = payment("kept", at(1, 11))
    warehouse.replace(PAYMENTS, payments(kept, payment("old", at(1, 12, 0, 0, 999_999))), days(1))
    warehouse.replace(PAYMENTS, payments(), Span(at(1, 12, 0, 0, 999_500), at(1, 12, 0, 1)))
    assert found(warehouse) == [kept]


def test_a_part_that_crosses_midnight_replaces_both_sides_of_it(warehouse: Warehouse, three_days: list[Payment]) -> None:
    new = [payment("late", at(1, 23, 59)), payment("early", at(2))]
    receipt = warehouse.replace(PAYMENTS, payments(*new), Span(at(1, 12), at(2, 12)))
    kept = [three_days[0], three_days[3], *on(three_days, 3)]
    assert found(warehouse) == sorted([*kept, *new], key=repr)
    assert receipt.partitions == {ds(1): 2, ds(2): 2}


def test_a_part_of_a_day_replaced_by_no_rows_is_empty(warehouse: Warehouse, three_days: list[Payment]) -> None:
    warehouse.replace(PAYMENTS, payments(), Span(at(2, 5), at(2, 7)))
    assert found(warehouse) == sorted([*on(three_days, 1), three_days[3], *on(three_days, 3)], key=repr)


def test_rows_without_a_time_are_outside_every_part_of_a_day(warehouse: Warehouse) -> None:
    timeless = ("timeless", None, Decimal("1.00"), ds(1))
    warehouse.replace(PAYMENTS, payments(timeless, payment("old", at(1, 12))), days(1))
    new = payment("new", at(1, 13))
    warehouse.replace(PAYMENTS, payments(new), Span(at(1, 12), at(1, 14)))
    assert found(warehouse) == sorted([timeless, new], key=repr)


def test_a_table_without_a_time_column_is_replaced_by_whole_days_only(warehouse: Warehouse) -> None:
    table = replace(PAYMENTS, time_column=None)
    warehouse.replace(table, payments(payment("old", at(1, 12))), days(1))
    with pytest.raises(SchemaMismatch, match=f"{NAME} has no time column"):
        warehouse.replace(table, payments(payment("new", at(1, 12))), Span(at(1, 12), at(1, 13)))
    assert found(warehouse) == [payment("old", at(1, 12))]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    old=st.lists(st.integers(0, 71), max_size=6),
    new=st.lists(st.integers(0, 71), max_size=6),
    start=st.integers(0, 70),
    hours=st.integers(1, 72),
)
def test_for_all_spans_rows_inside_are_new_and_rows_outside_are_old(
    warehouse: Warehouse, old: list[int], new: list[int], start: int, hours: int
) -> None:
    end = min(start + hours, 72)
    times = [at(1) + dt.timedelta(hours=hour) for hour in range(73)]
    before = [payment(f"old {n}", times[hour]) for n, hour in enumerate(old)]
    written = [payment(f"new {n}", times[hour]) for n, hour in enumerate(new) if start <= hour < end]
    warehouse.replace(PAYMENTS, payments(*before), days(1, 3))
    warehouse.replace(PAYMENTS, payments(*written), Span(times[start], times[end]))
    kept = [row for row, hour in zip(before, old, strict=True) if not start <= hour < end]
    assert found(warehouse) == sorted([*kept, *written], key=repr)


# --- columns ----------------------------------------------------------------------------------------------------------


def test_columns_are_matched_by_name_not_by_position(warehouse: Warehouse) -> None:
    table = Table("fintech", "pairs", (Column("payer", "STRING"), Column("payee", "STRING")))
    rows = pa.table({"ds": [ds(1)], "payee": ["shop"], "payer": ["Ada"]})
    warehouse.replace(table, rows, days(1))
    query = HiveQL("SELECT '2026-01-02' AS ds, 'bank' AS payee, 'Bob' AS payer")
    warehouse.replace(table, query, days(2))
    assert rows_of(warehouse.read("fintech.pairs")) == [("Ada", "shop", ds(1)), ("Bob", "bank", ds(2))]


GOOD = payments(payment("SECRET", at(2, 9)))


def changed(column: str, values: pa.Array) -> pa.Table:
    return GOOD.set_column(GOOD.schema.get_field_index(column), column, values)


BAD_COLUMNS: dict[str, tuple[pa.Table, str]] = {
    "a column is missing": (GOOD.drop_columns(["amount"]), "amount"),
    "ds is missing": (GOOD.drop_columns(["ds"]), "ds"),
    "a column is unknown": (GOOD.append_column("iban", pa.array(["SECRET"])), "iban"),
    "a column is given twice": (GOOD.append_column("id", pa.array(["SECRET"])), "id"),
    "a name has another case": (GOOD.rename_columns(["ID", "at", "amount", "ds"]), "id"),
    "a float for a DECIMAL": (changed("amount", pa.array([0.5])), "DECIMAL"),
    "more decimals than the DECIMAL has": (changed("amount", pa.array([Decimal("0.123")])), "DECIMAL"),
    "more digits than the DECIMAL has": (changed("amount", pa.array([Decimal(10**16)])), "DECIMAL"),
    "a number for a text": (changed("id", pa.array([7])), "STRING"),
    "a time for a text": (changed("id", pa.array([dt.datetime(2026, 1, 1)])), "STRING"),
    "a text that is not a number": (changed("amount", pa.array(["SECRET"])), "DECIMAL"),
    "nanoseconds": (changed("at", pa.array([1], pa.timestamp("ns"))), "TIMESTAMP"),
    "a list for a text": (changed("id", pa.array([["SECRET"]])), "STRING"),
}


@pytest.mark.parametrize("why", BAD_COLUMNS)
def test_rows_with_other_columns_are_rejected_and_the_old_rows_stay(
    warehouse: Warehouse, three_days: list[Payment], why: str
) -> None:
    rows, named = BAD_COLUMNS[why]
    with pytest.raises(SchemaMismatch, match=rf"{NAME}.*\b{named}\b|\b{named}\b.*{NAME}") as refused:
        warehouse.replace(PAYMENTS, rows, days(2))
    assert "SECRET" not in str(refused.value)
    assert found(warehouse) == sorted(three_days, key=repr)


NUMBERS = Table(
    "fintech",
    "numbers",
    (
        Column("n", "INT"),
        Column("b", "BIGINT"),
        Column("d", "DOUBLE"),
        Column("x", "ARRAY<STRING>"),
        Column("y", "ARRAY<DECIMAL(9,2)>"),
    ),
)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("n", pa.array([2**31])),
        ("n", pa.array([1.5])),
        ("b", pa.array([1.5])),
        ("b", pa.array([2**63], pa.uint64())),
        ("d", pa.array([2**53 + 1])),
        ("x", pa.array([[1, 2]])),
        ("x", pa.array([["a"]], pa.list_(pa.binary()))),
        ("y", pa.array([[0.555]])),
        ("y", pa.array([[Decimal("0.555")]])),
        ("y", pa.array(["[1]"])),
    ],
    ids=str,
)
def test_a_value_that_the_type_cannot_hold_is_rejected(warehouse: Warehouse, column: str, values: pa.Array) -> None:
    good = {"n": [1], "b": [1], "d": [1.0], "x": [["a"]], "y": [[Decimal("1.25")]], "ds": [ds(1)]}
    with pytest.raises(SchemaMismatch, match=rf"fintech\.numbers\.{column}: .*nothing was written"):
        warehouse.replace(NUMBERS, pa.table(good | {column: values}), days(1))
    warehouse.replace(NUMBERS, pa.table(good), days(1))
    assert rows_of(warehouse.read("fintech.numbers")) == [(1, 1, 1.0, ["a"], [Decimal("1.25")], ds(1))]


def test_types_that_convert_without_loss_are_accepted(warehouse: Warehouse) -> None:
    narrow = {
        "n": pa.array([1], pa.int8()),
        "b": pa.array([2], pa.int32()),
        "d": pa.array([3], pa.int32()),
        "x": pa.array([["a"]], pa.large_list(pa.large_string())),
        "y": pa.array([[Decimal("1.5")]], pa.list_(pa.decimal128(3, 1))),
        "ds": pa.array([ds(1)], pa.large_string()),
    }
    warehouse.replace(NUMBERS, pa.table(narrow), days(1))
    nothing = {name: pa.nulls(1) for name in ("n", "b", "d", "x", "y")}
    warehouse.replace(NUMBERS, pa.table(nothing | {"ds": [ds(2)]}), days(2))
    first, second = rows_of(warehouse.read("fintech.numbers"))
    assert first == (1, 2, 3.0, ["a"], [Decimal("1.50")], ds(1))
    assert second == (None, None, None, None, None, ds(2))


# --- rows outside the span --------------------------------------------------------------------------------------------

OUTSIDE: dict[str, tuple[Payment, Span]] = {
    "the day before": (payment("SECRET", at(1, 23, 59, 59, 999_999)), days(2)),
    "the day after": (payment("SECRET", at(3)), days(2)),
    "a day that is NULL": (("SECRET", dt.datetime(2026, 1, 2), None, None), days(2)),
    "a text that is not a date": (("SECRET", dt.datetime(2026, 1, 2), None, f"{ds(2)}x"), days(1, 3)),
    "a date in another format": (("SECRET", dt.datetime(2026, 1, 2), None, "2026-01-1"), days(9, 20)),
    "a moment before the part": (payment("SECRET", at(2, 11, 59, 59, 999_999)), Span(at(2, 12), at(2, 13))),
    "the moment the part ends": (payment("SECRET", at(2, 13)), Span(at(2, 12), at(2, 13))),
    "a time that is NULL, for a part": (("SECRET", None, None, ds(2)), Span(at(2, 12), at(2, 13))),
    "a time inside and a day outside": (("SECRET", dt.datetime(2026, 1, 2, 12), None, ds(3)), Span(at(2, 12), at(2, 13))),
}


@pytest.mark.parametrize("why", OUTSIDE)
def test_rows_outside_the_span_are_rejected_and_the_old_rows_stay(
    warehouse: Warehouse, three_days: list[Payment], why: str
) -> None:
    row, span = OUTSIDE[why]
    inside = payment("inside", span.start)
    with pytest.raises(RowsOutsideSpan, match=f"1 of 2 rows for {NAME}") as refused:
        warehouse.replace(PAYMENTS, payments(inside, row), span)
    assert "SECRET" not in str(refused.value)
    assert found(warehouse) == sorted(three_days, key=repr)


def test_a_row_without_a_time_can_be_written_with_its_whole_day(warehouse: Warehouse) -> None:
    timeless = ("timeless", None, None, ds(1))
    warehouse.replace(PAYMENTS, payments(timeless), days(1))
    assert found(warehouse) == [timeless]


# --- queries ----------------------------------------------------------------------------------------------------------


def test_a_query_is_written_in_place(warehouse: Warehouse, three_days: list[Payment]) -> None:
    totals = Table("fintech", "totals", (Column("payments", "BIGINT"), Column("amount", "DECIMAL(18,2)")))
    query = HiveQL(
        f"SELECT count(*) AS payments, CAST(sum(amount) AS DECIMAL(18,2)) AS amount, ds FROM {NAME} "
        "WHERE ds <= :last GROUP BY ds",
        {"last": ds(2)},
    )
    receipt = warehouse.replace(totals, query, days(1, 3))
    two = Decimal("2.00")
    assert rows_of(warehouse.read("fintech.totals")) == [(2, two, ds(1)), (2, two, ds(2))]
    assert receipt.partitions == {ds(1): 1, ds(2): 1, ds(3): 0}
    assert receipt.query == query


def test_a_query_may_read_the_table_that_it_replaces(warehouse: Warehouse, three_days: list[Payment]) -> None:
    query = HiveQL(f"SELECT concat(id, '!') AS id, at, amount + 1 AS amount, ds FROM {NAME} WHERE ds = '{ds(2)}'")
    for _ in range(2):
        warehouse.replace(PAYMENTS, query, days(2))
    new = [(f"{name}!!", when, Decimal("3.00"), partition) for name, when, _, partition in on(three_days, 2)]
    assert found(warehouse) == sorted([*on(three_days, 1), *new, *on(three_days, 3)], key=repr)


def test_a_query_replaces_a_part_of_a_day(warehouse: Warehouse, three_days: list[Payment]) -> None:
    text = f"SELECT id, CAST(:noon AS TIMESTAMP) AS at, amount, '{ds(2)}' AS ds FROM {NAME} WHERE ds = '{ds(1)}'"
    receipt = warehouse.replace(PAYMENTS, HiveQL(text, {"noon": at(2, 12)}), Span(at(2, 12), at(2, 20)))
    new = [payment(row[0], at(2, 12)) for row in on(three_days, 1)]
    assert found(warehouse, days(2)) == sorted([three_days[2], *new], key=repr)
    assert receipt.partitions == {ds(2): 3}


SELECT = "SELECT id, at, amount, ds"
BAD_QUERIES: dict[str, tuple[str, type[HiveIOError]]] = {
    "rows of another day": (f"{SELECT} FROM {NAME}", RowsOutsideSpan),
    "a missing column": (f"SELECT id, at, ds FROM {NAME} WHERE ds = '{ds(2)}'", SchemaMismatch),
    "an unknown column": (f"{SELECT}, id AS iban FROM {NAME} WHERE ds = '{ds(2)}'", SchemaMismatch),
    "a DOUBLE for a DECIMAL": (f"SELECT id, at, CAST(amount AS DOUBLE) AS amount, ds FROM {NAME}", SchemaMismatch),
    "an unknown input column": (f"SELECT id, at, price AS amount, ds FROM {NAME}", QueryError),
    "an unknown input table": (f"{SELECT} FROM fintech.nothing", TableNotFound),
    "a function outside the allow-list": (
        f"SELECT id, at, CAST(rand() AS DECIMAL(18,2)) AS amount, ds FROM {NAME}",
        QueryError,
    ),
}


@pytest.mark.parametrize("why", BAD_QUERIES)
def test_a_query_with_a_wrong_result_is_rejected_and_the_old_rows_stay(
    warehouse: Warehouse, three_days: list[Payment], why: str
) -> None:
    text, error = BAD_QUERIES[why]
    with pytest.raises(error):
        warehouse.replace(PAYMENTS, HiveQL(text), days(2))
    assert found(warehouse) == sorted(three_days, key=repr)


# --- unusual names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["order", "2024_q1", "group", "a__b", "select"])
def test_names_may_be_keywords_or_begin_with_a_digit(warehouse: Warehouse, name: str) -> None:
    columns = (Column("order", "STRING"), Column("group", "TIMESTAMP"), Column("from", "BIGINT"), Column("1st", "BIGINT"))
    table = Table("fintech", name, columns, key=("order",), time_column="group")
    noon, evening = dt.datetime(2026, 1, 1, 12), dt.datetime(2026, 1, 1, 18)
    warehouse.replace(table, table_of(table, ("a", noon, 1, 5, ds(1)), ("b", evening, 2, 5, ds(1))), days(1))
    warehouse.replace(table, table_of(table, ("c", noon, 3, 5, ds(1))), Span(at(1, 12), at(1, 13)))
    warehouse.upsert(table, table_of(table, ("b", evening, 4, 5, ds(1))))
    text = f"SELECT `order`, `{name}`.`group`, `from` + `1st` AS `from`, `1st`, ds FROM fintech.`{name}`"
    assert rows_of(warehouse.query(HiveQL(text))) == [("b", evening, 9, 5, ds(1)), ("c", noon, 8, 5, ds(1))]
    warehouse.replace(table, HiveQL(text), days(1))
    assert rows_of(warehouse.read(f"fintech.{name}", ["from", "order"])) == [(8, "c"), (9, "b")]
    assert warehouse.tables("fintech") == [name]


def test_a_month_is_written_at_once(warehouse: Warehouse) -> None:
    rows = [payment(f"{number}", at(number, 3)) for number in range(1, 32)]
    receipt = warehouse.replace(PAYMENTS, payments(*rows), days(1, 31))
    assert receipt.partitions == {day(number).isoformat(): 1 for number in range(1, 32)}
    assert found(warehouse, days(30, 31)) == sorted(rows[29:], key=repr)
