"""Messages to people, through apprise: one when something goes wrong, one when it is right again, none lost.

A message is a file until it is sent, one for each target, so whoever is killed in between sends it later. Targets are named
in files by a hash: their addresses are secrets.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from fraud_assets.atomic_write import write_atomically
from fraud_assets.monitoring.outbox import Message, Outbox

_NAMES, _LINES = 3, 20
"""Names in a title, and lines in a message."""


@dataclass(frozen=True)
class IncidentKind:
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


class IncidentLog:
    """What is wrong at present, so that each change is told once, by whichever process sees it.

    Args:
        file: where that is kept.
    """

    def __init__(self, file: Path, outbox: Outbox) -> None:
        self._file = file
        self._outbox = outbox
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(file.with_suffix(".lock"))

    def update(self, kind: IncidentKind, wrong: Mapping[str, Callable[[], str]], right: Collection[str] | None = None) -> None:
        """Tell what of a kind began to be wrong, and what is right again: a message each, however many names it has.

        Args:
            wrong: for each name, what is said of it; asked only for what is news.
            right: names that are right; None for all that are not wrong.
        """
        with self._lock:
            since = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
            known: dict[str, str] = since.get(kind.name, {})
            news = [name for name in wrong if name not in known]
            over = {name: at for name, at in known.items() if name not in wrong and (right is None or name in right)}
            if not news and not over:
                return
            if news:
                lines = [f"{name}: {wrong[name]()}" for name in news[:_LINES]] + _more(len(news) - _LINES, "")
                self._outbox.put(Message(_title(kind.wrong, news), "\n".join([*lines, kind.matters])))
            if over:
                lines = [f"{name}: it was not since {at} (UTC)" for name, at in list(over.items())[:_LINES]]
                lines += _more(len(over) - _LINES, "")
                self._outbox.put(Message(_title(kind.right, list(over)), "\n".join(lines), good=True))
            # after the messages: whoever is killed in between tells them twice rather than never
            at = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S}"
            kept = {name: began for name, began in known.items() if name not in over}
            write_atomically(self._file, json.dumps({**since, kind.name: {**kept, **dict.fromkeys(news, at)}}) + "\n")


def _title(begins: str, names: Sequence[str]) -> str:
    return ", ".join([f"{begins}: {names[0]}", *names[1:_NAMES], *_more(len(names) - _NAMES, "and ")])


def _more(count: int, before: str) -> list[str]:
    return [f"{before}{count:,} more"] if count > 0 else []
