"""Queries for a span: the rows that are read of each table, and the literals that replace params."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from fraud_assets.schemas.catalog import fixed_tables
from fraud_assets.sql.files import FrontMatter, SqlFile, read_file
from fraud_assets.sql.windows import as_cte, hiveql, window_query, with_ctes, within
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, NOON, SPAN, fill, transaction

TABLES = fixed_tables()
PART = Span(dt.datetime(2026, 1, 5, 10, tzinfo=dt.UTC), dt.datetime(2026, 1, 5, 11, tzinfo=dt.UTC))
TIMED = "event_time >= CAST('{}' AS TIMESTAMP) AND event_time < CAST('{}' AS TIMESTAMP)"


def file_of(folder: Path, select: str, more: str = "") -> SqlFile[FrontMatter]:
    path = folder / "a_file.sql"
    path.write_text(f"-- title: A\n-- description: B.\n{more}{select}")
    return read_file(path, FrontMatter)


def read_of(tree: exp.Query, table: str) -> str:
    """The condition on the rows that are read of a table."""
    [select] = [t.find_ancestor(exp.Select) for t in tree.find_all(exp.Table) if t.name == table]
    assert select is not None
    return select.args["where"].this.sql("hive")


@pytest.mark.parametrize(
    ("lookback", "span", "expected"),
    [
        ("0m", SPAN, "ds >= '2026-01-05' AND ds <= '2026-01-05'"),
        ("0m", Span.days(DAY, DAY + dt.timedelta(days=30)), "ds >= '2026-01-05' AND ds <= '2026-02-04'"),
        ("1d", SPAN, "ds >= '2026-01-04' AND ds <= '2026-01-05'"),
        ("24h", SPAN, "ds >= '2026-01-04' AND ds <= '2026-01-05'"),
        (
            "10m",
            SPAN,
            "(ds >= '2026-01-04' AND ds <= '2026-01-05') AND "
            + TIMED.format("2026-01-04 23:50:00.000000", "2026-01-06 00:00:00.000000"),
        ),
        (
            "0m",
            PART,
            "(ds >= '2026-01-05' AND ds <= '2026-01-05') AND "
            + TIMED.format("2026-01-05 10:00:00.000000", "2026-01-05 11:00:00.000000"),
        ),
        (
            "11h",
            PART,
            "(ds >= '2026-01-04' AND ds <= '2026-01-05') AND "
            + TIMED.format("2026-01-04 23:00:00.000000", "2026-01-05 11:00:00.000000"),
        ),
    ],
)
def test_a_table_is_read_by_day_and_by_time_only_if_that_reads_less(
    tmp_path: Path, lookback: str, span: Span, expected: str
) -> None:
    file = file_of(tmp_path, "SELECT t.amount FROM transactions t", f"-- lookback: {lookback}\n")
    assert read_of(window_query(file, TABLES, span), "transactions") == expected


def test_a_table_without_a_time_column_is_read_by_whole_days(tmp_path: Path) -> None:
    file = file_of(tmp_path, "SELECT p.transactions FROM customer_profiles p")
    assert read_of(window_query(file, TABLES, PART), "customer_profiles") == "ds >= '2026-01-05' AND ds <= '2026-01-05'"


def test_a_history_is_read_up_to_the_day_before_the_last(tmp_path: Path) -> None:
    file = file_of(tmp_path, "SELECT r.report_id FROM fraud_reports r JOIN credit_scores s ON s.customer_id = r.customer_id")
    span = Span.days(DAY, DAY + dt.timedelta(days=2))
    tree = window_query(file, TABLES, span, {"fraud_reports": dt.timedelta(days=90)})
    assert read_of(tree, "fraud_reports") == "ds >= '2025-10-07' AND ds <= '2026-01-06'"
    assert read_of(tree, "credit_scores") == "ds >= '2026-01-05' AND ds <= '2026-01-07'"


def test_every_mention_of_a_table_is_bounded(tmp_path: Path) -> None:
    select = (
        "WITH a AS (SELECT amount FROM transactions) SELECT a.amount FROM a WHERE EXISTS (SELECT 1 FROM transactions) "
        "UNION ALL SELECT t.amount FROM (SELECT amount FROM transactions) t"
    )
    tree = window_query(file_of(tmp_path, select), TABLES, SPAN)
    mentions = [t for t in tree.find_all(exp.Table) if t.name == "transactions"]
    assert len(mentions) == 3
    for mention in mentions:
        where = mention.find_ancestor(exp.Select).args["where"]  # type: ignore[union-attr]
        assert where.sql("hive") == "WHERE ds >= '2026-01-05' AND ds <= '2026-01-05'"


def test_params_are_literals_of_their_type(tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    more = (
        "-- params:\n"
        "--   share: {type: decimal, default: 0.05, min: 0, max: 1, description: A.}\n"
        "--   least: {type: integer, default: 3, min: 0, max: 9, description: B.}\n"
        '--   caps: {type: amounts, default: {EUR: 5, "O\'NIL": 6.5, null: 7}, min: 1, max: 10, description: C.}\n'
    )
    select = (
        "SELECT c.currency, c.amount, :share AS share, :least AS least, :window_start AS a, :window_end AS b FROM params.caps c"
    )
    rows = lake.query(hiveql(window_query(file_of(tmp_path, select, more), TABLES, PART))).to_pylist()
    assert sorted(rows, key=lambda row: row["amount"]) == [
        {
            "currency": currency,
            "amount": pytest.approx(amount),
            "share": row["share"],
            "least": 3,
            "a": dt.datetime(2026, 1, 5, 10),
            "b": dt.datetime(2026, 1, 5, 11),
        }
        for (currency, amount), row in zip([("EUR", 5), ("O'NIL", 6.5), (None, 7)], rows, strict=True)
    ]
    assert {str(row["share"]) for row in rows} == {"0.05"}
    assert sorted(str(row["amount"]) for row in rows) == ["5.00", "6.50", "7.00"]


@pytest.mark.parametrize("days", [1, 2, 3, 366, 2000])
def test_params_days_has_a_row_for_each_day(tmp_path: Path, lake: EmbeddedWarehouse, days: int) -> None:
    last = DAY + dt.timedelta(days=days - 1)
    file = file_of(tmp_path, "SELECT MIN(d.ds) AS first, MAX(d.ds) AS last, COUNT(DISTINCT d.ds) AS n FROM params.days d")
    rows = lake.query(hiveql(window_query(file, TABLES, Span.days(DAY, last)))).to_pylist()
    assert rows == [{"first": DAY.isoformat(), "last": last.isoformat(), "n": days}]


def test_with_stays_at_the_top_when_a_query_becomes_a_cte() -> None:
    tree = sqlglot.parse_one("WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT x FROM b", read="hive")
    ctes, computed = as_cte(tree, "computed")  # type: ignore[arg-type]
    query = with_ctes(exp.select("*").from_(computed), ctes)
    assert query.sql("hive") == (
        "WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a), computed AS (SELECT x FROM b) SELECT * FROM computed"
    )


def test_within_filters_by_day_and_by_time_for_a_part_of_a_day() -> None:
    days = "SELECT x FROM t WHERE ds >= '2026-01-05' AND ds <= '2026-01-05'"
    timed = (
        days.replace("ds >=", "(ds >=") + ") AND " + TIMED.format("2026-01-05 10:00:00.000000", "2026-01-05 11:00:00.000000")
    )
    select = exp.select("x").from_("t")
    assert within(select, TABLES["transactions"], SPAN).sql("hive") == days
    assert within(select, TABLES["transactions"], PART).sql("hive") == timed
    assert within(select, TABLES["customers"], PART).sql("hive") == days
    assert within(select, TABLES["transactions"], SPAN, "t").sql("hive") == days.replace("ds", "t.ds")
    assert select.sql("hive") == "SELECT x FROM t"


def test_a_window_over_midnight_reads_both_days(tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    midnight = dt.datetime(2026, 1, 6, tzinfo=dt.UTC)
    span = Span(midnight - dt.timedelta(minutes=1), midnight + dt.timedelta(minutes=1))
    seconds = [-61, -60, 0, 59.999999, 60]
    rows = [transaction(str(s), event_time=midnight.replace(tzinfo=None) + dt.timedelta(seconds=s)) for s in seconds]
    fill(lake, "transactions", [*rows, transaction("noon", event_time=NOON)], Span.days(DAY, DAY + dt.timedelta(days=1)))
    file = file_of(tmp_path, "SELECT t.transaction_id FROM transactions t")
    found = lake.query(hiveql(window_query(file, TABLES, span))).column("transaction_id").to_pylist()
    assert sorted(found) == sorted(["-60", "0", "59.999999"])
