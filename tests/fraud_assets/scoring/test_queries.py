"""The query for scores against plain Python, and the rows that a card is learned from."""

from __future__ import annotations

import datetime as dt
import json
import random
from decimal import Decimal
from typing import Any

import pytest

from fraud_assets.detection.rule_book import RuleBook, read_rule_book
from fraud_assets.schemas.detection import rule_table
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.scoring.card import UNNAMED, Card, Part, score_of
from fraud_assets.scoring.queries import InForce, scores_query, training_query
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, NOON, SPAN, all_tables, fill

RULES = [rule_table("velocity"), rule_table("high_value"), rule_table("card_testing")]
CARD = Card(
    base=-100,
    features=(
        Part(feature="amount_to_p95", edges=(Decimal("1"), Decimal("1.6")), points=(0, 30, 90), missing=-7),
        Part(feature="amount", currency="EUR", edges=(Decimal("10"),), points=(-5, 25), missing=0),
        Part(feature="amount", currency=UNNAMED, edges=(Decimal("10"),), points=(1, 2), missing=0),
        Part(feature="outliers_7d", edges=(Decimal("1"), Decimal("3")), points=(0, 40, 1000)),
    ),
    rules={"velocity": 55, "high_value": 0, "retired_rule": 200},
    origin="for a test",
)


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return read_rule_book()


def features(number: int, **values: Any) -> dict[str, Any]:
    return {"transaction_id": f"t{number}", "customer_id": "c1", "event_time": NOON, **values}


def hit(transaction_id: str) -> dict[str, Any]:
    return {"transaction_id": transaction_id, "customer_id": "c1", "event_time": NOON, "weight": 0.5}


def points(row: dict[str, Any], velocity: bool) -> dict[str, int]:
    """Points by contribution in plain Python."""

    def part(value: Any, edges: list[str], each: list[int], missing: int) -> int:
        return missing if value is None else each[sum(value >= Decimal(edge) for edge in edges)]

    ratio = part(row["amount_to_p95"], ["1", "1.6"], [0, 30, 90], -7)
    amount = part(row["amount"], ["10"], [-5, 25], 0) if row["currency"] == "EUR" else 0
    unnamed = part(row["amount"], ["10"], [1, 2], 0) if row["currency"] is None else 0
    outliers = part(row["outliers_7d"], ["1", "3"], [0, 40, 1000], 0)
    found = {"amount_to_p95": ratio, "amount EUR": amount, "amount": unnamed, "outliers_7d": outliers}
    found["velocity"] = 55 if velocity else 0
    return {"base": -100, **{name: each for name, each in found.items() if each}}


def test_scores_are_what_plain_python_computes(book: RuleBook, lake: EmbeddedWarehouse) -> None:
    draw = random.Random(5)
    rows = [
        features(
            number,
            amount=draw.choice([None, Decimal("9.99"), Decimal("10.00"), Decimal("10.01")]),
            currency=draw.choice([None, "EUR", "SEK"]),
            amount_to_p95=draw.choice([None, Decimal("0.99"), Decimal("1.00"), Decimal("1.59"), Decimal("1.60"), Decimal("9")]),
            outliers_7d=draw.choice([None, 0, 1, 2, 3]),
        )
        for number in range(300)
    ]
    hits = {row["transaction_id"] for row in rows if draw.random() < 0.3}
    all_tables(lake, book)
    fill(lake, TRANSACTION_FEATURES, rows)
    fill(lake, RULES[0], [hit(name) for name in sorted(hits)])
    fill(lake, RULES[1], [hit(row["transaction_id"]) for row in rows])
    found = lake.query(scores_query([InForce(CARD, "v1", SPAN)], RULES)).to_pylist()
    assert len(found) == len(rows)
    by_id = {row["transaction_id"]: row for row in found}
    for row in rows:
        scored = by_id[row["transaction_id"]]
        expected = points(row, row["transaction_id"] in hits)
        assert json.loads(scored["contributions"]) == expected
        assert next(iter(json.loads(scored["contributions"]))) == "base"
        assert scored["points"] == sum(expected.values())
        assert scored["score"] == score_of(scored["points"]) and 0 < scored["score"] < 1
        assert (scored["card_version"], scored["event_time"], scored["ds"]) == ("v1", NOON, DAY.isoformat())


def test_each_card_scores_its_own_days(book: RuleBook, lake: EmbeddedWarehouse) -> None:
    tomorrow = DAY + dt.timedelta(days=1)
    all_tables(lake, book)
    both = Span.days(DAY, tomorrow)
    later = {"transaction_id": "later", "customer_id": "c1", "event_time": NOON + dt.timedelta(days=1)}
    fill(lake, TRANSACTION_FEATURES, [features(1), later], both)
    other = CARD.model_copy(update={"base": 20})
    cards = [InForce(CARD, "old", SPAN), InForce(other, "new", Span.days(tomorrow, tomorrow))]
    found = lake.query(scores_query(cards, RULES)).to_pylist()
    assert {row["transaction_id"]: (row["card_version"], row["points"]) for row in found} == {
        "t1": ("old", -107),
        "later": ("new", 13),
    }


@pytest.mark.parametrize(
    ("number", "score"), [(0, 0.5), (20, 0.666667), (-20, 0.333333), (60, 0.888889), (10_000, 0.999999), (-10_000, 0.000001)]
)
def test_twenty_points_double_the_odds(number: int, score: float) -> None:
    assert score_of(number) == score


def test_training_rows_know_only_labels_of_the_known_days(book: RuleBook, lake: EmbeddedWarehouse) -> None:
    all_tables(lake, book)
    fill(lake, TRANSACTION_FEATURES, [features(number, amount=Decimal(number)) for number in range(4)])
    days = Span.days(DAY, DAY + dt.timedelta(days=9))
    known = {"is_fraud": True, "origin": "fraud report", "known_at": NOON}
    labels = [
        {**known, "transaction_id": "t1", "ds": "2026-01-01"},
        {**known, "transaction_id": "t2", "ds": (DAY + dt.timedelta(days=9)).isoformat()},
        {**known, "transaction_id": "t3", "is_fraud": False, "ds": DAY.isoformat()},
    ]
    fill(lake, "labels", [{**row, "ds": DAY.isoformat()} if row["transaction_id"] == "t1" else row for row in labels], days)
    fill(lake, RULES[0], [hit("t2")])
    query = training_query(SPAN, ["amount"], RULES, Span.days(DAY, DAY + dt.timedelta(days=8)))
    found = sorted(lake.query(query).to_pylist(), key=lambda row: row["amount"])
    assert [(row["known_fraud"], row["hit_velocity"], row["hit_high_value"]) for row in found] == [
        (0, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 0),
    ]
