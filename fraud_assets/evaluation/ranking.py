"""Ranking metrics: average precision and card precision at k."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from fractions import Fraction


def average_precision(ranked: Iterable[tuple[float, bool]]) -> float | None:
    """AP = Σₙ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores in descending order; None without positives.

    Source: scikit-learn, `average_precision_score`.
    """
    by_score: dict[float, list[int]] = defaultdict(lambda: [0, 0])
    for score, positive in ranked:
        by_score[score][0] += 1
        by_score[score][1] += positive
    total = sum(positives for _, positives in by_score.values())
    if not total:
        return None
    seen = found = 0
    result = Fraction(0)
    for score in sorted(by_score, reverse=True):
        count, positives = by_score[score]
        seen, found = seen + count, found + positives
        result += Fraction(positives, total) * Fraction(found, seen)
    return float(result)


def card_precision_at_k(
    tested: Mapping[str, tuple[str, str]], scores: Mapping[str, float], frauds: Set[str], k: int
) -> float | None:
    """Mean over the days of the share of compromised cards among the k cards with the day's highest scores.

    A detected card is not checked on later days. Cards with equal scores are checked in the order of their ids. Cards without
    an alert are not checked.

    Args:
        tested: customer and day by transaction id.
        scores: alert score by transaction id.

    Returns:
        None without test days.
    """
    days: dict[str, dict[str, tuple[float, bool]]] = defaultdict(dict)
    for transaction, (customer, ds) in tested.items():
        score, fraud = days[ds].get(customer, (0.0, False))
        days[ds][customer] = (max(score, scores.get(transaction, 0.0)), fraud or transaction in frauds)
    found: set[str] = set()
    shares = []
    for ds in sorted(days):
        cards = [(score, customer, fraud) for customer, (score, fraud) in days[ds].items() if customer not in found]
        top = sorted((c for c in cards if c[0] > 0), key=lambda c: (-c[0], c[1]))[:k]
        caught = {customer for _, customer, fraud in top if fraud}
        found |= caught
        shares.append(len(caught) / k)
    return sum(shares) / len(shares) if shares else None
