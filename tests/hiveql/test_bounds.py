"""Bounds of a query's form, and advice for what is refused, in the words of its author."""

from __future__ import annotations

import pytest

from fraud_assets.schemas.catalog import fixed_tables
from hive_io import HiveQL, QueryError
from hive_io.dialect import parse
from hive_io.dry_run import result_schema

TABLES = {table.full_name: table for table in fixed_tables().values()}
LEVELS = 3000


def select(expression: str) -> str:
    return f"SELECT {expression} AS v FROM fintech.transactions"


@pytest.mark.parametrize(
    "query",
    [
        select("(" * LEVELS + "1" + ")" * LEVELS),
        select("NOT " * LEVELS + "TRUE"),
        select("- " * LEVELS + "1"),
        select("1" + " + 1" * LEVELS),
        select("TRUE" + " AND TRUE" * LEVELS),
        select("ABS(" * LEVELS + "1" + ")" * LEVELS),
        select("CASE WHEN TRUE THEN " * LEVELS + "1" + " END" * LEVELS),
        select("CAST(NULL AS " + "ARRAY<" * LEVELS + "INT" + ">" * LEVELS + ")"),
        select("(SELECT " * LEVELS + "1" + ")" * LEVELS),
        " UNION ALL ".join([select("1")] * 500),
        "SELECT 1 AS v FROM fintech.transactions" + " JOIN fintech.transactions" * 60,
    ],
    ids=["brackets", "not", "signs", "sum", "and", "calls", "case", "types", "selects", "union", "joins"],
)
def test_a_query_without_bounds_is_refused(query: str) -> None:
    with pytest.raises(QueryError, match="more than"):
        parse(query)


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 80 + "1" + ")" * 80,
        "NOT " * 80 + "TRUE",
        # every term of a sum stands in the translation once: it was tripled by each
        "1" + " + 1" * 40,
        "CAST(1 AS BIGINT)" + " * 1" * 40,
        "- (" * 20 + "1" + ")" * 20,
        "TRUE" + " AND TRUE" * 150,
        "amount = 1" + " OR amount = 1" * 80,
    ],
    ids=["brackets", "not", "sum", "product", "signs", "and", "or"],
)
def test_long_expressions_are_translated(expression: str) -> None:
    assert result_schema(HiveQL(select(expression)), TABLES).names == ["v"]


def test_functions_around_functions_are_refused_before_they_fill_the_memory() -> None:
    with pytest.raises(QueryError, match="within each other"):
        result_schema(HiveQL(select("ABS(" * 30 + "1" + ")" * 30)), TABLES)


@pytest.mark.parametrize(
    "kind", ["DECIMAL(99,2)", "DECIMAL(3,9)", "DECIMAL(0,0)", "DECIMAL(x,2)", "DECIMAL(1,2,3)", "DECIMAL('2',1)"]
)
def test_digits_that_a_decimal_cannot_have(kind: str) -> None:
    with pytest.raises(QueryError, match=r"DECIMAL\(18,2\)"):
        parse(select(f"CAST(amount AS {kind})"))


@pytest.mark.parametrize("what", ["'a'", "1", "amount"])
def test_is_takes_null_true_and_false(what: str) -> None:
    with pytest.raises(QueryError, match="NULL, TRUE or FALSE"):
        parse(select(f"amount IS {what}"))


@pytest.mark.parametrize(
    ("written", "instead"),
    {
        "LOCATE('a', merchant_id, 2)": "INSTR(SUBSTR(",
        "Next_Day(ds, 'MO')": "DATE_ADD",
        "trunc(ds, 'MM')": "DATE_FORMAT",
        "from_utc_timestamp(event_time, 'CET')": "UTC",
        "to_utc_timestamp(event_time, 'CET')": "UTC",
        "merchant_id LIKE ANY ('a', 'b')": "OR",
        "merchant_id LIKE ALL ('a', 'b')": "AND",
        "merchant_id SIMILAR TO 'a'": "RLIKE",
        "levenshtein(merchant_id, 'a')": "differently",
        "get_json_object(merchant_id, '$.a')": "column",
        "median(amount)": "PERCENTILE",
        "approx_count_distinct(amount)": "COUNT(DISTINCT",
        "now()": ":window_start",
        "signum(amount)": "CASE",
        "printf('%s', amount)": "CONCAT",
        "find_in_set('a', merchant_id)": "ARRAY_CONTAINS",
        "array_distinct(SPLIT(merchant_id, ','))": "SORT_ARRAY",
        "format_number(amount, 2)": "ROUND",
    }.items(),
)
def test_what_is_refused_says_what_to_write_instead(written: str, instead: str) -> None:
    with pytest.raises(QueryError) as refused:
        parse(select(written))
    said = str(refused.value)
    assert instead in said
    if "(" in written.partition(" ")[0]:
        assert f"{written.partition('(')[0]}()" in said, "the function as it was written"
