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

from hive_io import Column, EmbeddedWarehouse, HiveQL, QueryError, Table
from hive_io.dialect import Value, bind, check, literal, parse, to_duckdb, to_hive
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
        with pytest.raises(QueryError, match="is not a finite number"):
            literal(Decimal(text))


# --- the allow-list: refused ------------------------------------------------------------------------------------------

TYPED = Table(
    "fintech",
    "t",
    (
        Column("a", "DECIMAL(18,2)"),
        Column("b", "INT"),
        Column("ratio", "DOUBLE"),
        Column("name", "STRING"),
        Column("event_time", "TIMESTAMP"),
        Column("tags", "ARRAY<STRING>"),
    ),
)
"""What the expressions below are about."""

REFUSED: dict[str, tuple[str, str]] = {
    "mean of a DOUBLE": ("avg(ratio)", "CAST it to DECIMAL"),
    "sum of a DOUBLE": ("sum(ratio)", "CAST it to DECIMAL"),
    "deviation of a DOUBLE": ("stddev(ratio)", "CAST it to DECIMAL"),
    "variance of a DOUBLE": ("variance(ratio)", "CAST it to DECIMAL"),
    "percentile_approx": ("percentile_approx(a, 0.5)", "allow-list.*PERCENTILE"),
    "a set in an order": ("collect_set(name)", "order"),
    "a list in an order": ("collect_list(name)", "order"),
    "a DOUBLE as INT": ("CAST(ratio AS INT)", "FLOOR"),
    "a DOUBLE as text": ("CAST(ratio AS STRING)", "CAST it to DECIMAL"),
    "a DOUBLE in a text": ("concat('x', ratio)", "DOUBLE"),
    "a time as BIGINT": ("CAST(event_time AS BIGINT)", "UNIX_TIMESTAMP"),
    "unix_timestamp with a format": ("unix_timestamp(name, 'yyyy-MM-dd')", "UNIX_TIMESTAMP with a format"),
    "unix_timestamp of a text": ("unix_timestamp(name)", "CAST the text AS TIMESTAMP"),
    "unix_timestamp of the day": ("unix_timestamp(ds)", "CAST the text AS TIMESTAMP"),
    "from_unixtime with quoted letters": ("from_unixtime(b, \"yyyy-MM-dd'T'HH\")", "CONCAT for other text"),
    "date_format of a week-year": ("date_format(event_time, 'YYYY')", "yyyy"),
    "date_format of milliseconds": ("date_format(event_time, 'HH:mm:ss.SSS')", "'S' in the pattern"),
    "date_format of a quarter": ("date_format(event_time, 'Q')", "'Q' in the pattern"),
    "date_format of a week day": ("date_format(event_time, 'u')", "'u' in the pattern"),
    "conv": ("conv(a, 10, 2)", r"conv\(\)"),
    "stack": ("stack(2, a, b)", r"stack\(\)"),
    "str_to_map": ("str_to_map(name)", "allow-list"),
    "elt": ("elt(1, a, b)", "allow-list"),
    "from_utc_timestamp": ("from_utc_timestamp(event_time, 'Europe/Berlin')", "allow-list"),
    "rand": ("rand()", "allow-list"),
    "current_timestamp": ("current_timestamp()", "allow-list"),
    "a function nobody knows": ("frobnicate(a)", r"frobnicate\(\)"),
    "a struct": ("named_struct('a', 1)", "allow-list"),
    "a place in a text": ("name[0]", "not an ARRAY"),
    "size of a text, as it was written": ("SIZE(name)", r"SIZE: name is STRING; it takes size\(ARRAY\)"),
    "instr of a number, as it was written": ("instr(b, 'x')", "instr: b is INT"),
    "a day and an interval": ("to_date(event_time) + INTERVAL 1 DAY", "DATE_ADD"),
    "an interval in the plural": ("event_time - INTERVAL '10' MINUTES", "not MINUTES; write INTERVAL 10 MINUTE$"),
    "an interval of weeks": ("event_time - INTERVAL 2 WEEK", "not WEEK, as in INTERVAL 90 MINUTE$"),
    "an interval without a number": ("event_time - INTERVAL a MINUTES", "INTERVAL takes a whole number"),
    "times of one another": ("event_time - event_time", "where a number is wanted"),
    "a number compared with a text": ("a = '12.345'", "compares DECIMAL"),
    "a number in a list of texts": ("a IN ('12.345')", "compares DECIMAL"),
    "a condition compared with a text": ("(a > 1) = 'true'", "compares BOOLEAN with STRING"),
    "a text as a condition": ("CAST(name AS BOOLEAN)", "x = 'true'"),
    "a flag of a regular expression": ("name RLIKE '(?i)x'", "LOWER"),
    "looking ahead": ("name RLIKE 'a(?=b)'", "look-around"),
    "a group that the pattern has not": ("regexp_replace(name, 'b', '$1')", "no group"),
    "the last letters that LIKE escapes": (r"name LIKE 'a\\\\b'", "backslash"),
    "a pattern of a column": ("'x' LIKE name", "INSTR"),
    "numbers and texts in one CASE": ("CASE WHEN a > 1 THEN 1 ELSE 'a' END", "no common type"),
    "a time that is none": ("CAST('2026-02-30' AS TIMESTAMP)", "no time of the calendar"),
    "a time with a zone": ("CAST('2026-01-02 03:04:05+02:00' AS TIMESTAMP)", "2026-01-31 23:59:59"),
    "digits that no engine keeps": ("CAST(a AS DECIMAL(38,6)) * CAST(a AS DECIMAL(38,6))", "38 digits"),
    "a quotient as text": ("CAST(a / a AS STRING)", "round it first"),
    "DIV of a DECIMAL": ("a DIV 2", "FLOOR"),
    "a rank without an order": ("rank() OVER (PARTITION BY b)", "ORDER BY"),
    "a rank without a window": ("row_number()", "OVER"),
    "COUNT DISTINCT in a window": ("count(DISTINCT b) OVER (ORDER BY b RANGE 1 PRECEDING)", "Spark has none"),
    "a frame by RANGE of a DOUBLE": ("sum(b) OVER (ORDER BY ratio RANGE 1 PRECEDING)", "UNIX_TIMESTAMP"),
    "a frame that Hive cannot read": ("sum(b) OVER (ORDER BY b RANGE 3000000000 PRECEDING)", "1073741823"),
    "text cut by a type": ("CAST(name AS VARCHAR(3))", "SUBSTR"),
    "a cast by colons": ("a::int", "CAST"),
    "max of two": ("max(a, 2)", "GREATEST"),
    "ifnull": ("ifnull(a, 2)", "NVL"),
    "another engine's name": ("array_size(tags)", "write size"),
    "a column that is not there": ("t.price", "price"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_an_expression_that_engines_read_differently_is_refused_with_its_line(what: str) -> None:
    expression, why = REFUSED[what]
    text = f"SELECT\n  a,\n  b,\n  {expression} AS x\nFROM fintech.t\nWHERE ds = '2026-01-01'"
    with pytest.raises(QueryError, match=why) as refused:
        for problem in check(parse(text), {TYPED.full_name: TYPED}):
            raise problem
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
    "DISTINCT ON": ("SELECT DISTINCT ON (a) a\nFROM fintech.t", "ROW_NUMBER", 1),
    "GROUP BY ALL": ("SELECT a\nFROM fintech.t\nGROUP BY ALL", "name the columns", 2),
    "GROUP BY a place": ("SELECT a\nFROM fintech.t\nGROUP BY 1", "name the column", 3),
    "an EXCLUDE": (
        "SELECT a,\nsum(b) OVER (ORDER BY b ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) AS n\nFROM fintech.t",
        "Apache Hive has none",
        2,
    ),
    "EXCEPT columns": ("SELECT * EXCEPT (a)\nFROM fintech.t", "name the columns", 1),
    "NATURAL JOIN": ("SELECT a\nFROM fintech.t\nNATURAL JOIN fintech.u", "say ON", 3),
    "ASOF JOIN": ("SELECT a\nFROM fintech.t\nASOF JOIN fintech.u ON a = b", "say ON", 3),
    "JOIN USING": ("SELECT a\nFROM fintech.t\nJOIN fintech.u USING (a)", "ON a.x = b.x", 3),
    "UNION BY NAME": ("SELECT a\nFROM fintech.t\nUNION ALL BY NAME SELECT a FROM fintech.u", "one order", 1),
    "WITH RECURSIVE": ("WITH RECURSIVE x AS (SELECT 1 AS a) SELECT a FROM x", "Apache Hive has none", 1),
    "a table of three names": ("SELECT a\nFROM lake.fintech.t", r"database\.table", 2),
    "QUALIFY": ("SELECT a\nFROM fintech.t\nQUALIFY row_number() OVER (ORDER BY a) = 1", "Spark has none", 1),
    "IGNORE NULLS": ("SELECT first_value(a) IGNORE NULLS OVER (ORDER BY b) AS x\nFROM fintech.t", "IGNORE NULLS", 1),
    "FILTER": ("SELECT sum(a) FILTER (WHERE b) AS x\nFROM fintech.t", "Apache Hive has none", 1),
    "VARCHAR": ("SELECT a,\nCAST(a AS varchar(3)) AS b\nFROM fintech.t", "SUBSTR", 2),
    "LEFT ANTI JOIN": ("SELECT t.a\nFROM fintech.t t\nLEFT ANTI JOIN fintech.u u ON u.a = t.a", "Apache Hive has none", 3),
    "in a subquery": ("SELECT a\nFROM (\n  SELECT percentile_approx(a, 0.5) AS a\n  FROM fintech.t\n) x", "PERCENTILE", 3),
    "in a WITH": ("WITH x AS (\n  SELECT\n    rand() AS a\n  FROM fintech.t\n)\nSELECT a FROM x", "allow-list", 3),
    "in a join": ("SELECT t.a\nFROM fintech.t t\nJOIN fintech.u u\n  ON conv(u.a, 10, 2) = t.a", "CAST", 4),
    "in the second of a UNION": (
        "SELECT a FROM fintech.t\nUNION ALL\nSELECT levenshtein(a, 'b') AS a FROM fintech.t",
        "letters",
        3,
    ),
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


@pytest.mark.parametrize(
    "text",
    [
        "WITH p AS (SELECT * FROM fintech.payments) SELECT p.id FROM p",
        "SELECT d.id, d.one FROM (SELECT p.*, 1 AS one FROM fintech.payments p) d",
        "SELECT d.id FROM (SELECT * FROM fintech.payments UNION ALL SELECT 'a' AS id) d",
    ],
)
def test_a_star_may_stand_for_any_column_of_a_table_that_is_not_known_yet(text: str) -> None:
    assert parse(text).sql("hive")


def test_a_column_that_a_subquery_lacks_is_refused() -> None:
    with pytest.raises(QueryError, match="d has no column id; it has one"):
        parse("SELECT d.id FROM (SELECT 1 AS one FROM fintech.payments p) d")


def test_a_table_without_its_database_is_refused_with_its_line() -> None:
    with pytest.raises(QueryError, match=r"There is no table payments; tables are named database\.table") as refused:
        to_duckdb(parse("SELECT a\nFROM payments"), str)
    assert refused.value.line == 2


def test_an_alias_is_no_column_in_where() -> None:
    text = "SELECT a + 1 AS more\nFROM fintech.t\nWHERE more > 2"
    (problem,) = check(parse(text), {TYPED.full_name: TYPED})
    assert "a name that SELECT gives" in str(problem)
    assert problem.line == 3


def test_what_is_within_a_replaced_part_is_translated() -> None:
    sql = to_duckdb(HiveQL("SELECT unix_timestamp(at) DIV 3600 AS h, (n DIV 0) DIV 2 AS z FROM fintech.t").bound(), str)
    assert "UNIX_TIMESTAMP" not in sql
    assert sql.count("NULLIF") == 3
    inner = to_duckdb(
        HiveQL("SELECT (SELECT max(n) FROM fintech.u) DIV 2 AS x FROM fintech.t").bound(), lambda name: f"r {name}"
    )
    assert '"r fintech.u"' in inner


def test_names_and_functions_are_read_in_any_letter_case() -> None:
    tree = parse("SELECT T.Amount AS Total, Hour(T.AT) AS h FROM FINTECH.Payments T WHERE T.DS = 'A'")
    assert tree.sql("hive") == "SELECT t.amount AS total, HOUR(t.at) AS h FROM fintech.payments AS t WHERE t.ds = 'A'"


NEAR = "sum(b) OVER (PARTITION BY name ORDER BY unix_timestamp(event_time){down} RANGE BETWEEN {frame}) AS x"


@pytest.mark.parametrize(
    ("frame", "hive"),
    [
        ("10 PRECEDING AND 1 PRECEDING", "20 PRECEDING AND 1 PRECEDING"),
        ("10 PRECEDING AND 3 PRECEDING", "20 PRECEDING AND 5 PRECEDING"),
        ("1 FOLLOWING AND 10 FOLLOWING", "1 FOLLOWING AND 20 FOLLOWING"),
        ("UNBOUNDED PRECEDING AND 2 PRECEDING", "UNBOUNDED PRECEDING AND 3 PRECEDING"),
    ],
)
def test_a_frame_that_leaves_out_the_current_row_counts_in_halves_on_apache_hive(frame: str, hive: str) -> None:
    tree = parse(f"SELECT {NEAR.format(down='', frame=frame)} FROM fintech.t")
    assert hive in to_hive(tree, engine="hive")
    assert frame in to_hive(tree, engine="spark")


@pytest.mark.parametrize(
    "frame", ["10 PRECEDING AND CURRENT ROW", "CURRENT ROW AND 10 FOLLOWING", "10 PRECEDING AND 5 FOLLOWING"]
)
def test_another_frame_is_sent_as_it_is(frame: str) -> None:
    assert frame in to_hive(parse(f"SELECT {NEAR.format(down='', frame=frame)} FROM fintech.t"), engine="hive")


def test_bounds_over_31_bits_are_for_microseconds() -> None:
    tree = parse(
        "SELECT count(*) OVER (ORDER BY unix_micros(t.at) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW) AS x "
        "FROM fintech.t"
    )
    sent = to_hive(tree, engine="hive")
    assert "86399999999" not in sent
    assert "1073741824 PRECEDING" in sent
    assert "86399999999 PRECEDING" in to_hive(tree, engine="spark")
