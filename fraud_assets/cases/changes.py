"""Steps of a change of a case: reading its row, what it must allow, decisions, and the new version."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from fraud_assets.cases.model import REASON_CODES, Case, Decision, EventKind, ReasonCode, Status
from fraud_assets.cases.rows import case_of, event_of, number_of
from fraud_assets.cases.tables import CASES, DECISIONS, EVENTS, WAITING
from fraud_assets.errors import CaseError, CaseNotFound, WrongStatus

LONGEST_NOTE = 4000
"""Letters of a note, at most."""

UNDECIDED = {"decision": None, "reason_code": None, "note": None, "decided_by": None, "decided_at": None}
"""Columns of a case without a decision."""


def row_of(connection: sa.Connection, case_id: str) -> sa.Row[Any]:
    """The row of a case.

    Raises:
        CaseNotFound: there is none with this id.
    """
    number = number_of(case_id)
    row = None
    if number is not None:
        row = connection.execute(sa.select(CASES).where(CASES.c.number == number)).one_or_none()
    if row is None:
        raise CaseNotFound(f"There is no case {case_id[:40]!r}")
    return row


def change_row(connection: sa.Connection, row: sa.Row[Any], now: dt.datetime, **values: object) -> Case:
    """Set columns of a case, with its next version."""
    update = sa.update(CASES).where(CASES.c.number == row.number)
    connection.execute(update.values(**values, updated_at=now, version=row.version + 1))
    return case_of(connection.execute(sa.select(CASES).where(CASES.c.number == row.number)).one())


def must_wait(row: sa.Row[Any], what: str) -> None:
    """Refuse what only a case without a decision allows, such as to be `what`."""
    if row.status == Status.DECIDED.value:
        raise WrongStatus(
            f"Case {row.number} was decided as {row.decision} by {row.decided_by} at {time_text(row.decided_at)}; "
            f"reopen it before it is {what}"
        )


def must_be_alone(connection: sa.Connection, row: sa.Row[Any]) -> None:
    """Refuse to open a case again whose customer has another that waits."""
    other = connection.scalar(sa.select(CASES.c.number).where(WAITING, CASES.c.customer_id == row.customer_id))
    if other is not None:
        raise WrongStatus(
            f"New alerts of customer {row.customer_id} opened case {other} since; decide that one, "
            f"then case {row.number} can be opened again"
        )


def what_changed(connection: sa.Connection, row: sa.Row[Any]) -> str:
    """Who changed a case last, what, and when."""
    query = sa.select(EVENTS).where(EVENTS.c.case_number == row.number).order_by(EVENTS.c.number.desc()).limit(1)
    last = event_of(connection.execute(query).one())
    what = {
        EventKind.DECIDED: f"decided it as {last.detail.get('decision')}",
        EventKind.SNOOZED: f"snoozed it until {last.detail.get('until')}",
        EventKind.ASSIGNED: f"assigned it to {to}" if (to := last.detail.get("to")) else "cleared its assignment",
        EventKind.UNDONE: f"took back what was {last.detail.get('what')}",
        EventKind.REOPENED: "reopened it",
        EventKind.COMMENTED: "commented on it",
        EventKind.WOKEN: f"woke it because of {last.detail.get('because')}",
        EventKind.OPENED: "opened it",
        EventKind.MERGED: f"added the alert of {last.detail.get('transaction_id')}",
        EventKind.RAISED: f"raised it with the alert of {last.detail.get('transaction_id')}",
    }[last.kind]
    return f"Case {row.number} has changed since you saw it: {last.by} {what} at {time_text(last.at)}. It is {row.status} now"


def last_event(connection: sa.Connection, row: sa.Row[Any], kind: EventKind) -> sa.Row[Any]:
    """The last event of a kind in a case's history."""
    of_kind = sa.select(EVENTS).where(EVENTS.c.case_number == row.number, EVENTS.c.kind == kind.value)
    return connection.execute(of_kind.order_by(EVENTS.c.number.desc()).limit(1)).one()


def standing(row: sa.Row[Any]) -> dict[str, str | None]:
    """Where a case stands, for an undo to return to."""
    return {"status": row.status, "snoozed_until": row.snoozed_until.isoformat() if row.snoozed_until else None}


def take_back(connection: sa.Connection, row: sa.Row[Any], by: str, now: dt.datetime, why: str) -> None:
    """Follow the case's decisions with `undecided`."""
    decided = sa.select(DECISIONS.c.transaction_id).where(DECISIONS.c.case_number == row.number).distinct()
    each = dict.fromkeys(sorted(connection.scalars(decided)), Decision.UNDECIDED)
    add_decisions(connection, row, each, None, by, now, why)


def add_decisions(
    connection: sa.Connection,
    row: sa.Row[Any],
    each: Mapping[str, Decision],
    reason_code: ReasonCode | None,
    by: str,
    now: dt.datetime,
    note: str | None,
) -> None:
    """Add a decision for each transaction."""
    rows = [
        {
            "decision_id": uuid.uuid4().hex,
            "case_number": row.number,
            "transaction_id": transaction,
            "customer_id": row.customer_id,
            "decision": decision.value,
            # a reason of the case's decision says nothing of a transaction that is an exception
            "reason_code": reason_code.value if reason_code in REASON_CODES[decision] else None,
            "decided_by": by,
            "decided_at": now,
            "note": note,
        }
        for transaction, decision in each.items()
    ]
    connection.execute(sa.insert(DECISIONS), rows)


def short_text(text: str | None) -> str | None:
    """What a person wrote, stripped; None if it is blank.

    Raises:
        CaseError: it is too long, or has NUL characters.
    """
    text = (text or "").strip()
    if len(text) > LONGEST_NOTE:
        raise CaseError(f"A text of a case has at most {LONGEST_NOTE} letters; this one has {len(text)}")
    if "\x00" in text:
        raise CaseError("A text of a case has no NUL characters")
    return text or None


def time_text(moment: dt.datetime) -> str:
    """A time to the second, as 2026-03-02T12:00:00Z."""
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
