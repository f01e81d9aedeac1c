"""What new alerts do to cases: they open, raise, or join them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fraud_assets.cases.model import SYSTEM, Alert, EventKind, Status, Synced, gravity
from fraud_assets.cases.rows import alert_of, alert_row
from fraud_assets.cases.tables import ALERTS, CASES, EVENTS, WAITING


def take(connection: sa.Connection, alerts: Sequence[Alert], now: dt.datetime) -> Synced:
    """Take a batch of alerts. One that was taken before changes nothing, unless it is graver now.

    Args:
        connection: in a transaction that writes.
        alerts: each transaction once.
    """
    known = _known(connection, alerts)
    waiting = _waiting(connection, {alert.customer_id for alert in alerts} | {row.customer_id for row in known.values()})
    done = Synced()
    for alert in alerts:
        row = known.get(alert.transaction_id)
        if row is None:
            case = waiting.get(alert.customer_id)
            if case is None:
                waiting[alert.customer_id] = _open(connection, alert, now)
                done += Synced(opened=1)
            else:
                done += _join(connection, case, alert, now)
        elif _is_graver(alert, row):
            case = waiting.get(row.customer_id)
            done += _rise(connection, row, case if case and case["number"] == row.case_number else None, alert, now)
    return done


def wake_due(connection: sa.Connection, now: dt.datetime) -> int:
    """Wake the cases whose snooze has ended."""
    due = connection.execute(
        sa.select(CASES.c.number, CASES.c.snoozed_until).where(
            CASES.c.status == Status.SNOOZED.value, CASES.c.snoozed_until <= now
        )
    ).all()
    for row in due:
        changes = {"status": Status.OPEN.value, "snoozed_until": None, "updated_at": now, "version": CASES.c.version + 1}
        connection.execute(sa.update(CASES).where(CASES.c.number == row.number).values(changes))
        add_event(connection, row.number, now, SYSTEM, EventKind.WOKEN, {"because": "the snooze has ended"})
    return len(due)


def add_event(
    connection: sa.Connection, case: int, at: dt.datetime, by: str, kind: EventKind, detail: Mapping[str, Any]
) -> None:
    """Append to a case's history."""
    connection.execute(sa.insert(EVENTS).values(case_number=case, at=at, by=by, kind=kind.value, detail=dict(detail)))


def _known(connection: sa.Connection, alerts: Iterable[Alert]) -> dict[str, sa.Row[Any]]:
    rows = connection.execute(sa.select(ALERTS).where(ALERTS.c.transaction_id.in_([a.transaction_id for a in alerts])))
    return {row.transaction_id: row for row in rows}


def _waiting(connection: sa.Connection, customers: set[str]) -> dict[str, dict[str, Any]]:
    """The open or snoozed case of each customer, as a row that is kept up to date here."""
    rows = connection.execute(sa.select(CASES).where(WAITING, CASES.c.customer_id.in_(sorted(customers))))
    return {row.customer_id: dict(row._mapping) for row in rows}


def _is_graver(alert: Alert, than: sa.Row[Any] | Mapping[str, Any]) -> bool:
    score, severity = (than["score"], than["severity"]) if isinstance(than, Mapping) else (than.score, than.severity)
    return alert.score > score or gravity(alert.severity) > gravity(severity)


def _open(connection: sa.Connection, alert: Alert, now: dt.datetime) -> dict[str, Any]:
    former = connection.scalar(sa.select(sa.func.max(CASES.c.number)).where(CASES.c.customer_id == alert.customer_id))
    case = {
        "customer_id": alert.customer_id,
        "status": Status.OPEN.value,
        "severity": alert.severity,
        "gravity": gravity(alert.severity),
        "score": alert.score,
        "amounts": {alert.currency or "": str(alert.amount)},
        "largest": alert.amount,
        "alert_count": 1,
        "rules": json.dumps(sorted(set(alert.rules))),
        "headline": _headline(alert),
        "opened_at": now,
        "updated_at": now,
        "former": former,
        "version": 1,
        "assigned_to": None,
        "snoozed_until": None,
    }
    number = connection.execute(sa.insert(CASES).values(case).returning(CASES.c.number)).scalar_one()
    connection.execute(sa.insert(ALERTS).values(**alert_row(alert), case_number=number, seen_at=now))
    detail = {**_facts(alert), **({"former": str(former)} if former is not None else {})}
    add_event(connection, number, now, SYSTEM, EventKind.OPENED, detail)
    return {**case, "number": number}


