"""Blocking check of each active rule: its version in force was locked, or promoted through the gate."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from fraud_assets.defs import checks
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.daily_results import DailyResult
from fraud_assets.detection.rule import Rule
from fraud_assets.errors import RuleError
from fraud_assets.workshop.gate import Limits, check_examples
from fraud_assets.workshop.history import Standing, standing
from hive_io import Span

PASSED_GATE = "version_passed_the_gate"


def passed_the_gate_spec(rule: Rule, partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    """The spec of the check."""
    return checks.blocking(
        rule.table, PASSED_GATE, "The version in force is as rules.lock says, or was promoted through the gate.", partitions
    )


def passed_the_gate(rule: Rule, rules_file: Path | None, span: Span) -> DailyResult:
    """Check a rule against its lock file and the history of the rules file. A failure has the figures of the gate.

    A folder without a lock file, and with nothing in the rules file's history, is a warning.
    """
    try:
        found = standing(rule, rules_file)
    except RuleError as error:
        found = Standing(False, str(error))
    metadata: dict[str, dg.MetadataValue] = {"version": dg.MetadataValue.text(f"{rule.version} {rule.status}")}
    figures = [*(found.record.findings if found.record and found.passed else [])]
    if not found.passed:
        figures = _figures(rule)
    if figures:
        metadata["gate"] = dg.MetadataValue.md("\n".join(f"- {said}" for said in figures))
    return DailyResult(
        check_name=PASSED_GATE,
        asset_key=key(rule.name),
        failed_days=() if found.passed and found.held else checks.days_of(span),
        # a warning stops nothing
        severity=dg.AssetCheckSeverity.WARN if found.passed else dg.AssetCheckSeverity.ERROR,
        description=found.said,
        metadata=metadata,
    )


def _figures(rule: Rule) -> list[str]:
    """What the part of the gate finds that needs no labels: examples, and the mistakes that they notice."""
    try:
        return [f"{'passed' if each.passed else 'FAILED'}: {each.said}" for each in check_examples(rule, Limits())]
    except RuleError as error:
        return [f"FAILED: {error}"]
