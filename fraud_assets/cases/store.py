"""The store of cases: every change is one transaction with its event, made against the version that the person saw."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fraud_assets.cases.database import open_engine, reading, writing
from fraud_assets.cases.day_summary import summarize
from fraud_assets.cases.intake import add_event, take, wake_due
from fraud_assets.cases.model import (
    REASON_CODES,
    Alert,
    Case,
    DaySummary,
    Decision,
    DecisionRow,
    Event,
    EventKind,
    QueueFilter,
    ReasonCode,
    Status,
    Suppression,
    SuppressionKind,
    Synced,
)
from fraud_assets.cases.queries import behind, chosen, ordered
from fraud_assets.cases.rows import alert_of, case_of, decision_of, event_of, hidden_alert, number_of, suppression_of
from fraud_assets.cases.tables import ALERTS, CASES, DECISIONS, EVENTS, HIDDEN_ALERTS, MARKS, SUPPRESSIONS, WAITING
from fraud_assets.detection.rule import SEVERITIES
from fraud_assets.errors import CaseChanged, CaseError, CaseNotFound

_BATCH = 200
"""Alerts that a sync takes in one transaction, so that a person who decides waits for milliseconds."""

LONGEST_SUPPRESSION = dt.timedelta(days=366)
"""Longest time until a suppression ends."""

LONGEST_NOTE = 4000
"""Letters of a note."""


@dataclass(frozen=True)
class CaseStore:
    """Cases in the desk's database. Safe to share between threads.

    Attributes:
        engine: as `open_engine` gives it.
    """

    engine: sa.Engine

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> CaseStore:
        """Open the desk's database; the arguments and errors are those of `open_engine`."""
        return cls(open_engine(url, create=create))

    def close(self) -> None:
        """Close the connections. The next use opens them again."""
        self.engine.dispose()

    # alerts

    def sync(self, alerts: Iterable[Alert], now: dt.datetime) -> Synced:
        """Take alerts, and wake the cases whose snooze has ended. Taking the same alerts again changes nothing.

        An alert opens a case if its customer has none that waits, and joins that one otherwise. Alerts are taken in batches:
        after a failure, those taken stay, and a repeated sync completes it.

        Args:
            alerts: in any order; of several with one transaction, the last counts.
        """
        latest = {alert.transaction_id: alert for alert in alerts}
        waiting = sorted(latest.values(), key=_in_time)
        done = Synced()
        for start in range(0, len(waiting), _BATCH):
            with writing(self.engine) as connection:
                done += take(connection, waiting[start : start + _BATCH], now)
        with writing(self.engine) as connection:
            wake_due(connection, now)
        return done

    # reading

    def queue(self, wanted: QueueFilter = QueueFilter(), limit: int = 50, offset: int = 0) -> list[Case]:  # noqa: B008
        """Cases in the order of the queue: highest score first, then gravest, largest amount, oldest."""
        query = ordered(sa.select(CASES).where(chosen(wanted))).limit(limit).offset(offset)
        with reading(self.engine) as connection:
            return [case_of(row) for row in connection.execute(query)]

    def count(self, wanted: QueueFilter = QueueFilter()) -> int:  # noqa: B008
        """Number of cases that a filter lets through."""
        with reading(self.engine) as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(CASES).where(chosen(wanted))) or 0

    def counts(self) -> dict[Status, dict[str, int]]:
        """Number of cases by status and severity, those that are not 0."""
        query = sa.select(CASES.c.status, CASES.c.severity, sa.func.count().label("cases"))
        found: dict[Status, dict[str, int]] = {status: {} for status in Status}
        with reading(self.engine) as connection:
            for row in connection.execute(query.group_by(CASES.c.status, CASES.c.severity)):
                found[Status(row.status)][row.severity] = row.cases
        return found

    def case(self, case_id: str) -> Case:
        """A case.

        Raises:
            CaseNotFound: there is none with this id.
        """
        with reading(self.engine) as connection:
            return case_of(_row(connection, case_id))

    def case_of_transaction(self, transaction_id: str) -> Case:
        """The case of a transaction's alert.

        Raises:
            CaseNotFound: no case has it.
        """
        query = sa.select(CASES).join(ALERTS).where(ALERTS.c.transaction_id == transaction_id)
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise CaseNotFound(f"No case has an alert of transaction {transaction_id}; `fraud cases sync` takes new alerts")
        return case_of(row)

    def cases_of_customer(self, customer_id: str) -> list[Case]:
        """All cases of a customer, the latest first."""
        query = sa.select(CASES).where(CASES.c.customer_id == customer_id).order_by(CASES.c.number.desc())
        with reading(self.engine) as connection:
            return [case_of(row) for row in connection.execute(query)]

    def next_case(self, after: str, wanted: QueueFilter = QueueFilter()) -> Case | None:  # noqa: B008
        """The case that follows another in the queue, which need not be in the queue any more; after the last, the first.

        Raises:
            CaseNotFound: there is none with the id `after`.
        """
        with reading(self.engine) as connection:
            here = _row(connection, after)
            others = sa.select(CASES).where(chosen(wanted), CASES.c.number != here.number)
            row = connection.execute(ordered(others.where(behind(here))).limit(1)).one_or_none()
            row = row or connection.execute(ordered(others).limit(1)).one_or_none()
        return case_of(row) if row is not None else None

    def alerts(self, case_id: str) -> list[Alert]:
        """The alerts of a case, in order of time."""
        with reading(self.engine) as connection:
            query = sa.select(ALERTS).where(ALERTS.c.case_number == _row(connection, case_id).number)
            rows = connection.execute(query.order_by(ALERTS.c.event_time, ALERTS.c.transaction_id))
            return [alert_of(row) for row in rows]

    def history(self, case_id: str) -> list[Event]:
        """The events of a case, the first first."""
        with reading(self.engine) as connection:
            query = sa.select(EVENTS).where(EVENTS.c.case_number == _row(connection, case_id).number)
            return [event_of(row) for row in connection.execute(query.order_by(EVENTS.c.number))]

    def events_since(self, number: int, limit: int = 1000) -> list[Event]:
        """Events with a larger number, in the order in which they were committed; none appears later among them."""
        query = sa.select(EVENTS).where(EVENTS.c.number > number).order_by(EVENTS.c.number).limit(limit)
        with reading(self.engine) as connection:
            return [event_of(row) for row in connection.execute(query)]

    def last_event(self) -> int:
        """The number of the last event; 0 if there is none."""
        with reading(self.engine) as connection:
            return connection.scalar(sa.select(sa.func.max(EVENTS.c.number))) or 0

    def decisions_since(self, number: int = 0, limit: int = 1000) -> list[DecisionRow]:
        """Decisions with a larger number, in the order in which they were committed; none appears later among them."""
        query = sa.select(DECISIONS).where(DECISIONS.c.number > number).order_by(DECISIONS.c.number).limit(limit)
        with reading(self.engine) as connection:
            return [decision_of(row) for row in connection.execute(query)]

    def decisions_between(self, start: dt.datetime, end: dt.datetime) -> list[DecisionRow]:
        """Decisions made in `[start, end)`, in the order in which they were committed."""
        query = sa.select(DECISIONS).where(DECISIONS.c.decided_at >= start, DECISIONS.c.decided_at < end)
        with reading(self.engine) as connection:
            return [decision_of(row) for row in connection.execute(query.order_by(DECISIONS.c.number))]

    def decisions_of(self, case_id: str) -> list[DecisionRow]:
        """Decisions of a case, in the order in which they were made."""
        with reading(self.engine) as connection:
            query = sa.select(DECISIONS).where(DECISIONS.c.case_number == _row(connection, case_id).number)
            return [decision_of(row) for row in connection.execute(query.order_by(DECISIONS.c.number))]

    def day(self, day: dt.date, now: dt.datetime | None = None) -> DaySummary:
        """What happened on a day (UTC), and what waits at its end.

        Args:
            now: the current time, if the day has not ended.
        """
        return self.days([day], now)[0]

    def days(self, days: Iterable[dt.date], now: dt.datetime | None = None) -> list[DaySummary]:
        """As `day`, for several days from one reading of the history."""
        with reading(self.engine) as connection:
            return list(summarize(connection, days, now))

    # changes; each raises CaseNotFound, CaseChanged, or CaseError if the case does not allow it

    def assign(self, case_id: str, to: str | None, by: str, version: int, now: dt.datetime) -> Case:
        """Give a waiting case to a person; None takes it from everyone."""
        with self._changing(case_id, version) as (connection, row):
            _must_wait(row, "assigned")
            add_event(connection, row.number, now, by, EventKind.ASSIGNED, {"to": to, "before": row.assigned_to})
            return _changed(connection, row, now, assigned_to=to)

    def snooze(self, case_id: str, until: dt.datetime, by: str, version: int, now: dt.datetime) -> Case:
        """Put a waiting case aside until a time; a graver alert wakes it earlier."""
        if until <= now:
            raise CaseError(f"A case can be snoozed until a time that is still to come; {_time(until)} is not")
        with self._changing(case_id, version) as (connection, row):
            _must_wait(row, "snoozed")
            add_event(connection, row.number, now, by, EventKind.SNOOZED, {"until": _time(until), "before": _standing(row)})
            return _changed(connection, row, now, status=Status.SNOOZED.value, snoozed_until=until)

    def decide(
        self,
        case_id: str,
        decision: Decision,
        reason_code: ReasonCode,
        note: str | None,
        by: str,
        version: int,
        now: dt.datetime,
        exceptions: Mapping[str, Decision] = {},
    ) -> Case:
        """Decide a waiting case, and with it the transactions of its alerts.

        Args:
            exceptions: transactions with another decision than their case.
        """
        decision, reason_code = Decision(decision), ReasonCode(reason_code)
        if reason_code not in REASON_CODES[decision]:
            raise CaseError(f"{reason_code} is no reason for {decision}; its reasons are {', '.join(REASON_CODES[decision])}")
        note = _short(note)
        with self._changing(case_id, version) as (connection, row):
            _must_wait(row, "decided")
            found = connection.scalars(sa.select(ALERTS.c.transaction_id).where(ALERTS.c.case_number == row.number)).all()
            if strange := sorted(set(exceptions) - set(found)):
                raise CaseError(f"Case {case_id} has no alert of transaction {strange[0]}")
            each = {transaction: Decision(exceptions.get(transaction, decision)) for transaction in sorted(found)}
            _add_decisions(connection, row, each, reason_code, by, now, note)
            detail = {
                "decision": decision.value,
                "reason_code": reason_code.value,
                "note": note,
                "transactions": len(each),
                "exceptions": {transaction: Decision(other).value for transaction, other in exceptions.items()},
                "before": _standing(row),
            }
            add_event(connection, row.number, now, by, EventKind.DECIDED, detail)
            return _changed(
                connection,
                row,
                now,
                status=Status.DECIDED.value,
                snoozed_until=None,
                decision=decision.value,
                reason_code=reason_code.value,
                note=note,
                decided_by=by,
                decided_at=now,
            )

    def undo(self, case_id: str, by: str, version: int, now: dt.datetime) -> Case:
        """Take back a case's decision or snooze, and return it to where it stood before."""
        with self._changing(case_id, version) as (connection, row):
            if row.status == Status.OPEN.value:
                raise CaseError(f"Case {case_id} is open: there is no decision or snooze to take back")
            kind = EventKind.DECIDED if row.status == Status.DECIDED.value else EventKind.SNOOZED
            last = _last_event(connection, row, kind)
            before = last.detail["before"]
            detail = {"what": kind.value, "event_id": last.number}
            if kind is EventKind.DECIDED:
                _must_be_alone(connection, row)
                _take_back(connection, row, by, now, "decision undone")
            add_event(connection, row.number, now, by, EventKind.UNDONE, detail)
            until = dt.datetime.fromisoformat(before["snoozed_until"]) if before["snoozed_until"] else None
            if until is not None and until <= now:
                before, until = {"status": Status.OPEN.value}, None
            return _changed(connection, row, now, status=before["status"], snoozed_until=until, **_UNDECIDED)

    def reopen(self, case_id: str, why: str, by: str, version: int, now: dt.datetime) -> Case:
        """Open a decided case again; its transactions are undecided until it is decided."""
        if not (why := (_short(why) or "")):
            raise CaseError("A reopened case needs a reason")
        with self._changing(case_id, version) as (connection, row):
            if row.status != Status.DECIDED.value:
                raise CaseError(f"Case {case_id} is {row.status}: only a decided case can be reopened")
            _must_be_alone(connection, row)
            _take_back(connection, row, by, now, why)
            add_event(connection, row.number, now, by, EventKind.REOPENED, {"why": why})
            return _changed(connection, row, now, status=Status.OPEN.value, snoozed_until=None, **_UNDECIDED)

    def comment(self, case_id: str, text: str, by: str, version: int, now: dt.datetime) -> Case:
        """Add a comment to a case's history."""
        if not (text := (_short(text) or "")):
            raise CaseError("A comment needs a text")
        with self._changing(case_id, version) as (connection, row):
            add_event(connection, row.number, now, by, EventKind.COMMENTED, {"text": text})
            return _changed(connection, row, now)

    # suppressions

    def suppress(
        self,
        kind: SuppressionKind,
        value: str,
        until: dt.datetime,
        by: str,
        why: str,
        now: dt.datetime,
        severity: str = "medium",
        below_score: float = 0.9,
    ) -> Suppression:
        """Let new alerts of a customer, rule or merchant open no case until a time, as long as they are no graver.

        Args:
            until: at most `LONGEST_SUPPRESSION` from now.
            severity: the gravest severity to hide.
            below_score: the score from which nothing is hidden.
        """
        if not now < until <= now + LONGEST_SUPPRESSION:
            raise CaseError(
                f"A suppression ends within {LONGEST_SUPPRESSION.days} days, by {_time(now + LONGEST_SUPPRESSION)}; "
                f"{_time(until)} is not between now and then"
            )
        value, reason = value.strip(), _short(why)
        if not value or not reason:
            raise CaseError("A suppression needs a value and a reason")
        if severity not in SEVERITIES or not 0 < below_score <= 1:
            raise CaseError(
                f"A suppression hides up to a severity ({', '.join(SEVERITIES)}) and below a score of at most 1; "
                f"found {severity} and {below_score}"
            )
        row = {
            "kind": SuppressionKind(kind).value,
            "value": value,
            "severity": severity,
            "below_score": below_score,
            "at": now,
            "until": until,
            "by": by,
            "why": reason,
        }
        with writing(self.engine) as connection:
            made = connection.execute(sa.insert(SUPPRESSIONS).values(row).returning(SUPPRESSIONS)).one()
            return suppression_of(made)

    def suppressions(self, active_at: dt.datetime | None = None) -> list[Suppression]:
        """Suppressions with the number of alerts that each hid, the latest first.

        Args:
            active_at: only those that hide alerts at this time.
        """
        count = sa.select(sa.func.count()).where(HIDDEN_ALERTS.c.suppression == SUPPRESSIONS.c.number).scalar_subquery()
        query = sa.select(SUPPRESSIONS, count.label("hidden")).order_by(SUPPRESSIONS.c.number.desc())
        with reading(self.engine) as connection:
            found = [suppression_of(row) for row in connection.execute(query)]
        return [each for each in found if active_at is None or each.is_active(active_at)]

    def hidden(self, number: int) -> list[Alert]:
        """The alerts that a suppression hid, in order of time."""
        query = sa.select(HIDDEN_ALERTS).where(HIDDEN_ALERTS.c.suppression == number)
        with reading(self.engine) as connection:
            found = [hidden_alert(row) for row in connection.execute(query)]
        return sorted(found, key=_in_time)

    def lift(self, number: int, by: str, now: dt.datetime) -> Synced:
        """End a suppression, and take the alerts that it hid."""
        with writing(self.engine) as connection:
            row = connection.execute(sa.select(SUPPRESSIONS).where(SUPPRESSIONS.c.number == number)).one_or_none()
            if row is None:
                raise CaseNotFound(f"There is no suppression {number}")
            if row.lifted_at is not None:
                raise CaseError(f"Suppression {number} was lifted by {row.lifted_by} at {_time(row.lifted_at)}")
            update = sa.update(SUPPRESSIONS).where(SUPPRESSIONS.c.number == number)
            connection.execute(update.values(lifted_at=now, lifted_by=by))
            rows = connection.execute(sa.select(HIDDEN_ALERTS).where(HIDDEN_ALERTS.c.suppression == number)).all()
            alerts = sorted(map(hidden_alert, rows), key=_in_time)
            done = Synced()
            for start in range(0, len(alerts), _BATCH):
                done += take(connection, alerts[start : start + _BATCH], now)
            return done

    # marks

    def marks(self, prefix: str) -> dict[str, str]:
        """Marks whose name begins with a text: how far the desk has read alerts, and written decisions."""
        query = sa.select(MARKS).where(MARKS.c.name.startswith(prefix, autoescape=True))
        with reading(self.engine) as connection:
            return {row.name: row.value for row in connection.execute(query)}

    def set_marks(self, marks: Mapping[str, str]) -> None:
        """Set marks; others stay."""
        if not marks:
            return
        with writing(self.engine) as connection:
            connection.execute(sa.delete(MARKS).where(MARKS.c.name.in_(list(marks))))
            connection.execute(sa.insert(MARKS), [{"name": name, "value": value} for name, value in marks.items()])

    @contextmanager
    def _changing(self, case_id: str, version: int) -> Iterator[tuple[sa.Connection, sa.Row[Any]]]:
        with writing(self.engine) as connection:
            row = _row(connection, case_id)
            if row.version != version:
                raise CaseChanged(_what_changed(connection, row))
            yield connection, row


