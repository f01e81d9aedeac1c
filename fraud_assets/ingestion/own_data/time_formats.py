"""Recognises how texts write a time: a named format of a source file, or a pattern of strptime."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?)?( ?(Z|z|[+-]\d{2}(:?\d{2})?))?")
_DIGITS = re.compile(r"\d+(\.\d+)?")
_DATES = (
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%y", "%d/%m/%y",
    "%m/%d/%y", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y",
)  # fmt: skip
_TIMES = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p", ", %H:%M:%S", "%H%M%S")
PATTERNS = tuple(date + time for date in _DATES for time in _TIMES)
"""Patterns that are tried; day first where day and month cannot be told apart."""
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800


def formats_of(values: Sequence[str]) -> list[tuple[str, int]]:
    """The formats that read at least one of the values, with the number they read, most first.

    Day and month that cannot be told apart give two formats with the same number; the one with the day first comes first.
    """
    named: list[tuple[str, Callable[[str], bool]]] = [
        ("iso", _is_iso),
        ("epoch_s", lambda text: _is_epoch(text, 1)),
        ("epoch_ms", lambda text: _is_epoch(text, 1_000)),
        ("epoch_us", lambda text: _is_epoch(text, 1_000_000)),
    ]
    found = [(name, sum(map(reads, values))) for name, reads in named]
    rest = [value for value in values if not any(reads(value) for _, reads in named)]
    found += [(pattern, count) for pattern in PATTERNS if (count := sum(reads(value, pattern) for value in rest))]
    return sorted((pair for pair in found if pair[1]), key=lambda pair: -pair[1])


def reads(text: str, pattern: str) -> bool:
    """True if a pattern of strptime reads a text."""
    try:
        dt.datetime.strptime(text, pattern)
    except ValueError:
        return False
    return True


def day_and_month_are_ambiguous(values: Iterable[str], pattern: str) -> bool:
    """True if the values can be read with day and month exchanged as well."""
    other = pattern.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")
    texts = list(values)
    return "%m" in pattern and "%d" in pattern and not pattern.startswith("%Y") and all(reads(text, other) for text in texts)


def _is_iso(text: str) -> bool:
    return bool(_ISO.fullmatch(text.strip()))


def _is_epoch(text: str, per_second: int) -> bool:
    if not _DIGITS.fullmatch(text.strip()):
        return False
    return _YEAR_2000 * per_second <= float(text) < _YEAR_2100 * per_second


def written(moment: dt.datetime, form: str) -> str:
    """An instant in a named format or a pattern of strftime, in UTC.

    Args:
        moment: aware.
    """
    utc = moment.astimezone(dt.UTC)
    micros = (utc - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    per_unit = {"epoch_s": 10**6, "epoch_ms": 10**3, "epoch_us": 1}.get(form)
    if per_unit:
        return str(micros // per_unit)
    return utc.isoformat().replace("+00:00", "Z") if form == "iso" else utc.strftime(form)
