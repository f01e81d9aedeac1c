"""`fraud watch` in a thread of the test, and a source that is under load."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from fraud_assets.live.service import watch
from fraud_assets.settings import Settings
from mock_sources import Faults, LoadedWorld, timestamps

RATE = 20
"""Transactions a second."""


def today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def loaded(lasts: int | None = None, faults: Faults | None = None) -> LoadedWorld:
    """A world that began today, and its load now."""
    now = timestamps.from_datetime(dt.datetime.now(dt.UTC))
    return LoadedWorld(RATE, now, lasts, seed=3, customers=400, merchants=60, fraud_rate=0.05, faults=faults, start=today())


class Watching:
    """A watch in a thread, and what it said."""

    def __init__(self, settings: Settings, ends_within: float = 60.0, **more: float) -> None:
        self.said: list[str] = []
        self.failed: list[BaseException] = []
        self._ends_within = ends_within
        self._stop = Event()
        self._thread = Thread(target=self._run, args=(settings, {"every": 0.3, "reconcile": 3_600.0, **more}))

    def _run(self, settings: Settings, how: dict[str, float]) -> None:
        try:
            watch(settings, self._stop, say=self.said.append, **how)
        except BaseException as error:  # told to the test, which is another thread
            self.failed.append(error)

    @contextmanager
    def running(self) -> Iterator[Watching]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join(timeout=self._ends_within)
        assert not self.failed and not self._thread.is_alive()

    def says(self, text: str) -> Callable[[], str | None]:
        return lambda: next((line for line in self.said if text in line), None)
