"""Elapsed time and pauses of the live path."""

from __future__ import annotations

import time
from threading import Event


class Timer:
    """Measures elapsed time and pauses. Tests replace it by one whose time they advance.

    Wall-clock times come from a `Clock`; a change of the machine's clock shortens or lengthens no pause.
    """

    def seconds(self) -> float:
        """Seconds since an arbitrary moment; they only increase."""
        return time.monotonic()

    def pause(self, stop: Event, seconds: float) -> None:
        """Wait for so many seconds, or until `stop` is set."""
        stop.wait(seconds)
