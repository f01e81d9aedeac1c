"""Claims: what a column's values must fulfil for a row to be loaded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Claim:
    """A claim about one column that a row must fulfil to be loaded.

    Attributes:
        name: as it stands in the rejected twin, `amount_is_given`.
        column: the column it is about.
        holds: from a column (NULLs included where `on_null`) to one boolean a row.
        on_null: whether the claim is made about NULLs, too.
    """

    name: str
    column: str
    holds: Callable[[pd.Series], pd.Series]
    on_null: bool = False


def is_given(column: str) -> Claim:
    def holds(values: pd.Series) -> pd.Series:
        given = values.notna()
        return given & (values.str.strip() != "").fillna(False) if values.dtype == "string[pyarrow]" else given

    return Claim(f"{column}_is_given", column, holds, on_null=True)


def is_between(column: str, low: object, high: object, name: str) -> Claim:
    return Claim(name, column, lambda values: (values >= low) & (values <= high))


def matches(column: str, pattern: str, name: str) -> Claim:
    return Claim(name, column, lambda values: values.str.fullmatch(pattern))


def is_one_of(column: str, allowed: tuple[str, ...]) -> Claim:
    return Claim(f"{column}_is_known", column, lambda values: values.isin(allowed))


def is_plausible_time(column: str) -> Claim:
    # a fixed span, not "not after now": the same row must be judged the same way in every run
    first, last = dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1)
    return is_between(column, pd.Timestamp(first), pd.Timestamp(last), f"{column}_is_plausible")


def is_short(column: str, length: int = 1000) -> Claim:
    return Claim(f"{column}_is_short", column, lambda values: values.str.len() <= length)


CURRENCY_CODE = r"[A-Z]{3}"


COUNTRY_CODE = r"[A-Z]{2}"
