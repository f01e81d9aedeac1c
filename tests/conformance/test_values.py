"""Values are read as they were written: every type, and the values at its limits."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hive_io import Capability, Column, HiveQL, SchemaMismatch, Table, Warehouse
from tests.hive_io_fixtures import days, ds, table_of

EVERY_TYPE = Table(
    "fintech",
    "every_type",
    (
        Column("row", "INT"),
        Column("text", "STRING"),
        Column("yes", "BOOLEAN"),
        Column("small", "INT"),
        Column("big", "BIGINT"),
        Column("ratio", "DOUBLE"),
        Column("money", "DECIMAL(18,2)"),
        Column("squares", "DECIMAL(38,4)"),
        Column("at", "TIMESTAMP"),
        Column("words", "ARRAY<STRING>"),
        Column("prices", "ARRAY<DECIMAL(18,2)>"),
        Column("nested", "ARRAY<ARRAY<BIGINT>>"),
    ),
)
NAMES = [column.name for column in EVERY_TYPE.columns]

EDGES: dict[str, list[Any]] = {
    "text": [
        "", " ", "Zoë Müller", "東京", "😀👩‍👩‍👧", "it's", '"quoted"', "back\\slash", "\\n is not a newline",
        "line\nbreak\ttab\r", "NULL", "null", "%_%", "$1 ${x} {{y}}", "a,b;c", "a" * 10_000, "\u0301", "\x01",
    ],
    "yes": [True, False],
    "small": [2**31 - 1, -(2**31), 0],
    "big": [2**63 - 1, -(2**63), 0, 2**53 + 1],
    "ratio": [0.1, 1e308, 5e-324, -1.5, 1 / 3],
    "money": [Decimal("9999999999999999.99"), Decimal("-9999999999999999.99"), Decimal("0.01"), Decimal("0.00")],
    "squares": [Decimal("9" * 34 + ".9999"), Decimal("-" + "9" * 34 + ".9999"), Decimal("0.0001")],
    "at": [
        dt.datetime(2026, 1, 31, 23, 59, 59, 999_999),
        dt.datetime(2026, 1, 1),
        dt.datetime(1970, 1, 1, 0, 0, 0, 1),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999_999),
        dt.datetime(2026, 3, 29, 2, 30),  # does not exist on the clocks of Berlin
        dt.datetime(9999, 12, 31),
    ],
    "words": [[], [""], [None], ["a", None, "😀", "it's"], [None, None]],
    "prices": [[], [Decimal("0.01"), None, Decimal("-9999999999999999.99")]],
    "nested": [[], [[]], [None], [[1, None], [], None, [2**63 - 1]]],
}  # fmt: skip


def write_and_read(warehouse: Warehouse, values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write rows of one day and read them back, in the same order."""
    rows = [tuple(index if name == "row" else row.get(name) for name in NAMES) for index, row in enumerate(values)]
    warehouse.replace(EVERY_TYPE, table_of(EVERY_TYPE, *[(*row, ds(1)) for row in rows]), days(1))
    found = warehouse.read("fintech.every_type")
    assert found.schema == EVERY_TYPE.arrow_schema
    return found.sort_by("row").drop_columns(["row", "ds"]).to_pylist()


@pytest.mark.parametrize("column", EDGES)
def test_values_at_the_limits_of_a_type_are_read_unchanged(warehouse: Warehouse, column: str) -> None:
    written = [*EDGES[column], None]
    assert [row[column] for row in write_and_read(warehouse, [{column: value} for value in written])] == written


def test_null_is_read_as_null_in_every_type(warehouse: Warehouse) -> None:
    assert write_and_read(warehouse, [{}]) == [dict.fromkeys(NAMES[1:])]


