"""Rows of the desk's database as values of the model, and back."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fraud_assets.cases.model import (
    Alert,
    Case,
    Decision,
    DecisionRow,
    Event,
    EventKind,
    ReasonCode,
    Status,
    Suppression,
    SuppressionKind,
)


def number_of(case_id: str) -> int | None:
    """The key of a case; None if the text is none."""
    return int(case_id) if case_id.isascii() and case_id.isdigit() and len(case_id) < 19 else None


def case_of(row: sa.Row[Any]) -> Case:
    """A case from a row of `cases`."""
    return Case(
        case_id=str(row.number),
        customer_id=row.customer_id,
        status=Status(row.status),
        severity=row.severity,
        score=row.score,
        amounts={currency: Decimal(amount) for currency, amount in row.amounts.items()},
        alert_count=row.alert_count,
        opened_at=row.opened_at,
        updated_at=row.updated_at,
        version=row.version,
        rules=tuple(json.loads(row.rules)),
        headline=row.headline,
        assigned_to=row.assigned_to,
        snoozed_until=row.snoozed_until,
        decision=Decision(row.decision) if row.decision else None,
        reason_code=ReasonCode(row.reason_code) if row.reason_code else None,
        note=row.note,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        former=str(row.former) if row.former is not None else None,
    )


def alert_of(row: sa.Row[Any]) -> Alert:
    """An alert from a row of `alerts`."""
    return Alert(
        transaction_id=row.transaction_id,
        customer_id=row.customer_id,
        event_time=row.event_time,
        amount=row.amount,
        currency=row.currency,
        merchant_id=row.merchant_id,
        score=row.score,
        severity=row.severity,
        rules=tuple(row.rules),
        reasons=tuple(row.reasons),
        rule_versions=tuple(row.rule_versions),
        card_version=row.card_version,
    )


def alert_row(alert: Alert) -> dict[str, Any]:
    """What `alerts` stores of an alert, without its case and time."""
    texts = [alert.transaction_id, alert.customer_id, alert.merchant_id, *alert.reasons]
    return {
        "transaction_id": alert.transaction_id,
        "customer_id": alert.customer_id,
        "event_time": alert.event_time,
        "amount": alert.amount,
        "currency": alert.currency,
        "merchant_id": alert.merchant_id,
        "score": alert.score,
        "severity": alert.severity,
        "rules": list(alert.rules),
        "reasons": list(alert.reasons),
        "rule_versions": list(alert.rule_versions),
        "card_version": alert.card_version,
        "search": "\n".join(texts).lower(),
    }


def event_of(row: sa.Row[Any]) -> Event:
    """An event from a row of `events`."""
    return Event(row.number, str(row.case_number), row.at, row.by, EventKind(row.kind), row.detail)


def decision_of(row: sa.Row[Any]) -> DecisionRow:
    """A decision from a row of `decisions`."""
    return DecisionRow(
        number=row.number,
        decision_id=row.decision_id,
        case_id=str(row.case_number),
        transaction_id=row.transaction_id,
        customer_id=row.customer_id,
        decision=Decision(row.decision),
        reason_code=ReasonCode(row.reason_code) if row.reason_code else None,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        note=row.note,
    )


def suppression_of(row: sa.Row[Any]) -> Suppression:
    """A suppression from a row of `suppressions`."""
    return Suppression(
        number=row.number,
        kind=SuppressionKind(row.kind),
        value=row.value,
        severity=row.severity,
        below_score=row.below_score,
        at=row.at,
        until=row.until,
        by=row.by,
        why=row.why,
        lifted_at=row.lifted_at,
        lifted_by=row.lifted_by,
        hidden=row._mapping.get("hidden", 0),
    )


def hidden_row(alert: Alert, suppression: int, now: dt.datetime) -> dict[str, Any]:
    """What `hidden_alerts` stores of an alert."""
    plain = {**asdict(alert), "event_time": alert.event_time.isoformat(), "amount": str(alert.amount)}
    return {"transaction_id": alert.transaction_id, "suppression": suppression, "alert": plain, "hidden_at": now}


def hidden_alert(row: sa.Row[Any]) -> Alert:
    """An alert from a row of `hidden_alerts`."""
    values = dict(row.alert)
    for name in ("rules", "reasons", "rule_versions"):
        values[name] = tuple(values[name])
    values["event_time"] = dt.datetime.fromisoformat(values["event_time"])
    return Alert(**{**values, "amount": Decimal(values["amount"])})
