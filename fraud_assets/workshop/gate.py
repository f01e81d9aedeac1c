"""The gate of a promotion: what must hold before a rule, or another value of its params, goes into force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fraud_assets.detection.rule import Rule
from fraud_assets.errors import RuleError
from fraud_assets.workshop.examples import Examples, examples_file, read_examples
from fraud_assets.workshop.mutants import Mutation, mutate
from fraud_assets.workshop.trial import Trial

NEXT = {"draft": "shadow", "shadow": "active", "active": "active", "retired": "shadow"}
"""Status that a rule is promoted to if none is named."""


@dataclass(frozen=True)
class Limits:
    """Limits of the gate.

    Attributes:
        noticed: least share of mistakes in the rule that its examples notice, 0 to 1.
        days: least number of mature days tried: days of which nearly all frauds are known.
        frauds: least number of known frauds among all transactions of the days tried.
        precision: least precision of the hits, 0 to 1.
        alerts_a_day: most alerts a day that are gained, in the whole rule set.
        frauds_lost: most known frauds that no alert would find any more.
    """

    noticed: float = 0.6
    days: int = 14
    frauds: int = 20
    precision: float = 0.05
    alerts_a_day: float = 20
    frauds_lost: int = 0


@dataclass(frozen=True)
class Finding:
    """One condition of the gate, with its figures."""

    passed: bool
    said: str


def check_examples(rule: Rule, limits: Limits) -> list[Finding]:
    """What must hold before a rule is evaluated: it has examples, they pass, and they notice most mistakes.

    The examples are those of the rule file; they hold for the params in it.

    Raises:
        RuleError: the file with the examples has mistakes.
    """
    examples = read_examples(rule)
    if examples is None:
        return [Finding(False, f"expected examples in {examples_file(rule)}, found none")]
    failures = examples.failures()
    if failures:
        return [Finding(False, f"{len(failures)} of the examples fail; `fraud rules test {rule.name}` shows them")]
    return [_passing(examples), _noticed(mutate(examples), limits)]


def check_trial(trial: Trial, limits: Limits) -> list[Finding]:
    """What must hold before a rule alerts: enough history, and figures within the limits."""
    return [*_of_trial(trial, limits)]


def check_life(rule: Rule, target: str, changed: bool, reason: str) -> None:
    """Refuse a step that a rule's life does not have.

    Args:
        changed: True if the promotion sets params.

    Raises:
        RuleError: what to do instead.
    """
    if target == "retired" and not reason.strip():
        raise RuleError(f"A rule is retired for a reason: fraud rules promote {rule.name} --to retired --why '…'")
    if rule.status == target and not changed:
        raise RuleError(f"{rule.name} is {target} already; name another status with --to, or params with --set")
    if target == "active" and rule.status in ("draft", "retired"):
        raise RuleError(f"{rule.name} is {rule.status}; promote it to shadow first, and look at its hits")


def _passing(examples: Examples) -> Finding:
    return Finding(True, f"all {len(examples.examples)} examples pass")


def _noticed(mutation: Mutation, limits: Limits) -> Finding:
    share = 1.0 if mutation.share is None else mutation.share
    noticed = mutation.mutants - len(mutation.unnoticed)
    said = f"the examples notice {noticed} of {mutation.mutants} mistakes ({share:.0%}); at least {limits.noticed:.0%}"
    return Finding(share >= limits.noticed, said)


def _of_trial(trial: Trial, limits: Limits) -> Iterator[Finding]:
    mature = sum(trial.maturity.is_mature(day) for day in trial.span.each_day())
    yield Finding(mature >= limits.days, f"{mature} days with nearly all frauds known; at least {limits.days}")
    yield Finding(trial.frauds >= limits.frauds, f"{trial.frauds} known frauds in these days; at least {limits.frauds}")
    hits = trial.hits.after
    said = "no hit on a mature day" if hits.precision is None else f"precision {hits.precision:.1%} of {hits.matured:,} hits"
    yield Finding(hits.precision is not None and hits.precision >= limits.precision, f"{said}; at least {limits.precision:.1%}")
    before = trial.alerts.before.count / trial.days
    gained = trial.alerts.after.count / trial.days - before
    said = f"{gained:+,.1f} alerts a day ({before:,.1f} before); at most +{limits.alerts_a_day:,g}"
    yield Finding(gained <= limits.alerts_a_day, said)
    yield lost_frauds(trial, limits)


def lost_frauds(trial: Trial, limits: Limits) -> Finding:
    """Known frauds that no alert would find any more."""
    lost = trial.alerts.lost
    money = ", ".join(f"{amount:,} {currency}".strip() for currency, amount in lost.money.items())
    said = f"{lost.frauds} known frauds lost from alerts{f' ({money})' if money else ''}; at most {limits.frauds_lost}"
    return Finding(lost.frauds <= limits.frauds_lost, said)


def refused(findings: Sequence[Finding]) -> list[str]:
    """The conditions that do not hold."""
    return [finding.said for finding in findings if not finding.passed]
