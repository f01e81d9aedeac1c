"""Reads JSON values into typed Arrow columns."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MOST_DIGITS = 30
"""Digits of a DECIMAL on each side of the point; no amount of money has more."""
_EARLIEST, _LATEST = (pa.scalar(value, pa.timestamp("us")) for value in (dt.datetime.min, dt.datetime.max))


def values_at(rows: Sequence[Any], path: tuple[str, ...]) -> list[Any]:
    """The value of each row at a path of keys; None if the path ends early."""
    values: list[Any] = list(rows)
    for key in path:
        values = [value.get(key) if isinstance(value, dict) else None for value in values]
    return values


def read_column(values: list[Any], kind: pa.DataType) -> tuple[pa.Array, list[int]]:
    """The values as an Arrow array with NULL for unreadable ones, and the indexes of the unreadable ones."""
    at_once = _read_at_once(values, kind)
    if at_once is not None:
        return at_once, []
    read = _READERS[kind.id]
    result: list[Any] = []
    unreadable: list[int] = []
    for index, value in enumerate(values):
        try:
            parsed = None if value is None else read(value)
            pa.array([parsed], kind)
        except (ValueError, TypeError, OverflowError, InvalidOperation, pa.ArrowException):
            parsed = None
            unreadable.append(index)
        result.append(parsed)
    return pa.array(result, kind), unreadable


def _read_at_once(values: list[Any], kind: pa.DataType) -> pa.Array | None:
    """The whole column through Arrow; None if the values have to be read one by one."""
    found = set(map(type, values)) - {type(None)}
    try:
        if not found:
            return pa.nulls(len(values), kind)
        if pa.types.is_timestamp(kind) and found == {str}:
            # fails for times without a zone
            read = pa.array(values, pa.string()).cast(pa.timestamp("us", "UTC")).cast(kind)
            # Arrow has the years 0 and 10000, datetime does not
            early, late = pc.less(read, _EARLIEST), pc.greater(read, _LATEST)
            return None if pc.any(pc.or_(early, late)).as_py() else read
        if pa.types.is_decimal(kind) and found <= {int, float}:
            return pa.array([None if v is None else _decimal(v) for v in values], kind)
        if pa.types.is_floating(kind) and found <= {int, float}:
            return pa.array(values, kind)
        if (pa.types.is_integer(kind) and found == {int}) or (pa.types.is_string(kind) and found == {str}):
            return pa.array(values, kind)
    except (ValueError, OverflowError, InvalidOperation, pa.ArrowException):
        return None  # reading one by one finds the unreadable value
    return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(value)
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError(value)  # Decimal would also accept 1_000, surrounding blanks, and digits of other scripts
    # the shortest text that reads as the same float equals the number in the JSON, up to 15 digits
    parsed = Decimal(repr(value) if isinstance(value, float) else value)
    if not parsed.is_finite() or not _is_bounded(parsed):
        raise ValueError(value)
    return parsed


def _is_bounded(number: Decimal) -> bool:
    """True if a number has at most `_MOST_DIGITS` digits on either side of the point.

    Arrow's conversion rounds exponents below -36 to zero, and a very small one ends the process by a segmentation fault.
    """
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -_MOST_DIGITS and number.adjusted() < _MOST_DIGITS


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(value)
    return float(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(value)
    return value


def _timestamp(value: Any) -> dt.datetime:
    """A time in ISO 8601 as a naive UTC datetime; a time without a zone is UTC."""
    parsed = dt.datetime.fromisoformat(_text(value))
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)
    return aware.astimezone(dt.UTC).replace(tzinfo=None)


def _texts(value: Any) -> list[str | None]:
    if not isinstance(value, list):
        raise TypeError(value)
    return [None if item is None else _text(item) for item in value]


_READERS: dict[int, Callable[[Any], Any]] = {
    pa.string().id: _text,
    pa.decimal128(18, 2).id: _decimal,
    pa.float64().id: _double,
    pa.int32().id: _integer,
    pa.int64().id: _integer,
    pa.timestamp("us").id: _timestamp,
    pa.list_(pa.string()).id: _texts,
}
