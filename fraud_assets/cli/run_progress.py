"""Progress of a long load from files: a killed `fraud run` goes on after the last days that were completed."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator

from fraud_assets.atomic_write import write_atomically
from fraud_assets.ingestion.own_data.source_file import SourceFile
from fraud_assets.settings import Settings
from hive_io import Span
from hive_io.table import DAY

DAYS_PER_RUN = 31
"""Days of a Dagster run of own data, by default: what a kill can cost, and what has to fit into memory."""


class RunProgress:
    """Which days of a range are done, in a file in the warehouse's `state_folder`.

    The record belongs to one range of one source: a changed source file, data file, rules file or range starts again.
    """

    def __init__(self, settings: Settings, source: SourceFile, span: Span) -> None:
        self._span = span
        self._file = settings.state_folder / "unfinished_runs" / f"{_identity(settings, source, span)}.json"

    def left(self, days: int) -> Iterator[Span]:
        """The parts of the range that are not done, in order, of at most this many days."""
        first = self.done_until or self._span.first_day
        while first <= self._span.last_day:
            last = min(first + (days - 1) * DAY, self._span.last_day)
            yield Span.days(first, last)
            first = last + DAY

    @property
    def done_until(self) -> dt.date | None:
        """First day that is not done; None if none is done."""
        try:
            text = json.loads(self._file.read_text(encoding="utf-8"))["done_until"]
        except FileNotFoundError:
            return None
        return dt.date.fromisoformat(text)

    def record(self, part: Span) -> None:
        """Record that a part is done; the record of a complete range is removed."""
        if part.last_day >= self._span.last_day:
            self._file.unlink(missing_ok=True)
        else:
            write_atomically(self._file, json.dumps({"done_until": (part.last_day + DAY).isoformat()}))


def _identity(settings: Settings, source: SourceFile, span: Span) -> str:
    """A hash of all that the result of a run depends on."""
    parts = [source.path.read_bytes(), f"{span.first_ds} {span.last_ds} {settings.first_day}".encode()]
    if settings.rules_file is not None:
        parts.append(settings.rules_file.read_bytes())
    for table in source.tables.values():
        parts.append(table.origin.version.encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
