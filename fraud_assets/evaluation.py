"""How good alerts are against labels: precision and recall of each rule, average precision, card precision at k.

The protocol is that of Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection" (2022), chapters
3 and 5: cards known to be compromised when a test day begins are left out of it.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction

from hive_io import Span, Warehouse


@dataclass(frozen=True)
class RuleQuality:
    """Of the transactions that were judged in the test span."""

    rule: str
    hits: int
    frauds_hit: int
    frauds: int

    @property
    def precision(self) -> float | None:
        return self.frauds_hit / self.hits if self.hits else None

    @property
    def recall(self) -> float | None:
        return self.frauds_hit / self.frauds if self.frauds else None


@dataclass(frozen=True)
class Evaluation:
    """What the alerts of a test span are worth."""

    span: Span
    transactions: int
    frauds: int
    average_precision: float | None
    card_precision: float | None
    rules: Sequence[RuleQuality]


def evaluate(
    warehouse: Warehouse,
    rules: Iterable[str],
    frauds: Set[str],
    test: Span,
    *,
    training_days: int = 7,
    delay_days: int = 7,
    k: int = 100,
) -> Evaluation:
    """Hold the alerts of a test span against labels.

    Args:
        rules: tables of hits.
        frauds: ids of all transactions that were fraud, from `training_days + delay_days` before the test on.
        k: alerts that can be looked at a day, one a card.
    """
    columns = ["transaction_id", "customer_id", "ds"]
    before = Span.days(test.first_day - dt.timedelta(days=training_days + delay_days), test.last_day)
    rows = warehouse.read("fintech.transactions", columns, before)
    by_day: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for transaction, customer, ds in zip(*(rows.column(name).to_pylist() for name in columns), strict=True):
        by_day[ds].append((transaction, customer))

    def compromised(days: Iterable[dt.date]) -> set[str]:
        return {c for day in days for t, c in by_day[day.isoformat()] if t in frauds}

    known = compromised(before.first_day + dt.timedelta(days=n) for n in range(training_days))
    alerts = warehouse.read("fintech.fraud_alerts", ["transaction_id", "score"], test)
    scores = dict(zip(alerts.column("transaction_id").to_pylist(), alerts.column("score").to_pylist(), strict=True))
    tested: dict[str, tuple[str, str]] = {}
    for day in test.each_day():
        known |= compromised([day - dt.timedelta(days=delay_days + 1)])
        tested.update({t: (c, day.isoformat()) for t, c in by_day[day.isoformat()] if c not in known})

    quality = []
    total = sum(t in frauds for t in tested)
    for rule in rules:
        hits = set(warehouse.read(f"fintech.{rule}", ["transaction_id"], test).column("transaction_id").to_pylist())
        hits &= tested.keys()
        quality.append(RuleQuality(rule, len(hits), sum(t in frauds for t in hits), total))
    ranked = [(scores.get(t, 0.0), t in frauds) for t in tested]
    return Evaluation(
        test, len(tested), total, average_precision(ranked), card_precision_at_k(tested, scores, frauds, k), quality
    )


def average_precision(ranked: Iterable[tuple[float, bool]]) -> float | None:
    """AP = Σₙ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores, highest first; None without positives.

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
    """Mean over the days of the share of compromised cards among the k cards with the highest scores of the day.

    A card that was found is not looked at again. Cards with the same score are looked at in the order of their ids, and
    cards without an alert are not looked at.

    Args:
        tested: customer and day of each transaction.
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
