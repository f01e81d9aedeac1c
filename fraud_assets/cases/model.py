"""Cases, alerts, events and decisions as values. Times are aware, in UTC."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from fraud_assets.detection.rule import SEVERITIES

SYSTEM = "system"
"""Who acts when no person does: new alerts, and the end of a snooze."""


class Status(StrEnum):
    """Where a case stands. An open or a snoozed case waits for a decision."""

    OPEN = "open"
    SNOOZED = "snoozed"
    DECIDED = "decided"


class Decision(StrEnum):
    """What a person found."""

    FRAUD = "fraud"
    HONEST = "honest"
    UNDECIDED = "undecided"


class ReasonCode(StrEnum):
    """Why a person decided so."""

    CUSTOMER_DENIES = "customer_denies"
    STOLEN_CARD = "stolen_card"
    ACCOUNT_TAKEN_OVER = "account_taken_over"
    MULE = "mule"
    MERCHANT_COMPROMISED = "merchant_compromised"
    CUSTOMER_CONFIRMS = "customer_confirms"
    USUAL_FOR_CUSTOMER = "usual_for_customer"
    RULE_TOO_WIDE = "rule_too_wide"
    TEST_OR_INTERNAL = "test_or_internal"
    NOT_REACHABLE = "not_reachable"
    WAITING_FOR_DOCUMENTS = "waiting_for_documents"


REASON_CODES: Mapping[Decision, tuple[ReasonCode, ...]] = {
    Decision.FRAUD: (
        ReasonCode.CUSTOMER_DENIES,
        ReasonCode.STOLEN_CARD,
        ReasonCode.ACCOUNT_TAKEN_OVER,
        ReasonCode.MULE,
        ReasonCode.MERCHANT_COMPROMISED,
    ),
    Decision.HONEST: (
        ReasonCode.CUSTOMER_CONFIRMS,
        ReasonCode.USUAL_FOR_CUSTOMER,
        ReasonCode.RULE_TOO_WIDE,
        ReasonCode.TEST_OR_INTERNAL,
    ),
    Decision.UNDECIDED: (ReasonCode.NOT_REACHABLE, ReasonCode.WAITING_FOR_DOCUMENTS),
}
"""The reason codes of each decision."""


class EventKind(StrEnum):
    """What happened to a case."""

    OPENED = "opened"
    RAISED = "raised"
    MERGED = "merged"
    SNOOZED = "snoozed"
    WOKEN = "woken"
    ASSIGNED = "assigned"
    DECIDED = "decided"
    UNDONE = "undone"
    REOPENED = "reopened"
    COMMENTED = "commented"


def gravity(severity: str) -> int:
    """The place of a severity, 0 for the lowest."""
    return SEVERITIES.index(severity)


@dataclass(frozen=True)
class Alert:
    """An alert as it was when its case took it.

    Attributes:
        currency: ISO 4217; None if the source names none.
        rules: the rules that hit, by descending weight; `reasons` and `rule_versions` in the same order.
        card_version: the scorecard of the score; None if none was in force.
    """

    transaction_id: str
    customer_id: str
    event_time: dt.datetime
    amount: Decimal
    currency: str | None
    merchant_id: str
    score: float
    severity: str
    rules: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    rule_versions: tuple[str, ...] = ()
    card_version: str | None = None


@dataclass(frozen=True)
class Case:
    """A customer's alerts that one decision settles.

    Attributes:
        severity: the gravest of its alerts.
        score: the highest of its alerts.
        amounts: sum of its alerts by currency, "" for alerts without one. Currencies are never added.
        alert_count: number of its alerts.
        rules: the rules that hit, by name.
        headline: the first reason of its alert with the highest score.
        version: grows with each change; a change is refused if it was made against an earlier one.
        former: the customer's decided case before this one.
    """

    case_id: str
    customer_id: str
    status: Status
    severity: str
    score: float
    amounts: Mapping[str, Decimal]
    alert_count: int
    opened_at: dt.datetime
    updated_at: dt.datetime
    version: int
    rules: tuple[str, ...] = ()
    headline: str = ""
    assigned_to: str | None = None
    snoozed_until: dt.datetime | None = None
    decision: Decision | None = None
    reason_code: ReasonCode | None = None
    note: str | None = None
    decided_by: str | None = None
    decided_at: dt.datetime | None = None
    former: str | None = None


@dataclass(frozen=True)
class Event:
    """A step in a case's history, which no one changes afterwards."""

    event_id: int
    case_id: str
    at: dt.datetime
    by: str
    kind: EventKind
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DecisionRow:
    """The decision about one transaction; the latest of a transaction counts.

    Attributes:
        number: ascending in the order in which decisions were committed.
    """

    number: int
    decision_id: str
    case_id: str
    transaction_id: str
    customer_id: str
    decision: Decision
    reason_code: ReasonCode | None
    decided_by: str
    decided_at: dt.datetime
    note: str | None


