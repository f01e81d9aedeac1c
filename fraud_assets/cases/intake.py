"""What new alerts do to cases: they open, raise, or join them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from fraud_assets.cases.model import SYSTEM, Alert, EventKind, Status, Suppression, Synced, gravity
from fraud_assets.cases.rows import alert_of, alert_row, hidden_row, suppression_of
from fraud_assets.cases.tables import ALERTS, CASES, EVENTS, HIDDEN_ALERTS, SUPPRESSIONS, WAITING


def take(connection: sa.Connection, alerts: Sequence[Alert], now: dt.datetime) -> Synced:
    """Take a batch of alerts. One that was taken before changes nothing, unless it is graver now.

    Args:
        connection: in a transaction that writes.
        alerts: each transaction once.
    """
    return _Batch(connection, now).take(alerts)


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


class _Batch:
    """What a batch of alerts changes, gathered first, so that each table is written by one statement."""

    def __init__(self, connection: sa.Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now
        self._waiting: dict[str, _Case] = {}
        self._alerts: list[tuple[_Case, Alert]] = []
        self._events: list[tuple[_Case, EventKind, dict[str, Any]]] = []

    def take(self, alerts: Sequence[Alert]) -> Synced:
        known = self._known(alerts)
        new, hidden = self._hide([alert for alert in alerts if alert.transaction_id not in known])
        graver = [a for a in alerts if a.transaction_id in known and _is_graver(a, *known[a.transaction_id])]
        if not new and not graver:
            return Synced(hidden=hidden)
        stored = self._stored(graver)
        customers = {alert.customer_id for alert in new} | {row.customer_id for row in stored.values()}
        self._waiting = self._waiting_cases(customers)
        former = self._former({alert.customer_id for alert in new} - self._waiting.keys())
        done = Synced(hidden=hidden)
        for alert in graver:
            done += self._rise(stored[alert.transaction_id], alert)
        for alert in new:
            done += self._add(alert, former)
        self._write()
        return done

    def _known(self, alerts: Sequence[Alert]) -> dict[str, tuple[float, str]]:
        """Score and severity of the alerts that were taken before, by transaction."""
        names = [alert.transaction_id for alert in alerts]
        query = sa.select(ALERTS.c.transaction_id, ALERTS.c.score, ALERTS.c.severity).where(ALERTS.c.transaction_id.in_(names))
        return {row.transaction_id: (row.score, row.severity) for row in self._connection.execute(query)}

    def _hide(self, alerts: Sequence[Alert]) -> tuple[list[Alert], int]:
        """The alerts that no suppression hides, and the number of those that one hides now and did not before."""
        names = [alert.transaction_id for alert in alerts]
        query = sa.select(HIDDEN_ALERTS, SUPPRESSIONS).join(SUPPRESSIONS).where(HIDDEN_ALERTS.c.transaction_id.in_(names))
        hidden = {row.transaction_id: suppression_of(row) for row in self._connection.execute(query)}
        if not hidden and not self._suppressions:
            return list(alerts), 0
        shown, found = [], []
        for alert in alerts:
            before = hidden.get(alert.transaction_id)
            # once hidden, it stays so until the suppression is lifted, or the alert exceeds its bounds
            if before is not None and before.lifted_at is None and before.hides(alert):
                continue
            by = next((each for each in self._suppressions if each.hides(alert)), None)
            if by is None:
                shown.append(alert)
            else:
                found.append(hidden_row(alert, by.number, self._now))
        if found:
            again = [row["transaction_id"] for row in found if row["transaction_id"] in hidden]
            self._connection.execute(sa.delete(HIDDEN_ALERTS).where(HIDDEN_ALERTS.c.transaction_id.in_(again)))
            self._connection.execute(sa.insert(HIDDEN_ALERTS), found)
        return shown, len(found)

    @cached_property
    def _suppressions(self) -> list[Suppression]:
        active = SUPPRESSIONS.c.lifted_at.is_(None) & (SUPPRESSIONS.c.until > self._now)
        rows = self._connection.execute(sa.select(SUPPRESSIONS).where(active).order_by(SUPPRESSIONS.c.number))
        return [suppression_of(row) for row in rows]

    def _stored(self, alerts: Sequence[Alert]) -> dict[str, sa.Row[Any]]:
        if not alerts:
            return {}
        names = [alert.transaction_id for alert in alerts]
        rows = self._connection.execute(sa.select(ALERTS).where(ALERTS.c.transaction_id.in_(names)))
        return {row.transaction_id: row for row in rows}

    def _waiting_cases(self, customers: set[str]) -> dict[str, _Case]:
        rows = self._connection.execute(sa.select(CASES).where(WAITING, CASES.c.customer_id.in_(sorted(customers))))
        return {row.customer_id: _Case(dict(row._mapping)) for row in rows}

    def _former(self, customers: set[str]) -> dict[str, int]:
        """The last decided case of each customer."""
        latest = sa.select(CASES.c.customer_id, sa.func.max(CASES.c.number).label("number"))
        rows = self._connection.execute(latest.where(CASES.c.customer_id.in_(sorted(customers))).group_by(CASES.c.customer_id))
        return {row.customer_id: row.number for row in rows}

    def _add(self, alert: Alert, former: dict[str, int]) -> Synced:
        """A new alert opens a case, or joins the one that waits."""
        case = self._waiting.get(alert.customer_id)
        if case is None:
            number = former.get(alert.customer_id)
            case = self._waiting[alert.customer_id] = _Case.of(alert, number, self._now)
            self._alerts.append((case, alert))
            link = {"former": str(number)} if number is not None else {}
            self._events.append((case, EventKind.OPENED, {**_facts(alert), **link}))
            return Synced(opened=1)
        graver = case.is_less_grave_than(alert)
        case.join(alert)
        self._alerts.append((case, alert))
        self._events.append((case, EventKind.RAISED if graver else EventKind.MERGED, _facts(alert)))
        woken = graver and self._wake(case, alert)
        return Synced(raised=int(graver), merged=int(not graver), reopened=int(woken))

    def _rise(self, row: sa.Row[Any], alert: Alert) -> Synced:
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
        update = sa.update(ALERTS).where(ALERTS.c.transaction_id == alert.transaction_id)
        self._connection.execute(update.values(**alert_row(merged), seen_at=self._now))
        detail = {**_facts(merged), "before": {"score": before.score, "severity": before.severity}}
        case = self._waiting.get(row.customer_id)
        if case is None or case.values.get("number") != row.case_number:
            add_event(self._connection, row.case_number, self._now, SYSTEM, EventKind.RAISED, detail)
            return Synced(raised=1)
        self._events.append((case, EventKind.RAISED, detail))
        graver = case.is_less_grave_than(merged)
        case.see(merged)
        woken = graver and self._wake(case, merged)
        return Synced(raised=1, reopened=int(woken))

    def _wake(self, case: _Case, alert: Alert) -> bool:
        if case.values["status"] != Status.SNOOZED.value:
            return False
        case.values["status"], case.values["snoozed_until"] = Status.OPEN.value, None
        detail = {"because": "a graver alert", "transaction_id": alert.transaction_id}
        self._events.append((case, EventKind.WOKEN, detail))
        return True

    def _write(self) -> None:
        new = [case for case in self._waiting.values() if "number" not in case.values]
        if new:
            insert = sa.insert(CASES).returning(CASES.c.number, sort_by_parameter_order=True)
            numbers = self._connection.scalars(insert, [case.values for case in new]).all()
            for case, number in zip(new, numbers, strict=True):
                case.values["number"] = number
        changed = [case.values for case in self._waiting.values() if case.changed]
        if changed:
            update = sa.update(CASES).where(CASES.c.number == sa.bindparam("of_number"))
            update = update.values({name: sa.bindparam(f"new_{name}") for name in _CHANGING})
            rows = [{f"new_{name}": values[name] for name in _CHANGING} for values in changed]
            for row, values in zip(rows, changed, strict=True):
                row.update(of_number=values["number"], new_updated_at=self._now, new_version=values["version"] + 1)
            self._connection.execute(update, rows)
        alerts = [
            {**alert_row(alert), "case_number": case.values["number"], "seen_at": self._now} for case, alert in self._alerts
        ]
        if alerts:
            self._connection.execute(sa.insert(ALERTS), alerts)
        events = [
            {"case_number": case.values["number"], "at": self._now, "by": SYSTEM, "kind": kind.value, "detail": detail}
            for case, kind, detail in self._events
        ]
        if events:
            self._connection.execute(sa.insert(EVENTS), events)


_CHANGING = (
    "status", "snoozed_until", "score", "severity", "gravity", "rules", "headline", "amounts", "largest", "alert_count",
    "updated_at", "version",
)  # fmt: skip
"""Columns of a case that alerts change."""


class _Case:
    """A case that waits.

    Attributes:
        values: its row; without `number` until it is stored.
        changed: True if it is stored, and the row here differs.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.changed = False

    @classmethod
    def of(cls, alert: Alert, former: int | None, now: dt.datetime) -> _Case:
        """A new case of an alert."""
        return cls(
            {
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
            }
        )

    def is_less_grave_than(self, alert: Alert) -> bool:
        return _is_graver(alert, self.values["score"], self.values["severity"])

    def join(self, alert: Alert) -> None:
        """Take in a new alert."""
        values, currency = self.values, alert.currency or ""
        total = Decimal(values["amounts"].get(currency, "0")) + alert.amount
        values["amounts"] = {**values["amounts"], currency: str(total)}
        values["alert_count"] += 1
        values["largest"] = max(values["largest"], alert.amount)
        self.see(alert)

    def see(self, alert: Alert) -> None:
        """Take over how grave an alert is, and why."""
        values = self.values
        if alert.score >= values["score"]:
            values["headline"] = _headline(alert) or values["headline"]
        values["score"] = max(values["score"], alert.score)
        values["severity"] = max(values["severity"], alert.severity, key=gravity)
        values["gravity"] = gravity(values["severity"])
        values["rules"] = json.dumps(sorted({*json.loads(values["rules"]), *alert.rules}))
        self.changed = "number" in values


def _is_graver(alert: Alert, score: float, severity: str) -> bool:
    return alert.score > score or gravity(alert.severity) > gravity(severity)


def _headline(alert: Alert) -> str:
    return alert.reasons[0] if alert.reasons else ""


def _facts(alert: Alert) -> dict[str, Any]:
    return {
        "transaction_id": alert.transaction_id,
        "score": alert.score,
        "severity": alert.severity,
        "rules": list(alert.rules),
    }
