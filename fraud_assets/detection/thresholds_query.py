"""The query for alert thresholds: the score that keeps a budget of alerts a day, from what was known when each day began."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path

from sqlglot import exp

from fraud_assets.schemas.detection import TRANSACTION_SCORES
from fraud_assets.sql.windows import as_cte, days_of, hits_within, hiveql, table_node, with_ctes
from hive_io import PARTITION, HiveQL, Span, Table
from hive_io.dialect import Value, bind, parse

BUDGET_MEMORY = dt.timedelta(days=14)
"""Time before a day whose scores decide which score the day needs. Whole weeks: Sundays differ from Mondays."""

ENOUGH_DAYS = 10
"""Days with scores, of that time, from which on the threshold may be lower than FRAUD_ALERT_SCORE: those of a bank that
closes on weekends. Earlier, few customers have a history, and scores are lower than those to come."""

LOWEST = 0.01
"""Lowest threshold, unless FRAUD_ALERT_SCORE is lower: if the card is right, one such transaction in a hundred is a fraud."""


def thresholds_query(rules: Sequence[Table], span: Span, budget: int, alert_score: float) -> HiveQL:
    """Rows of `alert_thresholds`, one for each day of the span.

    The threshold of a day is the lowest score that at most budget · days − h transactions without a hit reached on the days
    before it that have scores, of the last `BUDGET_MEMORY`, where h is the number of transactions with a hit on these days.
    It is 1, which no score reaches, where the hits leave no room; LOWEST where there is room for all; and `alert_score` or more
    if there are fewer than ENOUGH_DAYS such days.

    Args:
        rules: the tables of the active rules, whose hits always make alerts.
        budget: alerts a day, those of rules among them.
        alert_score: the threshold of a warehouse without scores.
    """
    before = Span.days(span.first_day - BUDGET_MEMORY, span.last_day - dt.timedelta(days=1))
    params: dict[str, Value] = {
        "first": before.first_ds,
        "last": before.last_ds,
        "memory": BUDGET_MEMORY.days,
        "budget": budget,
        "enough": ENOUGH_DAYS,
        "lowest": Decimal(repr(min(LOWEST, alert_score))),
        "at_first": Decimal(repr(alert_score)),
    }
    days, _ = as_cte(days_of(span), "days")
    hits, _ = as_cte(_hits(rules, before), "hits")
    ctes, computed = as_cte(bind(_text(), params), "computed")
    return hiveql(with_ctes(exp.select("*").from_(computed), [*days, *hits, *ctes]))


@cache
def _text() -> exp.Query:
    return parse(Path(__file__).with_name("alert_thresholds.sql").read_text(encoding="utf-8"))


def _hits(rules: Sequence[Table], span: Span) -> exp.Select:
    keys = ("transaction_id", PARTITION)
    if not rules:
        return exp.select(*keys).from_(table_node(TRANSACTION_SCORES)).where(exp.false())
    hits = hits_within({rule.name: rule for rule in rules}, span)
    return exp.select(*keys).distinct().from_(hits.subquery("u"))
