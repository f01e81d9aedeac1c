"""Two cards on the same transactions, and the check of a new card against the one before it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from fraud_assets.defs.scoring import MOST_SHIFTED, check_drift
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import SCORECARDS, rule_table
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.scoring.card import Card, Part
from fraud_assets.scoring.drift import Drift, drift
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
    assert found.description == (
        f"new after old, on 100 transactions of {DAY}: {shifted}.0% have shifted; 0 alerts by score, 0 before, 0 by both."
    )
