"""One `fraud watch` at a time on a warehouse: two would count latencies twice and read the day again and again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fraud_assets.atomic_write import write_atomically
from fraud_assets.clock import Clock
from fraud_assets.errors import FraudError

_LOCK, _HOLDER = "watch.lock", "watching.json"


class AlreadyWatched(FraudError):
    """Another `fraud watch` runs on the same warehouse."""


@contextmanager
def only_watch(folder: Path, clock: Clock) -> Iterator[None]:
    """Hold the lock of a warehouse's state folder. The system releases it when the process ends, however it ends.

    `watching.json` names the process that holds it, for people.

    Raises:
        AlreadyWatched: another process holds the lock.
    """
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AlreadyWatched(
            f"Another `fraud watch` runs on this warehouse{_holder(folder)}. Stop it, or use another --warehouse"
        ) from None
    try:
        holder = {"pid": os.getpid(), "since": f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"}
        write_atomically(folder / _HOLDER, json.dumps(holder) + "\n")
        yield
    finally:
        (folder / _HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / _HOLDER).read_text(encoding="utf-8"))
        return f": process {int(holder['pid'])}, since {holder['since']!s}"
    except (OSError, ValueError, TypeError, KeyError):
        return ""  # it has just begun, or just ended
