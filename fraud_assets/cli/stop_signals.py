"""Stops a service on SIGINT or SIGTERM, however many arrive and whatever the process is doing."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

ENDS_WITHIN = 28.0
"""Seconds from the first signal to the end of the process."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_DONE = b"\0"


def run_until_stopped(service: Callable[[], None], stop: Callable[[], None], give_up: Callable[[], None]) -> None:
    """Run a service in a thread; on a signal, tell it to stop, and end the process if it does not stop in time.

    The handler of the signals does nothing, since it may interrupt any code of this thread, even the code of the handler:
    if it took a lock that the interrupted code holds, neither would go on. Python writes the number of each signal into a
    pipe, which this thread reads. In the main thread, the service itself would be interrupted: Dagster cancels a run.

    Args:
        stop: called once, after the first signal.
        give_up: called if the service is still running `ENDS_WITHIN` seconds later, before the process exits with status 0: the
            service must be able to go on after a kill.
    """
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    before: dict[signal.Signals, Any] = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    executor = ThreadPoolExecutor(1, thread_name_prefix="service")
    try:
        future = executor.submit(service)
        future.add_done_callback(lambda _: _write(write))
        stopped = _wait(future, read, stop, give_up)
        if stopped:
            # the process ends; later signals of the same burst must not end it otherwise
            before = dict.fromkeys(_SIGNALS, signal.SIG_IGN)
        future.result()
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        executor.shutdown()
        os.close(read)
        os.close(write)


def _wait(future: Future[None], read: int, stop: Callable[[], None], give_up: Callable[[], None]) -> bool:
    """Wait for the end of the service; True if a signal arrived."""
    deadline: float | None = None
    while not future.done():
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            give_up()
            # threads that hang would be waited for by a regular exit
            os._exit(0)
        select.select([read], [], [], left)
        with suppress(BlockingIOError):
            numbers = os.read(read, 4096)
            if deadline is None and numbers.strip(_DONE):
                stop()
                deadline = time.monotonic() + ENDS_WITHIN
    with suppress(BlockingIOError):
        return bool(os.read(read, 4096).strip(_DONE)) or deadline is not None
    return deadline is not None


def _write(pipe: int) -> None:
    with suppress(BlockingIOError):  # full of signals: the reader is awake
        os.write(pipe, _DONE)
