"""Messages to people, through apprise: one when something goes wrong, one when it is right again, none lost.

A message is a file until it is sent, one for each target, so whoever is killed in between sends it later. Targets are named
in files by a hash: their addresses are secrets.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import apprise
from filelock import FileLock, Timeout
from pydantic import SecretStr

from fraud_assets.errors import FraudError
from fraud_assets.files import write_whole

_LONGEST_PAUSE = 300.0
_NAMES, _LINES = 3, 20
"""Names in a title, and lines in a message."""


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
            write_whole(self._folder / f"{time.time_ns():020}-{name}-{uuid4().hex[:8]}.json", json.dumps(asdict(message)))

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


@dataclass(frozen=True)
class Topic:
    """A kind of trouble that people are told of.

    Attributes:
        name: in the file of what is wrong.
        wrong, right: how a title begins that says what began to be wrong, and what is right again.
        matters: why a person should look.
    """

    name: str
    wrong: str
    right: str
    matters: str


class Notices:
    """What is wrong at present, so that each change is told once, by whichever process sees it.

    Args:
        file: where that is kept.
    """

    def __init__(self, file: Path, outbox: Outbox) -> None:
        self._file = file
        self._outbox = outbox
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(file.with_suffix(".lock"))

    def tell(self, topic: Topic, wrong: Mapping[str, Callable[[], str]], right: Collection[str] | None = None) -> None:
        """Tell what of a topic began to be wrong, and what is right again: a message each, however many names it has.

        Args:
            wrong: for each name, what is said of it; asked only for what is news.
            right: names that are right; None for all that are not wrong.
        """
        with self._lock:
            since = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
            known: dict[str, str] = since.get(topic.name, {})
            news = [name for name in wrong if name not in known]
            over = {name: at for name, at in known.items() if name not in wrong and (right is None or name in right)}
            if not news and not over:
                return
            if news:
                lines = [f"{name}: {wrong[name]()}" for name in news[:_LINES]] + _more(len(news) - _LINES, "")
                self._outbox.put(Message(_title(topic.wrong, news), "\n".join([*lines, topic.matters])))
            if over:
                lines = [f"{name}: it was not since {at} (UTC)" for name, at in list(over.items())[:_LINES]]
                lines += _more(len(over) - _LINES, "")
                self._outbox.put(Message(_title(topic.right, list(over)), "\n".join(lines), good=True))
            # after the messages: whoever is killed in between tells them twice rather than never
            at = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S}"
            kept = {name: began for name, began in known.items() if name not in over}
            write_whole(self._file, json.dumps({**since, topic.name: {**kept, **dict.fromkeys(news, at)}}) + "\n")


def _title(begins: str, names: Sequence[str]) -> str:
    return ", ".join([f"{begins}: {names[0]}", *names[1:_NAMES], *_more(len(names) - _NAMES, "and ")])


def _more(count: int, before: str) -> list[str]:
    return [f"{before}{count:,} more"] if count > 0 else []


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
