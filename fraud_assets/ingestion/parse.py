"""JSON values to typed Arrow columns."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


_EARLIEST, _LATEST = (pa.scalar(value, pa.timestamp("us")) for value in (dt.datetime.min, dt.datetime.max))


def values_at(rows: Sequence[Any], path: tuple[str, ...]) -> list[Any]:
    """The value of each row at a path; None where the path ends early."""
    values: list[Any] = list(rows)
    for key in path:
        values = [value.get(key) if isinstance(value, dict) else None for value in values]
    return values


def read_column(values: list[Any], wanted: pa.DataType) -> tuple[pa.Array, list[int]]:
    """The values as an Arrow array, NULL where one cannot be read; and the indexes of those."""
    quick = _read_at_once(values, wanted)
    if quick is not None:
        return quick, []
    read = _READERS[wanted.id]
    result: list[Any] = []
    unreadable: list[int] = []
    for index, value in enumerate(values):
        try:
            parsed = None if value is None else read(value)
            pa.array([parsed], wanted)
        except (ValueError, TypeError, OverflowError, InvalidOperation, pa.ArrowException):
            parsed = None
            unreadable.append(index)
        result.append(parsed)
    return pa.array(result, wanted), unreadable


def _read_at_once(values: list[Any], wanted: pa.DataType) -> pa.Array | None:
    """The whole column through Arrow, or None where a value needs a closer look."""
    kinds = set(map(type, values)) - {type(None)}
    try:
        if not kinds:
            return pa.nulls(len(values), wanted)
        if pa.types.is_timestamp(wanted) and kinds == {str}:
            # texts without a zone fail here, and are read one by one
            read = pa.array(values, pa.string()).cast(pa.timestamp("us", "UTC")).cast(wanted)
            # Arrow has a year 0 and a year 10000, datetime has not
            early, late = pc.less(read, _EARLIEST), pc.greater(read, _LATEST)
            return None if pc.any(pc.or_(early, late)).as_py() else read
        if pa.types.is_decimal(wanted) and kinds <= {int, float}:
            return pa.array([None if v is None else _decimal(v) for v in values], wanted)
        if pa.types.is_floating(wanted) and kinds <= {int, float}:
            return pa.array(values, wanted)
        if (pa.types.is_integer(wanted) and kinds == {int}) or (pa.types.is_string(wanted) and kinds == {str}):
            return pa.array(values, wanted)
    except (ValueError, OverflowError, InvalidOperation, pa.ArrowException):
        return None  # the slow path says which value it is
    return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(value)
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError(value)  # Decimal itself also reads 1_000, blanks around, and the digits of other scripts
    # the shortest text that reads as the same float is what stood in the JSON, up to 15 digits
    parsed = Decimal(repr(value) if isinstance(value, float) else value)
    if not parsed.is_finite():
        raise ValueError(value)
    return parsed


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(value)
    return float(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(value)
    return value


def _timestamp(value: Any) -> dt.datetime:
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
