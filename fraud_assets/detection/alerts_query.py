"""The query for alerts: one row per transaction with hits of active rules, with a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from fraud_assets.detection.rule import SCORECARD, SEVERITIES, Rule
from fraud_assets.schemas.detection import ALERT_THRESHOLDS, FRAUD_ALERTS, TRANSACTION_SCORES
from fraud_assets.schemas.features import HIGH_RISK_CUSTOMERS
from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.windows import double, hiveql, rows_within, union_all, within
from hive_io import PARTITION, HiveQL, Span, Table
from hive_io.dialect import literal

HIGH_RISK_UPLIFT = 0.2
"""Weight of the additional hit that the score of a high-risk customer assumes."""

HIGHEST_SCORE = 0.999999
"""Upper bound of a score. Without it, 1 − Π(1 − weight) of many hits would round to 1.0 in a DOUBLE."""

UNKNOWN = "unknown"
"""Version or reason of a hit whose row has none. A list must have an entry for each hit, and COLLECT_LIST skips NULL."""


HIGH_FROM = 0.9
"""Score from which such an alert has severity high; below, it is medium."""


def alerts_query(
    rules: Sequence[Rule], tables: Mapping[str, Table], span: Span, alert_score: float = 1, by_day: bool = False
) -> HiveQL:
    """The alerts of a span: transactions that a rule hit, and those that have a high score.

    The score is that of `transaction_scores`. Without one (days that earlier releases computed),
    score = 1 − (1 − uplift) · Π (1 − weightᵢ) over the hits: the probability that at least one hit is right, if each is
    right with a probability equal to its weight, independently of the others (noisy-or; Pearl 1988). The factors are
    multiplied in the order of rule names, so that the last digit does not depend on the order in which an engine reads rows.
    A hit whose weight or severity is NULL has those that its rule states.

    Args:
        rules: the active rules; their tables have the hits.
        alert_score: score from which a transaction is an alert although no rule hit it; 1 for none.
        by_day: as for `high_scores`.
    """
    by_score = [_alerts_by_score(span, alert_score, by_day)] if by_day or alert_score < 1 else []
    if not rules and not by_score:
        return hiveql(_no_alerts())
    hits = union_all([*_hits(rules, tables, span), *by_score])
    # by day, too: if a source moves a transaction to another day, both days keep an alert, and a range of days computed at
    # once gives the same as its days computed one by one
    transaction = f"PARTITION BY transaction_id, {PARTITION}"
    order = f"{transaction} ORDER BY weight DESC, rule ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
    lists = exp.select(
        "transaction_id",
        "customer_id",
        "event_time",
        PARTITION,
        f"COLLECT_LIST(rule) OVER ({order}) AS rules",
        f"COLLECT_LIST(reason) OVER ({order}) AS reasons",
        f"COLLECT_LIST(rule_version) OVER ({order}) AS rule_versions",
        f"ROW_NUMBER() OVER ({transaction} ORDER BY weight DESC, rule) AS place",
        *[_weight_of(rule).as_(f"weight_{rule.name}") for rule in rules],
        f"MAX(severity_rank) OVER ({transaction}) AS severity_rank",
        dialect="hive",
    )
    lists = lists.from_(_unless_hit(hits, transaction) if by_score else hits.subquery("hits"))
    tree = (
        exp.select(
            "h.transaction_id",
            "h.customer_id",
            "h.event_time",
            "t.amount",
            "t.currency",
            "t.merchant_id",
            exp.func("COALESCE", exp.column("score", table="s"), _score(rules)).as_("score"),
            _severity().as_("severity"),
            "h.rules",
            "h.reasons",
            "h.rule_versions",
            "s.points",
            "s.card_version",
            f"h.{PARTITION}",
        )
        .from_(lists.subquery("h"))
        .join(
            rows_within(tables["transactions"], span).subquery("t"),
            on=f"t.transaction_id = h.transaction_id AND t.{PARTITION} = h.{PARTITION}",
        )
        .join(
            rows_within(HIGH_RISK_CUSTOMERS, span.whole_days()).subquery("r"),
            on=f"r.customer_id = h.customer_id AND r.{PARTITION} = h.{PARTITION}",
            join_type="left",
        )
        .join(
            rows_within(TRANSACTION_SCORES, span).subquery("s"),
            on=f"s.transaction_id = h.transaction_id AND s.{PARTITION} = h.{PARTITION}",
            join_type="left",
        )
        .where("h.place = 1")
    )
    return hiveql(tree)


def score_of(weights: Mapping[str, float], high_risk: bool) -> float:
    """The score that `alerts_query` computes from the weights of the hits, by rule; equal to the last digit."""
    clean = 1.0 - HIGH_RISK_UPLIFT if high_risk else 1.0
    for _, weight in sorted(weights.items()):
        clean *= 1.0 - weight
    return min(1.0 - clean, HIGHEST_SCORE)


def high_scores(span: Span, alert_score: float, by_day: bool) -> exp.Select:
    """Rows of `transaction_scores` in the span that are alerts even if no rule hit them.

    Args:
        alert_score: score from which they are.
        by_day: True if a day has a score of its own in `alert_thresholds`, instead of `alert_score`; the rows then have the
            column `day_reason`, too.
    """
    rows = rows_within(TRANSACTION_SCORES, span)
    if not by_day:
        return rows.where(exp.column("score") >= double(alert_score))
    least = exp.func("COALESCE", exp.column("score", table="d"), double(alert_score))
    days = rows_within(ALERT_THRESHOLDS, span.whole_days()).subquery("d")
    scored = exp.select("s.*", exp.column("reason", table="d").as_("day_reason")).from_(rows.subquery("s"))
    scored = scored.join(days, on=f"d.{PARTITION} = s.{PARTITION}", join_type="left")
    return scored.where(exp.column("score", table="s") >= least)


def _hits(rules: Sequence[Rule], tables: Mapping[str, Table], span: Span) -> list[exp.Select]:
    return [
        within(exp.select(*_hit_columns(rule)).from_(exp.table_(rule.name, db=DATABASE)), tables[rule.name], span)
        for rule in rules
    ]


def _alerts_by_score(span: Span, least: float, by_day: bool) -> exp.Select:
    """Transactions with a high score, each as the hit of a rule that weighs nothing."""
    score = exp.column("score")
    # {"base": -217, "declined_24h": 66} reads: base -217, declined_24h 66
    points: exp.Expr = exp.column("contributions")
    for mark, instead in (("{", ""), ("}", ""), ('"', ""), (": ", " ")):
        points = exp.Replace(this=points, expression=literal(mark), replacement=literal(instead))
    total = exp.cast(exp.column("points"), "STRING", dialect="hive")
    reason: list[exp.Expr] = [literal("No rule hit; the scorecard gives "), total, literal(" points: "), points]
    if by_day:
        named = exp.func("CONCAT", literal(". "), exp.column("day_reason"))
        reason.append(exp.func("COALESCE", named, literal("")))
    rank = exp.case().when(score >= double(HIGH_FROM), literal(SEVERITIES.index("high")))
    values = {
        "rule": literal(SCORECARD),
        "rule_version": exp.column("card_version"),
        "weight": double(0.0),
        "reason": exp.func("CONCAT", *reason),
        "severity_rank": rank.else_(literal(SEVERITIES.index("medium"))),
    }
    keys = [exp.column(name) for name in ("transaction_id", "customer_id", "event_time")]
    rows = exp.select(*keys, *(value.as_(name) for name, value in values.items()), exp.column(PARTITION))
    return rows.from_(high_scores(span, least, by_day).subquery("s"))


def _unless_hit(hits: exp.Query, transaction: str) -> exp.Subquery:
    """The hits, without those of the scorecard where a rule hit the transaction, too."""
    counted = exp.select("*", f"COUNT(*) OVER ({transaction}) AS hits_together", dialect="hive").from_(hits.subquery("each"))
    only = exp.column("hits_together").eq(literal(1))
    return (
        exp.select("*")
        .from_(counted.subquery("c"))
        .where(exp.column("rule").neq(literal(SCORECARD)).or_(only))
        .subquery("hits")
    )


def _hit_columns(rule: Rule) -> list[exp.Expr]:
    """Columns of a rule's hits. What a row lacks is what the rule states: a hit without a weight is still a hit."""
    rank = exp.Case()
    for number, severity in enumerate(SEVERITIES):
        rank = rank.when(exp.column("severity").eq(literal(severity)), literal(number))
    stated: dict[str, exp.Expr] = {
        "rule": literal(rule.name),
        "rule_version": _stated("rule_version", literal(UNKNOWN)),
        "weight": _stated("weight", double(rule.weight)),
        "reason": _stated("reason", literal(UNKNOWN)),
        "severity_rank": exp.func("COALESCE", rank, literal(SEVERITIES.index(rule.severity))),
    }
    kept = [exp.column(name) for name in ("transaction_id", "customer_id", "event_time")]
    return [*kept, *(value.as_(name) for name, value in stated.items()), exp.column(PARTITION)]