def test_negative_zero_infinity_and_nan_are_read_unchanged(warehouse: Warehouse) -> None:
    written = [-0.0, math.inf, -math.inf, math.nan]
    zero, *infinite, nan = (row["ratio"] for row in write_and_read(warehouse, [{"ratio": value} for value in written]))
    assert (zero, math.copysign(1, zero)) == (0.0, -1.0)
    assert infinite == [math.inf, -math.inf]
    assert math.isnan(nan)


def test_a_query_returns_the_values_that_were_written(warehouse: Warehouse) -> None:
    text = 'it\'s \\ "x" 😀\n'
    write_and_read(
        warehouse, [{"text": text, "money": Decimal("9999999999999999.99"), "at": dt.datetime(2026, 1, 1, 0, 0, 0, 1)}]
    )
    found = warehouse.query(HiveQL("SELECT text, money, at FROM fintech.every_type WHERE text = :text", {"text": text}))
    assert found.to_pylist() == [
        {"text": text, "money": Decimal("9999999999999999.99"), "at": dt.datetime(2026, 1, 1, 0, 0, 0, 1)}
    ]


def test_an_aware_time_is_stored_as_its_utc_time(warehouse: Warehouse) -> None:
    table = Table("fintech", "times", (Column("at", "TIMESTAMP"),))
    # built from naive datetimes: pyarrow 26 drops the offset of aware ones once pandas is imported
    aware = pa.array([dt.datetime(2026, 1, 1, 18)], pa.timestamp("us", "UTC")).cast(pa.timestamp("us", "Asia/Tokyo"))
    warehouse.replace(table, pa.table({"at": aware, "ds": [ds(1)]}), days(1))
    assert warehouse.read("fintech.times", ["at"]).to_pylist() == [{"at": dt.datetime(2026, 1, 1, 18)}]


def two_texts(kind: pa.DataType) -> pa.Array:
    return pa.array(["é😀", None, ""], pa.string()).cast(kind)


ENCODED: dict[str, tuple[str, pa.Array, list[Any]]] = {
    "dictionary of text": ("text", two_texts(pa.string()).dictionary_encode(), ["é😀", None, ""]),
    "dictionary of large text": ("text", two_texts(pa.large_string()).dictionary_encode(), ["é😀", None, ""]),
    "dictionary of text views": (
        "text",
        pa.DictionaryArray.from_arrays(pa.array([0, None, 1], pa.int8()), pa.array(["é😀", ""], pa.string_view())),
        ["é😀", None, ""],
    ),
    "dictionary with a NULL in it": (
        "text", pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array([None, "a"])), [None, "a", None]
    ),
    "dictionary of amounts": (
        "money", pa.array([Decimal("0.10"), None, Decimal("7.5")]).dictionary_encode(), [Decimal("0.10"), None, Decimal("7.50")]
    ),
    "dictionary of times": (
        "at",
        pa.array([dt.datetime(2026, 1, 1, 0, 0, 0, 1), None], pa.timestamp("ns")).dictionary_encode(),
        [dt.datetime(2026, 1, 1, 0, 0, 0, 1), None],
    ),
    "dictionary of flags": ("yes", pa.array([True, None]).dictionary_encode(), [True, None]),
    "run-end encoding": ("text", pc.run_end_encode(pa.array(["a", "a", None, "b"])), ["a", "a", None, "b"]),
    "large text": ("text", two_texts(pa.large_string()), ["é😀", None, ""]),
    "text view": ("text", two_texts(pa.string_view()), ["é😀", None, ""]),
    "bytes": ("text", two_texts(pa.binary()), ["é😀", None, ""]),
    "large bytes": ("text", two_texts(pa.large_binary()), ["é😀", None, ""]),
    "bytes view": ("text", two_texts(pa.binary_view()), ["é😀", None, ""]),
    "bytes of one size": ("text", pa.array([b"ab", None], pa.binary(2)), ["ab", None]),
    "text view of amounts": ("money", pa.array(["1.10", None], pa.string_view()), [Decimal("1.10"), None]),
    "text view of times": ("at", pa.array(["2026-01-01 01:00:00"], pa.string_view()), [dt.datetime(2026, 1, 1, 1)]),
    "large list": ("words", pa.array([["a", None], None, []], pa.large_list(pa.large_string())), [["a", None], None, []]),
    "list of one size": ("words", pa.array([["a"], None], pa.list_(pa.string(), 1)), [["a"], None]),
    "list view": ("words", pa.array([["a", None], None, []], pa.list_view(pa.string())), [["a", None], None, []]),
    "large list view": ("words", pa.array([["a"], None], pa.large_list_view(pa.string_view())), [["a"], None]),
    "list of dictionaries": ("words", pa.array([["a", "a"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))), [["a", "a"]]),
    "list of text views": ("words", pa.array([["a"]], pa.list_(pa.string_view())), [["a"]]),
    "large lists of large lists": ("nested", pa.array([[[1], None]], pa.large_list(pa.large_list(pa.int32()))), [[[1], None]]),
    "no type": ("words", pa.nulls(2), [None, None]),
    "small decimals": ("money", pa.array([Decimal("1.10")], pa.decimal32(5, 2)), [Decimal("1.10")]),
    "large decimals": ("squares", pa.array([Decimal("1.1000")], pa.decimal256(50, 4)), [Decimal("1.1000")]),
}  # fmt: skip


