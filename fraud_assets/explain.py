"""Why a transaction was flagged, or was not: every rule's verdict, from the same SQL that ran."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from fraud_assets.alerts import HIGH_RISK_UPLIFT, score_of
from fraud_assets.conditions import Row
from fraud_assets.engine import Engine
from fraud_assets.errors import TransactionNotFound
from fraud_assets.queries import hiveql
from fraud_assets.schemas import DATABASE
from fraud_assets.verdicts import Verdict, changed, verdict
from hive_io import PARTITION, Reader, TableNotFound
from hive_io.dialect import literal

LATEST = 10
"""How many of the customer's transactions before the one explained are shown."""
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
    verdicts: Sequence[Verdict]


def explain(engine: Engine, tables: Reader, transaction_id: str) -> Explanation:
    """Look up a transaction and what each rule said and says of it.

    Raises:
        TransactionNotFound: with what to try.
        HistoryGone: a past of the tables that is no longer kept.
    """
    found = _rows_of(tables, "transactions", transaction_id=transaction_id)
    if not found:
        raise TransactionNotFound(
            f"There is no transaction {transaction_id} in the warehouse; `fraud alerts` lists some, `fraud run` loads days"
        )
    transaction = max(found, key=lambda row: row[PARTITION])
    key = {"transaction_id": transaction_id, PARTITION: transaction[PARTITION]}
    alert = next(iter(_rows_of(tables, "fraud_alerts", **key)), None)
    named = {rule.name for rule in engine.book.evaluated} | set(alert["rules"] if alert else [])
    hits = {rule: rows[0] for rule in sorted(named) if (rows := _rows_of(tables, rule, **key))}
    customer = _customer(tables, transaction)
    there = set(tables.tables(DATABASE))
    return Explanation(
        transaction,
        alert,
        _score(engine, alert, hits, customer.high_risk is not None) if alert else None,
        customer,
        [verdict(engine, tables, rule, transaction, hits.get(rule.name), there) for rule in engine.book.evaluated],
    )


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


def _customer(tables: Reader, transaction: Row) -> Customer:
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


def _before(tables: Reader, transaction: Row) -> list[dict[str, Any]]:
    """The customer's last transactions before this one, the latest first; of those at the same time, the ids before it."""
    moment = (transaction["event_time"], transaction["transaction_id"])
    last = transaction[PARTITION]
    rows: list[dict[str, Any]] = []
    for back in _DAYS_BACK:
        first = "" if back is None else (dt.date.fromisoformat(last) - dt.timedelta(days=back)).isoformat()
        mine = _select("transactions", customer_id=transaction["customer_id"]).where(*_days(first, last))
        rows = [row for row in _rows(tables, mine) if (row["event_time"], row["transaction_id"]) < moment]
        if len(rows) >= LATEST:
            break
    latest = sorted(rows, key=lambda row: (row["event_time"], row["transaction_id"]), reverse=True)[:LATEST]
    if not latest:
        return []
    alerts = _select("fraud_alerts", customer_id=transaction["customer_id"]).where(*_days(latest[-1][PARTITION], last))
    flagged = {(row["transaction_id"], row[PARTITION]) for row in _rows(tables, alerts)}
    return [{**row, "flagged": (row["transaction_id"], row[PARTITION]) in flagged} for row in latest]


def _rows_of(tables: Reader, table: str, **values: str) -> list[dict[str, Any]]:
    return _rows(tables, _select(table, **values))


def _select(table: str, **values: str) -> exp.Select:
    tree = exp.select("*").from_(exp.table_(table, db=DATABASE))
    return tree.where(*[exp.EQ(this=exp.column(column), expression=literal(value)) for column, value in values.items()])


def _rows(tables: Reader, tree: exp.Query) -> list[dict[str, Any]]:
    try:
        return tables.query(hiveql(tree)).to_pylist()
    except TableNotFound:
        return []  # of a rule that was added, or a day that stopped half way: nothing is known yet


def _days(first: str, last: str) -> list[exp.Expr]:
    ds = exp.column(PARTITION)
    return [exp.GTE(this=ds, expression=literal(first)), exp.LTE(this=ds.copy(), expression=literal(last))]