_UNDECIDED = {"decision": None, "reason_code": None, "note": None, "decided_by": None, "decided_at": None}


def _row(connection: sa.Connection, case_id: str) -> sa.Row[Any]:
    number = number_of(case_id)
    row = None
    if number is not None:
        row = connection.execute(sa.select(CASES).where(CASES.c.number == number)).one_or_none()
    if row is None:
        raise CaseNotFound(f"There is no case {case_id[:40]!r}")
    return row


def _changed(connection: sa.Connection, row: sa.Row[Any], now: dt.datetime, **values: object) -> Case:
    update = sa.update(CASES).where(CASES.c.number == row.number)
    connection.execute(update.values(**values, updated_at=now, version=row.version + 1))
    return case_of(connection.execute(sa.select(CASES).where(CASES.c.number == row.number)).one())


def _must_wait(row: sa.Row[Any], what: str) -> None:
    if row.status == Status.DECIDED.value:
        raise CaseError(
            f"Case {row.number} was decided as {row.decision} by {row.decided_by} at {_time(row.decided_at)}; "
            f"reopen it before it is {what}"
        )


def _must_be_alone(connection: sa.Connection, row: sa.Row[Any]) -> None:
    other = connection.scalar(sa.select(CASES.c.number).where(WAITING, CASES.c.customer_id == row.customer_id))
    if other is not None:
        raise CaseError(
            f"New alerts of customer {row.customer_id} opened case {other} since; decide that one, "
            f"then case {row.number} can be opened again"
        )


