"""Why a transaction was flagged, or was not: every rule's rule_outcome, from the same SQL that ran."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from fraud_assets.detection.alerts_query import HIGH_RISK_UPLIFT, score_of
from fraud_assets.engine.engine import Engine
from fraud_assets.errors import TransactionNotFound
from fraud_assets.explain.comparisons import Row
from fraud_assets.explain.rule_outcome import RuleOutcome, changed, rule_outcome
from fraud_assets.explain.tolerant_reader import TolerantReader
from fraud_assets.schemas.names import DATABASE
from hive_io import PARTITION, HistoryGone, Warehouse
from hive_io.dialect import literal

LATEST = 10
"""How many of the customer's transactions before the one explained are shown."""
_SHOWN = ("transaction_id", "event_time", "amount", "currency", "merchant_id", "merchant_name", "merchant_country", "status")
_DAYS_BACK = (7, 90, None)
"""How many days the customer's transactions are looked for in, until there are enough; None: all."""


@dataclass(frozen=True)
class Factor:
    """What an alert's score is multiplied from: 1 − weight of a hit, or of the uplift for customers at high risk.

    Attributes:
        rule: None of the uplift.
        weight: None where the hit is gone since the alert was made.
        note: whether the rule that the alert names is another one now.
    """

    rule: str | None
    weight: float | None
    note: str | None = None

    @property
    def factor(self) -> float | None:
        return None if self.weight is None else 1.0 - self.weight


@dataclass(frozen=True)
class Score:
    """How a score came about.

    Attributes:
        factors: the uplift first, then the hits by rule, as they are multiplied.
        result: 1 − Π factors; None where one is gone.
        stored: the alert's. It differs from the result where hits or the customer's risk were computed again since.
    """

    factors: Sequence[Factor]
    result: float | None
    stored: float


@dataclass(frozen=True)
class Customer:
    """What was known of the customer when the day began; no personal data.

    Attributes:
        profiles: rows of `customer_profiles`, one a currency.
        high_risk: the reason, of a customer at high risk.
        credit_score: 300 to 850.
        before: the last transactions before this one, the latest first, each with `flagged`.
    """

    profiles: Sequence[Row]
    high_risk: str | None
    credit_score: int | None
    before: Sequence[Row]


@dataclass(frozen=True)
class Explanation:
    """Everything that is known about a transaction: its row, its alert and score (None where it has none), the verdicts."""

    transaction: Row
    alert: Row | None
    score: Score | None
    customer: Customer
    verdicts: Sequence[RuleOutcome]


def explain(engine: Engine, warehouse: Warehouse, transaction_id: str, as_of: dt.datetime | None = None) -> Explanation:
    """Look up a transaction and what each rule said and says of it.

    Args:
        as_of: reads every table as it was at that moment; the rules are those in force now.

    Raises:
        TransactionNotFound: with what to try.
        NoHistory, HistoryGone: the warehouse keeps no past, or not that of the days that are read.
    """
    tables = TolerantReader(warehouse.as_of(as_of) if as_of else warehouse, engine.tables)
    transaction = _transaction(tables, TolerantReader(warehouse, engine.tables), transaction_id)
    key = {"transaction_id": transaction_id, PARTITION: transaction[PARTITION]}
    alert = next(iter(_rows_of(tables, "fraud_alerts", **key)), None)
    named = {rule.name for rule in engine.book.evaluated} | set(alert["rules"] if alert else [])
    hits = {rule: rows[0] for rule in sorted(named) if (rows := _rows_of(tables, rule, **key))}
    customer = _customer(tables, transaction)
    return Explanation(
        transaction,
        alert,
        _score(engine, alert, hits, customer.high_risk is not None) if alert else None,
        customer,
        [rule_outcome(engine, tables, rule, transaction, hits.get(rule.name)) for rule in engine.book.evaluated],
    )


