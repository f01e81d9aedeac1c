"""Ranking metrics: average precision, card precision at k, and the precision of the k highest of a day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Ranked:
    """Scored transactions, one element of each array per transaction.

    Attributes:
        days, customers: numbers in the order of days, and of customers' ids.
        scores: 0 for a transaction that nothing flagged.
        frauds: the truth.
    """

    days: npt.NDArray[np.int64]
    customers: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    frauds: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, table: pa.Table) -> Ranked:
        """The rows of a table with `ds`, `customer_id`, `score` and `fraud`, in their order."""
        score = pc.fill_null(table.column("score").cast(pa.float64()), 0.0)
        arrays = (_numbers(table.column("ds")), _numbers(table.column("customer_id")))
        return cls(*arrays, score.to_numpy(), table.column("fraud").to_numpy())

    def __len__(self) -> int:
        return len(self.scores)

    def where(self, kept: npt.NDArray[np.bool_]) -> Ranked:
        """Some of the transactions."""
        return Ranked(self.days[kept], self.customers[kept], self.scores[kept], self.frauds[kept])


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The place of each value among the distinct values in order."""
    values, indices = _encoded(column)
    order = pc.sort_indices(values).to_numpy()
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    numbers: npt.NDArray[np.int64] = places[indices]
    return numbers


def _encoded(column: pa.ChunkedArray) -> tuple[Any, Any]:
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False)


def average_precision(ranked: Ranked) -> float | None:
    """AP = Σₙ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores in descending order; None without positives.

    Source: scikit-learn, `average_precision_score`.
    """
    total = int(ranked.frauds.sum())
    if not total:
        return None
    order = np.argsort(-ranked.scores)
    scores = ranked.scores[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    found = np.cumsum(ranked.frauds[order])[last_of_tie]
    gained = np.diff(found, prepend=0)
    return math.fsum(gained * (found / (last_of_tie + 1))) / total


def card_precision_at_k(ranked: Ranked, k: int) -> float | None:
    """Mean over the days of the share of compromised cards among the k cards with the day's highest scores.

    A detected card is not checked on later days. Cards with equal scores are checked in the order of their ids. Cards without
    a score are not checked. None without test days.
    """
    detected: npt.NDArray[np.int64] = np.empty(0, np.int64)
    shares = []
    for day in np.unique(ranked.days):
        of_day = ranked.where(ranked.days == day)
        cards, place = np.unique(of_day.customers, return_inverse=True)
        scores, frauds = np.zeros(len(cards)), np.zeros(len(cards), bool)
        np.maximum.at(scores, place, of_day.scores)
        np.logical_or.at(frauds, place, of_day.frauds)
        checked = np.flatnonzero((scores > 0) & ~np.isin(cards, detected))
        checked = checked[np.argsort(-scores[checked], kind="stable")][:k]
        caught = cards[checked[frauds[checked]]]
        detected = np.append(detected, caught)
        shares.append(len(caught) / k)
    return sum(shares) / len(shares) if shares else None


def daily_precision_at_k(ranked: Ranked, k: int) -> float | None:
    """Share of frauds among the k transactions with each day's highest scores, over all days.

    Transactions with equal scores are taken in the order of the rows, and those without a score never. None if there are none.
    """
    checked = found = 0
    for day in np.unique(ranked.days):
        of_day = ranked.where((ranked.days == day) & (ranked.scores > 0))
        top = np.argsort(-of_day.scores, kind="stable")[:k]
        checked, found = checked + len(top), found + int(of_day.frauds[top].sum())
    return found / checked if checked else None
