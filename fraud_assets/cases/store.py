"""The store of cases: every change is one transaction with its event, made against the version that the person saw."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fraud_assets.cases.changes import (
    UNDECIDED,
    add_decisions,
    change_row,
    last_event,
    must_be_alone,
    must_wait,
    row_of,
    short_text,
    standing,
    take_back,
    time_text,
    what_changed,
)
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
from fraud_assets.cases.rows import alert_of, case_of, decision_of, event_of, hidden_alert, suppression_of
from fraud_assets.cases.tables import ALERTS, CASES, DECISIONS, EVENTS, HIDDEN_ALERTS, MARKS, SUPPRESSIONS
from fraud_assets.detection.rule import SEVERITIES
from fraud_assets.errors import CaseChanged, CaseError, CaseNotFound, WrongStatus

_BATCH = 200
"""Alerts that a sync takes in one transaction, so that a person who decides waits for milliseconds."""

LONGEST_SNOOZE = dt.timedelta(days=366)
"""Longest time for which a case is put aside."""

LONGEST_SUPPRESSION = dt.timedelta(days=366)
"""Longest time until a suppression ends."""


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
            return case_of(row_of(connection, case_id))

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
            here = row_of(connection, after)
            others = sa.select(CASES).where(chosen(wanted), CASES.c.number != here.number)
            row = connection.execute(ordered(others.where(behind(here))).limit(1)).one_or_none()
            row = row or connection.execute(ordered(others).limit(1)).one_or_none()
        return case_of(row) if row is not None else None

    def alerts(self, case_id: str) -> list[Alert]:
        """The alerts of a case, in order of time."""
        with reading(self.engine) as connection:
            query = sa.select(ALERTS).where(ALERTS.c.case_number == row_of(connection, case_id).number)
            rows = connection.execute(query.order_by(ALERTS.c.event_time, ALERTS.c.transaction_id))
            return [alert_of(row) for row in rows]

    def history(self, case_id: str) -> list[Event]:
        """The events of a case, the first first."""
        with reading(self.engine) as connection:
            query = sa.select(EVENTS).where(EVENTS.c.case_number == row_of(connection, case_id).number)
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
            query = sa.select(DECISIONS).where(DECISIONS.c.case_number == row_of(connection, case_id).number)
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
            must_wait(row, "assigned")
            add_event(connection, row.number, now, by, EventKind.ASSIGNED, {"to": to, "before": row.assigned_to})
            return change_row(connection, row, now, assigned_to=to)

    def snooze(self, case_id: str, until: dt.datetime, by: str, version: int, now: dt.datetime) -> Case:
        """Put a waiting case aside until a time, at most `LONGEST_SNOOZE` from now; a graver alert wakes it earlier."""
        if not now < until <= now + LONGEST_SNOOZE:
            raise CaseError(
                f"A case is snoozed for {LONGEST_SNOOZE.days} days at most, until {time_text(now + LONGEST_SNOOZE)}; "
                f"{time_text(until)} is not between now and then"
            )
        with self._changing(case_id, version) as (connection, row):
            must_wait(row, "snoozed")
            add_event(connection, row.number, now, by, EventKind.SNOOZED, {"until": time_text(until), "before": standing(row)})
            return change_row(connection, row, now, status=Status.SNOOZED.value, snoozed_until=until)

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
        note = short_text(note)
        with self._changing(case_id, version) as (connection, row):
            must_wait(row, "decided")
            found = connection.scalars(sa.select(ALERTS.c.transaction_id).where(ALERTS.c.case_number == row.number)).all()
            if strange := sorted(set(exceptions) - set(found)):
                raise CaseError(f"Case {case_id} has no alert of transaction {strange[0]}")
            each = {transaction: Decision(exceptions.get(transaction, decision)) for transaction in sorted(found)}
            add_decisions(connection, row, each, reason_code, by, now, note)
            detail = {
                "decision": decision.value,
                "reason_code": reason_code.value,
                "note": note,
                "transactions": len(each),
                "exceptions": {transaction: Decision(other).value for transaction, other in exceptions.items()},
                "before": standing(row),
            }
            add_event(connection, row.number, now, by, EventKind.DECIDED, detail)
            return change_row(
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
                raise WrongStatus(f"Case {case_id} is open: there is no decision or snooze to take back")
            kind = EventKind.DECIDED if row.status == Status.DECIDED.value else EventKind.SNOOZED
            last = last_event(connection, row, kind)
            before = last.detail["before"]
            detail = {"what": kind.value, "event_id": last.number}
            if kind is EventKind.DECIDED:
                must_be_alone(connection, row)
                take_back(connection, row, by, now, "decision undone")
            add_event(connection, row.number, now, by, EventKind.UNDONE, detail)
            until = dt.datetime.fromisoformat(before["snoozed_until"]) if before["snoozed_until"] else None
            if until is not None and until <= now:
                before, until = {"status": Status.OPEN.value}, None
            return change_row(connection, row, now, status=before["status"], snoozed_until=until, **UNDECIDED)

    def reopen(self, case_id: str, why: str, by: str, version: int, now: dt.datetime) -> Case:
        """Open a decided case again; its transactions are undecided until it is decided."""
        if not (why := (short_text(why) or "")):
            raise CaseError("A reopened case needs a reason")
        with self._changing(case_id, version) as (connection, row):
            if row.status != Status.DECIDED.value:
                raise WrongStatus(f"Case {case_id} is {row.status}: only a decided case can be reopened")
            must_be_alone(connection, row)
            take_back(connection, row, by, now, why)
            add_event(connection, row.number, now, by, EventKind.REOPENED, {"why": why})
            return change_row(connection, row, now, status=Status.OPEN.value, snoozed_until=None, **UNDECIDED)

    def comment(self, case_id: str, text: str, by: str, version: int, now: dt.datetime) -> Case:
        """Add a comment to a case's history."""
        if not (text := (short_text(text) or "")):
            raise CaseError("A comment needs a text")
        with self._changing(case_id, version) as (connection, row):
            add_event(connection, row.number, now, by, EventKind.COMMENTED, {"text": text})
            return change_row(connection, row, now)

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
                f"A suppression ends within {LONGEST_SUPPRESSION.days} days, by {time_text(now + LONGEST_SUPPRESSION)}; "
                f"{time_text(until)} is not between now and then"
            )
        value, reason = value.strip(), short_text(why)
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
                raise CaseError(f"Suppression {number} was lifted by {row.lifted_by} at {time_text(row.lifted_at)}")
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
            row = row_of(connection, case_id)
            if row.version != version:
                raise CaseChanged(what_changed(connection, row))
            yield connection, row


def _in_time(alert: Alert) -> tuple[dt.datetime, str]:
    return alert.event_time, alert.transaction_id
