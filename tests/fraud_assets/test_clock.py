"""The clock that code takes as a parameter."""

from __future__ import annotations

import datetime as dt

from fraud_assets.clock import SYSTEM_CLOCK, Clock


def test_the_system_clock_is_aware_and_in_utc() -> None:
    before = dt.datetime.now(dt.UTC)
    now = SYSTEM_CLOCK.now()
    assert now.tzinfo is dt.UTC and before <= now <= dt.datetime.now(dt.UTC)
    assert SYSTEM_CLOCK.today() - now.date() in (dt.timedelta(0), dt.timedelta(days=1))


def test_the_date_changes_at_midnight_utc() -> None:
    midnight = dt.datetime(2026, 1, 6, tzinfo=dt.UTC)
    assert Clock(lambda: midnight - dt.timedelta(microseconds=1)).today() == dt.date(2026, 1, 5)
    assert Clock(lambda: midnight).today() == dt.date(2026, 1, 6)
