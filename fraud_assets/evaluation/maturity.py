"""Label maturity: the share of a day's frauds that is expected to be known by now.

A fraud becomes known days or weeks after it happened. The delays of earlier labels say how many are still to come. Labels of
recent days have short delays only, because longer ones are not over yet; the estimator for such right-truncated data works
backwards from the longest delay (Lagakos, Barraj and De Gruttola, "Nonparametric analysis of truncated survival data", 1988;
actuaries know it as the chain ladder).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from hive_io.table import DAY

LEARNED_FROM = 180 * DAY
"""Days before, whose labels the delays are learned from. Labels keep the time of transactions that are at most 90 days old."""
MIN_LABELS = 20
"""Labels that the delays need; with fewer, maturity is not known."""
MATURE = 0.95
"""Share of a day's frauds that must be known for a hit without a label to count as honest."""

Delays = Mapping[tuple[dt.date, int], int]
"""Number of frauds by day of the transaction and whole days until they were known."""


@dataclass(frozen=True)
class Maturity:
    """How many of a day's frauds are known at the end of a day.

    Attributes:
        as_of: that day.
        shares: expected share known after 0, 1, 2, … days; the last is 1. Empty if too few labels are known.
    """

    as_of: dt.date
    shares: tuple[float, ...]

    def of(self, day: dt.date) -> float | None:
        """The share expected for a day; None if it cannot be estimated."""
        if not self.shares:
            return None
        age = (self.as_of - day).days
        return 0.0 if age < 0 else self.shares[min(age, len(self.shares) - 1)]

    def is_mature(self, day: dt.date) -> bool:
        """True if enough of the day's frauds are known to judge its hits."""
        share = self.of(day)
        return share is not None and share >= MATURE


def learn(delays: Delays, as_of: dt.date) -> Maturity:
    """Learn the maturity as of a day from the labels known by then; later ones are ignored."""
    by_delay: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    total = 0
    for (day, delay), frauds in delays.items():
        age = (as_of - day).days
        if 0 <= delay <= age and age * DAY <= LEARNED_FROM:
            by_delay[delay][age] += frauds
            total += frauds
    if total < MIN_LABELS:
        return Maturity(as_of, ())
    longest = max(by_delay)
    shares = [1.0]
    for delay in range(longest, 0, -1):
        # among frauds of days that are old enough to show this delay, the share that took exactly so long
        exactly = sum(by_delay[delay].values()) if delay in by_delay else 0
        at_most = sum(n for shorter, ages in by_delay.items() if shorter <= delay for age, n in ages.items() if age >= delay)
        shares.append(shares[-1] * (1 - exactly / at_most) if at_most else shares[-1])
    return Maturity(as_of, tuple(reversed(shares)))
