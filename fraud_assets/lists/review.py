"""Entries that someone should look at: those about to end, and those that match nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fraud_assets.lists.files import NamedList, written
from fraud_assets.lists.rows import MATCH_DAYS, matches
from hive_io import Reader
from hive_io.table import DAY

ENDS_WITHIN = 7 * DAY
"""Time before its end in which an entry is reported."""


@dataclass(frozen=True)
class ToReview:
    """An entry to look at.

    Attributes:
        name: of its list.
        entry: key and value.
    """

    name: str
    entry: str
    why: str


def to_review(lists: Iterable[NamedList], reader: Reader, now: dt.datetime) -> list[ToReview]:
    """Entries that count before a time and end within 7 days, or count for 90 days without a transaction.

    Args:
        now: the time; stored days before it are read.
    """
    return [*_to_review([*lists], reader, now)]


def _to_review(lists: list[NamedList], reader: Reader, now: dt.datetime) -> Iterator[ToReview]:
    moment = now - dt.timedelta(microseconds=1)
    counting = [(each, entry) for each in lists for entry in each.entries if entry.counts_at(moment)]
    old = {entry.key for _, entry in counting if entry.starts_at <= now - MATCH_DAYS * DAY}
    found = matches(reader, moment.date(), old) if old else {}
    for each, entry in counting:
        named = f"{entry.key} {entry.value}"
        if entry.counts_until is not None and entry.counts_until <= now + ENDS_WITHIN:
            yield ToReview(each.name, named, f"ends at {written(entry.counts_until)}")
        if entry.starts_at <= now - MATCH_DAYS * DAY and (each.name, entry.key, entry.value_key) not in found:
            yield ToReview(each.name, named, f"no transaction in {MATCH_DAYS} days")
