"""Two cards on the same transactions, and the check of a new card against the one before it."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from fraud_assets.defs.scoring import MOST_SHIFTED, check_drift
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import SCORECARDS, rule_table
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.scoring.card import Card, Part
from fraud_assets.scoring.drift import Drift, drift, index_of, moves, stability_index
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, NOON, SPAN, all_tables, fill

ENGINE = Engine(read_rule_book())
NEXT = DAY + dt.timedelta(days=1)


def card_of(base: int, above: int, **more: Any) -> Card:
    """A card with points for an amount of 10 and more."""
    part = Part(feature="amount", edges=(Decimal("10"),), points=(0, above), missing=0)
    return Card(base=base, features=(part,), origin="for a test", **more)


def transactions(low: int, high: int) -> list[dict[str, Any]]:
    amounts = [Decimal("5")] * low + [Decimal("50")] * high
    return [
        {"transaction_id": f"t{number}", "customer_id": "c1", "event_time": NOON, "amount": amount}
        for number, amount in enumerate(amounts)
    ]


def test_transactions_shift_if_their_odds_more_than_double(lake: EmbeddedWarehouse) -> None:
    all_tables(lake, ENGINE.book)
    fill(lake, TRANSACTION_FEATURES, transactions(low=30, high=10))

    def found(card: Card, before: Card) -> Drift:
        return drift(lake, card, before, SPAN, [rule_table("velocity")], alert_score=0.5)

    # 20 points are twice the odds, and not more
    assert found(card_of(-100, 80), card_of(-100, 60)) == Drift(40, 0, 0, 0, 0)
    assert found(card_of(-100, 81), card_of(-100, 60)) == Drift(40, 10, 0, 0, 0)
    assert found(card_of(-100, 60), card_of(-100, 81)).share == 0.25
    # 0 points are a score of a half
    assert found(card_of(-100, 100), card_of(-100, 99)) == Drift(40, 0, 10, 0, 0)
    assert found(card_of(0, 0), card_of(-100, 100)) == Drift(40, 30, 40, 10, 10)
    hit = {"transaction_id": "t0", "customer_id": "c1", "event_time": NOON, "weight": 0.5}
    fill(lake, rule_table("velocity"), [hit])
    assert found(card_of(-100, 0, rules={"velocity": 30}), card_of(-100, 0)) == Drift(40, 1, 0, 0, 0)


def test_without_transactions_nothing_has_shifted(lake: EmbeddedWarehouse) -> None:
    all_tables(lake, ENGINE.book)
    found = drift(lake, card_of(0, 0), card_of(-100, 0), SPAN, [], alert_score=0.5)
    assert found == Drift(0, 0, 0, 0, 0) and found.share == 0
    assert stability_index(lake, card_of(0, 0), card_of(-100, 0), SPAN, []) == 0


def test_the_stability_index_by_hand() -> None:
    # shares of a half and a half, before a quarter and three: (0.5 − 0.25) · ln 2 + (0.5 − 0.75) · ln (2/3) = 0.2747
    many = 1_000_000
    assert index_of({1: 2 * many, 2: 2 * many}, {1: many, 2: 3 * many}) == pytest.approx(0.25 * math.log(3), abs=1e-5)
    assert index_of({1: 10, 2: 20}, {1: 100, 2: 200}) == pytest.approx(0, abs=1e-3)
    assert index_of({}, {}) == 0
    # a band that is empty on one side counts half a row there
    shares = [(99.5 / 100, 99.5 / 200), (0.5 / 100, 100.5 / 200)]
    emptied = sum((a - b) * math.log(a / b) for a, b in shares)
    assert index_of({1: 99}, {1: 99, 2: 100}) == index_of({1: 99, 2: 100}, {1: 99}) == pytest.approx(emptied)


def test_the_stability_index_counts_bands_in_which_the_odds_double(lake: EmbeddedWarehouse) -> None:
    all_tables(lake, ENGINE.book)
    fill(lake, TRANSACTION_FEATURES, transactions(low=600, high=400))

    def found(card: Card, before: Card) -> float:
        return stability_index(lake, card, before, SPAN, [rule_table("velocity")])

    # −100 to −81 are one band, 0 to 19 are another
    assert found(card_of(-100, 100), card_of(-81, 100)) == 0
    assert found(card_of(-100, 100), card_of(-80, 100)) > 1
    hits = [{"transaction_id": f"t{n}", "customer_id": "c1", "event_time": NOON, "weight": 0.5} for n in range(5)]
    fill(lake, rule_table("velocity"), hits)
    with_rule = found(card_of(-100, 100, rules={"velocity": 60}), card_of(-100, 100))
    assert 0 < with_rule < 0.1


def test_what_moved_is_named_by_feature_and_rule(lake: EmbeddedWarehouse) -> None:
    all_tables(lake, ENGINE.book)
    fill(lake, TRANSACTION_FEATURES, transactions(low=30, high=10))
    hits = [{"transaction_id": f"t{n}", "customer_id": "c1", "event_time": NOON, "weight": 0.5} for n in range(4)]
    fill(lake, rule_table("velocity"), hits)

    def found(card: Card, before: Card) -> dict[str, float]:
        return moves(lake, card, before, SPAN, [rule_table("velocity"), rule_table("high_value")])

    # of forty, ten by −20 and four by 30: the deviation of a share p that moves by x is x · √(p · (1 − p))
    assert found(card_of(-100, 40, rules={"velocity": 30}), card_of(-50, 60)) == {
        "velocity": pytest.approx(30 * math.sqrt(0.1 * 0.9)),
        "amount": pytest.approx(20 * math.sqrt(0.25 * 0.75)),
    }
    outliers = Part(feature="outliers_7d", edges=(Decimal(1),), points=(0, 9), missing=-2)
    other = Card(base=-100, features=(outliers,), rules={"velocity": 30}, origin="for a test")
    # the same −2 for all, who have no outliers known, moves none
    assert found(other, card_of(-100, 40, rules={"velocity": 30})) == {"amount": pytest.approx(40 * math.sqrt(0.25 * 0.75))}
    assert found(card_of(-100, 40), card_of(-100, 40)) == {}
    assert moves(lake, card_of(0, 40), card_of(0, 0), Span.days(NEXT, NEXT), []) == {}
    assert moves(lake, Card(base=1, origin="x"), Card(base=2, origin="x"), SPAN, []) == {}


@pytest.mark.parametrize("shifted", [9, 11])
def test_a_new_card_is_compared_with_the_one_before(lake: EmbeddedWarehouse, shifted: int) -> None:
    all_tables(lake, ENGINE.book)
    fill(lake, TRANSACTION_FEATURES, transactions(100 - shifted, shifted))

    def row(version: str, card: Card, day: dt.date) -> dict[str, Any]:
        known = {"version": version, "transactions": 0, "frauds": 0, "first_day": str(day), "last_day": str(day)}
        return {**known, "card": card.model_dump_json(), "ds": str(day)}

    new = pa.Table.from_pylist([row("new", card_of(-100, 50), NEXT)], SCORECARDS.arrow_schema)
    span = Span.days(NEXT, NEXT)
    alone = check_drift(ENGINE, lake, new, span)
    assert alone.passed and "no card" in (alone.description or "").lower()
    old = pa.Table.from_pylist([row("old", card_of(-100, 0), NEXT - dt.timedelta(days=7))], SCORECARDS.arrow_schema)
    lake.upsert(SCORECARDS, old)
    found = check_drift(ENGINE, lake, new, span)
    assert found.failed_days == ({str(NEXT)} if shifted > 100 * MOST_SHIFTED else set())
    table = found.metadata["cards"]
    assert isinstance(table, dg.TableMetadataValue)
    [record] = table.records
    deviation = 50 * math.sqrt(shifted * (100 - shifted)) / 100
    assert record.data == {
        "card": "new",
        "before": "old",
        "share shifted": shifted / 100,
        "stability index": pytest.approx(index_of({1: 100 - shifted, 2: shifted}, {1: 100}), abs=0.001),
        "by points of": f"amount ±{deviation:.1f}",
    }
    assert found.description == (
        f"new after old, on 100 transactions of {DAY}: {shifted}.0% have shifted; 0 alerts by score, 0 before, 0 by both."
    )
