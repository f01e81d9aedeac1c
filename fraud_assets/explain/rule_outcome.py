"""Outcome of one rule for one transaction: a hit, no hit and how far from one, or not judged and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fraud_assets.detection.rule import Rule
from fraud_assets.explain.comparisons import Condition, Row
from fraud_assets.explain.rule_query import RuleQuery

Outcome: TypeAlias = Literal["hit", "not hit", "not judged", "would hit now"]


@dataclass(frozen=True)
class RuleOutcome:
    """Outcome of one rule for one transaction.

    Attributes:
        outcome: `hit`: the rule's table holds a hit. `not hit`: the rule judged the transaction and found nothing.
            `not judged`: the rule lacked something (history, score, place …). `would hit now`: the rule's table holds no
            hit, but the rule in force returns one for the tables as they are; the day has to be run again.
        reason, weight, version: those of the hit; else None, None, and the version in force.
        condition: condition of a hit, with values and params; None if the rule did not judge, or its SELECT has no `hit`.
        why: reasons for not judging; empty if the syntax tree does not tell.
        notes: differences between the stored hit and the rule in force.
        evidence: values that the rule looks at; empty if it did not judge.
        params: those in force.
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


def rule_outcome(query: RuleQuery, hit: Row | None) -> RuleOutcome:
    """Compare the stored hit of a rule with the result of its query.

    Args:
        hit: the transaction's row in the rule's table; None if there is none.
    """
    rule = query.rule
    return RuleOutcome(
        rule.name,
        rule.severity,
        rule.status,
        "hit" if hit else "not judged" if query.row is None else "would hit now" if _hits_now(query) else "not hit",
        hit["reason"] if hit else None,
        (rule.weight if hit["weight"] is None else hit["weight"]) if hit else None,
        hit["rule_version"] if hit else rule.version,
        query.hit,
        _why(query) if hit is None and query.row is None else [],
        _notes(query, hit) if hit else [],
        query.evidence,
        rule.file.values,
    )


def changed(version: str, rule: Rule) -> str | None:
    """Note for a hit of another version of the rule; None for a hit of the version in force."""
    return None if version == rule.version else f"the rule has changed since: version {version} then, {rule.version} now"


def _hits_now(query: RuleQuery) -> bool:
    return query.row is not None and bool(query.row.get("hit", True))


def _why(query: RuleQuery) -> list[str]:
    missing = [f"table {name} does not exist yet: no run has created it" for name in query.missing_tables]
    return missing or query.reasons_not_judged()


def _notes(query: RuleQuery, hit: Row) -> list[str]:
    note = changed(hit["rule_version"], query.rule)
    notes = [note] if note else []
    if not _hits_now(query):
        notes.append("the rule could not judge it now" if query.row is None else "the rule would not hit now")
    return notes
