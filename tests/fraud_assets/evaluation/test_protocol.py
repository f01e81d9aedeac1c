"""How good alerts are: the measures against examples computed by hand, and the protocol with its known cards."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud_assets.evaluation.protocol import RuleQuality, evaluate
from fraud_assets.evaluation.ranking import average_precision, card_precision_at_k
from fraud_assets.schemas.detection import rule_table
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import fill, transaction


@pytest.mark.parametrize(
    ("ranked", "expected"),
    [
        ([], None),
        ([(0.9, False), (0.1, False)], None),
        ([(0.9, True)], 1.0),
        ([(0.9, True), (0.8, True), (0.1, False)], 1.0),
        ([(0.9, False), (0.8, True)], 1 / 2),
        # found at rank 1 and at rank 3: ½·1 + ½·⅔
        ([(0.9, True), (0.8, False), (0.7, True), (0.6, False)], 1 / 2 + 1 / 3),
        # one of two at the same score: both are seen at once
        ([(0.5, True), (0.5, False)], 1 / 2),
        ([(0.5, False), (0.5, True)], 1 / 2),
        # ties of three (two true), then one true: ⅔·⅔ + ⅓·¾
        ([(0.5, True), (0.5, False), (0.5, True), (0.1, True)], 4 / 9 + 1 / 4),
        # everything without an alert is one tie at 0
        ([(0.0, True), (0.0, False), (0.0, False), (0.0, False)], 1 / 4),
        # scikit-learn's example: y = 0 0 1 1, scores = 0.1 0.4 0.35 0.8
        ([(0.1, False), (0.4, False), (0.35, True), (0.8, True)], 5 / 6),
    ],
)
def test_average_precision_by_hand(ranked: list[tuple[float, bool]], expected: float | None) -> None:
    assert average_precision(ranked) == (None if expected is None else pytest.approx(expected, abs=1e-15))


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9]), st.booleans()), max_size=12), st.randoms())
def test_average_precision_does_not_depend_on_the_order_within_ties(ranked: list[tuple[float, bool]], draw: Any) -> None:
    shuffled = list(ranked)
    draw.shuffle(shuffled)
    result = average_precision(ranked)
    assert average_precision(shuffled) == result
    assert (result is None) == (not any(positive for _, positive in ranked))
    assert result is None or 0 < result <= 1


def cards(*rows: tuple[str, str, int]) -> dict[str, tuple[str, str]]:
    """Transactions: id, customer, day."""
    return {name: (customer, f"2026-02-0{day}") for name, customer, day in rows}


@pytest.mark.parametrize(
    ("tested", "scores", "frauds", "k", "expected"),
    [
        ({}, {}, set(), 2, None),
        (cards(("a", "c1", 1)), {}, {"a"}, 2, 0.0),
        (cards(("a", "c1", 1)), {"a": 0.5}, {"a"}, 2, 1 / 2),
        (cards(("a", "c1", 1), ("b", "c2", 1)), {"a": 0.5, "b": 0.5}, {"a", "b"}, 2, 1.0),
        # a card is looked at once a day, for its highest score, and is found whichever of its transactions was the fraud
        (cards(("a", "c1", 1), ("b", "c1", 1), ("c", "c2", 1)), {"a": 0.9, "c": 0.5}, {"b", "c"}, 1, 1.0),
        # equal scores in the order of cards: c1 is looked at, c2 is not
        (cards(("a", "c2", 1), ("b", "c1", 1)), {"a": 0.5, "b": 0.5}, {"a"}, 1, 0.0),
        (cards(("a", "c2", 1), ("b", "c1", 1)), {"a": 0.5, "b": 0.5}, {"b"}, 1, 1.0),
        # c1 is found on day 1 and not looked at on day 2, where c2 takes its place
        (
            cards(("a", "c1", 1), ("b", "c1", 2), ("c", "c2", 2)),
            {"a": 0.9, "b": 0.9, "c": 0.1},
            {"a", "b", "c"},
            1,
            1.0,
        ),
        # c1 was looked at on day 1 in vain: it is looked at again
        (cards(("a", "c1", 1), ("b", "c1", 2)), {"a": 0.9, "b": 0.9}, {"b"}, 1, 1 / 2),
        # the mean over days: 1 of 2, 0 of 2, 2 of 2
        (
            cards(("a", "c1", 1), ("b", "c2", 2), ("c", "c3", 3), ("d", "c4", 3)),
            {"a": 0.9, "b": 0.9, "c": 0.9, "d": 0.9},
            {"a", "c", "d"},
            2,
            0.5,
        ),
    ],
)
def test_card_precision_by_hand(
    tested: dict[str, tuple[str, str]], scores: dict[str, float], frauds: set[str], k: int, expected: float | None
) -> None:
    assert card_precision_at_k(tested, scores, frauds, k) == expected


def test_quality_of_a_rule() -> None:
    quality = RuleQuality("r", hits=4, frauds_hit=3, frauds=6)
    assert (quality.precision, quality.recall) == (0.75, 0.5)
    nothing = RuleQuality("r", 0, 0, 0)
    assert (nothing.precision, nothing.recall) == (None, None)


def test_cards_known_to_be_compromised_are_left_out(lake: EmbeddedWarehouse) -> None:
    """Two training days, two days of delay, two test days: days 1 and 2, 3 and 4, 5 and 6 of February."""
    rows = [
        # customer, day, fraud: what is known when a test day begins is training and the days up to delay + 1 before it
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
    # day 5: known are those of days 1 and 2. Day 6: those of day 3, too
    assert result.transactions == 7
    assert result.frauds == 5
    assert result.rules == [RuleQuality("a_rule", hits=2, frauds_hit=1, frauds=5)]
    # 0.9 true, 0.8 false, 0.1 true, then five without an alert, of which three true
    assert result.average_precision == pytest.approx(1 / 5 + (2 / 3) / 5 + 3 / 5 * (5 / 7))
    # day 5: new fraud is found and honest is not one; day 6: new fraud is not looked at again, nobody else has an alert
    assert result.card_precision == pytest.approx((1 / 2 + 0) / 2)
    assert result.span == test


def test_without_frauds_there_is_nothing_to_measure(lake: EmbeddedWarehouse) -> None:
    day = dt.date(2026, 2, 5)
    span = Span.days(day, day)
    fill(lake, "transactions", [transaction("t", event_time=dt.datetime(2026, 2, 5))], span)
    fill(lake, "fraud_alerts", [], span)
    result = evaluate(lake, [], set(), span)
    assert (result.transactions, result.frauds, result.average_precision, result.card_precision) == (1, 0, None, 0.0)
