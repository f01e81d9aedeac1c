"""The rows of `rule_quality`: for each day, quality in the last 28 days as of the end of the day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from sqlglot import exp

from fraud_assets.detection.rule import Rule
from fraud_assets.evaluation.rule_quality import Quality, read_facts
from fraud_assets.schemas.evaluation import RULE_QUALITY
from fraud_assets.sql.windows import hiveql, table_node, union_all, within
from hive_io import PARTITION, Reader, Span
from hive_io.dialect import literal
from hive_io.table import DAY

WINDOW_DAYS = 28
"""Days whose transactions are measured, the day itself included."""
RECENT_HITS = 5
"""Most hits that are named for each rule."""


@dataclass(frozen=True)
class DailyQuality:
    """Quality as of the days of a span.

    Attributes:
        rows: of `rule_quality`.
        last: what was measured as of the last day: all alerts, then each rule.
        window: the days that `last` measures.
    """

    rows: pa.Table
    last: Sequence[Quality]
    window: Span


def daily_quality(warehouse: Reader, rules: Sequence[Rule], span: Span) -> DailyQuality:
    """Measure all rules and alerts as of the end of each day of a span."""
    facts = read_facts(warehouse, rules, Span.days(window_of(span.first_day).first_day, span.last_day), span.last_day)
    rows: list[dict[str, object]] = []
    for day in span.each_day():
        measured, _ = facts.measure(window_of(day), day, money=False)
        rows += ({**each.row(), "only_this": each.only, PARTITION: day.isoformat()} for each in measured)
    return DailyQuality(pa.Table.from_pylist(rows, schema=RULE_QUALITY.arrow_schema), measured, window_of(span.last_day))


def window_of(day: dt.date) -> Span:
    """The days that are measured as of a day."""
    return Span.days(day - (WINDOW_DAYS - 1) * DAY, day)


def recent_hits(warehouse: Reader, rules: Sequence[Rule], window: Span) -> Mapping[str, Sequence[str]]:
    """Transactions of each rule's latest hits in a span, the last first; a rule without hits is absent."""
    if not rules:
        return {}
    rows = union_all([_latest(rule, window) for rule in rules])
    found = warehouse.query(hiveql(rows)).sort_by("place").to_pylist()
    return {rule.name: list(_ids(found, rule.name)) for rule in rules if any(row["rule"] == rule.name for row in found)}


def _ids(rows: Sequence[Mapping[str, str]], rule: str) -> Iterator[str]:
    return (row["transaction_id"] for row in rows if row["rule"] == rule)


def _latest(rule: Rule, window: Span) -> exp.Select:
    place = "ROW_NUMBER() OVER (ORDER BY event_time DESC, transaction_id) AS place"
    hits = within(exp.select("transaction_id", place, dialect="hive").from_(table_node(rule.table)), rule.table, window)
    tree = exp.select(literal(rule.name).as_("rule"), "transaction_id", "place").from_(hits.subquery("h"))
    return tree.where(exp.column("place") <= literal(RECENT_HITS))
