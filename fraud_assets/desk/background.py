"""Work of the desk beside its pages: new alerts become cases, decisions go to the warehouse, messages are sent.

A failure is logged, shown on the pages, and tried again. A thread that has ended or hangs is shown, too.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from fraud_assets.clock import Clock
from fraud_assets.desk.shown import age
from fraud_assets.errors import FraudError
from hive_io import HiveIOError

EVERY_SECONDS = 30.0
"""Seconds between the ends and the beginnings of two rounds."""
_PAUSE_SECONDS = 1.0
"""Least seconds between two rounds, however many decisions there are."""
_LATE_SECONDS = 300.0
"""Seconds after which a round counts as hanging."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskState:
    """How a task does.

    Attributes:
        said: what its last successful round did; None before the first.
        succeeded_at: end of that round.
        problem: why it does not succeed at present; None if it does.
    """

    name: str
    said: str | None
    succeeded_at: dt.datetime | None
    problem: str | None


class Task:
    """A piece of work that is done again and again, in a thread of its own.

    Args:
        action: does a round, and returns in a few words what it did.
        on_decision: True to begin a round soon after a case was changed.
        late: seconds after which a round counts as hanging.
    """

    def __init__(
        self,
        name: str,
        action: Callable[[], str],
        clock: Clock,
        every: float = EVERY_SECONDS,
        *,
        on_decision: bool = False,
        late: float = _LATE_SECONDS,
    ) -> None:
        self.name = name
        self.on_decision = on_decision
        self._action = action
        self._clock = clock
        self._every = every
        self._late = late
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"desk-{name}", daemon=True)
        self._said: str | None = None
        self._succeeded_at: dt.datetime | None = None
        self._failing_since: dt.datetime | None = None
        self._failure = ""
        # monotonic time of the beginning of the round in progress
        self._began: float | None = None

    def start(self) -> None:
        """Begin the first round."""
        self._thread.start()

    def wake(self) -> None:
        """Begin the next round soon, or once more after the one in progress."""
        self._wake.set()

    def stop(self) -> None:
        """Begin no more rounds."""
        self._stop.set()
        self._wake.set()

    def join(self, seconds: float) -> None:
        """Wait for the end of the round in progress."""
        self._thread.join(seconds)

    @property
    def state(self) -> TaskState:
        """How the task does now."""
        return TaskState(self.name, self._said, self._succeeded_at, self._problem())

    def _problem(self) -> str | None:
        began = self._began
        if self._thread.ident is not None and not self._thread.is_alive() and not self._stop.is_set():
            return "the thread has ended: restart the desk; its log says why"
        if began is not None and time.monotonic() - began > self._late:
            return f"a round has been running for {age(dt.timedelta(seconds=time.monotonic() - began))}"
        if self._failing_since is not None:
            return (
                f"failing since {self._failing_since:%Y-%m-%d %H:%M} UTC, tried again every {self._every:g} s: {self._failure}"
            )
        return None

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self._began = time.monotonic()
            try:
                said = self._action()
            except Exception as error:  # the thread must not end: nothing would be done any more
                self._failed(error)
            else:
                if self._failing_since is not None:
                    _log.info("%s: works again", self.name)
                self._said, self._succeeded_at, self._failing_since = said, self._clock.now(), None
            self._began = None
            if self._wake.wait(self._every):
                # decisions of one second are one commit
                self._stop.wait(min(_PAUSE_SECONDS, self._every))

    def _failed(self, error: Exception) -> None:
        expected = isinstance(error, (FraudError, HiveIOError))
        # a message of a library may hold a password
        failure = str(error) if expected else f"{type(error).__name__}; the desk's log has more"
        if self._failing_since is None or failure != self._failure:
            _log.error("%s failed; tried again in %g s: %s", self.name, self._every, error, exc_info=not expected)
        self._failure = failure
        if self._failing_since is None:
            self._failing_since = self._clock.now()


class BackgroundWork:
    """All tasks of a desk; they run for the duration of a `with` block."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks

    def __enter__(self) -> Self:
        for task in self._tasks:
            task.start()
        return self

    def __exit__(self, *_: object) -> None:
        for task in self._tasks:
            task.stop()
        for task in self._tasks:
            task.join(_STOP_SECONDS)

    def case_changed(self) -> None:
        """Begin the next round of the tasks that wait for decisions."""
        for task in self._tasks:
            if task.on_decision:
                task.wake()

    def states(self) -> list[TaskState]:
        """How each task does."""
        return [task.state for task in self._tasks]

    def problems(self) -> list[TaskState]:
        """The states of the tasks that do not succeed at present."""
        return [state for state in self.states() if state.problem]


_STOP_SECONDS = 10.0
"""Seconds to wait for the round of a task; a killed round is made up for by the next start."""
NO_WORK = BackgroundWork(())
"""For a desk that only shows pages."""
