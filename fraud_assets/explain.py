"""Why a transaction was flagged, or was not: every rule's verdict, from the same SQL that ran."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlglot import exp

from fraud_assets.alerts import HIGH_RISK_UPLIFT, HIGHEST_SCORE
from fraud_assets.conditions import Asked, Asker, Condition
from fraud_assets.engine import Engine
from fraud_assets.errors import TransactionNotFound
from fraud_assets.left_out import why_left_out
from fraud_assets.queries import as_cte, hiveql, window_query, with_ctes
from fraud_assets.rule_book import JUDGED, Rule
from fraud_assets.schemas import CUSTOMER_PROFILES, DATABASE
from fraud_assets.select_tree import Place
from hive_io import PARTITION, Span, TableNotFound, Warehouse
from hive_io.dialect import literal

BEFORE = 10
"""How many of the customer's transactions before this one are told."""
Outcome: TypeAlias = Literal["hit", "clean", "not judged", "would hit now"]
_RECENT = ("transaction_id", "event_time", "amount", "currency", "merchant_id", "merchant_country", "status")


@dataclass(frozen=True)
class Verdict:
    """What one rule says of one transaction.

    Attributes:
        outcome: `hit`; `clean`: judged and not hit; `not judged`: the rule lacked something (history, score, place …);
            `would hit now`: the table has no hit, but the rule and params in force find one: the day is to be run again.
        evidence: what the rule looked at; empty where it could not judge.
        condition: what makes a hit, comparison by comparison, with the values of this transaction; None where the rule
            did not judge, or where its SELECT cannot be taken apart.
        left_out: of what was not judged, why, in words; empty where it cannot be told.
        reason: of a hit.
        version: that made the hit; where there is none, the one in force.
        in_force: the version in force.
    """

    rule: str
    outcome: Outcome
    evidence: Mapping[str, Any]
    in_force: str
    version: str
    reason: str | None = None
    weight: float | None = None
    condition: Condition | None = None
    left_out: Sequence[str] = ()


@dataclass(frozen=True)
class Factor:
    """One hit's part in a score.

    Attributes:
        rule: None is the uplift of high-risk customers.
        weight: None where the hit is gone since the alert was made.
        version: that the alert names; None of the uplift.
        in_force: the version in force; None where the rule is not in force any more.
    """

    rule: str | None
    weight: float | None
    reason: str
    version: str | None = None
    in_force: str | None = None


@dataclass(frozen=True)
class Score:
    """How a score came about: 1 − Π(1 − weight) of the factors, multiplied in this order.

    Attributes:
        computed: from the factors, to the last digit; None where one is gone.
    """

    stored: float
    computed: float | None
    factors: Sequence[Factor]


@dataclass(frozen=True)
class Customer:
    """What was known of the customer on the day, without personal data.

    Attributes:
        credit_score: None where none is known.
        high_risk: the reason why the customer was at high risk, or None.
        profiles: what was usual, a row a currency.
        before: the last transactions before this one, the latest first, each with `flagged`.
    """

    customer_id: str
    credit_score: int | None
    high_risk: str | None
    profiles: Sequence[Mapping[str, Any]]
    before: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Explanation:
    """Everything that is known about a transaction: its row, its alert and score (None where it has none), the verdicts."""

    transaction: Mapping[str, Any]
    alert: Mapping[str, Any] | None
    score: Score | None
    customer: Customer
    verdicts: Sequence[Verdict]


def explain(engine: Engine, warehouse: Warehouse, transaction_id: str) -> Explanation:
    """Look up a transaction and what each rule said and says of it.

    Raises:
        TransactionNotFound: with what to try.
    """
    found = _rows_of(warehouse, "transactions", "transaction_id", transaction_id)
    if not found:
        raise TransactionNotFound(
            f"There is no transaction {transaction_id} in the warehouse; `fraud alerts` lists some, `fraud run` loads days"
        )
    transaction = max(found, key=lambda row: row[PARTITION])
    day = dt.date.fromisoformat(transaction[PARTITION])
    span = Span.days(day, day)
    alerts = _rows_of(warehouse, "fraud_alerts", "transaction_id", transaction_id, day)
    customer = _customer(warehouse, transaction, day)
    return Explanation(
        transaction,
        alerts[0] if alerts else None,
        _score(engine, warehouse, alerts[0], customer.high_risk) if alerts else None,
        customer,
        [_verdict(engine, warehouse, rule, transaction_id, span) for rule in engine.book.evaluated],
    )


def _score(engine: Engine, warehouse: Warehouse, alert: Mapping[str, Any], high_risk: str | None) -> Score:
    day = dt.date.fromisoformat(alert[PARTITION])
    factors = [Factor(None, HIGH_RISK_UPLIFT, high_risk)] if high_risk else []
    # by name, as the query multiplies them, so that the last digit is the same
    for name, reason, version in sorted(zip(alert["rules"], alert["reasons"], alert["rule_versions"], strict=True)):
        hits = _rows_of(warehouse, name, "transaction_id", alert["transaction_id"], day)
        rule = engine.book.rules.get(name)
        in_force = rule.version if rule and rule.status == "active" else None
        factors.append(Factor(name, hits[0]["weight"] if hits else None, reason, version, in_force))
    clean: float | None = 1.0
    for factor in factors:
        clean = None if clean is None or factor.weight is None else clean * (1.0 - factor.weight)
    return Score(alert["score"], None if clean is None else min(1.0 - clean, HIGHEST_SCORE), factors)


