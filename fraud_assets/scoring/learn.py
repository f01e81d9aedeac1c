"""Learns a scorecard from labelled transactions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraud_assets.scoring.card import POINTS_TO_DOUBLE, UNNAMED, Card, Part
from fraud_assets.scoring.queries import FRAUD, HIT

LEAST_FRAUDS = 200
"""Known frauds below which no card is learned; the one before, or the default, stays in force."""

LEAST_OF_CURRENCY = 20
"""Known frauds of a currency below which its amounts have no points."""

LEARNED_BINS = 8
"""Most bins whose edges are learned."""

STRENGTH = 1.0
"""Inverse of the L2 penalty of the logistic regression: bins with few transactions stay near 0 points."""

_PER_UNIT = POINTS_TO_DOUBLE / math.log(2)

Edges = Mapping[str, Sequence[Decimal] | str]


def learn(rows: pa.Table, edges: Edges, rules: Sequence[str], origin: str) -> Card | None:
    """A card from the rows of `training_query`; None if fewer than LEAST_FRAUDS of them are frauds, or none is honest.

    The points are coefficients of a logistic regression over indicators of the bins, in units in which 20 points double the
    odds. In each feature, the bin with the most transactions has no indicator, and 0 points: what contributes is special.
    Source: Siddiqi, Credit Risk Scorecards, 2006, chapter 6 (points to double the odds); scikit-learn, LogisticRegression
    (L2 penalty), DecisionTreeClassifier (learned edges).

    Args:
        edges: as in the front matter of `transaction_features`.
    """
    from scipy import sparse  # scikit-learn takes a second to import, and only learning needs it
    from sklearn.linear_model import LogisticRegression

    frauds = np.asarray(rows.column(FRAUD).to_numpy(), dtype=np.int8)
    if frauds.sum() < LEAST_FRAUDS or frauds.all():
        return None
    parts = _parts(rows, edges, frauds)
    bins = [_bins(rows, part) for part in parts]
    hits = [np.asarray(rows.column(HIT + rule).to_numpy(), dtype=np.int8) for rule in rules]
    counts = [len(part.edges) + 2 for part in parts]
    starts = np.cumsum([0, *counts])
    usual = [int(np.bincount(found[found >= 0], minlength=count).argmax()) for found, count in zip(bins, counts, strict=True)]
    at = [
        np.where((found < 0) | (found == most), -1, start + found)
        for start, found, most in zip(starts, bins, usual, strict=False)
    ]
    number = np.arange(len(frauds))
    columns = np.concatenate([*at, *(np.full(hit.sum(), starts[-1] + place) for place, hit in enumerate(hits))])
    lines = np.concatenate([*(number for _ in at), *(number[hit == 1] for hit in hits)])
    keep = columns >= 0
    shape = (len(frauds), int(starts[-1]) + len(rules))
    design = sparse.csr_matrix((np.ones(int(keep.sum())), (lines[keep], columns[keep])), shape=shape)
    model = LogisticRegression(C=STRENGTH, solver="newton-cholesky").fit(design, frauds)
    weights = model.coef_[0] * _PER_UNIT
    features = []
    for part, start, count in zip(parts, starts, counts, strict=False):
        points = [round(weight) for weight in weights[start : start + count]]
        features.append(part.model_copy(update={"points": tuple(points[:-1]), "missing": points[-1]}))
    return Card(
        base=round(float(model.intercept_[0]) * _PER_UNIT),
        features=tuple(features),
        rules={rule: round(weight) for rule, weight in zip(rules, weights[starts[-1] :], strict=True)},
        origin=origin,
        transactions=len(frauds),
        frauds=int(frauds.sum()),
    )


def _parts(rows: pa.Table, edges: Edges, frauds: NDArray[np.int8]) -> list[Part]:
    """Features with the edges of their bins and no points yet."""
    parts = []
    for feature, chosen in edges.items():
        if not isinstance(chosen, str):
            parts.append(_empty(feature, None, tuple(chosen)))
            continue
        values = _numbers(rows, feature)
        currencies = _currencies(rows)
        for currency in sorted(set(currencies[frauds == 1])):
            own = (currencies == currency) & ~np.isnan(values)
            if frauds[own].sum() >= LEAST_OF_CURRENCY and (learned := _learned_edges(values[own], frauds[own])):
                parts.append(_empty(feature, currency, learned))
    return parts


def _empty(feature: str, currency: str | None, edges: tuple[Decimal, ...]) -> Part:
    return Part(feature=feature, currency=currency, edges=edges, points=(0,) * (len(edges) + 1))


def _learned_edges(values: NDArray[np.float64], frauds: NDArray[np.int8]) -> tuple[Decimal, ...]:
    """Amounts, to the cent, at which the share of frauds changes most."""
    from sklearn.tree import DecisionTreeClassifier

    least = max(LEAST_OF_CURRENCY, len(values) // 2000)
    tree = DecisionTreeClassifier(max_leaf_nodes=LEARNED_BINS, min_samples_leaf=least, random_state=0)
    found = tree.fit(values[:, None], frauds).tree_
    cents = {math.ceil(edge * 100) for edge in found.threshold[found.feature >= 0]}
    return tuple(Decimal(each) / 100 for each in sorted(cents))


def _bins(rows: pa.Table, part: Part) -> NDArray[np.int64]:
    """The number of each row's bin; after the last, that for NULL; −1 for other currencies."""
    values = _numbers(rows, part.feature)
    # half a unit of the last digit: an edge as a float may be a little above the value that is equal to it
    found = np.searchsorted(np.array([float(edge) for edge in part.edges]) - 1e-9, values, side="right").astype(np.int64)
    found[np.isnan(values)] = len(part.edges) + 1
    if part.currency is not None:
        found[_currencies(rows) != part.currency] = -1
    return found


def _currencies(rows: pa.Table) -> NDArray[np.object_]:
    return np.asarray(pc.fill_null(rows.column("currency"), UNNAMED).to_numpy(), dtype=object)


def _numbers(rows: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(pc.cast(rows.column(name), pa.float64()).to_numpy(), dtype=np.float64)
