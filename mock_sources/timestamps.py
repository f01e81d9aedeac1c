"""Instants: whole microseconds since 1970-01-01 UTC inside, ISO 8601 text outside."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from mock_sources.errors import BadParameter

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNESCAPED_PLUS = re.compile(r" (?=\d\d:?\d\d$)")


def from_datetime(moment: datetime) -> int:
    """Microseconds since the epoch; a time without a zone is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def parse(text: str, parameter: str) -> int:
    """Read ISO 8601: a date or a date and time, with `Z`, an offset, or neither (UTC).

    Raises BadParameter, which names `parameter`, for anything else.
    """
    # A client that forgets to escape "+02:00" sends a space in its place.
    for candidate in (text, _UNESCAPED_PLUS.sub("+", text)):
        try:
            return from_datetime(datetime.fromisoformat(candidate))
        except (ValueError, OverflowError):
            continue
    raise BadParameter(f"{parameter} is not a time: give ISO 8601, as 2026-01-02 or 2026-01-02T03:04:05Z, and escape + as %2B.")


def text(instant: int) -> str:
    """`2026-01-02T03:04:05.123456Z`, always this wide, so that text order is time order."""
    return texts(np.array([instant], dtype=np.int64))[0]


def texts(instants: npt.NDArray[np.int64]) -> list[str]:
    """The same for a whole column."""
    formatted: list[str] = np.datetime_as_string(instants.astype("datetime64[us]"), timezone="UTC").tolist()
    return formatted