def _join(connection: sa.Connection, case: dict[str, Any], alert: Alert, now: dt.datetime) -> Synced:
    graver = _is_graver(alert, case)
    connection.execute(sa.insert(ALERTS).values(**alert_row(alert), case_number=case["number"], seen_at=now))
    amounts = dict(case["amounts"])
    currency = alert.currency or ""
    amounts[currency] = str(Decimal(amounts.get(currency, "0")) + alert.amount)
    case["amounts"], case["alert_count"] = amounts, case["alert_count"] + 1
    case["largest"] = max(case["largest"], alert.amount)
    _update(connection, case, alert, now)
    add_event(connection, case["number"], now, SYSTEM, EventKind.RAISED if graver else EventKind.MERGED, _facts(alert))
    woken = graver and _wake(connection, case, alert, now)
    return Synced(raised=int(graver), merged=int(not graver), reopened=int(woken))


def _rise(connection: sa.Connection, row: sa.Row[Any], case: dict[str, Any] | None, alert: Alert, now: dt.datetime) -> Synced:
    """An alert that was taken before is graver now. A decided case stays decided; its history says so."""
    before = alert_of(row)
    merged = replace(
        alert,
        customer_id=before.customer_id,
        score=max(alert.score, before.score),
        severity=max(alert.severity, before.severity, key=gravity),
        # what a case adds up does not change with a correction of the amount
        amount=before.amount,
        currency=before.currency,
    )
    connection.execute(
        sa.update(ALERTS).where(ALERTS.c.transaction_id == alert.transaction_id).values(**alert_row(merged), seen_at=now)
    )
    detail = {**_facts(merged), "before": {"score": before.score, "severity": before.severity}}
    add_event(connection, row.case_number, now, SYSTEM, EventKind.RAISED, detail)
    if case is None:
        return Synced(raised=1)
    graver = _is_graver(merged, case)
    _update(connection, case, merged, now)
    woken = graver and _wake(connection, case, merged, now)
    return Synced(raised=1, reopened=int(woken))


def _update(connection: sa.Connection, case: dict[str, Any], alert: Alert, now: dt.datetime) -> None:
    """Write a case with an alert that it has now."""
    if alert.score >= case["score"]:
        case["headline"] = _headline(alert) or case["headline"]
    case["score"] = max(case["score"], alert.score)
    case["severity"] = max(case["severity"], alert.severity, key=gravity)
    case["gravity"] = gravity(case["severity"])
    case["rules"] = json.dumps(sorted({*json.loads(case["rules"]), *alert.rules}))
    case["updated_at"], case["version"] = now, case["version"] + 1
    names = (
        "score", "severity", "gravity", "rules", "headline", "amounts", "largest", "alert_count", "updated_at", "version",
    )  # fmt: skip
    values = {name: case[name] for name in names}
    connection.execute(sa.update(CASES).where(CASES.c.number == case["number"]).values(values))


def _wake(connection: sa.Connection, case: dict[str, Any], alert: Alert, now: dt.datetime) -> bool:
    if case["status"] != Status.SNOOZED.value:
        return False
    case["status"], case["snoozed_until"] = Status.OPEN.value, None
    connection.execute(
        sa.update(CASES).where(CASES.c.number == case["number"]).values(status=Status.OPEN.value, snoozed_until=None)
    )
    detail = {"because": "a graver alert", "transaction_id": alert.transaction_id}
    add_event(connection, case["number"], now, SYSTEM, EventKind.WOKEN, detail)
    return True


def _headline(alert: Alert) -> str:
    return alert.reasons[0] if alert.reasons else ""


def _facts(alert: Alert) -> dict[str, Any]:
    return {
        "transaction_id": alert.transaction_id,
        "score": alert.score,
        "severity": alert.severity,
        "rules": list(alert.rules),
    }
