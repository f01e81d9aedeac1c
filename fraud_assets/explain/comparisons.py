"""Conditions and comparisons, with the values that were compared for one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

Row: TypeAlias = Mapping[str, Any]
How: TypeAlias = Literal["all", "any"]


@dataclass(frozen=True)
class Condition:
    """A condition, and whether it holds for the transaction.

    Attributes:
        text: for a comparison, its operator and values; for a compound condition, the number of its parts.
        holds: None if a value is unknown.
        off: difference of the two numbers, for an order comparison that does not hold.
        how: `all` if every part must hold, `any` if one is enough; None for a comparison.
        parts: conditions that a compound condition is made of.
    """

    text: str
    holds: bool | None
    off: str | None = None
    how: How | None = None
    parts: Sequence[Condition] = ()

    def __str__(self) -> str:
        if self.how:
            return f"({(' and ' if self.how == 'all' else ' or ').join(map(str, self.parts))})"
        return f"{self.text}: {said(self.holds)}" + (f", by {self.off}" if self.off else "")


@dataclass(frozen=True)
class Value:
    """Placeholder in a text for the value of a column."""

    column: str


Text: TypeAlias = list[str | Value]


@dataclass(frozen=True)
class Probed:
    """A condition whose values are columns of a query that has not run yet.

    Attributes:
        holds: column with the truth value.
        sides: columns with both sides of an order comparison.
        asks_for_null: True for `IS NULL`.
    """

    text: Text
    holds: Value
    sides: tuple[Value, Value] | None = None
    how: How | None = None
    parts: Sequence[Probed] = ()
    asks_for_null: bool = False

    def answered(self, row: Row) -> Condition:
        """The condition with the values of a row of the query."""
        holds = row[self.holds.column]
        if self.how is None:
            off = _gap(*(row[side.column] for side in self.sides)) if self.sides and holds is False else None
            return Condition(text_of(self.text, row), holds, off)
        parts = [part.answered(row) for part in self.parts]
        if self.how == "any":
            # in `currency IS NULL OR currency IN (…)` the first part matters only if it holds
            relevant = [part for part, probed in zip(parts, self.parts, strict=True) if part.holds or not probed.asks_for_null]
            parts = relevant or parts
        if len(parts) == 1:
            return parts[0]
        flat = [inner for part in parts for inner in (part.parts if part.how == self.how else [part])]
        return Condition(f"{self.how} of {len(flat)}", holds, None, self.how, flat)


def text_of(text: Text, row: Row) -> str:
    """A text with the values of a row."""
    return "".join(shown(row[piece.column]) if isinstance(piece, Value) else piece for piece in text)


def said(holds: bool | None) -> str:
    """A truth value in words."""
    return {True: "yes", False: "no", None: "unknown"}[holds]


def shown(value: object) -> str:
    """A value as text: decimals exact with at least two digits, floats with six significant digits."""
    if value is None:
        return said(None)
    if isinstance(value, bool):
        return said(value)
    if isinstance(value, Decimal):
        whole, _, digits = f"{value:f}".partition(".")
        digits = digits[:2] + digits[2:].rstrip("0")
        return f"{whole}.{digits}" if digits else whole
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def _gap(left: object, right: object) -> str | None:
    """Distance of two numbers; None if they are equal or not numbers."""
    if not (isinstance(left, (int, Decimal, float)) and isinstance(right, (int, Decimal, float))):
        return None
    if isinstance(left, float) or isinstance(right, float):
        left, right = float(left), float(right)
    gap = right - left  # type: ignore[operator]  # int and Decimal subtract
    return shown(abs(gap)) if gap else None
