"""From the hits of all active rules to alerts: one row a transaction, with a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from fraud_assets.detection.rule import SEVERITIES, Rule
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.features import HIGH_RISK_CUSTOMERS
from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.windows import hiveql, union_all, within
from hive_io import PARTITION, HiveQL, Span, Table
from hive_io.dialect import literal

HIGH_RISK_UPLIFT = 0.2
"""The alert of a high-risk customer is scored as if one more rule, of this weight, had hit."""

HIGHEST_SCORE = 0.999999
"""Scores end here: 1 − Π(1 − weight) of many hits is 1.0 in a DOUBLE."""


def alerts_query(rules: Sequence[Rule], tables: Mapping[str, Table], span: Span) -> HiveQL:
    """The alerts of a span, from the tables of those rules.

    score = 1 − (1 − uplift) · Π (1 − weightᵢ) over the hits: the chance that at least one of them is right, if each were
    right with its weight, independently of the others (noisy-or; Pearl 1988). Multiplied in the order of rule names, so
    that the last digit never depends on the order in which an engine meets the rows.
    """
    if not rules:
        return hiveql(_nothing())
    hits = _hits(rules, tables, span)
    # by day, too: a source that moved a transaction to another day leaves one on each, and a range gives what its days give
    one = f"PARTITION BY transaction_id, {PARTITION}"
    order = f"{one} ORDER BY weight DESC, rule ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
    lists = exp.select(
        "transaction_id",
        "customer_id",
        "event_time",
        PARTITION,
        f"COLLECT_LIST(rule) OVER ({order}) AS rules",
        f"COLLECT_LIST(reason) OVER ({order}) AS reasons",
        f"COLLECT_LIST(rule_version) OVER ({order}) AS rule_versions",
        f"ROW_NUMBER() OVER ({one} ORDER BY weight DESC, rule) AS place",
        *[exp.alias_(_weight_of(rule), f"weight_{rule.name}") for rule in rules],
        f"MAX(severity_rank) OVER ({one}) AS severity_rank",
        dialect="hive",
    ).from_(hits.subquery("hits"))
    tree = (
        exp.select(
            "h.transaction_id",
            "h.customer_id",
            "h.event_time",
            "t.amount",
            "t.currency",
            "t.merchant_id",
            exp.alias_(_score(rules), "score"),
            exp.alias_(_severity(), "severity"),
            "h.rules",
            "h.reasons",
            "h.rule_versions",
            f"h.{PARTITION}",
        )
        .from_(lists.subquery("h"))
        .join(
            _rows(tables["transactions"], span).subquery("t"),
            on=f"t.transaction_id = h.transaction_id AND t.{PARTITION} = h.{PARTITION}",
        )
        .join(
            _rows(HIGH_RISK_CUSTOMERS, span.whole_days()).subquery("r"),
            on=f"r.customer_id = h.customer_id AND r.{PARTITION} = h.{PARTITION}",
            join_type="left",
        )
        .where("h.place = 1")
    )
    return hiveql(tree)


def score_of(weights: Mapping[str, float], high_risk: bool) -> float:
    """The score that `alerts_query` gives to hits of those weights, by rule: the same to the last digit."""
    clean = 1.0 - HIGH_RISK_UPLIFT if high_risk else 1.0
    for _, weight in sorted(weights.items()):
        clean *= 1.0 - weight
    return min(1.0 - clean, HIGHEST_SCORE)


def _rows(table: Table, span: Span) -> exp.Select:
    return within(exp.select("*").from_(exp.table_(table.name, db=table.database)), table, span)


def _hits(rules: Sequence[Rule], tables: Mapping[str, Table], span: Span) -> exp.Query:
    rank = exp.Case()
    for number, severity in enumerate(SEVERITIES):
        rank = rank.when(exp.EQ(this=exp.column("severity"), expression=literal(severity)), literal(number))
    columns = ["transaction_id", "customer_id", "event_time", "rule", "rule_version", "weight", "reason", PARTITION]
    queries: list[exp.Query] = [
        within(
            exp.select(*map(exp.column, columns), exp.alias_(rank, "severity_rank")).from_(exp.table_(rule.name, db=DATABASE)),
            tables[rule.name],
            span,
        )
        for rule in rules
    ]
    return union_all(queries)


def _weight_of(rule: Rule) -> exp.Expr:
    weight = exp.Case().when(exp.EQ(this=exp.column("rule"), expression=literal(rule.name)), exp.column("weight"))
    return exp.Window(this=exp.func("MAX", weight), partition_by=[exp.column("transaction_id"), exp.column(PARTITION)])


def _score(rules: Sequence[Rule]) -> exp.Expr:
    clean: exp.Expr = (
        exp.Case()
        .when(exp.Is(this=exp.column("customer_id", table="r"), expression=exp.null()), _double(1.0))
        .else_(_double(1.0 - HIGH_RISK_UPLIFT))
    )
    for rule in rules:
        weight = exp.func("COALESCE", exp.column(f"weight_{rule.name}", table="h"), _double(0.0))
        clean = exp.Mul(this=clean, expression=exp.Paren(this=exp.Sub(this=_double(1.0), expression=weight)))
    score = exp.Sub(this=_double(1.0), expression=exp.Paren(this=clean))
    too_high = exp.GT(this=exp.Paren(this=score), expression=_double(HIGHEST_SCORE))
    return exp.Case().when(too_high, _double(HIGHEST_SCORE)).else_(score.copy())


def _severity() -> exp.Expr:
    case = exp.Case()
    for number, severity in enumerate(SEVERITIES):
        case = case.when(exp.EQ(this=exp.column("severity_rank", table="h"), expression=literal(number)), literal(severity))
    return case


def _double(value: float) -> exp.Expr:
    return exp.cast(exp.Literal.number(repr(value)), "DOUBLE")


def _nothing() -> exp.Select:
    """No rows, with the columns of the alerts: what a book without active rules gives."""
    types = FRAUD_ALERTS.column_types
    columns = [
        exp.alias_(
            exp.func("ARRAY", exp.cast(exp.null(), "STRING", dialect="hive"))
            if kind.startswith("ARRAY")
            else exp.cast(exp.null(), kind, dialect="hive"),
            name,
        )
        for name, kind in types.items()
    ]
    return exp.select(*columns).where(exp.false())