@dataclass(frozen=True)
class QueueFilter:
    """Which cases to list; the default lists all.

    Attributes:
        status: one status; None for all.
        severity: one severity; None for all.
        rule: cases with a hit of this rule.
        min_score: cases with at least this score.
        text: cases whose id, customer, merchants, transactions or reasons contain this text, in any letter case.
    """

    status: Status | None = None
    severity: str | None = None
    rule: str | None = None
    customer_id: str | None = None
    assigned_to: str | None = None
    min_score: float | None = None
    text: str | None = None


class ReadAs(StrEnum):
    """In which form a case was read."""

    PAGE = "page"
    FILE = "file"
    API = "api"


@dataclass(frozen=True)
class Reading:
    """A person, or a program, read a case on a day.

    Attributes:
        at: the first time of the day (UTC).
    """

    case_id: str
    by: str
    form: ReadAs
    at: dt.datetime


class SuppressionKind(StrEnum):
    """What a suppression names."""

    CUSTOMER = "customer"
    RULE = "rule"
    MERCHANT = "merchant"


@dataclass(frozen=True)
class Suppression:
    """Alerts that open no case for a time, as long as they are no graver than a person expected.

    Attributes:
        value: the customer, rule or merchant. A rule hides an alert if no other rule hit.
        severity: the gravest severity that it hides.
        below_score: the score from which it hides nothing.
        lifted_at, lifted_by: when and by whom it was ended before its time.
        hidden: number of alerts that it hid.
    """

    number: int
    kind: SuppressionKind
    value: str
    severity: str
    below_score: float
    at: dt.datetime
    until: dt.datetime
    by: str
    why: str
    lifted_at: dt.datetime | None = None
    lifted_by: str | None = None
    hidden: int = 0

    def is_active(self, now: dt.datetime) -> bool:
        """True if it hides alerts now."""
        return self.lifted_at is None and now < self.until

    def hides(self, alert: Alert) -> bool:
        """True if it covers an alert that is no graver than its bounds."""
        covered = {
            SuppressionKind.CUSTOMER: alert.customer_id == self.value,
            SuppressionKind.MERCHANT: alert.merchant_id == self.value,
            SuppressionKind.RULE: set(alert.rules) == {self.value},
        }[self.kind]
        return covered and gravity(alert.severity) <= gravity(self.severity) and alert.score < self.below_score


@dataclass(frozen=True)
class Synced:
    """What a sync changed.

    Attributes:
        opened: cases opened, also for customers with a decided case.
        raised: alerts that made a case graver.
        merged: alerts that were added to a case without making it graver.
        reopened: snoozed cases that a graver alert woke.
        hidden: alerts that a suppression hid.
    """

    opened: int = 0
    raised: int = 0
    merged: int = 0
    reopened: int = 0
    hidden: int = 0

    def __add__(self, other: Synced) -> Synced:
        return Synced(
            self.opened + other.opened,
            self.raised + other.raised,
            self.merged + other.merged,
            self.reopened + other.reopened,
            self.hidden + other.hidden,
        )


@dataclass(frozen=True)
class DaySummary:
    """A day of the desk.

    Attributes:
        opened: cases opened on the day.
        decided: decisions made on the day that were not undone, by decision.
        decided_by: the same by person.
        precision: frauds / (frauds + honest) of the day's decided cases; None if there are none.
        backlog: cases that wait for a decision at the end of the day, or now.
        backlog_by_age: the same by age: "under a day", "1 to 3 days", "3 to 7 days", "over 7 days".
        oldest: age of the oldest of them; None if there are none.
    """

    day: dt.date
    opened: int
    decided: Mapping[Decision, int]
    decided_by: Mapping[str, Mapping[Decision, int]]
    precision: float | None
    backlog: int
    backlog_by_age: Mapping[str, int]
    oldest: dt.timedelta | None
