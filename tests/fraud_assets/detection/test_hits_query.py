"""Hits of a rule: span and lookback, weight, reason, evidence, and the count of transactions that were judged."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from fraud_assets.detection.hits_query import coverage_query, hits_query
from fraud_assets.detection.rule import Rule, RuleFrontMatter
from fraud_assets.detection.rule_book import RuleBook
from fraud_assets.detection.rule_check import check_rule
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.catalog import fixed_tables
from fraud_assets.sql.files import read_file
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, SPAN, compute, fill, transaction

HEAD = """\
-- title: A test
-- description: A test.
-- blind_spot: Everything else.
-- severity: low
-- weight: 0.2
-- lookback: {lookback}
-- reason: "{reason}"
-- source: A test.
"""
PREVIOUS = """\
WITH mine AS (
  SELECT t.transaction_id, t.customer_id, t.event_time, t.amount FROM transactions t
)
SELECT
  m.transaction_id,
  m.customer_id,
  m.event_time,
  LAG(m.transaction_id) OVER (PARTITION BY m.customer_id ORDER BY m.event_time, m.transaction_id) AS previous
FROM mine m
"""
TABLES = fixed_tables()


def rule_of(folder: Path, select: str, *, lookback: str = "0m", reason: str = "After {previous}") -> Rule:
    path = folder / "previous.sql"
    path.write_text(HEAD.replace("{lookback}", lookback).replace("{reason}", reason) + select, encoding="utf-8")
    file = read_file(path, RuleFrontMatter)
    rule = Rule(file, file.meta.severity, file.meta.status, file.meta.weight)
    check_rule(rule, TABLES)
    return rule


def hits(lake: EmbeddedWarehouse, rule: Rule, span: Span = SPAN) -> dict[str, dict[str, Any]]:
    """The hits of a span, by transaction, through the rule's table."""
    rows = compute(Engine(RuleBook({rule.name: rule}, {})), lake, rule.name, span)
    return {row["transaction_id"]: row for row in rows}


def clock(time: str, day: dt.date = DAY) -> dt.datetime:
    return dt.datetime.combine(day, dt.time.fromisoformat(time))


def part(start: str, end: str) -> Span:
    return Span(clock(start).replace(tzinfo=dt.UTC), clock(end).replace(tzinfo=dt.UTC))


TIMES = {
    "a": clock("23:49:59", DAY - dt.timedelta(days=1)),
    "b": clock("23:55", DAY - dt.timedelta(days=1)),
    "c": clock("00:00"),
    "d": clock("09:49:59"),
    "e": clock("09:50"),
    "f": clock("10:00"),
    "g": clock("10:59:59.999999"),
    "h": clock("11:00"),
    "i": clock("00:00", DAY + dt.timedelta(days=1)),
}


@pytest.fixture
def three_days(lake: EmbeddedWarehouse) -> EmbeddedWarehouse:
    rows = [transaction(name, event_time=time) for name, time in TIMES.items()]
    fill(lake, "transactions", rows, Span.days(DAY - dt.timedelta(days=1), DAY + dt.timedelta(days=1)))
    return lake


@pytest.mark.parametrize(
    ("lookback", "span", "expected"),
    [
        ("0m", SPAN, {"c": None, "d": "c", "e": "d", "f": "e", "g": "f", "h": "g"}),
        ("4m", SPAN, {"c": None, "d": "c", "e": "d", "f": "e", "g": "f", "h": "g"}),
        ("5m", SPAN, {"c": "b", "d": "c", "e": "d", "f": "e", "g": "f", "h": "g"}),
        ("1d", SPAN, {"c": "b", "d": "c", "e": "d", "f": "e", "g": "f", "h": "g"}),
        ("0m", part("10:00", "11:00"), {"f": None, "g": "f"}),
        ("10m", part("10:00", "11:00"), {"f": "e", "g": "f"}),
        ("10m", part("10:00:00.000001", "11:00"), {"g": "f"}),
        ("24h", part("00:00", "00:01"), {"c": "b"}),
        ("10m", part("12:00", "13:00"), {}),
    ],
)
def test_the_lookback_is_read_and_hits_are_of_the_span(
    three_days: EmbeddedWarehouse, tmp_path: Path, lookback: str, span: Span, expected: dict[str, str | None]
) -> None:
    rule = rule_of(tmp_path, PREVIOUS, lookback=lookback)
    rows = three_days.query(hits_query(rule, TABLES, span)).to_pylist()
    assert {row["transaction_id"]: json.loads(row["evidence"])["previous"] for row in rows} == expected
    assert {row["ds"] for row in rows} <= {DAY.isoformat()}
    [*counted] = three_days.query(coverage_query(rule, TABLES, span)).to_pylist()
    assert [(c["ds"], int(c["transactions"]), int(c["judged"]), int(c["hits"])) for c in counted] == (
        [(DAY.isoformat(), len(expected), len(expected), len(expected))] if expected else []
    )


def test_parts_of_a_day_add_up_to_the_day(three_days: EmbeddedWarehouse, tmp_path: Path) -> None:
    rule = rule_of(tmp_path, PREVIOUS, lookback="1d")
    whole = hits(three_days, rule)
    for start, end in (("00:00", "10:00"), ("10:00", "11:00")):
        hits(three_days, rule, part(start, end))
    assert hits(three_days, rule, Span(part("11:00", "12:00").start, SPAN.end)) == whole
    assert len(whole) == 6


