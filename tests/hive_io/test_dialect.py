"""HiveQL: what is read, what is bound, what is refused with its line, and what the allowed part means."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from hive_io import EmbeddedWarehouse, HiveQL, QueryError
from hive_io.dialect import Value, bind, literal, parse, to_duckdb
from tests.hive_io_fixtures import PAYMENTS, days, payments
from tests.hiveql_meanings import MEANS, QUERIES, SHOP

UTC = dt.UTC
T = "fintech.payments"


def in_duckdb(text: str, params: dict[str, Value] | None = None) -> Any:
    """The one value of a query without tables."""
    ((value,),) = duckdb.sql(to_duckdb(HiveQL(text, params or {}).bound(), str)).fetchall()
    return value


# --- parsing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-- nothing but a comment",
        "SELECT 1 AS a; SELECT 2 AS b",
        "INSERT INTO fintech.payments SELECT * FROM fintech.others",
        "INSERT OVERWRITE TABLE fintech.payments PARTITION (ds = 'x') SELECT 1",
        "CREATE TABLE fintech.x AS SELECT 1 AS a",
        "DROP TABLE fintech.payments",
        "ALTER TABLE fintech.payments DROP PARTITION (ds = '2026-01-01')",
        "LOAD DATA INPATH '/x' INTO TABLE fintech.payments",
        "SET hive.exec.dynamic.partition = true",
        "DELETE FROM fintech.payments",
        "SELECT 1 AS a; DROP TABLE fintech.payments",
    ],
)
def test_anything_but_one_select_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="A query is one SELECT") as refused:
        parse(text)
    assert refused.value.line == 1


@pytest.mark.parametrize("text", ["SELECT 1 AS a;", "SELECT 1 AS a ;\n\n", "-- why\nSELECT 1 AS a", "/* why */ SELECT 1 AS a"])
def test_comments_and_a_semicolon_at_the_end_are_no_second_statement(text: str) -> None:
    assert parse(text).sql(dialect="hive", comments=False) == "SELECT 1 AS a"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("SELECT a\nFROM fintech.payments\nWHERE (a = 1", 3),
        ("SELECT a,\n  FROM WHERE", 2),
        ("SELECT a\nFROM fintech.payments p\nJOIN ON p.a = 1", 3),
        ("SELEC a FROM fintech.payments", 1),
    ],
)
def test_broken_sql_names_its_line(text: str, line: int) -> None:
    with pytest.raises(QueryError) as refused:
        parse(text)
    assert refused.value.line == line


@pytest.mark.parametrize("text", ["SELECT 'never closed AS a", "SELECT `never closed FROM t", "SELECT 1 /* never closed"])
def test_a_quote_that_is_never_closed_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text)


# --- parameters -------------------------------------------------------------------------------------------------------


def test_parameters_are_bound_wherever_they_stand() -> None:
    text = "SELECT :a AS x FROM fintech.t WHERE ds BETWEEN :a AND :b AND n IN (:n, :m) AND note <> ':a'"
    bound = bind(parse(text), {"a": "2026-01-01", "b": "2026-01-02", "n": 1, "m": None})
    assert bound.sql(dialect="hive") == (
        "SELECT '2026-01-01' AS x FROM fintech.t "
        "WHERE ds BETWEEN '2026-01-01' AND '2026-01-02' AND n IN (1, NULL) AND note <> ':a'"
    )


def test_a_parameter_without_a_value_is_named_with_those_that_have_one() -> None:
    with pytest.raises(QueryError, match=r":limit has no value; known parameters: :first, :last"):
        bind(parse("SELECT a FROM fintech.t WHERE n > :limit"), {"last": 2, "first": 1})
    with pytest.raises(QueryError, match=r"known parameters: none"):
        HiveQL("SELECT :x AS x").bound()


def test_a_value_is_a_literal_and_never_sql() -> None:
    poison = "' OR 1 = 1; DROP TABLE fintech.payments; --"
    bound = bind(parse("SELECT a FROM fintech.t WHERE a = :a"), {"a": poison})
    where = bound.args["where"].this
    assert isinstance(where, exp.EQ)
    assert where.expression.this == poison
    assert in_duckdb("SELECT :a AS a", {"a": poison}) == poison


def test_binding_leaves_the_tree_that_was_parsed_alone() -> None:
    tree = parse("SELECT :a AS a")
    assert [bind(tree, {"a": n}).sql(dialect="hive") for n in (1, 2)] == ["SELECT 1 AS a", "SELECT 2 AS a"]


def test_a_query_prints_as_hive_runs_it() -> None:
    text = str(HiveQL("select nvl(a, :a) as a from fintech.t", {"a": "it's"}))
    assert text == "SELECT\n  COALESCE(a, 'it\\'s') AS a\nFROM fintech.t"


VALUES: list[tuple[Value, Any]] = [
    ("it's", "it's"),
    ('say "hi"', 'say "hi"'),
    ("back\\slash", "back\\slash"),
    ("ends with \\", "ends with \\"),
    ("\\' both", "\\' both"),
    ("\\n is two letters", "\\n is two letters"),
    ("line\nbreak\ttab", "line\nbreak\ttab"),
    ("Zoë 東京 😀", "Zoë 東京 😀"),
    ("", ""),
    (":name ${hiveconf:x} %s", ":name ${hiveconf:x} %s"),
    (True, True),
    (False, False),
    (None, None),
    (0, 0),
    (-7, -7),
    (2**63 - 1, 2**63 - 1),
    (-(2**63), -(2**63)),
    (Decimal("0.10"), Decimal("0.10")),
    (Decimal("-0.001"), Decimal("-0.001")),
    (Decimal("1E+3"), Decimal("1000")),
    (Decimal("9999999999999999.99"), Decimal("9999999999999999.99")),
    (Decimal("9" * 34 + ".9999"), Decimal("9" * 34 + ".9999")),
    (dt.datetime(2026, 1, 31, 23, 59, 59, 999_999, UTC), dt.datetime(2026, 1, 31, 23, 59, 59, 999_999)),
    (dt.datetime(2026, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))), dt.datetime(2025, 12, 31, 23)),
]


@pytest.mark.parametrize(("value", "meant"), VALUES, ids=repr)
def test_a_literal_means_its_value_in_duckdb_and_in_hive(value: Value, meant: Any) -> None:
    assert in_duckdb("SELECT :value AS x", {"value": value}) == meant
    # what Hive is sent, read again
    sent = bind(parse("SELECT :value AS x"), {"value": value}).sql(dialect="hive")
    assert in_duckdb(sent) == meant


@pytest.mark.parametrize("number", [Decimal("0.10"), Decimal("100.000"), Decimal("-0.0001"), Decimal("7"), Decimal("1E+3")])
def test_a_decimal_keeps_its_digits(number: Decimal) -> None:
    found = in_duckdb("SELECT :value AS x", {"value": number})
    assert isinstance(found, Decimal)
    assert str(found) == f"{number:f}"


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
    | st.integers(-(2**63), 2**63 - 1)
    | st.decimals(Decimal(-(10**16)), Decimal(10**16), places=4)
    | st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(9999, 12, 30), timezones=st.timezones())
)
def test_for_all_values_the_literal_survives_hive_and_duckdb(value: Value) -> None:
    meant = value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, dt.datetime) else value
    sent = bind(parse("SELECT :value AS x"), {"value": value}).sql(dialect="hive")
    assert in_duckdb(sent) == in_duckdb("SELECT :value AS x", {"value": value}) == meant


def test_a_time_without_a_zone_and_a_decimal_that_is_no_number_are_refused() -> None:
    with pytest.raises(QueryError, match="2026-01-01 00:00:00 has no time zone"):
        literal(dt.datetime(2026, 1, 1))
    for text in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(QueryError, match="is no number"):
            literal(Decimal(text))


# --- the allow-list: refused ------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str, str]] = {
    "mean": ("avg(amount)", "SUM"),
    "deviation": ("stddev(amount)", "SUM"),
    "deviation of the population": ("stddev_pop(amount)", "SUM"),
    "deviation of a sample": ("stddev_samp(amount)", "SUM"),
    "variance": ("variance(amount)", "SUM"),
    "percentile": ("percentile(amount, 0.5)", "allow-list"),
    "percentile_approx": ("percentile_approx(amount, 0.5)", "allow-list"),
    "greatest": ("greatest(a, b)", "CASE"),
    "least": ("least(a, b)", "CASE"),
    "round": ("round(ratio, 2)", "DECIMAL"),
    "size": ("size(tags)", "NULL"),
    "collect_set": ("collect_set(a)", "order"),
    "substr": ("substr(a, 0, 3)", "position 0"),
    "dayofweek": ("dayofweek(a)", "Sunday"),
    "ln": ("ln(a)", "allow-list"),
    "a column as INT": ("CAST(ratio AS INT)", "FLOOR"),
    "a ratio as DECIMAL": ("CAST(CAST(a AS DOUBLE) / b AS DECIMAL(18,2))", "FLOOR"),
    "a root as DECIMAL": ("CAST(CASE WHEN a > 0 THEN sqrt(a) ELSE 0 END AS DECIMAL(18,2))", "FLOOR"),
    "a ratio that is whole before it is divided by 3": ("CAST(FLOOR(a) / 3 AS DECIMAL(18,2))", "FLOOR"),
    "a time as BIGINT": ("CAST(event_time AS BIGINT)", "UNIX_TIMESTAMP"),
    "a sum as SMALLINT": ("CAST(a + 1 AS SMALLINT)", "FLOOR"),
    "unix_timestamp with a format": ("unix_timestamp(a, 'yyyy-MM-dd')", "UNIX_TIMESTAMP with a format"),
    "from_unixtime": ("from_unixtime(a, \"yyyy-MM-dd'T'HH\")", "allow-list"),
    "pmod": ("pmod(a, 7)", r"pmod\(\) is not in the allow-list"),
    "modulo": ("a % 7", "allow-list"),
    "conv": ("conv(a, 10, 2)", r"conv\(\)"),
    "stack": ("stack(2, a, b)", r"stack\(\)"),
    "str_to_map": ("str_to_map(a)", "allow-list"),
    "elt": ("elt(1, a, b)", "allow-list"),
    "from_utc_timestamp": ("from_utc_timestamp(a, 'Europe/Berlin')", "allow-list"),
    "rand": ("rand()", "allow-list"),
    "current_timestamp": ("current_timestamp()", "allow-list"),
    "a function nobody knows": ("frobnicate(a)", r"frobnicate\(\)"),
    "a struct": ("named_struct('a', 1)", "allow-list"),
    "an item of an array": ("tags[0]", "allow-list"),
    "an interval": ("event_time - INTERVAL 1 DAY", "allow-list"),
    "a regular expression": ("a RLIKE 'x'", "allow-list"),
    "a comparison as text": ("CAST(a > 1 AND b > 2 AS STRING)", "'TRUE' to Apache Hive"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_an_expression_that_engines_read_differently_is_refused_with_its_line(what: str) -> None:
    expression, why = REFUSED[what]
    text = f"SELECT\n  a,\n  b,\n  {expression} AS x\nFROM fintech.t\nWHERE ds = '2026-01-01'"
    with pytest.raises(QueryError, match=why) as refused:
        parse(text)
    assert refused.value.line == 4


CLAUSES: dict[str, tuple[str, str, int]] = {
    "LATERAL VIEW": ("SELECT a, tag\nFROM fintech.t\nLATERAL VIEW explode(tags) x AS tag", "explode", 3),
    "LATERAL VIEW OUTER": ("SELECT a, tag\nFROM fintech.t\nLATERAL VIEW OUTER explode(tags) x AS tag", "explode", 3),
    "LIMIT": ("SELECT a\nFROM fintech.t\nLIMIT 5", "ROW_NUMBER", 3),
    "TABLESAMPLE": ("SELECT a\nFROM fintech.t TABLESAMPLE(10 PERCENT)", "allow-list", 2),
    "WITH ROLLUP": ("SELECT a, count(*) AS n\nFROM fintech.t\nGROUP BY a WITH ROLLUP", "allow-list", 3),
    "SORT BY": ("SELECT a\nFROM fintech.t\nSORT BY a", "allow-list", 3),
    "DISTRIBUTE BY": ("SELECT a\nFROM fintech.t\nDISTRIBUTE BY a", "allow-list", 3),
    "today": ("SELECT current_date AS x", "allow-list", 1),
    "a hint": ("SELECT /*+ MAPJOIN(t) */ a\nFROM fintech.t", "allow-list", 1),
    "VALUES": ("SELECT a\nFROM (VALUES (1)) AS v(a)", "allow-list", 2),
    "INTERSECT": ("SELECT a FROM fintech.t\nINTERSECT\nSELECT a FROM fintech.u", "allow-list", 1),
    "a table function": ("SELECT a\nFROM read_parquet('x')", "allow-list", 2),
    "LEFT ANTI JOIN": ("SELECT t.a\nFROM fintech.t t\nLEFT ANTI JOIN fintech.u u ON u.a = t.a", "Apache Hive has none", 3),
    "in a subquery": ("SELECT a\nFROM (\n  SELECT avg(a) AS a\n  FROM fintech.t\n) x", "SUM", 3),
    "in a WITH": ("WITH x AS (\n  SELECT\n    greatest(a, b) AS a\n  FROM fintech.t\n)\nSELECT a FROM x", "CASE", 3),
    "in a join": ("SELECT t.a\nFROM fintech.t t\nJOIN fintech.u u\n  ON round(u.a) = t.a", "DECIMAL", 4),
    "in the second of a UNION": ("SELECT a FROM fintech.t\nUNION ALL\nSELECT avg(a) AS a FROM fintech.t", "SUM", 3),
}


@pytest.mark.parametrize("what", CLAUSES)
def test_a_clause_that_engines_read_differently_is_refused_with_its_line(what: str) -> None:
    text, why, line = CLAUSES[what]
    with pytest.raises(QueryError, match=why) as refused:
        parse(text)
    assert refused.value.line == line


@pytest.mark.parametrize(
    "condition",
    [
        "ds = 20260101",
        "20260101 < ds",
        "ds = DATE '2026-01-01'",
        "ds = (DATE '2026-01-01')",
        "t.ds = CAST('2026-01-01' AS DATE)",
        "ds >= to_date(event_time)",
        "ds >= date_sub('2026-01-08', 7)",
        "date_add('2026-01-01', 1) = ds",
        "ds = CAST(event_time AS TIMESTAMP)",
        "ds BETWEEN date_sub('2026-01-08', 7) AND '2026-01-08'",
        "ds BETWEEN '2026-01-01' AND DATE '2026-01-08'",
        "ds IN ('2026-01-01', DATE '2026-01-02')",
        "ds <=> 5",
    ],
)
def test_the_day_compared_with_something_else_than_text_is_refused(condition: str) -> None:
    with pytest.raises(QueryError, match="ds is text") as refused:
        parse(f"SELECT a\nFROM fintech.t t\nWHERE a > 1\n  AND {condition}")
    assert refused.value.line == 4


@pytest.mark.parametrize(
    "condition",
    [
        "ds = '2026-01-01'",
        "ds = :day",
        "ds BETWEEN :first AND '2026-01-08'",
        "ds IN ('2026-01-01', :day)",
        "t.ds = u.ds",
        "ds >= date_format(date_sub('2026-01-08', 7), 'yyyy-MM-dd')",
        "ds = CAST(event_time AS STRING)",
        "n = 5 AND day = DATE '2026-01-01'",
    ],
)
def test_the_day_compared_with_text_is_allowed(condition: str) -> None:
    assert isinstance(parse(f"SELECT a FROM fintech.t t WHERE {condition}"), exp.Select)


# --- the allow-list: allowed, and what it means -----------------------------------------------------------------------


@pytest.mark.parametrize(("expression", "value"), MEANS, ids=[text for text, _ in MEANS])
def test_an_allowed_expression_means_in_duckdb_what_it_means_in_hive(expression: str, value: Any) -> None:
    found = in_duckdb(f"SELECT {expression} AS x")
    assert found == value
    assert type(found) is type(value)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedWarehouse:
    warehouse = EmbeddedWarehouse(tmp_path_factory.mktemp("shop"))
    warehouse.replace(PAYMENTS, payments(*SHOP), days(1, 2))
    return warehouse


@pytest.mark.parametrize("what", QUERIES)
def test_an_allowed_query_gives_these_rows(shop: EmbeddedWarehouse, what: str) -> None:
    text, rows = QUERIES[what]
    found = [tuple(row.values()) for row in shop.query(HiveQL(text)).to_pylist()]
    assert sorted(found, key=repr) == sorted(rows, key=repr)


def test_a_list_in_a_growing_window_has_its_order(shop: EmbeddedWarehouse) -> None:
    query = HiveQL(
        "SELECT at, collect_list(amount) OVER (PARTITION BY id ORDER BY at DESC ROWS BETWEEN UNBOUNDED PRECEDING "
        f"AND CURRENT ROW) AS x FROM {T} WHERE id = 'a'"
    )
    found = {row["at"].minute: [str(x) for x in row["x"]] for row in shop.query(query).to_pylist()}
    assert found == {10: ["0.30"], 9: ["0.30", "0.20"], 0: ["0.30", "0.20", "0.10"]}


# --- translation ------------------------------------------------------------------------------------------------------


def test_tables_become_the_relations_of_the_engine() -> None:
    asked: list[str] = []

    def relation(name: str) -> str:
        asked.append(name)
        return f"r {name}"

    sql = to_duckdb(parse("WITH x AS (SELECT a FROM fintech.t) SELECT x.a FROM x JOIN other.u ON u.a = x.a"), relation)
    assert sorted(asked) == ["fintech.t", "other.u"]
    tables = {table.name for table in sqlglot.parse_one(sql, read="duckdb").find_all(exp.Table)}
    assert tables == {"r fintech.t", "x", "r other.u"}


def test_a_table_without_its_database_is_refused_with_its_line() -> None:
    with pytest.raises(QueryError, match=r"There is no table payments; tables are named database\.table") as refused:
        to_duckdb(parse("SELECT a\nFROM payments"), str)
    assert refused.value.line == 2