@pytest.mark.parametrize("layout", ENCODED)
def test_every_layout_of_arrow_is_stored_with_its_values(warehouse: Warehouse, layout: str) -> None:
    column, values, expected = ENCODED[layout]
    table = Table("fintech", "encoded", (Column("row", "INT"), *[c for c in EVERY_TYPE.columns if c.name == column]), ("row",))
    # two chunks, as tables that were concatenated have them
    chunks = pa.chunked_array([values[:1], values[1:]]) if len(values) > 1 else pa.chunked_array([values])
    rows = pa.table({"row": range(len(expected)), column: chunks, "ds": [ds(1)] * len(expected)})
    for write in (lambda: warehouse.replace(table, rows, days(1)), lambda: warehouse.upsert(table, rows)):
        write()
        found = warehouse.read("fintech.encoded")
        assert found.schema == table.arrow_schema
        assert found.sort_by("row").column(column).to_pylist() == expected


LOSSY: dict[str, tuple[str, pa.Array]] = {
    "bytes that are no text": ("text", pa.array([b"\xff"])),
    "a view of bytes that are no text": ("text", pa.array([b"\xff"], pa.binary_view())),
    "a dictionary of bytes that are no text": ("text", pa.array([b"\xff"]).dictionary_encode()),
    "a dictionary of numbers": ("text", pa.array([5]).dictionary_encode()),
    "a dictionary of floats": ("money", pa.array([0.1]).dictionary_encode()),
    "runs of floats": ("money", pc.run_end_encode(pa.array([0.1]))),
    "a list view of numbers": ("words", pa.array([[5]], pa.list_view(pa.int64()))),
    "a list of views of bytes": ("words", pa.array([[b"a"]], pa.list_(pa.binary_view()))),
    "a list of dictionaries of floats": ("prices", pa.array([[0.1]], pa.list_(pa.float64()))),
    "a dictionary of amounts with three digits": ("money", pa.array([Decimal("0.001")]).dictionary_encode()),
    "a text view that is no number": ("money", pa.array(["1 EUR"], pa.string_view())),
}


@pytest.mark.parametrize("layout", LOSSY)
def test_no_layout_hides_a_lossy_conversion(warehouse: Warehouse, layout: str) -> None:
    column, values = LOSSY[layout]
    table = Table("fintech", "encoded", tuple(c for c in EVERY_TYPE.columns if c.name == column))
    with pytest.raises(SchemaMismatch, match=rf"fintech\.encoded\.{column}: expected .* without loss"):
        warehouse.replace(table, pa.table({column: values, "ds": [ds(1)]}), days(1))
    assert warehouse.partitions("fintech.encoded") == {}


