"""The current time as a parameter, so that code that depends on it can be run at any moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """A source of the current time in UTC. `Clock(lambda: moment)` always returns the same time.

    Attributes:
        now: returns the current time, timezone-aware, in UTC.
    """

    now: Callable[[], dt.datetime]

    def today(self) -> dt.date:
        """The current date, in UTC. To get a time and a date that agree, call `now` once and derive the date from it."""
        return self.now().date()


SYSTEM_CLOCK = Clock(lambda: dt.datetime.now(dt.UTC))
