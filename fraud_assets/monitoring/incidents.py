"""Incidents: conditions that are failing now. One message when an incident opens, one when it is resolved."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from pydantic import TypeAdapter

from fraud_assets.atomic_write import write_atomically
from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.monitoring.outbox import Message, Outbox
from fraud_assets.monitoring.state_files import read_state

LOCK_SECONDS = 10.0
"""Seconds to wait for another process that writes the same file."""
_OPEN = TypeAdapter(dict[str, dict[str, str]])
_NAMES, _LINES = 3, 20
"""Names in a title, and lines in a message, at most."""


@dataclass(frozen=True)
class IncidentKind:
    """A kind of incident.

    Attributes:
        name: its key in the file of open incidents.
        opened, resolved: titles of the messages, before the names of what is affected.
        why: why the incident matters, or what to do; the last line of the message when it opens.
    """

    name: str
    opened: str
    resolved: str
    why: str


class IncidentLog:
    """The open incidents. Each change is notified once, whichever process detects it.

    Args:
        file: records the open incidents, each since when.
    """

    def __init__(self, file: Path, outbox: Outbox, clock: Clock = SYSTEM_CLOCK) -> None:
        self._file = file
        self._outbox = outbox
        self._clock = clock
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(file.with_suffix(".lock"), timeout=LOCK_SECONDS)

    def update(
        self, kind: IncidentKind, failing: Mapping[str, Callable[[], str]], healthy: Collection[str] | None = None
    ) -> None:
        """Open and resolve incidents of a kind, with one message for all that open and one for all that are resolved.

        Args:
            failing: for each name that fails, a function that describes the failure; called only for a new incident.
            healthy: names whose incidents are resolved; None for all names that are not failing.

        Raises:
            filelock.Timeout: another process holds the lock for more than `LOCK_SECONDS`; call it again.
        """
        with self._lock:
            open_since = self._read().get(kind.name, {})
        # without the lock, since a description may ask Dagster's records, which can take long
        described = {name: failing[name]() for name in [name for name in failing if name not in open_since][:_LINES]}
        with self._lock:
            incidents = self._read()
            open_since = incidents.get(kind.name, {})
            # another process may have resolved one meanwhile; the next call opens it again
            new = [name for name in failing if name not in open_since and (name in described or len(described) == _LINES)]
            resolved = {
                name: since
                for name, since in open_since.items()
                if name not in failing and (healthy is None or name in healthy)
            }
            if not new and not resolved:
                return
            if new:
                lines = [f"{name}: {described[name]}" for name in new if name in described] + _more(len(new) - _LINES, "")
                self._outbox.put(Message(_title(kind.opened, new), "\n".join([*lines, kind.why])))
            if resolved:
                lines = [f"{name}: failing since {since} (UTC)" for name, since in list(resolved.items())[:_LINES]]
                lines += _more(len(resolved) - _LINES, "")
                self._outbox.put(Message(_title(kind.resolved, list(resolved)), "\n".join(lines), good=True))
            # after the messages: a process killed in between notifies twice rather than never
            now = f"{self._clock.now():%Y-%m-%d %H:%M:%S}"
            still_open = {name: since for name, since in open_since.items() if name not in resolved}
            incidents[kind.name] = {**still_open, **dict.fromkeys(new, now)}
            write_atomically(self._file, json.dumps(incidents) + "\n")

    def count_open(self) -> dict[str, int]:
        """The number of open incidents by kind, whichever process opened them."""
        return {kind: len(names) for kind, names in self._read().items()}

    def _read(self) -> dict[str, dict[str, str]]:
        """When each open incident was opened, by kind and name."""
        return read_state(self._file, _OPEN, "incidents that are still open are reported again") or {}


def _title(beginning: str, names: Sequence[str]) -> str:
    return ", ".join([f"{beginning}: {names[0]}", *names[1:_NAMES], *_more(len(names) - _NAMES, "and ")])


def _more(count: int, before: str) -> list[str]:
    return [f"{before}{count:,} more"] if count > 0 else []