GREGORIAN = dt.datetime(1582, 10, 15)


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    largest = 10**precision - 1
    return st.integers(-largest, largest).map(lambda n: Decimal(f"{n}e-{scale}"))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
a_row = st.fixed_dictionaries(
    {
        "text": st.none() | texts,
        "yes": st.none() | st.booleans(),
        "small": st.none() | st.integers(-(2**31), 2**31 - 1),
        "big": st.none() | st.integers(-(2**63), 2**63 - 1),
        "ratio": st.none() | st.floats(allow_nan=False),
        "money": st.none() | decimals(18, 2),
        "squares": st.none() | decimals(38, 4),
        "at": st.none() | st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)),
        "words": st.none() | st.lists(st.none() | texts, max_size=3),
        "prices": st.none() | st.lists(st.none() | decimals(18, 2), max_size=3),
        "nested": st.none() | st.lists(st.none() | st.lists(st.none() | st.integers(-9, 9), max_size=2), max_size=2),
    }
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(a_row, min_size=1, max_size=6))
def test_for_all_rows_values_are_read_as_written(warehouse: Warehouse, values: list[dict[str, Any]]) -> None:
    if Capability.TIMES_BEFORE_1582 not in warehouse.capabilities:
        # Apache Hive shifts times of the Julian calendar, see docs/run-on-hive.md
        assume(not any(row["at"] and row["at"] < GREGORIAN for row in values))
    # each example replaces the day of the previous one and must leave none of its rows
    assert write_and_read(warehouse, values) == values


def test_a_query_writes_the_arrays_that_it_collects(warehouse: Warehouse) -> None:
    words = Table("fintech", "words", (Column("day", "INT"), Column("words", "ARRAY<STRING>")), key=("day",))
    single = Table("fintech", "single", (Column("day", "INT"), Column("word", "STRING")), key=("word",))
    warehouse.replace(single, table_of(single, (1, "b", ds(1)), (1, "a", ds(1)), (2, "c", ds(2))), days(1, 2))
    collected = HiveQL(
        "SELECT day, words, ds FROM (SELECT day, COLLECT_LIST(word) OVER (PARTITION BY day ORDER BY word "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS words, "
        "ROW_NUMBER() OVER (PARTITION BY day ORDER BY word) AS place, ds FROM fintech.single) w WHERE place = 1"
    )
    warehouse.replace(words, collected, days(1, 2))
    rows = warehouse.read(words.full_name, ["day", "words"]).sort_by("day").to_pylist()
    assert rows == [{"day": 1, "words": ["a", "b"]}, {"day": 2, "words": ["c"]}]


def test_rounding_halves_before_a_cast_to_decimal_gives_the_same_everywhere(warehouse: Warehouse) -> None:
    sums = Table("fintech", "sums", (Column("total", "DECIMAL(18,2)"), Column("count", "BIGINT")))
    # half a cent, as a DOUBLE that is exact, slightly too large (170.86 / 4) or slightly too small
    cases = [(Decimal(2 * cents + 1) * count / 200, count) for cents in range(0, 5000, 7) for count in (2, 4, 6, 10)]
    warehouse.replace(sums, table_of(sums, *[(total, count, ds(1)) for total, count in cases]), days(1))
    mean = "CAST(FLOOR(CAST(total AS DOUBLE) / count * 100 + 0.5) / 100 AS DECIMAL(18,2))"
    found = warehouse.query(HiveQL(f"SELECT total, count, {mean} AS mean FROM fintech.sums")).to_pylist()
    rounded = [(total, count, Decimal(math.floor(float(total) / count * 100 + 0.5)) / 100) for total, count in cases]
    assert sorted((row["total"], row["count"], row["mean"]) for row in found) == sorted(rounded)
