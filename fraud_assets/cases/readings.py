"""The log of who read a case."""

from __future__ import annotations

import datetime as dt
import threading

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from fraud_assets.cases.changes import row_of
from fraud_assets.cases.database import reading, writing
from fraud_assets.cases.model import ReadAs, Reading
from fraud_assets.cases.rows import number_of
from fraud_assets.cases.tables import READINGS


class ReadingLog:
    """Readings in the desk's database, one row per case, person, day (UTC) and form. Safe to share between threads.

    A day's later readings of the same kind say nothing new to an auditor, and would cost a write for each page.

    Args:
        engine: as `open_engine` gives it.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._day: dt.date | None = None
        self._stored: set[tuple[str, str, ReadAs]] = set()

    def add(self, case_id: str, by: str, form: ReadAs, now: dt.datetime) -> None:
        """Log that someone reads a case; stored when this returns.

        Raises:
            CaseNotFound: there is none with this id.
            DeskDatabaseError: it could not be stored.
        """
        day, key = now.astimezone(dt.UTC).date(), (case_id, by, form)
        with self._lock:
            if day != self._day:
                self._day, self._stored = day, set()
            if key in self._stored:
                return
            stored = self._stored
        with reading(self._engine) as connection:
            number = row_of(connection, case_id).number
        row = {"case_number": number, "by": by, "day": day, "form": form.value, "at": now}
        with writing(self._engine, alone=False) as connection:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            connection.execute(dialect.insert(READINGS).values(row).on_conflict_do_nothing())
        with self._lock:
            stored.add(key)

    def read(self, case_id: str | None = None, by: str | None = None, limit: int = 500) -> list[Reading]:
        """Readings of a case, of a person, or all, the latest first."""
        query = sa.select(READINGS)
        if case_id is not None:
            query = query.where(READINGS.c.case_number == number_of(case_id))
        if by is not None:
            query = query.where(READINGS.c.by == by)
        order = READINGS.c.at.desc(), READINGS.c.case_number, READINGS.c.by, READINGS.c.form
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(*order).limit(limit))
            return [Reading(str(row.case_number), row.by, ReadAs(row.form), row.at) for row in rows]