def test_with_stands_at_the_top(tmp_path: Path) -> None:
    rule = rule_of(tmp_path, PREVIOUS)
    for query in (hits_query(rule, TABLES, SPAN), coverage_query(rule, TABLES, SPAN)):
        tree = sqlglot.parse_one(query.text, read="hive")
        assert isinstance(tree, exp.Select)
        assert [cte.alias for cte in tree.ctes] == ["mine", "judged"]
        assert len(list(tree.find_all(exp.With))) == 1


def test_a_hit_has_the_rule_and_its_version(lake: EmbeddedWarehouse, tmp_path: Path) -> None:
    rule = rule_of(tmp_path, PREVIOUS)
    fill(lake, "transactions", [transaction("t", "c9")])
    assert hits(lake, rule)["t"] == {
        "transaction_id": "t",
        "customer_id": "c9",
        "event_time": clock("12:00"),
        "rule": "previous",
        "rule_version": rule.version,
        "severity": "low",
        "weight": 0.2,
        "reason": "After unknown",
        "evidence": '{"previous": null}',
        "ds": DAY.isoformat(),
    }


SELECT = "SELECT t.transaction_id, t.customer_id, t.event_time, {columns} FROM transactions t"


def columns(text: str) -> str:
    return SELECT.replace("{columns}", text)


def test_every_row_is_a_hit_without_a_column_hit_and_only_true_ones_with_it(lake: EmbeddedWarehouse, tmp_path: Path) -> None:
    fill(
        lake,
        "transactions",
        [transaction("yes", amount="2"), transaction("no", amount="1"), transaction("null", currency=None)],
    )
    everything = rule_of(tmp_path, columns("t.amount"), reason="x")
    assert hits(lake, everything).keys() == {"yes", "no", "null"}
    some = rule_of(tmp_path, columns("t.amount > 1 AND t.currency = 'EUR' AS hit, t.amount"), reason="x")
    assert hits(lake, some).keys() == {"yes"}
    [counted] = lake.query(coverage_query(some, TABLES, SPAN)).to_pylist()
    assert (int(counted["transactions"]), int(counted["judged"]), int(counted["hits"])) == (3, 3, 1)


@pytest.mark.parametrize(
    ("own", "written"),
    [
        ("0.5", 0.5),
        ("CAST(t.amount AS DOUBLE) / 40", 0.25),
        ("0", 0.01),
        ("-3", 0.01),
        ("0.0099", 0.01),
        ("0.0101", 0.0101),
        ("1", 0.99),
        ("2", 0.99),
        ("CAST('NaN' AS DOUBLE)", 0.99),
        ("CAST(NULL AS DOUBLE)", 0.2),
    ],
)
def test_a_computed_weight_stays_within_bounds(lake: EmbeddedWarehouse, tmp_path: Path, own: str, written: float) -> None:
    fill(lake, "transactions", [transaction("t")])
    assert hits(lake, rule_of(tmp_path, columns(f"{own} AS weight"), reason="x"))["t"]["weight"] == written


def test_evidence_of_every_type_is_json(lake: EmbeddedWarehouse, tmp_path: Path) -> None:
    select = columns(
        "t.amount, t.merchant_name, t.amount > 5 AS is_big, t.merchant_name IS NULL AND t.status = 'x' AS never, "
        "t.status = 'approved' AS is_unknown, LENGTH(t.currency) AS letters, "
        "COUNT(*) OVER (PARTITION BY t.customer_id) AS n, "
        "t.ingested_at AS arrived, CAST(t.amount AS DECIMAL(38,10)) AS fine"
    )
    reason = "{amount} {merchant_name} {is_big} {never} {is_unknown} {letters} {n} {arrived} {fine}!"
    rule = rule_of(tmp_path, select, reason=reason)
    arrived = clock("13:14:15.678")
    fill(
        lake,
        "transactions",
        [transaction("t", status=None, merchant_name="É", ingested_at=arrived), transaction("u", status=None)],
    )
    found = hits(lake, rule)
    assert found["t"]["reason"] == "10.00 É true false unknown 3 2 2026-01-05 13:14:15 10.0000000000!"
    assert found["t"]["evidence"] == (
        '{"amount": 10.00, "merchant_name": "É", "is_big": true, "never": false, "is_unknown": null, "letters": 3, "n": 2, '
        '"arrived": "2026-01-05 13:14:15", "fine": 10.0000000000}'
    )
    assert json.loads(found["u"]["evidence"])["arrived"] is None
    assert found["u"]["reason"] == "10.00 unknown true unknown unknown 3 2 unknown 10.0000000000!"


def test_a_rule_without_evidence_has_an_empty_object(lake: EmbeddedWarehouse, tmp_path: Path) -> None:
    rule = rule_of(tmp_path, columns("TRUE AS hit"), reason="It's so: always, at 100 % \\\\ ever")
    fill(lake, "transactions", [transaction("t")])
    assert hits(lake, rule)["t"]["evidence"] == "{}"
    assert hits(lake, rule)["t"]["reason"] == "It's so: always, at 100 % \\ ever"