def _transaction(tables: TolerantReader, now: TolerantReader, transaction_id: str) -> Row:
    try:
        found = _rows_of(tables, "transactions", transaction_id=transaction_id)
    except HistoryGone:
        # not of all days; the one where the transaction is now is still read as it was
        days = {row[PARTITION] for row in _rows_of(now, "transactions", transaction_id=transaction_id)}
        found = [row for ds in days for row in _rows_of(tables, "transactions", transaction_id=transaction_id, ds=ds)]
        if not found:
            raise
    if not found:
        raise TransactionNotFound(
            f"There is no transaction {transaction_id} in the warehouse; `fraud alerts` lists some, `fraud run` loads days"
        )
    return max(found, key=lambda row: row[PARTITION])


def _score(engine: Engine, alert: Row, hits: Mapping[str, Row], high_risk: bool) -> Score:
    uplift = [Factor(None, HIGH_RISK_UPLIFT)] if high_risk else []
    versions = dict(sorted(zip(alert["rules"], alert["rule_versions"], strict=True)))
    weights = {rule: hits[rule]["weight"] for rule in versions if rule in hits}
    factors = [Factor(rule, weights.get(rule), _note(engine, rule, version)) for rule, version in versions.items()]
    result = score_of(weights, high_risk) if len(weights) == len(factors) else None
    return Score([*uplift, *factors], result, alert["score"])


def _note(engine: Engine, name: str, version: str) -> str | None:
    rule = engine.book.rules.get(name)
    if rule is None or rule.status == "retired":
        return f"version {version} of a rule that is not in force any more"
    return changed(version, rule)


def _customer(tables: TolerantReader, transaction: Row) -> Customer:
    key = {"customer_id": transaction["customer_id"], PARTITION: transaction[PARTITION]}
    risk = next(iter(_rows_of(tables, "high_risk_customers", **key)), None)
    scored = next(iter(_rows_of(tables, "credit_scores", **key)), None)
    return Customer(
        # NULL is the currency of a source that names none
        sorted(_rows_of(tables, "customer_profiles", **key), key=lambda row: row["currency"] or ""),
        risk["reason"] if risk else None,
        scored["score"] if scored else None,
        _before(tables, transaction),
    )


def _before(tables: TolerantReader, transaction: Row) -> list[Row]:
    """The customer's last transactions before this one, the latest first; of those at the same time, the ids before it."""
    customer, last = transaction["customer_id"], transaction[PARTITION]
    time, name = exp.column("event_time"), exp.column("transaction_id")
    moment = literal(transaction["event_time"].replace(tzinfo=dt.UTC))
    until = exp.LTE(this=time, expression=moment)
    before_it = exp.LT(this=name, expression=literal(transaction["transaction_id"]))
    earlier = exp.or_(exp.LT(this=time.copy(), expression=moment.copy()), before_it)
    mine = _select("transactions", customer_id=customer).where(until, earlier)
    mine = mine.order_by(time.copy().desc(), name.copy().desc()).limit(LATEST)
    rows: Sequence[Row] = []
    for back in _DAYS_BACK:
        first = "" if back is None else (dt.date.fromisoformat(last) - dt.timedelta(days=back)).isoformat()
        rows = tables.rows(mine.where(*_days(first, last)))
        if len(rows) == LATEST:
            break
    if not rows:
        return []
    alerts = _select("fraud_alerts", customer_id=customer).where(*_days(rows[-1][PARTITION], last))
    flagged = {row["transaction_id"] for row in tables.rows(alerts)}
    return [{**{each: row[each] for each in _SHOWN}, "flagged": row["transaction_id"] in flagged} for row in rows]


def _rows_of(tables: TolerantReader, table: str, **values: str) -> list[dict[str, Any]]:
    return tables.rows(_select(table, **values))


def _select(table: str, **values: str) -> exp.Select:
    tree = exp.select("*").from_(exp.table_(table, db=DATABASE))
    return tree.where(*[exp.EQ(this=exp.column(column), expression=literal(value)) for column, value in values.items()])


def _days(first: str, last: str) -> list[exp.Expr]:
    ds = exp.column(PARTITION)
    return [exp.GTE(this=ds, expression=literal(first)), exp.LTE(this=ds.copy(), expression=literal(last))]
