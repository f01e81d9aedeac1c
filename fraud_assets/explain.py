"""Why a transaction was flagged, or was not: every rule's verdict, from the same SQL that ran."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlglot import exp

from fraud_assets.engine import Engine
from fraud_assets.errors import TransactionNotFound
from fraud_assets.queries import as_cte, hiveql, window_query, with_ctes
from fraud_assets.rule_book import JUDGED, SPECIAL_COLUMNS
from fraud_assets.schemas import DATABASE
from hive_io import PARTITION, Span, TableNotFound, Warehouse
from hive_io.dialect import literal


@dataclass(frozen=True)
class Verdict:
    """What one rule says of one transaction.

    Attributes:
        outcome: `hit`; `clean`: judged and not hit; `not judged`: the rule lacked something (history, score, place …);
            `would hit now`: the table has no hit, but the rule and params in force find one: the day is to be run again.
        evidence: what the rule looked at; empty where it could not judge.
        reason: of a hit.
    """

    rule: str
    outcome: Literal["hit", "clean", "not judged", "would hit now"]
    evidence: Mapping[str, Any]
    reason: str | None = None
    weight: float | None = None
    version: str | None = None


@dataclass(frozen=True)
class Explanation:
    """Everything that is known about a transaction: its row, its alert (None where it has none), the verdicts."""

    transaction: Mapping[str, Any]
    alert: Mapping[str, Any] | None
    high_risk: str | None
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
    risks = _rows_of(warehouse, "high_risk_customers", "customer_id", transaction["customer_id"], day)
    return Explanation(
        transaction,
        alerts[0] if alerts else None,
        risks[0]["reason"] if risks else None,
        [_verdict(engine, warehouse, rule.name, transaction_id, span) for rule in engine.book.evaluated],
    )


def _verdict(engine: Engine, warehouse: Warehouse, name: str, transaction_id: str, span: Span) -> Verdict:
    rule = engine.book.rules[name]
    ctes, judged = as_cte(window_query(rule.file, engine.tables, span), JUDGED)
    tree = exp.select("*").from_(judged).where(_equals("transaction_id", transaction_id))
    looked = _rows(warehouse, with_ctes(tree, ctes))
    hits = _rows_of(warehouse, name, "transaction_id", transaction_id, span.first_day)
    evidence = {key: value for key, value in looked[0].items() if key not in SPECIAL_COLUMNS} if looked else {}
    if hits:
        hit = hits[0]
        return Verdict(name, "hit", evidence, hit["reason"], hit["weight"], hit["rule_version"])
    if not looked:
        return Verdict(name, "not judged", evidence)
    # no stored hit, and one now: the rule or its params changed since the day was computed
    return Verdict(name, "would hit now" if looked[0].get("hit", True) else "clean", evidence, version=rule.version)


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