def _customer(warehouse: Warehouse, transaction: Mapping[str, Any], day: dt.date) -> Customer:
    name = transaction["customer_id"]
    scores = _rows_of(warehouse, "credit_scores", "customer_id", name, day)
    risks = _rows_of(warehouse, "high_risk_customers", "customer_id", name, day)
    profiles = _rows_of(warehouse, CUSTOMER_PROFILES.name, "customer_id", name, day)
    # NULL is the currency of a source that names none
    profiles.sort(key=lambda row: row["currency"] or "")
    return Customer(
        name,
        scores[0]["score"] if scores else None,
        risks[0]["reason"] if risks else None,
        profiles,
        _before(warehouse, transaction),
    )


def _before(warehouse: Warehouse, transaction: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The customer's last transactions before this one; of those at the same time, the ids before it."""
    time = literal(transaction["event_time"].replace(tzinfo=dt.UTC))
    at, name = exp.column("event_time"), exp.column("transaction_id")
    earlier = exp.or_(
        exp.LT(this=at, expression=time),
        exp.and_(
            exp.EQ(this=at.copy(), expression=time.copy()),
            exp.LT(this=name, expression=literal(transaction["transaction_id"])),
        ),
    )
    mine = _equals("customer_id", transaction["customer_id"])
    until = exp.LTE(this=exp.column(PARTITION), expression=literal(transaction[PARTITION]))
    rows = exp.select(*_RECENT).from_(exp.table_("transactions", db=DATABASE)).where(mine, until, earlier)
    latest = rows.order_by(at.copy().desc(), name.copy().desc()).limit(BEFORE)
    flagged = exp.select("transaction_id").from_(exp.table_("fraud_alerts", db=DATABASE)).where(mine.copy(), until.copy())
    ids = {row["transaction_id"] for row in _rows(warehouse, flagged)}
    return [{**row, "flagged": row["transaction_id"] in ids} for row in _rows(warehouse, latest)]


def _verdict(engine: Engine, warehouse: Warehouse, rule: Rule, transaction_id: str, span: Span) -> Verdict:
    def ask(select: exp.Query) -> list[dict[str, Any]]:
        ctes, judged = as_cte(window_query(rule.file, engine.tables, span, select=select), JUDGED)
        tree = exp.select("*").from_(judged).where(_equals("transaction_id", transaction_id))
        return _rows(warehouse, with_ctes(tree, ctes))

    select, asked = _taken_apart(rule)
    looked = ask(select)
    row = looked[0] if looked else {}
    evidence = {name: row[name] for name in rule.evidence if name in row}
    condition = asked.answered(row) if asked and looked else None
    hits = _rows_of(warehouse, rule.name, "transaction_id", transaction_id, span.first_day)
    outcome: Outcome = "hit" if hits else "not judged"
    if looked and not hits:
        # no stored hit, and one now: the rule or its params changed since the day was computed
        outcome = "would hit now" if row.get("hit", True) else "clean"
    hit = hits[0] if hits else {}
    version = hit.get("rule_version", rule.version)
    left_out: list[str] = []
    if outcome == "not judged":
        there = warehouse.tables(DATABASE)
        missing = sorted(rule.file.tables().difference(there))
        left_out = [f"there is no table {name} yet" for name in missing] or why_left_out(rule.file, engine.tables, ask)
    return Verdict(
        rule.name, outcome, evidence, rule.version, version, hit.get("reason"), hit.get("weight"), condition, left_out
    )


def _taken_apart(rule: Rule) -> tuple[exp.Query, Asked | None]:
    """The rule's SELECT, with columns that tell how its `hit` turned out; as it is where they cannot be added."""
    select = rule.file.tree().copy()
    if not isinstance(select, exp.Select) or "hit" not in rule.returns or not Place(select).passes_rows_on:
        return select, None
    hit = next(made.unalias() for made in select.selects if made.alias_or_name == "hit")
    asker = Asker(rule.file, select)
    return select, asker.condition(asker.top, hit)


def _rows_of(warehouse: Warehouse, table: str, column: str, value: str, day: dt.date | None = None) -> list[dict[str, Any]]:
    tree = exp.select("*").from_(exp.table_(table, db=DATABASE)).where(_equals(column, value))
    if day is not None:
        tree = tree.where(_equals(PARTITION, day.isoformat()))
    return _rows(warehouse, tree)


def _rows(warehouse: Warehouse, tree: exp.Query) -> list[dict[str, Any]]:
    try:
        return warehouse.query(hiveql(tree)).to_pylist()
    except TableNotFound:
        return []  # of a rule that was added, or a day that stopped half way: nothing is known yet


def _equals(column: str, value: str) -> exp.Expr:
    return exp.EQ(this=exp.column(column), expression=literal(value))
