"""The tables of the desk's database, for SQLite and PostgreSQL. Migrations create them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import sqlalchemy as sa


class UtcTime(sa.types.TypeDecorator[dt.datetime]):
    """An aware time; stored in UTC, without its zone, to the microsecond."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; pass an aware datetime")
        return value.astimezone(dt.UTC).replace(tzinfo=None)

    def process_result_value(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        return value.replace(tzinfo=dt.UTC) if value is not None else None


class Money(sa.types.TypeDecorator[Decimal]):
    """A DECIMAL(18,2), stored as a number of hundredths: SQLite has no decimals."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> int | None:
        if value is None:
            return None
        hundredths = value * 100
        if hundredths != int(hundredths):
            raise ValueError(f"{value} has more than two digits after the point")
        return int(hundredths)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> Decimal | None:
        return Decimal(value).scaleb(-2) if value is not None else None


METADATA = sa.MetaData()

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""An integer key that counts up by itself; SQLite counts only those of type INTEGER."""

CASES = sa.Table(
    "cases",
    METADATA,
    sa.Column("number", _NUMBER, primary_key=True),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("gravity", sa.Integer, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("amounts", sa.JSON, nullable=False),
    sa.Column("largest", Money, nullable=False),
    sa.Column("alert_count", sa.Integer, nullable=False),
    sa.Column("rules", sa.Text, nullable=False),
    sa.Column("headline", sa.Text, nullable=False),
    sa.Column("opened_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.Column("assigned_to", sa.Text),
    sa.Column("snoozed_until", UtcTime),
    sa.Column("decision", sa.Text),
    sa.Column("reason_code", sa.Text),
    sa.Column("note", sa.Text),
    sa.Column("decided_by", sa.Text),
    sa.Column("decided_at", UtcTime),
    sa.Column("former", _NUMBER, sa.ForeignKey("cases.number")),
    sa.Column("version", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)
"""One row per case. `largest` is the largest amount of an alert, `rules` a JSON list."""

WAITING = CASES.c.status.in_([sa.literal_column("'open'"), sa.literal_column("'snoozed'")])

sa.Index("one_waiting_case_per_customer", CASES.c.customer_id, unique=True, sqlite_where=WAITING, postgresql_where=WAITING)
sa.Index(
    "cases_by_priority",
    CASES.c.status,
    CASES.c.score.desc(),
    CASES.c.gravity.desc(),
    CASES.c.largest.desc(),
    CASES.c.opened_at,
    CASES.c.number,
)
sa.Index("cases_by_severity", CASES.c.status, CASES.c.severity)
sa.Index("cases_by_customer", CASES.c.customer_id)

ALERTS = sa.Table(
    "alerts",
    METADATA,
    sa.Column("transaction_id", sa.Text, primary_key=True),
    sa.Column("case_number", _NUMBER, sa.ForeignKey("cases.number"), nullable=False),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("event_time", UtcTime, nullable=False),
    sa.Column("amount", Money, nullable=False),
    sa.Column("currency", sa.Text),
    sa.Column("merchant_id", sa.Text, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("rules", sa.JSON, nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
    sa.Column("rule_versions", sa.JSON, nullable=False),
    sa.Column("card_version", sa.Text),
    sa.Column("search", sa.Text, nullable=False),
    sa.Column("seen_at", UtcTime, nullable=False),
)
"""One row per alert, in its case. `search` has the texts that a person may look for, in lower case."""

sa.Index("alerts_by_case", ALERTS.c.case_number)

EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("number", _NUMBER, primary_key=True),
    sa.Column("case_number", _NUMBER, sa.ForeignKey("cases.number"), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sqlite_autoincrement=True,
)
"""The history of cases. A trigger refuses changes."""

sa.Index("events_by_case", EVENTS.c.case_number, EVENTS.c.number)
sa.Index("events_by_time", EVENTS.c.at)

DECISIONS = sa.Table(
    "decisions",
    METADATA,
    sa.Column("number", _NUMBER, primary_key=True),
    sa.Column("decision_id", sa.Text, nullable=False, unique=True),
    sa.Column("case_number", _NUMBER, sa.ForeignKey("cases.number"), nullable=False),
    sa.Column("transaction_id", sa.Text, nullable=False),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("reason_code", sa.Text),
    sa.Column("decided_by", sa.Text, nullable=False),
    sa.Column("decided_at", UtcTime, nullable=False),
    sa.Column("note", sa.Text),
    sqlite_autoincrement=True,
)
"""One row per decision and transaction. A trigger refuses changes; a decision that is undone is followed by `undecided`."""

sa.Index("decisions_by_case", DECISIONS.c.case_number)
sa.Index("decisions_by_time", DECISIONS.c.decided_at)

MARKS = sa.Table(
    "marks",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
"""How far the desk has read alerts of the lake, and written decisions to it."""

SUPPRESSIONS = sa.Table(
    "suppressions",
    METADATA,
    sa.Column("number", _NUMBER, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("below_score", sa.Double, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("until", UtcTime, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("lifted_at", UtcTime),
    sa.Column("lifted_by", sa.Text),
    sqlite_autoincrement=True,
)
"""Whose alerts open no case for a time."""

HIDDEN_ALERTS = sa.Table(
    "hidden_alerts",
    METADATA,
    sa.Column("transaction_id", sa.Text, primary_key=True),
    sa.Column("suppression", _NUMBER, sa.ForeignKey("suppressions.number"), nullable=False),
    sa.Column("alert", sa.JSON, nullable=False),
    sa.Column("hidden_at", UtcTime, nullable=False),
)
"""Alerts that a suppression hid, as they were."""

sa.Index("hidden_alerts_by_suppression", HIDDEN_ALERTS.c.suppression)

READINGS = sa.Table(
    "readings",
    METADATA,
    sa.Column("case_number", _NUMBER, sa.ForeignKey("cases.number"), primary_key=True),
    sa.Column("by", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("form", sa.Text, primary_key=True),
    sa.Column("at", UtcTime, nullable=False),
)
"""Who read a case: one row per case, person, day (UTC) and form. `at` is the first time. A trigger refuses changes."""

sa.Index("readings_by_person", READINGS.c.by, READINGS.c.at)
sa.Index("readings_by_time", READINGS.c.at)

APPEND_ONLY = (EVENTS.name, DECISIONS.name, READINGS.name)
"""Tables whose rows no one changes or deletes."""