def _stated(column: str, otherwise: exp.Expr) -> exp.Expr:
    return exp.func("COALESCE", exp.column(column), otherwise)


def _weight_of(rule: Rule) -> exp.Expr:
    weight = exp.Case().when(exp.column("rule").eq(literal(rule.name)), exp.column("weight"))
    return exp.Window(this=exp.func("MAX", weight), partition_by=[exp.column("transaction_id"), exp.column(PARTITION)])


def _score(rules: Sequence[Rule]) -> exp.Expr:
    is_low_risk = exp.column("customer_id", table="r").is_(exp.null())
    clean: exp.Expr = exp.Case().when(is_low_risk, double(1.0)).else_(double(1.0 - HIGH_RISK_UPLIFT))
    for rule in rules:
        weight = exp.func("COALESCE", exp.column(f"weight_{rule.name}", table="h"), double(0.0))
        # not `clean * …`: sqlglot would put the product so far in parentheses
        clean = exp.Mul(this=clean, expression=exp.paren(double(1.0) - weight))
    score = double(1.0) - clean
    return exp.Case().when(score > double(HIGHEST_SCORE), double(HIGHEST_SCORE)).else_(score)


def _severity() -> exp.Expr:
    case = exp.Case()
    for number, severity in enumerate(SEVERITIES):
        case = case.when(exp.column("severity_rank", table="h").eq(literal(number)), literal(severity))
    return case


def _no_alerts() -> exp.Select:
    """No rows, with the columns of the alerts: the result of a rule book without active rules."""

    def column(name: str, kind: str) -> exp.Expr:
        if kind.startswith("ARRAY"):
            return exp.func("ARRAY", exp.cast(exp.null(), "STRING", dialect="hive")).as_(name)
        return exp.cast(exp.null(), kind, dialect="hive").as_(name)

    return exp.select(*(column(name, kind) for name, kind in FRAUD_ALERTS.column_types.items())).where(exp.false())
