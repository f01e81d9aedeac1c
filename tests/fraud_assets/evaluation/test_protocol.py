"""The evaluation protocol: which cards are excluded on each test day, and the metrics of the rest."""

from __future__ import annotations

import datetime as dt

import pytest

from fraud_assets.evaluation.protocol import RuleQuality, evaluate
from fraud_assets.schemas.detection import rule_table
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import fill, transaction


def test_quality_of_a_rule() -> None:
    quality = RuleQuality("r", hits=4, frauds_hit=3, frauds=6)
    assert (quality.precision, quality.recall) == (0.75, 0.5)
    nothing = RuleQuality("r", 0, 0, 0)
    assert (nothing.precision, nothing.recall) == (None, None)


def test_cards_known_to_be_compromised_are_excluded(lake: EmbeddedWarehouse) -> None:
    """Two training days, two days of delay, two test days: days 1 and 2, 3 and 4, 5 and 6 of February."""
    rows = [
        # customer, day, fraud; known at the start of a test day are the training days and the days up to delay + 1 before it
        ("before training", 0, True),
        ("in training", 1, True),
        ("in training", 5, True),
        ("end of training", 2, True),
        ("end of training", 6, False),
        ("in delay", 3, True),
        ("in delay", 5, True),
        ("in delay", 6, True),
        ("end of delay", 4, True),
        ("end of delay", 6, True),
        ("before training", 5, True),
        ("honest", 1, False),
        ("honest", 5, False),
        ("honest", 6, False),
        ("new fraud", 5, True),
        ("new fraud", 6, True),
    ]
    first = dt.date(2026, 2, 1)
    days = [first + dt.timedelta(days=day - 1) for _, day, _ in rows]
    names = [f"{customer} {day}" for customer, day, _ in rows]
    times = [dt.datetime.combine(day, dt.time(12)) for day in days]
    frauds = {name for name, (_, _, fraud) in zip(names, rows, strict=True) if fraud}
    span = Span.days(min(days), max(days))
    fill(
        lake,
        "transactions",
        [transaction(name, row[0], event_time=time) for name, row, time in zip(names, rows, times, strict=True)],
        span,
    )
    alerts = {"new fraud 5": 0.9, "honest 5": 0.8, "in delay 6": 0.7, "in training 5": 0.99, "in delay 5": 0.1}
    at = dict(zip(names, times, strict=True))
    fill(lake, "fraud_alerts", [{"transaction_id": n, "event_time": at[n], "score": s} for n, s in alerts.items()], span)
    hits = ["new fraud 5", "honest 6", "in training 5"]
    fill(lake, rule_table("a_rule"), [{"transaction_id": n, "event_time": at[n]} for n in hits], span)

    test = Span.days(dt.date(2026, 2, 5), dt.date(2026, 2, 6))
    result = evaluate(lake, ["a_rule"], frauds, test, training_days=2, delay_days=2, k=2)
    # on day 5, frauds of days 1 and 2 are known; on day 6, also those of day 3
    assert result.transactions == 7
    assert result.frauds == 5
    assert result.rules == [RuleQuality("a_rule", hits=2, frauds_hit=1, frauds=5)]
    # 0.9 true, 0.8 false, 0.1 true, then five without an alert, three of them true
    assert result.average_precision == pytest.approx(1 / 5 + (2 / 3) / 5 + 3 / 5 * (5 / 7))
    # day 5: "new fraud" is detected, "honest" is a false alert
    # day 6: "new fraud" is not checked again, and no other card has an alert
    assert result.card_precision == pytest.approx((1 / 2 + 0) / 2)
    assert result.span == test


def test_without_frauds_the_average_precision_is_none(lake: EmbeddedWarehouse) -> None:
    day = dt.date(2026, 2, 5)
    span = Span.days(day, day)
    fill(lake, "transactions", [transaction("t", event_time=dt.datetime(2026, 2, 5))], span)
    fill(lake, "fraud_alerts", [], span)
    result = evaluate(lake, [], set(), span)
    assert (result.transactions, result.frauds, result.average_precision, result.card_precision) == (1, 0, None, 0.0)
