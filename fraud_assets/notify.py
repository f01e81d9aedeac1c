"""Messages to people, through apprise: one when something goes wrong, one when it is right again, none lost.

A message is a file until it is sent, one for each target, so whoever is killed in between sends it later. Targets are named
in files by a hash: their addresses are secrets.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import apprise
from pydantic import SecretStr

from fraud_assets.errors import FraudError
from fraud_assets.files import write_whole

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
        self._targets = {_name(target): _Target(target) for target in targets}
        self._again: dict[str, tuple[float, float]] = {}

    def put(self, message: Message) -> None:
        """Keep a message for every target; it is sent by `send`."""
        for name in self._targets:
            # names in the order of time: each target gets its messages in order
            write_whole(self._folder / f"{time.time_ns():020}-{name}-{uuid4().hex[:8]}.json", json.dumps(asdict(message)))

    def send(self) -> list[str]:
        """Send what waits. A target that fails is tried again later, after 1, 2, 4 … 300 s, and says so here once.

        Returns:
            What went wrong, a sentence for each target that began to fail.
        """
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


class Notices:
    """What is wrong at present, so that each change is told once, by whichever process sees it.

    Args:
        file: where that is kept.
    """

    def __init__(self, file: Path, outbox: Outbox) -> None:
        self._file = file
        self._outbox = outbox
        self._since: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def wrong(self, what: str, message: Message) -> None:
        """Something is wrong; told unless it was told before."""
        if what not in self._since:
            self._outbox.put(message)
            self._keep({**self._since, what: dt.datetime.now(dt.UTC).isoformat(timespec="seconds")})

    def right(self, what: str, title: str) -> None:
        """It is right; told if it was told that it was not."""
        since = self._since.get(what)
        if since is not None:
            self._outbox.put(Message(title, f"It was not since {since} (UTC).", good=True))
            self._keep({name: at for name, at in self._since.items() if name != what})

    def _keep(self, since: Mapping[str, str]) -> None:
        # after the message: whoever is killed in between tells it twice rather than never
        write_whole(self._file, json.dumps(since) + "\n")
        self._since = dict(since)


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
