"""A day of the desk: opened, decided, what waits. Summed up from the history of cases, so that past days stay as they were."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from fraud_assets.cases.model import DaySummary, Decision, EventKind
from fraud_assets.cases.tables import EVENTS

AGES = ("under a day", "1 to 3 days", "3 to 7 days", "over 7 days")
"""Ages of waiting cases."""

_SETTLING = (EventKind.DECIDED, EventKind.UNDONE, EventKind.REOPENED)


def summarize(connection: sa.Connection, days: Iterable[dt.date], now: dt.datetime | None) -> Iterator[DaySummary]:
    """Sum up days.

    Args:
        now: the current time; a day that has not ended is summed up as of it.
    """
    opened_at = {
        row.case_number: row.at
        for row in connection.execute(
            sa.select(EVENTS.c.case_number, EVENTS.c.at).where(EVENTS.c.kind == EventKind.OPENED.value)
        )
    }
    kinds = [kind.value for kind in _SETTLING]
    query = sa.select(EVENTS.c.case_number, EVENTS.c.kind, EVENTS.c.by, EVENTS.c.detail, EVENTS.c.at)
    settling = connection.execute(query.where(EVENTS.c.kind.in_(kinds)).order_by(EVENTS.c.number)).all()
    for day in days:
        start = dt.datetime.combine(day, dt.time(), dt.UTC)
        end = start + dt.timedelta(days=1)
        # what happens at this very moment counts
        moment = min(end, now + dt.timedelta(microseconds=1)) if now is not None else end
        yield _summary(opened_at, settling, start, moment)


def _summary(opened_at: dict[int, dt.datetime], settling: Iterable[Any], start: dt.datetime, moment: dt.datetime) -> DaySummary:
    opened = {number: at for number, at in opened_at.items() if at < moment}
    last: dict[int, Any] = {}
    for row in settling:
        if row.at < moment and (row.kind != EventKind.UNDONE.value or row.detail["what"] == EventKind.DECIDED.value):
            last[row.case_number] = row
    decided = {number: row for number, row in last.items() if row.kind == EventKind.DECIDED.value}
    today = [row for row in decided.values() if row.at >= start]
    by_decision = Counter(Decision(row.detail["decision"]) for row in today)
    by_person: dict[str, Counter[Decision]] = {}
    for row in today:
        by_person.setdefault(row.by, Counter())[Decision(row.detail["decision"])] += 1
    ages = [moment - at for number, at in opened.items() if number not in decided]
    judged = by_decision[Decision.FRAUD] + by_decision[Decision.HONEST]
    return DaySummary(
        day=start.date(),
        opened=sum(1 for at in opened.values() if at >= start),
        decided=dict(by_decision),
        decided_by={person: dict(found) for person, found in sorted(by_person.items())},
        precision=by_decision[Decision.FRAUD] / judged if judged else None,
        backlog=len(ages),
        backlog_by_age=_by_age(ages),
        oldest=max(ages, default=None),
    )


def _by_age(ages: list[dt.timedelta]) -> dict[str, int]:
    found = Counter(AGES[sum(age >= dt.timedelta(days=days) for days in (1, 3, 7))] for age in ages)
    return {age: found[age] for age in AGES}
