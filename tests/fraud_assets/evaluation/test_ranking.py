"""Ranking metrics against examples computed by hand."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud_assets.evaluation.ranking import Ranked, average_precision, card_precision_at_k, daily_precision_at_k


def ranking(rows: list[tuple[float, bool]]) -> Ranked:
    """Transactions of one day, each with its score and the truth."""
    return ranked_cards({str(n): ("c", "2026-02-01") for n in range(len(rows))}, {str(n): row for n, row in enumerate(rows)})


def ranked_cards(tested: dict[str, tuple[str, str]], truth: dict[str, tuple[float | None, bool]]) -> Ranked:
    rows = [
        {"transaction_id": name, "customer_id": customer, "ds": ds, "score": truth[name][0], "fraud": truth[name][1]}
        for name, (customer, ds) in tested.items()
    ]
    fields = [("transaction_id", pa.string()), ("customer_id", pa.string()), ("ds", pa.string())]
    return Ranked.of(pa.Table.from_pylist(rows, pa.schema([*fields, ("score", pa.float64()), ("fraud", pa.bool_())])))


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
        # one of two at the same score: both are retrieved at once
        ([(0.5, True), (0.5, False)], 1 / 2),
        ([(0.5, False), (0.5, True)], 1 / 2),
        # ties of three (two true), then one true: ⅔·⅔ + ⅓·¾
        ([(0.5, True), (0.5, False), (0.5, True), (0.1, True)], 4 / 9 + 1 / 4),
        # transactions without an alert are one tie at 0
        ([(0.0, True), (0.0, False), (0.0, False), (0.0, False)], 1 / 4),
        # scikit-learn's example: y = 0 0 1 1, scores = 0.1 0.4 0.35 0.8
        ([(0.1, False), (0.4, False), (0.35, True), (0.8, True)], 5 / 6),
    ],
)
def test_average_precision_by_hand(ranked: list[tuple[float, bool]], expected: float | None) -> None:
    assert average_precision(ranking(ranked)) == (None if expected is None else pytest.approx(expected, abs=1e-15))


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9]), st.booleans()), max_size=12), st.randoms())
def test_average_precision_does_not_depend_on_the_order_within_ties(ranked: list[tuple[float, bool]], draw: Any) -> None:
    shuffled = list(ranked)
    draw.shuffle(shuffled)
    result = average_precision(ranking(ranked))
    assert average_precision(ranking(shuffled)) == result
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
        # a card is checked once a day, for its highest score, and is detected whichever of its transactions was the fraud
        (cards(("a", "c1", 1), ("b", "c1", 1), ("c", "c2", 1)), {"a": 0.9, "c": 0.5}, {"b", "c"}, 1, 1.0),
        # equal scores in the order of cards: c1 is checked, c2 is not
        (cards(("a", "c2", 1), ("b", "c1", 1)), {"a": 0.5, "b": 0.5}, {"a"}, 1, 0.0),
        (cards(("a", "c2", 1), ("b", "c1", 1)), {"a": 0.5, "b": 0.5}, {"b"}, 1, 1.0),
        # c1 is detected on day 1 and not checked on day 2, where c2 takes its place
        (
            cards(("a", "c1", 1), ("b", "c1", 2), ("c", "c2", 2)),
            {"a": 0.9, "b": 0.9, "c": 0.1},
            {"a", "b", "c"},
            1,
            1.0,
        ),
        # c1 was a false alert on day 1, so it is checked again
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
    truth = {name: (scores.get(name), name in frauds) for name in tested}
    assert card_precision_at_k(ranked_cards(tested, truth), k) == expected


@pytest.mark.parametrize(
    ("tested", "scores", "frauds", "k", "expected"),
    [
        ({}, {}, set(), 2, None),
        # what nothing flagged is not checked
        (cards(("a", "c1", 1)), {}, {"a"}, 2, None),
        (cards(("a", "c1", 1), ("b", "c1", 1)), {"a": 0.9}, {"a", "b"}, 2, 1.0),
        # transactions, not cards: a card counts twice
        (cards(("a", "c1", 1), ("b", "c1", 1), ("c", "c2", 1)), {"a": 0.9, "b": 0.8, "c": 0.7}, {"a", "b"}, 2, 1.0),
        # equal scores in the order of the rows
        (cards(("a", "c2", 1), ("b", "c1", 1)), {"a": 0.5, "b": 0.5}, {"a"}, 1, 1.0),
        (cards(("a", "c2", 1), ("b", "c1", 1)), {"a": 0.5, "b": 0.5}, {"b"}, 1, 0.0),
        # two of day 1, one of day 2: 2 of 3
        (cards(("a", "c", 1), ("b", "c", 1), ("d", "c", 1), ("e", "c", 2)), dict.fromkeys("abde", 0.5), {"a", "e"}, 2, 2 / 3),
    ],
)
def test_daily_precision_by_hand(
    tested: dict[str, tuple[str, str]], scores: dict[str, float], frauds: set[str], k: int, expected: float | None
) -> None:
    truth = {name: (scores.get(name), name in frauds) for name in tested}
    assert daily_precision_at_k(ranked_cards(tested, truth), k) == expected
