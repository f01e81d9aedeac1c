"""Drift of a scorecard: how differently it scores the same transactions than the card before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from fraud_assets.scoring.card import POINTS_TO_DOUBLE, Card
from fraud_assets.scoring.queries import InForce, scores_query
from fraud_assets.sql.windows import hiveql
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


def drift_query(card: Card, before: Card, span: Span, rules: Sequence[Table], alert_score: float) -> HiveQL:
    """One row with the columns that the attributes of `Drift` name."""
    scores = scores_query([InForce(card, "after", span), InForce(before, "before", span)], rules).bound().subquery("s")
    is_after = exp.column("card_version").eq(literal("after"))
    points = exp.column("points")
    is_alert = exp.column("score") >= exp.cast(exp.Literal.number(repr(alert_score)), "DOUBLE")

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
