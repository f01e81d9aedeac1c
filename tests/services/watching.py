"""`fraud watch` in a test, in simulated or in real time, and a source under load."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.live.service import watch
from fraud_assets.live.timer import Timer
from fraud_assets.settings import Settings
from mock_sources import Faults, LoadedWorld, timestamps

RATE = 20
"""Transactions per second."""

LOG = logging.getLogger("fraud_assets.live")


def loaded(now: dt.datetime, lasts: int | None = None, faults: Faults | None = None, rate: float = RATE) -> LoadedWorld:
    """A world that began at midnight before `now`, under load from `now` on."""
    since, people = timestamps.from_datetime(now), {"customers": 400, "merchants": 60}
    return LoadedWorld(rate, since, lasts, seed=3, fraud_rate=0.05, faults=faults, start=now.date(), **people)


def today() -> dt.date:
    return SYSTEM_CLOCK.today()


@contextmanager
def logged() -> Iterator[list[str]]:
    """The messages of the live path's log, as they are written."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    level = LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    try:
        yield messages
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)


# --- simulated time -----------------------------------------------------------------------------------------------------


class SimulatedTime(Timer):
    """Time that passes only in pauses, or when a test advances it: independent of how fast the machine is.

    Attributes:
        pauses: seconds of every pause so far.
    """

    def __init__(self, start: dt.datetime) -> None:
        self._start = start
        self._now = start
        self.pauses: list[float] = []
        self.after_pause: Callable[[], None] = lambda: None

    def now(self) -> dt.datetime:
        return self._now

    @property
    def clock(self) -> Clock:
        return Clock(self.now)

    def advance(self, seconds: float) -> None:
        self._now += dt.timedelta(seconds=seconds)

    def seconds(self) -> float:
        return (self._now - self._start).total_seconds()

    def pause(self, stop: Event, seconds: float) -> None:
        if not stop.is_set():
            self.pauses.append(seconds)
            self.advance(seconds)
            self.after_pause()


Story = Generator[Callable[[], object], None, None]
"""What happens while a watch runs. It yields a condition and continues in the pause in which the condition holds."""


def simulate(
    settings: Settings,
    time: SimulatedTime,
    story: Story,
    *,
    every: float = 1.0,
    reconcile: float = 1_000_000.0,
    within: float = 3_600.0,
) -> list[str]:
    """Run a watch in simulated time until the story ends; return the messages that it logged.

    Args:
        within: simulated seconds for which a condition may be waited for.

    Raises:
        TimeoutError: a condition did not hold in time.
    """
    stop = Event()
    condition = next(story)
    deadline = time.seconds() + within

    def proceed() -> None:
        nonlocal condition, deadline
        while condition():
            try:
                condition = next(story)
            except StopIteration:
                stop.set()
                return
            deadline = time.seconds() + within
        if time.seconds() > deadline:
            raise TimeoutError(f"the condition did not hold within {within:.0f} simulated seconds")

    time.after_pause = proceed
    with logged() as messages:
        try:
            watch(settings, stop, every=every, reconcile=reconcile, clock=time.clock, timer=time)
        finally:
            story.close()
    return messages


# --- real time ----------------------------------------------------------------------------------------------------------


class Watching:
    """A watch in a thread, in real time.

    Attributes:
        messages: what it logged.
    """

    def __init__(self, settings: Settings, ends_within: float, *, every: float, reconcile: float) -> None:
        self.messages: list[str] = []
        self._errors: list[BaseException] = []
        self._ends_within = ends_within
        self._stop = Event()
        self._thread = Thread(target=self._run, args=(settings, every, reconcile))

    def _run(self, settings: Settings, every: float, reconcile: float) -> None:
        try:
            watch(settings, self._stop, every=every, reconcile=reconcile)
        except BaseException as error:  # for the test, which is another thread
            self._errors.append(error)

    @contextmanager
    def running(self) -> Iterator[Watching]:
        with logged() as self.messages:
            self._thread.start()
            try:
                yield self
            finally:
                self._stop.set()
                self._thread.join(timeout=self._ends_within)
            assert not self._errors and not self._thread.is_alive()

    def logs(self, text: str) -> Callable[[], str | None]:
        """A condition: the first message with this text."""
        return lambda: next((message for message in self.messages if text in message), None)
