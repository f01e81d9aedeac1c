"""Why a transaction was flagged or not: its alert and score, its customer, and the outcome of every rule."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from fraud_assets.detection.alerts_query import HIGH_RISK_UPLIFT, score_of
from fraud_assets.engine.engine import Engine
from fraud_assets.errors import TransactionNotFound
from fraud_assets.explain.comparisons import Row
from fraud_assets.explain.rule_outcome import RuleOutcome, changed, rule_outcome
from fraud_assets.explain.rule_query import RuleQuery
from fraud_assets.explain.tolerant_reader import TolerantReader, in_days, rows_where
from hive_io import PARTITION, HistoryGone, Warehouse
from hive_io.dialect import literal

LATEST = 10
"""Number of the customer's earlier transactions in an explanation."""
_SHOWN = ("transaction_id", "event_time", "amount", "currency", "merchant_id", "merchant_name", "merchant_country", "status")
_DAYS_BACK = (7, 90, None)
"""Days to search for earlier transactions, widened until there are LATEST of them; None searches all days."""


@dataclass(frozen=True)
class Factor:
    """A factor of a score: 1 − weight of a hit, or 1 − the uplift for high-risk customers.

    Attributes:
        rule: the rule that hit; None for the uplift.
        weight: None if the hit has been deleted since the alert was written.
        note: difference between the rule at the time of the alert and the rule in force, if there is one.
    """

    rule: str | None
    weight: float | None
    note: str | None = None

    @property
    def factor(self) -> float | None:
        return None if self.weight is None else 1.0 - self.weight


@dataclass(frozen=True)
class Score:
    """The computation of a score.

    Attributes:
        factors: the uplift first, then the hits by rule, in the order of multiplication.
        result: 1 − Π factors; None if a factor is missing.
        stored: the alert's score. It differs from the result if hits or the customer's risk were recomputed since.
    """

    factors: Sequence[Factor]
    result: float | None
    stored: float


@dataclass(frozen=True)
class Contribution:
    """Points of a feature, of a rule that hit, or of the base.

    Attributes:
        value: the feature's value; None for the base, for a rule, and for a feature that is not known.
    """

    name: str
    points: int
    value: Any


@dataclass(frozen=True)
class Points:
    """The score by the scorecard.

    Attributes:
        contributions: the base first, then by size.
    """

    score: float
    points: int
    card_version: str
    contributions: Sequence[Contribution]


@dataclass(frozen=True)
class Customer:
    """The customer as of the start of the transaction's day; no personal data.

    Attributes:
        profiles: rows of `customer_profiles`, one per currency.
        high_risk: the reason for high risk; None for other customers.
        credit_score: 300 to 850; None if unknown.
        before: transactions before the explained one, latest first, each with `flagged`.
    """

    profiles: Sequence[Row]
    high_risk: str | None
    credit_score: int | None
    before: Sequence[Row]


@dataclass(frozen=True)
class Explanation:
    """A transaction with its alert and score, its customer, and the outcome of each rule.

    Attributes:
        alert: None if it was not flagged.
        score: of an alert that no scorecard has scored, as in days that earlier releases computed; else None.
        points: by the scorecard, flagged or not; None without one.
        threshold: the day's row of `alert_thresholds`; None on days without a budget of alerts.
    """

    transaction: Row
    alert: Row | None
    score: Score | None
    points: Points | None
    threshold: Row | None
    customer: Customer
    verdicts: Sequence[RuleOutcome]


def explain(engine: Engine, warehouse: Warehouse, transaction_id: str, as_of: dt.datetime | None = None) -> Explanation:
    """Explain a transaction.

    Args:
        as_of: time at which every table is read; None reads the current tables. The rules are those in force now.

    Raises:
        TransactionNotFound: the warehouse has no such transaction.
        NoHistory, HistoryGone: the warehouse keeps no history, or none for the days that are read.
    """
    current = TolerantReader(warehouse, engine.tables)
    reader = TolerantReader(warehouse.as_of(as_of), engine.tables) if as_of else current
    transaction = _transaction(reader, current, transaction_id)
    key = {"transaction_id": transaction_id, PARTITION: transaction[PARTITION]}
    alert = next(iter(_rows_of(reader, "fraud_alerts", **key)), None)
    rules = {rule.name for rule in engine.book.evaluated} | set(alert["rules"] if alert else [])
    hits = {rule: rows[0] for rule in sorted(rules) if (rows := _rows_of(reader, rule, **key))}
    customer = _customer(reader, transaction)
    scored = next(iter(_rows_of(reader, "transaction_scores", **key)), None)
    features = next(iter(_rows_of(reader, "transaction_features", **key)), {}) if scored else {}
    return Explanation(
        transaction,
        alert,
        _score(engine, alert, hits, customer.high_risk is not None) if alert and not alert["card_version"] else None,
        points_of(scored, features) if scored else None,
        next(iter(_rows_of(reader, "alert_thresholds", **{PARTITION: transaction[PARTITION]})), None),
        customer,
        [
            rule_outcome(RuleQuery(rule, engine.tables, reader, transaction), hits.get(rule.name))
            for rule in engine.book.evaluated
        ],
    )


