"""Reads JSON values into typed Arrow columns."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MOST_DIGITS = 30
"""Digits of a DECIMAL on each side of the point; no amount of money has more."""
_CENTS = 2
"""Digits after the point of the columns that hold money."""
_FLOAT_NOISE = Decimal("1e-6")
"""Largest difference between a JSON number and the amount that it stands for: sums of floats end like 349.4799999999999."""
_EXACT = Context(prec=2 * _MOST_DIGITS + 1)
MINOR_DIGITS: Mapping[str, int] = {
    "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0, "UYI": 0,
    "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
    "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
    "CLF": 4, "UYW": 4,
}  # fmt: skip
"""Digits of the minor unit, ISO 4217, of the currencies that do not have two."""
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


def read_amounts(values: list[Any], currencies: list[Any], kind: pa.DataType) -> tuple[pa.Array, list[int], list[int]]:
    """The amounts as an Arrow array with NULL for unreadable ones, the indexes of those, and of those that were rounded.

    An amount has at most the digits of its currency, or two if the currency has fewer or is unknown. A JSON number may differ
    by `_FLOAT_NOISE` from such an amount, and a text may not. A third or fourth digit is rounded half up.
    """
    result: list[Decimal | None] = []
    unreadable: list[int] = []
    rounded: list[int] = []
    for index, (value, currency) in enumerate(zip(values, currencies, strict=True)):
        try:
            exact = None if value is None else _amount(value, digits_of(currency))
        except (ValueError, TypeError, InvalidOperation):
            exact = None
            unreadable.append(index)
        stored = exact
        if exact is not None and _decimals(exact) > _CENTS:
            stored = _to_digits(exact, _CENTS)
            if stored != exact:
                rounded.append(index)
        result.append(stored)
    try:
        return pa.array(result, kind), unreadable, rounded
    except (ValueError, pa.ArrowException):
        amounts, too_large = read_column([None if amount is None else str(amount) for amount in result], kind)
        return amounts, sorted({*unreadable, *too_large}), rounded


def digits_of(currency: Any) -> int:
    """Number of digits of a currency's minor unit, ISO 4217; 2 for what is no text or not listed."""
    return MINOR_DIGITS.get(currency, _CENTS) if isinstance(currency, str) else _CENTS


def _amount(value: Any, digits: int) -> Decimal:
    read = _decimal(value)
    most = max(digits, _CENTS)
    if _decimals(read) <= most:
        return read
    nearest = _to_digits(read, most)
    if abs(read - nearest) > (_FLOAT_NOISE if isinstance(value, float) else 0):
        raise ValueError(value)
    return nearest


def _decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _to_digits(number: Decimal, digits: int) -> Decimal:
    """The number rounded half up."""
    return number.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, _EXACT)


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
