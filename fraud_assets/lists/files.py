"""The files of lists: `<folder>/block/stolen_cards.csv`, `<folder>/watch/new_shops.csv`.

Each row is an entry with reason, owner and times. An entry that is removed stays in the file with its end, so that any past day
can be computed again as it was. Nothing else is ever changed in a file.
"""

from __future__ import annotations

import csv
import datetime as dt
import fcntl
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

from fraud_assets.atomic_write import write_atomically
from fraud_assets.errors import ListError
from fraud_assets.ingestion.normal_form import normal
from fraud_assets.lists.keys import KEYS, Key, Kind

KINDS: tuple[Kind, ...] = get_args(Kind)

ALLOW = "allow"
"""Stands for the suppressions of cases; no list of its own may have this name."""
BLACKLIST = "blacklist"
"""Name under which the entries of the source's blacklist are in the table; no file may have it."""

COLUMNS = (
    "key", "value", "reason", "owner", "added_at", "starts_at", "ends_at", "removed_at", "removed_by", "removed_why",
)  # fmt: skip
"""Columns of a file. Times are UTC, as 2026-01-31T09:30:00Z."""

LONGEST = 200
"""Characters of a value, a reason or an owner."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class Entry:
    """An entry of a list. Times are aware, UTC.

    Attributes:
        key: what is listed.
        value: as written.
        owner: who added it.
        starts_at: from when it counts; not before `added_at`.
        ends_at: until when it counts, exclusive; None without an end.
        removed_at, removed_by, removed_why: when, by whom and why it was ended before its time.
    """

    key: Key
    value: str
    reason: str
    owner: str
    added_at: dt.datetime
    starts_at: dt.datetime
    ends_at: dt.datetime | None = None
    removed_at: dt.datetime | None = None
    removed_by: str = ""
    removed_why: str = ""

    @property
    def value_key(self) -> str:
        """The value as it is compared."""
        return value_key(self.key, self.value)

    @property
    def counts_until(self) -> dt.datetime | None:
        """The end that came first; None if it has none yet."""
        ends = [end for end in (self.ends_at, self.removed_at) if end is not None]
        return min(ends) if ends else None

    def counts_between(self, start: dt.datetime, end: dt.datetime) -> bool:
        """True if it counts at some time of `[start, end)`."""
        until = self.counts_until
        return self.starts_at < end and (until is None or max(start, self.starts_at) < until)

    def counts_at(self, time: dt.datetime) -> bool:
        return self.starts_at <= time and (self.counts_until is None or time < self.counts_until)


@dataclass(frozen=True)
class NamedList:
    """A list.

    Attributes:
        path: its file.
        kind: `block`, or `watch`.
    """

    path: Path
    name: str
    kind: Kind
    entries: Sequence[Entry]


def value_key(key: Key, value: str) -> str:
    """A value as rules compare it: a merchant in the normal form of `merchant_key`, anything else as LOWER(TRIM(value))."""
    if key == "merchant":
        return normal(value)
    if key == "pair":
        customer, _, merchant = value.partition("+")
        return f"{value_key('customer', customer)}+{value_key('merchant', merchant)}"
    return unicodedata.normalize("NFC", value).strip().lower()


def read_lists(folder: Path | None) -> list[NamedList]:
    """Every list of a folder, by name; none without a folder.

    Raises:
        ListError: a file is not a list; with file and line.
    """
    if folder is None:
        return []
    found: dict[str, NamedList] = {}
    for kind in KINDS:
        for path in sorted((folder / kind).glob("*.csv")):
            if path.stem in found:
                raise ListError(f"{path}: {found[path.stem].path} is a list of this name, too; rename one")
            check_name(path.stem, path)
            found[path.stem] = NamedList(path, path.stem, kind, _read(path))
    return [found[name] for name in sorted(found)]


def add_entries(folder: Path, name: str, kind: Kind | None, new: Sequence[Entry]) -> NamedList:
    """Add entries to a list, all or none, and return it.

    Args:
        kind: of a new list; must be that of an existing one, or None.

    Raises:
        ListError: the name, a value or a time is not allowed, or a value is on the list at that time.
    """
    check_name(name, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        found = next((each for each in read_lists(folder) if each.name == name), None)
        if found is None and kind is None:
            raise ListError(f"There is no list {name} in {folder}; create it with --kind block or --kind watch")
        if found is not None and kind not in (None, found.kind):
            raise ListError(f"{name} is a {found.kind} list; leave out --kind {kind}, or name another list")
        old = found or NamedList(folder / str(kind) / f"{name}.csv", name, kind or "block", [])
        entries = [*old.entries, *(_checked(entry) for entry in new)]
        if twice := overlapping(entries):
            until = f" until {written(end)}" if (end := twice.counts_until) else ""
            raise ListError(
                f"{name} has {twice.key} {twice.value} already, from {written(twice.starts_at)}{until}: {twice.reason}"
            )
        write_atomically(old.path, _text(entries))
        return replace(old, entries=entries)


def remove_entry(folder: Path, name: str, key: Key, value: str, now: dt.datetime, by: str, why: str) -> Entry:
    """End an entry now, and return it. One that has not begun never counts.

    Raises:
        ListError: there is no such list, or the value is not on it.
    """
    if not why.strip():
        raise ListError("An entry is removed for a reason; give it with --why")
    with _alone(folder):
        lists = read_lists(folder)
        found = next((each for each in lists if each.name == name), None)
        if found is None:
            raise ListError(f"There is no list {name}; the lists are {', '.join(each.name for each in lists) or 'none'}")
        wanted = (key, value_key(key, value))
        for number, entry in enumerate(found.entries):
            if (entry.key, entry.value_key) == wanted and (entry.counts_until is None or now < entry.counts_until):
                ended = replace(entry, removed_at=now, removed_by=by, removed_why=_short(why, "the reason"))
                entries = [*found.entries]
                entries[number] = ended
                write_atomically(found.path, _text(entries))
                return ended
    raise ListError(f"{name} has no entry {key} {value} that counts now or later")


def check_name(name: str, where: Path) -> None:
    """Refuse a name that no list can have.

    Raises:
        ListError: what is allowed.
    """
    if not _NAME.fullmatch(name) or name in (ALLOW, BLACKLIST):
        raise ListError(
            f"{where}: {name!r} is no name of a list; use at most 64 lower-case letters, digits and _, starting with a letter, "
            f"neither {ALLOW} nor {BLACKLIST}"
        )


def overlapping(entries: Iterable[Entry]) -> Entry | None:
    """An entry that counts at a time when another of the same value does; None if there is none."""
    ordered = sorted(entries, key=lambda each: (each.key, each.value_key, each.starts_at))
    for one, next_one in pairwise(ordered):
        if (one.key, one.value_key) == (next_one.key, next_one.value_key):
            until = one.counts_until
            if until is None or next_one.starts_at < until or next_one.starts_at == one.starts_at:
                return one
    return None


def written(time: dt.datetime) -> str:
    """A time as it stands in a file."""
    return time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time change the files of a folder."""
    if not folder.is_dir():
        raise ListError(f"expected a folder with lists, found {folder}")
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _checked(entry: Entry) -> Entry:
    if entry.key not in KEYS:
        raise ListError(f"{entry.key!r} is no key of a list; the keys are {', '.join(KEYS)}")
    if not entry.value_key or (entry.key == "pair" and not all(entry.value_key.partition("+"))):
        form = "CUSTOMER+MERCHANT" if entry.key == "pair" else "a value"
        raise ListError(f"expected {form} for {entry.key}, found {entry.value!r}")
    if entry.ends_at is not None and entry.ends_at <= entry.starts_at:
        raise ListError(f"{entry.value} ends at {written(entry.ends_at)}, not after its start at {written(entry.starts_at)}")
    for text, what in ((entry.value, "the value"), (entry.reason, "the reason"), (entry.owner, "the owner")):
        _short(text, what)
    return entry