def _transaction(reader: TolerantReader, current: TolerantReader, transaction_id: str) -> Row:
    try:
        found = _rows_of(reader, "transactions", transaction_id=transaction_id)
    except HistoryGone:
        # the history of some days is gone; that of the transaction's current day may still be kept
        days = {row[PARTITION] for row in _rows_of(current, "transactions", transaction_id=transaction_id)}
        found = [row for ds in days for row in _rows_of(reader, "transactions", transaction_id=transaction_id, ds=ds)]
        if not found:
            raise
    if not found and reader is not current and (later := _rows_of(current, "transactions", transaction_id=transaction_id)):
        raise TransactionNotFound(
            f"Transaction {transaction_id} of {later[0][PARTITION]} was not in the warehouse at that time. "
            "Name a later time, or leave out --as-of"
        )
    if not found:
        raise TransactionNotFound(
            f"There is no transaction {transaction_id} in the warehouse; `fraud alerts` lists flagged ones, "
            "`fraud run` loads more days"
        )
    return max(found, key=lambda row: row[PARTITION])


def _score(engine: Engine, alert: Row, hits: Mapping[str, Row], high_risk: bool) -> Score:
    uplift = [Factor(None, HIGH_RISK_UPLIFT)] if high_risk else []
    versions = dict(sorted(zip(alert["rules"], alert["rule_versions"], strict=True)))
    weights = {rule: weight for rule in versions if rule in hits and (weight := _weight(engine, hits[rule], rule)) is not None}
    factors = [Factor(rule, weights.get(rule), _note(engine, rule, version)) for rule, version in versions.items()]
    result = score_of(weights, high_risk) if len(weights) == len(factors) else None
    return Score([*uplift, *factors], result, alert["score"])


def points_of(scored: Row, features: Row) -> Points:
    """The points of a row of `transaction_scores`, with the values of its row of `transaction_features`."""
    points: dict[str, int] = json.loads(scored["contributions"])
    base, *others = (Contribution(name, each, features.get(name.split(" ")[0])) for name, each in points.items())
    by_size = sorted(others, key=lambda each: (-abs(each.points), each.name))
    return Points(scored["score"], scored["points"], scored["card_version"], [base, *by_size])


def _weight(engine: Engine, hit: Row, name: str) -> float | None:
    """The weight that a hit has in the score: the rule's stated weight if the hit has none."""
    rule = engine.book.rules.get(name)
    weight: float | None = hit["weight"]
    return rule.weight if weight is None and rule is not None else weight


def _note(engine: Engine, name: str, version: str) -> str | None:
    rule = engine.book.rules.get(name)
    if rule is None or rule.status not in ("active", "shadow"):
        return f"version {version} of a rule that is no longer in force"
    return changed(version, rule)


def _customer(reader: TolerantReader, transaction: Row) -> Customer:
    key = {"customer_id": transaction["customer_id"], PARTITION: transaction[PARTITION]}
    risk = next(iter(_rows_of(reader, "high_risk_customers", **key)), None)
    scored = next(iter(_rows_of(reader, "credit_scores", **key)), None)
    return Customer(
        # the currency is NULL if the source does not name one
        sorted(_rows_of(reader, "customer_profiles", **key), key=lambda row: row["currency"] or ""),
        risk["reason"] if risk else None,
        scored["score"] if scored else None,
        _before(reader, transaction),
    )


def _before(reader: TolerantReader, transaction: Row) -> list[Row]:
    """The customer's transactions before this one, latest first; transactions at the same time are ordered by id."""
    customer, last = transaction["customer_id"], transaction[PARTITION]
    time, name = exp.column("event_time"), exp.column("transaction_id")
    moment = literal(transaction["event_time"].replace(tzinfo=dt.UTC))
    earlier = (time < moment).or_(name < literal(transaction["transaction_id"]))
    query = rows_where("transactions", customer_id=customer).where(time <= moment, earlier)
    query = query.order_by(time.desc(), name.desc()).limit(LATEST)
    rows: Sequence[Row] = []
    for back in _DAYS_BACK:
        first = "" if back is None else (dt.date.fromisoformat(last) - dt.timedelta(days=back)).isoformat()
        rows = reader.rows(query.where(in_days(first, last)))
        if len(rows) == LATEST:
            break
    if not rows:
        return []
    alerts = rows_where("fraud_alerts", customer_id=customer).where(in_days(rows[-1][PARTITION], last))
    flagged = {row["transaction_id"] for row in reader.rows(alerts)}
    return [{**{column: row[column] for column in _SHOWN}, "flagged": row["transaction_id"] in flagged} for row in rows]


def _rows_of(reader: TolerantReader, table: str, **values: str) -> list[dict[str, Any]]:
    return reader.rows(rows_where(table, **values))
