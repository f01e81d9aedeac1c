"""One `fraud watch` at a time on a warehouse: two would count latencies twice and read the day again and again."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from filelock import FileLock, Timeout

from fraud_assets.atomic_write import write_atomically
from fraud_assets.clock import Clock
from fraud_assets.errors import FraudError

_LOCK, _HOLDER = "watch.lock", "watching.json"
_TRY_EVERY = 0.5
"""Seconds between two attempts of a standby."""

log = logging.getLogger("fraud_assets.live")


class AlreadyWatched(FraudError):
    """Another `fraud watch` runs on the same warehouse."""


@contextmanager
def only_watch(folder: Path, clock: Clock, standby_until: Event | None = None) -> Iterator[bool]:
    """Hold the lock of a warehouse's state folder. The system releases it when the process ends, however it ends.

    `watching.json` names the process that holds it, for people.

    Args:
        standby_until: wait for a lock that another process holds until this is set; None raises instead.

    Yields:
        False if the event was set before the lock was free.

    Raises:
        AlreadyWatched: another process holds the lock.
    """
    lock = FileLock(folder / _LOCK)
    if standby_until is None:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise AlreadyWatched(
                f"Another `fraud watch` runs on this warehouse{_holder(folder)}. Stop it, wait for it with --standby, or use "
                "another --warehouse"
            ) from None
    elif not _wait_for(lock, folder, standby_until):
        yield False
        return
    try:
        holder = {"pid": os.getpid(), "since": f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"}
        write_atomically(folder / _HOLDER, json.dumps(holder) + "\n")
        yield True
    finally:
        (folder / _HOLDER).unlink(missing_ok=True)
        lock.release()


def _wait_for(lock: FileLock, folder: Path, stop: Event) -> bool:
    """Acquire a lock when it is free; False if `stop` was set before."""
    waits_for: str | None = None
    while not stop.is_set():
        try:
            lock.acquire(timeout=0)
        except Timeout:
            holder = _holder(folder)
            if waits_for is None or holder not in ("", waits_for):
                log.info("Standby: another `fraud watch` runs on this warehouse%s; waiting for its end", holder)
                waits_for = holder
            stop.wait(_TRY_EVERY)
        else:
            if waits_for is not None:
                log.info("The other `fraud watch` has ended%s; taking over", waits_for)
            return True
    return False


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / _HOLDER).read_text(encoding="utf-8"))
        return f": process {int(holder['pid'])}, since {holder['since']!s}"
    except (OSError, ValueError, TypeError, KeyError):
        return ""  # it has just begun, or just ended
