"""Claims: conditions on a column's values that a row must meet to be loaded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

import pandas as pd

CURRENCY_CODE = r"[A-Z]{3}"
"""Form of an ISO 4217 code."""

COUNTRY_CODE = r"[A-Z]{2}"
"""Form of an ISO 3166-1 alpha-2 code."""

Bound: TypeAlias = int | float | Decimal | dt.datetime
"""Bound of a range. A number is whole."""


@dataclass(frozen=True)
class Claim:
    """A condition on one column that a row must meet to be loaded.

    Attributes:
        name: as it appears in the column `claims` of `<table>_rejected`, for example `amount_is_given`.
        column: the column that is tested.
        holds: maps the column to one boolean per row; NULLs are included only if `on_null`.
        hiveql: the same condition in HiveQL, of a value `{x}` that is not NULL; empty if it says no more than `on_null`.
        on_null: True if the claim applies to NULLs, too. By default a NULL breaks no claim.
    """

    name: str
    column: str
    holds: Callable[[pd.Series], pd.Series]
    hiveql: str
    on_null: bool = False


def is_given(column: str) -> Claim:
    """The value is neither NULL nor, in a text, blank."""

    def holds(values: pd.Series) -> pd.Series:
        given = values.notna()
        return given & (values.str.strip() != "").fillna(False) if values.dtype == "string[pyarrow]" else given

    return Claim(f"{column}_is_given", column, holds, "", on_null=True)


def is_between(column: str, low: Bound, high: Bound, name: str) -> Claim:
    """The value is in `[low, high]`."""
    bounds = f"{_hiveql(low)} AND {_hiveql(high)}"
    return Claim(name, column, lambda values: (values >= low) & (values <= high), f"{{x}} BETWEEN {bounds}")


def _hiveql(bound: Bound) -> str:
    if isinstance(bound, dt.datetime):
        return f"CAST('{bound:%Y-%m-%d %H:%M:%S}' AS TIMESTAMP)"
    return str(int(bound))


def matches(column: str, pattern: str, name: str) -> Claim:
    """The whole text matches a regular expression."""
    # as a literal: a backslash counts twice
    escaped = pattern.replace("\\", "\\\\")
    whole = f"^({escaped})$".replace("{", "{{").replace("}", "}}")
    return Claim(name, column, lambda values: values.str.fullmatch(pattern), f"{{x}} RLIKE '{whole}'")


def is_one_of(column: str, allowed: tuple[str, ...]) -> Claim:
    """The text is one of those allowed."""
    return Claim(f"{column}_is_known", column, lambda values: values.isin(allowed), f"{{x}} IN {allowed!r}")


def is_plausible_time(column: str) -> Claim:
    """The time is between 2000 and 2100, UTC."""
    # fixed bounds, not "not in the future": every run must give a row the same verdict
    first, last = dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1)
    return is_between(column, pd.Timestamp(first), pd.Timestamp(last), f"{column}_is_plausible")


def is_short(column: str, length: int = 1000) -> Claim:
    """The text has at most `length` characters."""
    return Claim(f"{column}_is_short", column, lambda values: values.str.len() <= length, f"LENGTH({{x}}) <= {length}")
