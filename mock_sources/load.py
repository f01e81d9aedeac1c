"""A world under load: a constant number of transactions per second, from a given time on."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any

import numpy as np

from mock_sources import events, timestamps
from mock_sources.errors import BadConfiguration
from mock_sources.events import Events
from mock_sources.hashed_random import Stream, generator, scramble
from mock_sources.world import World

MOST_DAYS = 60
"""Most days of the world that a load is made of."""
_WITHOUT_END = 3600
"""Seconds of a load without end whose transactions all differ."""


class LoadedWorld(World):
    """A world whose own traffic ends at `since`; from then on it has `rate` transactions per second.

    They are transactions of the world's own days from that of `since` on, as many days as the load needs, up to `MOST_DAYS`:
    each once, and then from the first again. So customers, merchants, amounts and the share of fraud are those of the world,
    and no customer pays more often than on these days; only the times differ. Their rows stay in memory, 60 bytes each. They
    have no labels and no reports.

    Args:
        rate: transactions per second, above 0.
        since: start of the load, after the world's start, in microseconds since the epoch.
        lasts: duration of the load in seconds; None for no end.
        more: arguments of World.

    Raises:
        BadConfiguration: the rate is not above 0, or World rejects its arguments.
    """

    def __init__(self, rate: float, since: int, lasts: int | None = None, **more: Any) -> None:
        super().__init__(**more)
        if not 0 < rate <= 1_000_000:
            raise BadConfiguration(f"rate is {rate}: give transactions per second, above 0 and up to a million.")
        self.rate = rate
        self.since = since - since % timestamps.SECOND
        self.lasts = lasts
        self._pool = self._transactions_for(int(rate * (lasts or _WITHOUT_END)))
        if not len(self._pool):
            raise BadConfiguration("The world has no transactions on the day on which the load starts: give more customers.")
        self._drawing = Lock()
        self._drawn = 0
        self._waiting: dict[int, list[Events]] = {}
        self._ordered: dict[int, Events] = {}
        self._let_wait(self._tail())

    def _transactions_for(self, needed: int) -> Events:
        """Transactions of as many days as are needed, in random order."""
        first = self.since // timestamps.DAY
        days = [self._plain_day(first)]
        while sum(map(len, days)) < needed and len(days) < MOST_DAYS:
            days.append(self._plain_day(first + len(days)))
        rows = events.joined(days)
        return rows[generator(self.seed, Stream.LOAD, self.since).permutation(len(rows))]

    def _arrivals(self, first: int, last: int) -> Iterator[Events]:
        if first < self.since:
            for rows in super()._arrivals(first, min(last, self.since - 1)):
                yield rows[rows["arrival"] < self.since]
        if self.lasts is not None:
            last = min(last, self.since + self.lasts * timestamps.SECOND + self.faults.longest_delay)
        for second in range(max(0, (first - self.since) // timestamps.SECOND), (last - self.since) // timestamps.SECOND + 1):
            yield self._second(second)

    def _second(self, second: int) -> Events:
        """Transactions that arrive in a second of the load, in the order of arrival."""
        with self._drawing:
            while self._drawn <= second:
                self._let_wait(self._draw(self._drawn))
                self._drawn += 1
            if second in self._waiting:
                self._ordered[second] = events.by_arrival(events.joined(self._waiting.pop(second)))
            return self._ordered.get(second, self._pool[:0])

    def _let_wait(self, rows: Events) -> None:
        """Keep rows for the second in which they arrive, which is never before the event."""
        seconds = (rows["arrival"] - self.since) // timestamps.SECOND
        for second in set(seconds.tolist()):
            self._waiting.setdefault(second, []).append(rows[seconds == second])

    def _draw(self, second: int) -> Events:
        """All versions of the transactions with event time in a second of the load."""
        first, end = (int(edge * self.rate) for edge in (second, second + 1))
        if self.lasts is not None and second >= self.lasts:
            end = first
        if end == first:
            return self._pool[:0]
        rng = generator(self.seed, Stream.LOAD, self.since, second)
        rows = self._pool[np.arange(first, end) % len(self._pool)]
        rows["id"] = scramble(range(first, end), self.seed, Stream.LOAD, self.since)
        rows["event"] = self.since + second * timestamps.SECOND + rng.integers(timestamps.SECOND, size=len(rows))
        events.set_arrival(rows, self.seed)
        return self.faults.applied(rows, self.seed)

    def _tail(self) -> Events:
        """Transactions with event time before the load that arrive during it."""
        days = self._days(self.since, self.since + self.faults.longest_delay)
        rows = events.joined([self._arrival_day(day) for day in days])
        return rows[(rows["event"] < self.since) & (rows["arrival"] >= self.since)]
