"""Spans of time and table descriptions."""

from __future__ import annotations

import datetime as dt
import re
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_io import Column, Span, Table
from hive_io.table import arrow_type, is_day, ranges

TOKYO = timezone(timedelta(hours=9))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


# --- spans ------------------------------------------------------------------------------------------------------------


def test_days_include_both_ends_and_end_at_the_next_midnight() -> None:
    span = Span.days(date(2026, 1, 30), date(2026, 2, 1))
    assert (span.start, span.end) == (utc(2026, 1, 30), utc(2026, 2, 2))
    assert (span.first_day, span.last_day) == (date(2026, 1, 30), date(2026, 2, 1))
    assert (span.first_ds, span.last_ds) == ("2026-01-30", "2026-02-01")
    assert list(span.each_day()) == [date(2026, 1, 30), date(2026, 1, 31), date(2026, 2, 1)]
    assert span.is_whole_days


@pytest.mark.parametrize(
    ("start", "end", "last", "whole"),
    [
        (utc(2026, 1, 1), utc(2026, 1, 2), date(2026, 1, 1), True),
        (utc(2026, 1, 1), utc(2026, 1, 2, 0, 0, 0, 1), date(2026, 1, 2), False),
        (utc(2026, 1, 1), utc(2026, 1, 1, 23, 59, 59, 999_999), date(2026, 1, 1), False),
        (utc(2026, 1, 1, 0, 0, 0, 1), utc(2026, 1, 2), date(2026, 1, 1), False),
        (utc(2026, 1, 1, 12), utc(2026, 1, 1, 12, 0, 0, 1), date(2026, 1, 1), False),
        (utc(2026, 12, 31), utc(2027, 1, 1), date(2026, 12, 31), True),
        (utc(2028, 2, 28), utc(2028, 3, 1), date(2028, 2, 29), True),
    ],
)
def test_the_end_is_not_in_the_span(start: datetime, end: datetime, last: date, whole: bool) -> None:
    span = Span(start, end)
    assert span.last_day == last
    assert span.is_whole_days is whole
    assert span.whole_days() == Span.days(start.date(), last)
    assert list(span.each_day())[-1] == last


def test_times_of_other_zones_are_converted_to_utc() -> None:
    span = Span(datetime(2026, 1, 2, 9, tzinfo=TOKYO), datetime(2026, 1, 3, 9, tzinfo=TOKYO))
    assert span == Span.days(date(2026, 1, 2), date(2026, 1, 2))
    assert span.start.tzinfo is UTC
    assert Span(datetime(2026, 1, 2, tzinfo=TOKYO), datetime(2026, 1, 3, tzinfo=TOKYO)).first_ds == "2026-01-01"


@pytest.mark.parametrize(
    ("start", "end", "facts"),
    [
        (datetime(2026, 1, 1), utc(2026, 1, 2), "2026-01-01 00:00:00 has no time zone"),
        (utc(2026, 1, 1), datetime(2026, 1, 2), "2026-01-02 00:00:00 has no time zone"),
        (utc(2026, 1, 2), utc(2026, 1, 1), "end after its start.*2026-01-02.*2026-01-01"),
        (utc(2026, 1, 1), utc(2026, 1, 1), "end after its start.*2026-01-01.*2026-01-01"),
        (datetime(2026, 1, 1, 9, tzinfo=TOKYO), utc(2026, 1, 1), "end after its start"),
    ],
)
def test_a_span_without_a_zone_or_without_length_is_rejected(start: datetime, end: datetime, facts: str) -> None:
    with pytest.raises(ValueError, match=facts):
        Span(start, end)


def test_days_in_the_wrong_order_are_rejected() -> None:
    with pytest.raises(ValueError, match="end after its start"):
        Span.days(date(2026, 1, 3), date(2026, 1, 1))


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Span.days(date(2026, 1, 1), date(2026, 1, 1)), "2026-01-01"),
        (Span.days(date(2026, 1, 1), date(2026, 1, 31)), "2026-01-01 to 2026-01-31"),
        (Span(utc(2026, 1, 1, 6), utc(2026, 1, 1, 6, 0, 5)), "2026-01-01T06:00:00 to 2026-01-01T06:00:05"),
    ],
)
def test_a_span_as_text(span: Span, text: str) -> None:
    assert str(span) == text


