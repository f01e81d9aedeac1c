"""Timestamps: whole microseconds since 1970-01-01 UTC internally, ISO 8601 text in requests and responses."""

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
    """Microseconds since the epoch. A naive datetime is in UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def parse(text: str, parameter: str) -> int:
    """Parse ISO 8601: a date, or a date and time with `Z`, an offset, or neither (UTC).

    Raises:
        BadParameter: the text has another format; the message names `parameter`.
    """
    # an unescaped "+" in "+02:00" arrives as a space
    for candidate in (text, _UNESCAPED_PLUS.sub("+", text)):
        try:
            return from_datetime(datetime.fromisoformat(candidate))
        except (ValueError, OverflowError):
            continue
    raise BadParameter(
        f"{parameter} is not a date or time: use ISO 8601, like 2026-01-02 or 2026-01-02T03:04:05Z, and escape + as %2B."
    )


def text(instant: int) -> str:
    """Format as `2026-01-02T03:04:05.123456Z`. The width is fixed, so texts sort chronologically."""
    return texts(np.array([instant], dtype=np.int64))[0]


def texts(instants: npt.NDArray[np.int64]) -> list[str]:
    """Format a column of timestamps as `text` does."""
    formatted: list[str] = np.datetime_as_string(instants.astype("datetime64[us]"), timezone="UTC").tolist()
    return formatted
