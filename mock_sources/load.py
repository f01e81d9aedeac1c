"""A world under load: from an instant on, so many transactions a second as one asks for."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any

from mock_sources import events, timestamps
from mock_sources.errors import BadConfiguration
from mock_sources.events import Events
from mock_sources.hashed_random import Stream, generator, scramble
from mock_sources.world import World


class LoadedWorld(World):
    """A world whose own traffic ends at `since`, and from then on makes `rate` transactions a second.

    They are drawn, with replacement, from what would happen on the day of `since`, so that people, merchants, amounts
    and the share of fraud are the world's; only the moments are not. Their rows stay in memory, 60 bytes each, and they
    have no labels and no reports.

    Args:
        rate: transactions a second.
        since: microseconds since the epoch; an instant after the world's start.
        lasts: seconds after which nothing happens any more; None for without end.
        more: what a World takes.

    Raises BadConfiguration for a rate that is not above 0, and for what a World refuses.
    """

    def __init__(self, rate: float, since: int, lasts: int | None = None, **more: Any) -> None:
        super().__init__(**more)
        if not 0 < rate <= 1_000_000:
            raise BadConfiguration(f"rate is {rate}: give transactions a second, above 0 and up to a million.")
        self.rate = rate
        self.since = since - since % timestamps.SECOND
        self.lasts = lasts
        self._pool = self._plain_day(self.since // timestamps.DAY)
        if not len(self._pool):
            raise BadConfiguration("Nothing happens in this world on the day the load begins: give it more customers.")
        self._drawing = Lock()
        self._drawn = 0
        self._waiting: dict[int, list[Events]] = {}
        self._ordered: dict[int, Events] = {}
        self._let_wait(self._tail())

    def _arrivals(self, first: int, last: int) -> Iterator[Events]:
        if first < self.since:
            for rows in super()._arrivals(first, min(last, self.since - 1)):
                yield rows[rows["arrival"] < self.since]
        if self.lasts is not None:
            last = min(last, self.since + self.lasts * timestamps.SECOND + self.faults.longest_delay)
        for second in range(max(0, (first - self.since) // timestamps.SECOND), (last - self.since) // timestamps.SECOND + 1):
            yield self._second(second)

    def _second(self, second: int) -> Events:
        """What arrives in a second of the load, in the order of arrival."""
        with self._drawing:
            while self._drawn <= second:
                self._let_wait(self._draw(self._drawn))
                self._drawn += 1
            if second in self._waiting:
                self._ordered[second] = events.by_arrival(events.joined(self._waiting.pop(second)))
            return self._ordered.get(second, self._pool[:0])

    def _let_wait(self, rows: Events) -> None:
        """Keep rows for the second in which they arrive; nothing arrives before it happens."""
        seconds = (rows["arrival"] - self.since) // timestamps.SECOND
        for second in set(seconds.tolist()):
            self._waiting.setdefault(second, []).append(rows[seconds == second])

    def _draw(self, second: int) -> Events:
        """What happens in a second of the load, in all versions."""
        first, end = (int(edge * self.rate) for edge in (second, second + 1))
        if self.lasts is not None and second >= self.lasts:
            end = first
        if end == first:
            return self._pool[:0]
        rng = generator(self.seed, Stream.LOAD, self.since, second)
        rows = self._pool[rng.integers(len(self._pool), size=end - first)]
        rows["id"] = scramble(range(first, end), self.seed, Stream.LOAD, self.since)
        rows["event"] = self.since + second * timestamps.SECOND + rng.integers(timestamps.SECOND, size=len(rows))
        events.set_arrival(rows, self.seed)
        return self.faults.applied(rows, self.seed)

    def _tail(self) -> Events:
        """What happened before the load and arrives during it."""
        days = self._days(self.since, self.since + self.faults.longest_delay)
        rows = events.joined([self._arrival_day(day) for day in days])
        return rows[(rows["event"] < self.since) & (rows["arrival"] >= self.since)]
