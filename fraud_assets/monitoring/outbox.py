"""Messages to people, sent through apprise and kept until every target has accepted them."""

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


class NotSent(FraudError):
    """A target did not take a message, or cannot be one."""


@dataclass(frozen=True)
class Message:
    """What a person reads.

    Attributes:
        title: what happened, in a few words.
        body: since when, why it matters, and where to look.
    """

    title: str
    body: str
    good: bool = False


class Outbox:
    """Messages that wait in a folder until each target has taken them.

    Args:
        targets: as apprise reads them, `slack://…`, `mailto://…`, `json://127.0.0.1:8000`.

    Raises:
        NotSent: apprise does not know a target; which one it is, is said by its scheme.
    """

    def __init__(self, folder: Path, targets: Sequence[SecretStr]) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".lock")
        self._targets = {_name(target): _Target(target) for target in targets}
        self._again: dict[str, tuple[float, float]] = {}

    def put(self, message: Message) -> None:
        """Keep a message for every target; it is sent by `send`."""
        for name in self._targets:
            # names in the order of time: each target gets its messages in order
            write_atomically(self._folder / f"{time.time_ns():020}-{name}-{uuid4().hex[:8]}.json", json.dumps(asdict(message)))

    def send(self) -> list[str]:
        """Send what waits, unless another process is at it. A target that fails is tried again later, after 1, 2, 4 … 300 s.

        Returns:
            What went wrong, a sentence for each target that began to fail.
        """
        if not any(self._folder.glob("*.json")):
            return []
        try:
            with self._lock.acquire(blocking=False):
                return self._send()
        except Timeout:
            return []

    def _send(self) -> list[str]:
        said = []
        for name, target in self._targets.items():
            pause, at = self._again.get(name, (0.0, 0.0))
            if time.monotonic() < at:
                continue
            for file in sorted(self._folder.glob(f"*-{name}-*.json")):
                if not target.takes(Message(**json.loads(file.read_text(encoding="utf-8")))):
                    if not pause:
                        said.append(f"A message could not be sent by {target.shown}; it is kept, and tried again")
                    pause = min(max(1.0, 2 * pause), _LONGEST_PAUSE)
                    self._again[name] = pause, time.monotonic() + pause
                    break
                file.unlink()
                self._again.pop(name, None)
                pause = 0.0
        return said

    @property
    def waiting(self) -> int:
        """Messages that some target has not taken yet."""
        return len(list(self._folder.glob("*.json")))


def try_targets(targets: Sequence[SecretStr]) -> int:
    """Send a message to every target now; how many there are.

    Raises:
        NotSent: with the schemes of those that did not take it.
    """
    message = Message("Fraud detection: a test", "Messages from the fraud pipeline arrive here.", good=True)
    failed = [target.shown for target in map(_Target, targets) if not target.takes(message)]
    if failed:
        raise NotSent(f"{len(failed)} of {len(targets)} targets did not take the message: {', '.join(failed)}")
    return len(targets)


class _Target:
    """A target as apprise has it, which tells no more of itself than its scheme."""

    def __init__(self, address: SecretStr) -> None:
        self.shown = address.get_secret_value().partition(":")[0] + "://…"
        self._apprise = apprise.Apprise()
        if not self._apprise.add(address.get_secret_value()):
            raise NotSent(f"{self.shown} in FRAUD_NOTIFY is no target that apprise can use; its documentation lists them")

    def takes(self, message: Message) -> bool:
        kind = apprise.NotifyType.SUCCESS if message.good else apprise.NotifyType.FAILURE
        return bool(self._apprise.notify(title=message.title, body=message.body, notify_type=kind))


def _name(target: SecretStr) -> str:
    return hashlib.sha256(target.get_secret_value().encode()).hexdigest()[:12]
