"""Ctrl-C or SIGTERM for commands that write: one interruption, however many signals arrive."""

from __future__ import annotations

import _thread
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_ENDS_WITHIN = 20.0
"""Seconds from the first signal to the end of the process. The next start closes the record of a run that is open then."""
_AGAIN_AFTER = 10.0
"""Seconds after which a further signal counts again: code that was interrupted may have ignored the first."""
_LOOK_EVERY = 0.2
_delivered = threading.Event()


def interrupted() -> bool:
    """Whether `one_interrupt` has delivered an interruption. Libraries turn it into errors of their own, or lose it."""
    return _delivered.is_set()


@contextmanager
def one_interrupt() -> Iterator[None]:
    """Deliver the first of several SIGINT to the main thread, and drop those that follow shortly after; likewise SIGTERM.

    A second signal would interrupt what the first one set going: closing the run's record, and the end of the process, which
    would print a traceback. SIGINT is blocked for the process and a thread waits for it, since Dagster replaces the
    handlers of signals while a run lasts. A child process inherits the block: it must lift it (`unblock`).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _delivered.clear()
    before_hook, sys.unraisablehook = sys.unraisablehook, _report_unraisable
    before_term = signal.signal(signal.SIGTERM, _terminate)
    # a shell starts a background job with SIGINT ignored
    wanted = {signal.SIGINT} if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN else set()
    # not SIGTERM: Dagster ends processes that it starts by it, and they inherit what is blocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    ended = threading.Event()
    waiter = threading.Thread(target=_wait, args=(wanted, ended), name="signals", daemon=True)
    waiter.start()
    try:
        yield
    finally:
        ended.set()
        waiter.join()
        # after an interruption, the process is about to end
        if not interrupted():
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            signal.signal(signal.SIGTERM, before_term)
            sys.unraisablehook = before_hook


def _report_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    # raised in a callback of the garbage collector, which loses it; `interrupted` tells of it
    if not (interrupted() and isinstance(unraisable.exc_value, KeyboardInterrupt)):
        sys.__unraisablehook__(unraisable)


def _terminate(*_: object) -> None:
    _delivered.set()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _wait(wanted: set[signal.Signals], ended: threading.Event) -> None:
    first, last = math.inf, -_AGAIN_AFTER
    while not ended.is_set():
        if _arrived(wanted, ended) and time.monotonic() - last >= _AGAIN_AFTER:
            last = time.monotonic()
            first = min(first, last)
            _delivered.set()
            _thread.interrupt_main()
        if interrupted():
            first = min(first, time.monotonic())
        if interrupted() and time.monotonic() - first > _ENDS_WITHIN:
            os.write(2, b"Cancelled. The same command, run again, completes it.\n")
            os._exit(130)


def _arrived(wanted: set[signal.Signals], ended: threading.Event) -> bool:
    if wanted:
        return signal.sigtimedwait(wanted, _LOOK_EVERY) is not None
    ended.wait(_LOOK_EVERY)
    return False


def unblock() -> None:
    """Accept the signals that a parent within `one_interrupt` has blocked."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