def _what_changed(connection: sa.Connection, row: sa.Row[Any]) -> str:
    query = sa.select(EVENTS).where(EVENTS.c.case_number == row.number).order_by(EVENTS.c.number.desc()).limit(1)
    last = event_of(connection.execute(query).one())
    what = {
        EventKind.DECIDED: f"decided it as {last.detail.get('decision')}",
        EventKind.SNOOZED: f"snoozed it until {last.detail.get('until')}",
        EventKind.ASSIGNED: f"assigned it to {last.detail.get('to') or 'nobody'}",
        EventKind.UNDONE: f"took back what was {last.detail.get('what')}",
        EventKind.REOPENED: "reopened it",
        EventKind.COMMENTED: "commented on it",
        EventKind.WOKEN: f"woke it because of {last.detail.get('because')}",
        EventKind.OPENED: "opened it",
        EventKind.MERGED: f"added the alert of {last.detail.get('transaction_id')}",
        EventKind.RAISED: f"raised it with the alert of {last.detail.get('transaction_id')}",
    }[last.kind]
    return f"Case {row.number} has changed since you saw it: {last.by} {what} at {_time(last.at)}. It is {row.status} now"


def _last_event(connection: sa.Connection, row: sa.Row[Any], kind: EventKind) -> sa.Row[Any]:
    of_kind = sa.select(EVENTS).where(EVENTS.c.case_number == row.number, EVENTS.c.kind == kind.value)
    return connection.execute(of_kind.order_by(EVENTS.c.number.desc()).limit(1)).one()


