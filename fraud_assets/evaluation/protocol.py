"""Quality of alerts against labels: precision and recall of each rule, average precision, card precision at k.

The protocol follows Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection" (2022), chapters 3 and
5: cards that are known to be compromised at the start of a test day are excluded from that day.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from fraud_assets.evaluation.ranking import average_precision, card_precision_at_k
from hive_io import Span, Warehouse


@dataclass(frozen=True)
class RuleQuality:
    """Counts for one rule over the tested transactions."""

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
    """Metrics of the alerts in a test span; a metric is None if there is no fraud to measure it on."""

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
    """Compare the alerts of a test span with labels.

    Args:
        rules: names of the rules' tables.
        frauds: ids of all fraudulent transactions, from `training_days + delay_days` before the test span on.
        training_days: days before the delay; their compromised cards are known throughout the test.
        delay_days: days until a fraud is known.
        k: number of cards that investigators can check per day.
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
