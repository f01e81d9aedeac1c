"""What one rule says of one transaction: a hit, none and how far from it, or not judged and why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlglot import exp

from fraud_assets.detection.rule import JUDGED, SPECIAL_COLUMNS, Rule
from fraud_assets.engine.engine import Engine
from fraud_assets.explain.comparisons import ADDED, ComparisonProbe, Condition, Row
from fraud_assets.explain.not_judged import why_not_judged
from fraud_assets.explain.query_tree import Place
from fraud_assets.explain.tolerant_reader import TolerantReader
from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.windows import as_cte, between, window_query, with_ctes
from hive_io import PARTITION, Span
from hive_io.dialect import literal

Outcome: TypeAlias = Literal["hit", "not hit", "not judged", "would hit now"]
_SECOND = dt.timedelta(seconds=1)


@dataclass(frozen=True)
class RuleOutcome:
    """What one rule says of one transaction.

    Attributes:
        outcome: `hit`: the rule's table has one; `not hit`: judged, and none; `not judged`: the rule lacked something
            (history, score, place …); `would hit now`: the table has no hit, but the rule in force and the tables as they
            are give one: the day is to be run again.
        reason, weight, version: of a hit; else None, None, and the version in force.
        condition: what makes a hit, with values and params; None where the rule could not judge, or its SELECT has no `hit`.
        why: what left the transaction out, where the rule could not judge; empty where that cannot be told.
        notes: what differs between a hit as it is stored and the rule in force.
        evidence: what the rule looks at; empty where it could not judge.
        params: in force.
    """

    rule: str
    severity: str
    status: str
    outcome: Outcome
    reason: str | None
    weight: float | None
    version: str
    condition: Condition | None
    why: Sequence[str]
    notes: Sequence[str]
    evidence: Mapping[str, Any]
    params: Mapping[str, Any]


def rule_outcome(engine: Engine, tables: TolerantReader, rule: Rule, transaction: Row, hit: Row | None) -> RuleOutcome:
    """What a rule said and says.

    Args:
        hit: its row in the rule's table, where there is one.
    """
    absent = sorted(rule.file.tables() - tables.there)
    trial = _Trial(engine, tables, rule, transaction)
    looked, condition = (None, None) if absent else trial.look()
    why: list[str] = []
    notes: list[str] = []
    hits_now = looked is not None and bool(looked.get("hit", True))
    outcome: Outcome = "not judged" if looked is None else "would hit now" if hits_now else "not hit"
    if hit is not None:
        outcome = "hit"
        notes = _notes(rule, hit, looked is not None, hits_now)
    elif absent:
        why = [f"there is no table {name} yet: no run has made it" for name in absent]
    elif looked is None:
        why = why_not_judged(rule.file, engine.tables, trial.ask, trial.is_empty)
    evidence = {k: v for k, v in (looked or {}).items() if k not in SPECIAL_COLUMNS and not k.startswith(ADDED)}
    return RuleOutcome(
        rule.name,
        rule.severity,
        rule.status,
        outcome,
        hit["reason"] if hit else None,
        hit["weight"] if hit else None,
        hit["rule_version"] if hit else rule.version,
        condition,
        why,
        notes,
        evidence,
        rule.file.values,
    )


def changed(version: str, rule: Rule) -> str | None:
    """What to say of a hit that another version of the rule made."""
    return None if version == rule.version else f"the rule has changed since: version {version} then, {rule.version} now"


def _notes(rule: Rule, hit: Row, judged_now: bool, hits_now: bool) -> list[str]:
    note = changed(hit["rule_version"], rule)
    if hits_now:
        return [note] if note else []
    return [*([note] if note else []), "it would not hit now" if judged_now else "it could not be judged now"]


class _Trial:
    """Has SELECTs of a rule's file computed for one transaction."""

    def __init__(self, engine: Engine, tables: TolerantReader, rule: Rule, transaction: Row) -> None:
        self._engine = engine
        self._tables = tables
        self._rule = rule
        self._id: str = transaction["transaction_id"]
        # the second of the transaction: with the look-back, it gives what every run that covers it gives
        second: dt.datetime = transaction["event_time"].replace(microsecond=0, tzinfo=dt.UTC)
        self._span = Span(second, second + _SECOND)

    def look(self) -> tuple[Row | None, Condition | None]:
        """What the rule's SELECT returns, and its condition; None where it returns nothing."""
        top = self._rule.file.tree().copy()
        asked = None
        if isinstance(top, exp.Select) and "hit" in self._rule.returns and Place(top).passes_rows_on:
            hit = next(made for made in top.selects if made.alias_or_name == "hit")
            asker = ComparisonProbe(self._rule.file, top)
            asked = asker.condition(asker.top, hit.unalias())
        rows = self.ask(top)
        if not rows:
            return None, None
        return rows[0], asked.answered(rows[0]) if asked else None

    def ask(self, tree: exp.Query) -> Sequence[Row]:
        """The rows that a SELECT of the rule's file gives for the transaction."""
        ctes, judged = as_cte(window_query(self._rule.file, self._engine.tables, self._span, select=tree), JUDGED)
        mine = exp.EQ(this=exp.column("transaction_id"), expression=literal(self._id))
        rows = exp.select("*").from_(judged).where(mine, *between(exp.column("event_time"), self._span.start, self._span.end))
        return self._tables.rows(with_ctes(rows, ctes))

    def is_empty(self, table: str) -> bool:
        """Whether a table has no rows on the transaction's day."""
        day = exp.EQ(this=exp.column(PARTITION), expression=literal(self._span.first_ds))
        return not self._tables.rows(exp.select("*").from_(exp.table_(table, db=DATABASE)).where(day).limit(1))
