"""Signals that end a command: noticed while other code handles them, or held back for a moment."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_SIGNALS = {signal.SIGINT, signal.SIGTERM}


@contextmanager
def noticed_interrupts() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGINT or SIGTERM has arrived in the block, even if a library handled it.

    Libraries turn a signal into errors of their own: DuckDB fails with "Query interrupted". Outside the main thread, which
    alone gets signals, it always says no.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    seen: set[int] = set()

    def arrived() -> bool:
        with suppress(BlockingIOError):
            seen.update(os.read(read, 4096))
        return not _SIGNALS.isdisjoint(seen)

    try:
        yield arrived
    finally:
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block has ended, for steps that must not be left half done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