moments = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


@given(start=moments, length=st.timedeltas(timedelta(microseconds=1), timedelta(days=40)))
def test_for_all_spans_the_days_touched_are_exactly_those_that_cover_it(start: datetime, length: timedelta) -> None:
    span = Span(start, start + length)
    days, whole = list(span.each_day()), span.whole_days()
    assert whole.start <= span.start < whole.start + timedelta(days=1)
    assert whole.end - timedelta(days=1) < span.end <= whole.end
    assert [day.isoformat() for day in days][:: max(len(days) - 1, 1)] == sorted({span.first_ds, span.last_ds})
    assert len(days) == len(set(days)) == (whole.end - whole.start).days
    assert whole.is_whole_days
    assert whole.whole_days() == whole


@pytest.mark.parametrize("text", ["2026-01-31", "2028-02-29", "0001-01-01"])
def test_a_date_of_the_calendar_is_a_day(text: str) -> None:
    assert is_day(text)


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-1-1", "20260101", "2026-W01-1", "2026-01-01T00:00:00", "", "today", "2026-01-01 "]
)
def test_any_other_text_is_not_a_day(text: str) -> None:
    assert not is_day(text)


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hive", "arrow"),
    [
        ("STRING", pa.string()),
        ("string", pa.string()),
        ("VARCHAR(20)", pa.string()),
        ("BOOLEAN", pa.bool_()),
        ("INT", pa.int32()),
        ("BIGINT", pa.int64()),
        ("DOUBLE", pa.float64()),
        ("TIMESTAMP", pa.timestamp("us")),
        ("DECIMAL(18,2)", pa.decimal128(18, 2)),
        ("decimal(38, 4)", pa.decimal128(38, 4)),
        ("ARRAY<STRING>", pa.list_(pa.field("element", pa.string()))),
        ("ARRAY<DECIMAL(9,2)>", pa.list_(pa.field("element", pa.decimal128(9, 2)))),
        ("ARRAY<ARRAY<BIGINT>>", pa.list_(pa.field("element", pa.list_(pa.field("element", pa.int64()))))),
    ],
)
def test_hive_types_have_arrow_types(hive: str, arrow: pa.DataType) -> None:
    assert arrow_type(hive) == arrow
    assert Column("x", hive).arrow_type == arrow


@pytest.mark.parametrize(
    "hive",
    [
        "FLOAT",
        "DATE",
        "BINARY",
        "MAP<STRING, INT>",
        "STRUCT<a: INT>",
        "ARRAY<DATE>",
        "DECIMAL",
        "DECIMAL(10)",
        "ARRAY",
        "DECIMAL(50,2)",
        "money",
        "no type",
        "",
    ],
)
def test_an_unsupported_type_is_named_with_those_that_are_supported(hive: str) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(repr(hive))}.*TIMESTAMP.*DECIMAL"):
        arrow_type(hive)


def test_the_partition_is_the_last_column() -> None:
    table = Table("fintech", "notes", (Column("id", "STRING", "who"), Column("amount", "DECIMAL(18,2)")), key=("id",))
    assert table.full_name == "fintech.notes"
    assert table.arrow_schema == pa.schema([("id", pa.string()), ("amount", pa.decimal128(18, 2)), ("ds", pa.string())])
    assert table.column_types == {"id": "STRING", "amount": "DECIMAL(18,2)", "ds": "STRING"}
    assert list(table.column_types) == table.arrow_schema.names


def test_a_day_has_24_hours_in_utc() -> None:
    assert Span.days(date(2026, 3, 29), date(2026, 3, 29)).end - utc(2026, 3, 29) == dt.timedelta(hours=24)


@given(st.lists(st.dates(date(2025, 12, 25), date(2026, 1, 10))))
def test_for_all_days_ranges_have_each_day_once_in_order_and_are_not_adjacent(days: list[date]) -> None:
    spans = ranges(days)
    assert [day for span in spans for day in span.each_day()] == sorted(set(days))
    assert all(before.end < after.start for before, after in pairwise(spans))
