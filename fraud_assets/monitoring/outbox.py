"""Messages, sent through apprise and kept on disk until every target has accepted them.

A message is one file for each target until it is sent, so that the next process sends what a killed one left. File names
contain a hash of the target, since its address is a secret.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import apprise
from filelock import FileLock, Timeout
from pydantic import BaseModel, SecretStr, TypeAdapter

from fraud_assets.atomic_write import write_atomically
from fraud_assets.errors import FraudError
from fraud_assets.monitoring.state_files import read_state

_LONGEST_PAUSE = 300.0
"""Seconds between two attempts of a failing target, at most."""
_SCHEME = re.compile("[a-z][a-z0-9]{0,20}s?", re.IGNORECASE)
_REFUSALS = 3
"""How often a target refuses a message, while it accepts others, before the message is given up."""


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


class _Stored(BaseModel):
    """A message in a file. Only the texts are needed; other values are ignored if they have another type."""

    title: str
    body: str
    good: Any = False


_STORED = TypeAdapter(_Stored)


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
        # how often a target refused a file and accepted another one in the same round
        self._refusals: Counter[str] = Counter()

    def put(self, message: Message) -> None:
        """Store a message for every target; `send` sends it."""
        for name in self._targets:
            # file names sort by time, so that each target gets its messages in order
            write_atomically(self._folder / f"{time.time_ns():020}-{name}-{uuid4().hex[:8]}.json", json.dumps(asdict(message)))

    def send(self) -> list[str]:
        """Send the waiting messages, unless another process is sending. A failing target is retried after 1, 2, 4 … 300 s.

        When a target does not accept a message, another one is tried, so that a message that it refuses does not hold up the
        others. A message that it refuses `_REFUSALS` times, while it accepts others, is moved to the folder `refused`.

        Returns:
            An error message for each target that began to fail, and for each message that was given up.
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
            refused, accepted = self._send_to(target, sorted(self._folder.glob(f"*-{name}-*.json")))
            if accepted:
                self._refusals.update(file.name for file in refused)
                errors += [self._give_up(target, file) for file in refused if self._refusals[file.name] >= _REFUSALS]
            if not refused:
                self._backoff.pop(name, None)
                continue
            if not pause or accepted:
                errors.append(f"{target.scheme} did not accept a message; it is kept and will be retried")
                pause = 0.0
            pause = min(max(1.0, 2 * pause), _LONGEST_PAUSE)
            self._backoff[name] = pause, time.monotonic() + pause
        return errors

    def _send_to(self, target: _Target, files: Sequence[Path]) -> tuple[list[Path], int]:
        """Send messages in order; return those that were not accepted, and the number of accepted ones.

        After the first that is not accepted, one other is tried, drawn at random: a target that is down is not asked
        for each message. If it accepts that one, the others follow.
        """
        refused: list[Path] = []
        waiting = list(files)
        accepted = 0
        while waiting:
            probing = len(refused) == 1 and not accepted
            file = waiting.pop(random.randrange(len(waiting)) if probing else 0)
            message = _message_in(file)
            if message is None:
                continue
            if target.deliver(message):
                file.unlink()
                self._refusals.pop(file.name, None)
                accepted += 1
            else:
                refused.append(file)
                if probing or len(refused) > _REFUSALS:
                    break
        return refused, accepted

    def _give_up(self, target: _Target, file: Path) -> str:
        folder = self._folder / "refused"
        folder.mkdir(exist_ok=True)
        file.replace(folder / file.name)
        self._refusals.pop(file.name, None)
        return (
            f"{target.scheme} refused a message {_REFUSALS} times and accepted others; the message is in {folder / file.name}"
        )

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
        scheme, is_url, _ = address.get_secret_value().partition("://")
        # without ://, the text may be the secret itself
        self.scheme = f"{scheme}://…" if is_url and _SCHEME.fullmatch(scheme) else "A target"
        self._apprise = apprise.Apprise()
        if not self._apprise.add(address.get_secret_value()):
            raise NotSent(f"{self.scheme} in FRAUD_NOTIFY is not a URL that apprise supports; see its documentation for a list")

    def deliver(self, message: Message) -> bool:
        """Send a message; True if the target accepted it."""
        kind = apprise.NotifyType.SUCCESS if message.good else apprise.NotifyType.FAILURE
        return bool(self._apprise.notify(title=message.title, body=message.body, notify_type=kind))


def _message_in(file: Path) -> Message | None:
    """The message in a file; None for a damaged file, which is moved aside."""
    stored = read_state(file, _STORED, "it holds no message that can be read")
    return Message(stored.title, stored.body, stored.good is True) if stored else None


def _name(target: SecretStr) -> str:
    return hashlib.sha256(target.get_secret_value().encode()).hexdigest()[:12]