def _short(text: str, what: str) -> str:
    text = text.strip()
    if not text or len(text) > LONGEST or not text.isprintable():
        raise ListError(f"expected {what} as one line of 1 to {LONGEST} characters, found {text[:40]!r}")
    return text


def _text(entries: Iterable[Entry]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in entries:
        times = [written(time) if time else "" for time in (each.added_at, each.starts_at, each.ends_at, each.removed_at)]
        writer.writerow([each.key, each.value, each.reason, each.owner, *times, each.removed_by, each.removed_why])
    return file.getvalue()


def _read(path: Path) -> list[Entry]:
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), strict=True)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise ListError(f"{path}:1: expected the columns {','.join(COLUMNS)}, found {','.join(rows.fieldnames or ())}")
        entries = []
        for row in rows:
            try:
                if None in row or None in row.values():
                    raise ListError(f"expected {len(COLUMNS)} values")
                entries.append(_entry(row))
            except ListError as error:
                raise ListError(f"{path}:{rows.line_num}: {error}") from None
    except OSError as error:
        raise ListError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ListError(f"{path}: expected CSV in UTF-8: {error}") from None
    if twice := overlapping(entries):
        raise ListError(
            f"{path}: two entries of {twice.key} {twice.value} count at the same time; end the first before the other"
        )
    return entries


def _entry(row: dict[str, str]) -> Entry:
    added, starts, ends, removed = (_time(row, name) for name in ("added_at", "starts_at", "ends_at", "removed_at"))
    if added is None:
        raise ListError("expected a time for added_at, found none")
    starts = max(added, starts or added)
    key = row["key"]
    if key not in KEYS:
        raise ListError(f"{key!r} is no key of a list; the keys are {', '.join(KEYS)}")
    return _checked(
        Entry(
            key, row["value"], row["reason"], row["owner"], added, starts, ends, removed, row["removed_by"], row["removed_why"]
        )
    )


def _time(row: dict[str, str], name: str) -> dt.datetime | None:
    text = row[name].strip()
    if not text:
        return None
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ListError(f"expected a time with a zone for {name}, such as 2026-01-31T09:30:00Z, found {text[:40]!r}")
    return time.astimezone(dt.UTC)