def _standing(row: sa.Row[Any]) -> dict[str, str | None]:
    return {"status": row.status, "snoozed_until": row.snoozed_until.isoformat() if row.snoozed_until else None}


def _take_back(connection: sa.Connection, row: sa.Row[Any], by: str, now: dt.datetime, why: str) -> None:
    """Follow the case's decisions with `undecided`."""
    decided = sa.select(DECISIONS.c.transaction_id).where(DECISIONS.c.case_number == row.number).distinct()
    each = dict.fromkeys(sorted(connection.scalars(decided)), Decision.UNDECIDED)
    _add_decisions(connection, row, each, None, by, now, why)


def _add_decisions(
    connection: sa.Connection,
    row: sa.Row[Any],
    each: Mapping[str, Decision],
    reason_code: ReasonCode | None,
    by: str,
    now: dt.datetime,
    note: str | None,
) -> None:
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


def _in_time(alert: Alert) -> tuple[dt.datetime, str]:
    return alert.event_time, alert.transaction_id


def _short(text: str | None) -> str | None:
    text = (text or "").strip()
    if len(text) > LONGEST_NOTE:
        raise CaseError(f"A text of a case has at most {LONGEST_NOTE} letters; this one has {len(text)}")
    if "\x00" in text:
        raise CaseError("A text of a case has no NUL characters")
    return text or None


def _time(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
