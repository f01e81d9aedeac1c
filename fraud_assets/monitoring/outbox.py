"""Messages, sent through apprise and kept on disk until every target has accepted them.

A message is one file for each target until it is sent, so that the next process sends what a killed one left. File names
contain a hash of the target, since its address is a secret.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import apprise
from filelock import FileLock, Timeout
from pydantic import SecretStr

from fraud_assets.atomic_write import write_atomically
from fraud_assets.errors import FraudError

_LONGEST_PAUSE = 300.0
"""Seconds between two attempts of a failing target, at most."""


class NotSent(FraudError):
    """A target did not accept a message, or its address is not valid."""


@dataclass(frozen=True)
class Message:
    """A notification.

    Attributes:
        title: what happened, in a few words.
        body: since when, why it matters, and where to look.
        good: True if it reports that an incident is resolved.
    """

    title: str
    body: str
    good: bool = False


class Outbox:
    """Messages in a folder, until each target has accepted them.

    Args:
        targets: apprise URLs, `slack://…`, `mailto://…`, `json://127.0.0.1:8000`.

    Raises:
        NotSent: apprise does not support a target; the message names its scheme only.
    """

    def __init__(self, folder: Path, targets: Sequence[SecretStr]) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".lock")
        self._targets = {_name(target): _Target(target) for target in targets}
        # for each failing target: its pause in seconds, and the monotonic time of the next attempt
        self._backoff: dict[str, tuple[float, float]] = {}

    def put(self, message: Message) -> None:
        """Store a message for every target; `send` sends it."""
        for name in self._targets:
            # file names sort by time, so that each target gets its messages in order
            write_atomically(self._folder / f"{time.time_ns():020}-{name}-{uuid4().hex[:8]}.json", json.dumps(asdict(message)))

    def send(self) -> list[str]:
        """Send the waiting messages, unless another process is sending. A failing target is retried after 1, 2, 4 … 300 s.

        Returns:
            An error message for each target that began to fail.
        """
        if not any(self._folder.glob("*.json")):
            return []
        try:
            with self._lock.acquire(blocking=False):
                return self._send()
        except Timeout:
            return []

    def _send(self) -> list[str]:
        errors = []
        for name, target in self._targets.items():
            pause, retry_at = self._backoff.get(name, (0.0, 0.0))
            if time.monotonic() < retry_at:
                continue
            for file in sorted(self._folder.glob(f"*-{name}-*.json")):
                if not target.deliver(Message(**json.loads(file.read_text(encoding="utf-8")))):
                    if not pause:
                        errors.append(f"{target.scheme} did not accept a message; it is kept and will be retried")
                    pause = min(max(1.0, 2 * pause), _LONGEST_PAUSE)
                    self._backoff[name] = pause, time.monotonic() + pause
                    break
                file.unlink()
                self._backoff.pop(name, None)
                pause = 0.0
        return errors

    @property
    def waiting(self) -> int:
        """Messages not yet accepted, counted for each target."""
        return len(list(self._folder.glob("*.json")))


def try_targets(targets: Sequence[SecretStr]) -> int:
    """Send a test message to every target now, and return the number of targets.

    Raises:
        NotSent: with the schemes of the targets that did not accept it.
    """
    message = Message("Fraud detection: test message", "Notifications of the fraud pipeline arrive here.", good=True)
    failed = [target.scheme for target in map(_Target, targets) if not target.deliver(message)]
    if failed:
        raise NotSent(f"{len(failed)} of {len(targets)} targets did not accept the test message: {', '.join(failed)}")
    return len(targets)


class _Target:
    """A target of apprise. Only its scheme is ever shown, since the rest of its address is secret."""

    def __init__(self, address: SecretStr) -> None:
        self.scheme = address.get_secret_value().partition(":")[0] + "://…"
        self._apprise = apprise.Apprise()
        if not self._apprise.add(address.get_secret_value()):
            raise NotSent(f"{self.scheme} in FRAUD_NOTIFY is not a URL that apprise supports; see its documentation for a list")

    def deliver(self, message: Message) -> bool:
        """Send a message; True if the target accepted it."""
        kind = apprise.NotifyType.SUCCESS if message.good else apprise.NotifyType.FAILURE
        return bool(self._apprise.notify(title=message.title, body=message.body, notify_type=kind))


def _name(target: SecretStr) -> str:
    return hashlib.sha256(target.get_secret_value().encode()).hexdigest()[:12]
