"""Drift of a scorecard: how differently it scores the same transactions than the card before it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from fraud_assets.scoring.card import POINTS_TO_DOUBLE, Card
from fraud_assets.scoring.queries import InForce, moves_query, scores_query
from fraud_assets.sql.windows import double, hiveql
from hive_io import HiveQL, Span, Table, Warehouse
from hive_io.dialect import literal


@dataclass(frozen=True)
class Drift:
    """How two cards score the same transactions.

    Attributes:
        transactions: how many were scored.
        shifted: those whose odds of fraud one card puts at more than twice what the other does.
        alerts, alerts_before: those with a score from which a transaction is an alert, by each card.
        alerts_of_both: those that both cards make alerts.
    """

    transactions: int
    shifted: int
    alerts: int
    alerts_before: int
    alerts_of_both: int

    @property
    def share(self) -> float:
        """Share of the transactions that have shifted; 0 without transactions."""
        return self.shifted / self.transactions if self.transactions else 0.0


def drift(warehouse: Warehouse, card: Card, before: Card, span: Span, rules: Sequence[Table], alert_score: float) -> Drift:
    """Score the transactions of a span by two cards, and compare.

    Args:
        before: the card that was in force before `card`.
        rules: the tables of the rules whose hits have points.
        alert_score: score from which a transaction is an alert.
    """
    [row] = warehouse.query(drift_query(card, before, span, rules, alert_score)).to_pylist()
    return Drift(**{name: int(value or 0) for name, value in row.items()})


def stability_index(warehouse: Warehouse, card: Card, before: Card, span: Span, rules: Sequence[Table]) -> float:
    """The population stability index of the scores of a span's transactions, by two cards.

    The bands of `index_of` are `POINTS_TO_DOUBLE` points wide, so the odds of fraud double from one band to the next. The index
    compares how many transactions each band has; `Drift.share` compares the two scores of each transaction. Most transactions
    have the same usual points: where two cards put these on two sides of an edge, the index is high although no score differs
    by much.

    Args:
        before, rules: as for `drift`.
    """
    bands: dict[str, Counter[int]] = {"after": Counter(), "before": Counter()}
    for row in warehouse.query(points_query(card, before, span, rules)).to_pylist():
        bands[row["card_version"]][row["points"] // POINTS_TO_DOUBLE] += int(row["transactions"])
    return index_of(bands["after"], bands["before"])


def index_of(now: Mapping[int, int], before: Mapping[int, int]) -> float:
    """The population stability index Σ (aᵢ − bᵢ) · ln(aᵢ / bᵢ), where aᵢ and bᵢ are the shares of band i; 0 without rows.

    Half a row is added to each band, so that one that is empty on a side has a logarithm.
    Source: Siddiqi, Intelligent Credit Scoring, 2nd edition, 2017, page 369: less than 0.1 is no significant shift, more than
    0.25 is one.

    Args:
        now, before: number of rows by band.
    """
    bands = {band for counts in (now, before) for band, count in counts.items() if count}
    totals = [sum(counts.values()) + 0.5 * len(bands) for counts in (now, before)]
    shares = [
        [(counts.get(band, 0) + 0.5) / total for counts, total in zip((now, before), totals, strict=True)] for band in bands
    ]
    return sum((a - b) * math.log(a / b) for a, b in shares)


def moves(warehouse: Warehouse, card: Card, before: Card, span: Span, rules: Sequence[Table]) -> dict[str, float]:
    """The features and rules in which two cards differ, with the standard deviation of the difference in points over the
    transactions of the span, largest first. What is the same for all of them, as if another bin had become the usual one, is
    in the base as well, and ranks none otherwise.

    Args:
        before, rules: as for `drift`.
    """
    names, query = moves_query(card, before, span, rules)
    [row] = warehouse.query(query).to_pylist()
    count, *sums = (int(value or 0) for value in row.values())
    variances = {
        # of whole numbers, so that none is left where all differences are equal
        name: (count * squares - total * total) / count**2
        for name, total, squares in zip(names, sums[::2], sums[1::2], strict=True)
        if count
    }
    return {name: math.sqrt(each) for name, each in sorted(variances.items(), key=lambda item: (-item[1], item[0])) if each}


def points_query(card: Card, before: Card, span: Span, rules: Sequence[Table]) -> HiveQL:
    """`card_version` (`after` or `before`), `points`, and how many `transactions` have them."""
    scores = scores_query([InForce(card, "after", span), InForce(before, "before", span)], rules).bound().subquery("s")
    rows = exp.select("card_version", "points", exp.Count(this=exp.Star()).as_("transactions")).from_(scores)
    return hiveql(rows.group_by("card_version", "points"))


def drift_query(card: Card, before: Card, span: Span, rules: Sequence[Table], alert_score: float) -> HiveQL:
    """One row with the columns that the attributes of `Drift` name."""
    scores = scores_query([InForce(card, "after", span), InForce(before, "before", span)], rules).bound().subquery("s")
    is_after = exp.column("card_version").eq(literal("after"))
    points = exp.column("points")
    is_alert = exp.column("score") >= double(alert_score)

    def flag(name: str, condition: exp.Expr) -> exp.Expr:
        return exp.func("MAX", exp.Case().when(condition, literal(1)).else_(literal(0))).as_(name)

    each = (
        exp.select(
            exp.func("SUM", exp.Case().when(is_after, points).else_(exp.Neg(this=points))).as_("difference"),
            flag("after", exp.and_(is_after, is_alert)),
            flag("formerly", exp.and_(is_after.not_(), is_alert)),
        )
        .from_(scores)
        .group_by("transaction_id")
    )
    has_shifted = exp.func("ABS", exp.column("difference")) > literal(POINTS_TO_DOUBLE)
    return hiveql(
        exp.select(
            exp.Count(this=exp.Star()).as_("transactions"),
            exp.func("SUM", exp.Case().when(has_shifted, literal(1)).else_(literal(0))).as_("shifted"),
            exp.func("SUM", exp.column("after")).as_("alerts"),
            exp.func("SUM", exp.column("formerly")).as_("alerts_before"),
            exp.func("SUM", exp.Mul(this=exp.column("after"), expression=exp.column("formerly"))).as_("alerts_of_both"),
        ).from_(each.subquery("d"))
    )
