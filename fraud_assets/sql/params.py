"""Params of SQL files: types, bounds and values."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from fraud_assets.sql.bounded_yaml import shown

_DURATION = re.compile(r"([0-9]{1,8})(m|h|d)")
_UNITS = {"m": dt.timedelta(minutes=1), "h": dt.timedelta(hours=1), "d": dt.timedelta(days=1)}
_LONGEST = dt.timedelta(days=3650)


def _timedelta(value: object) -> object:
    match = _DURATION.fullmatch(str(value))
    if not match:
        raise ValueError("expected a duration such as 10m, 24h or 90d")
    duration = int(match[1]) * _UNITS[match[2]]
    if duration > _LONGEST:
        raise ValueError(f"expected a duration of at most {_LONGEST.days:,} days")
    return duration


Lookback = Annotated[dt.timedelta, BeforeValidator(_timedelta)]
"""A duration, written as a number of minutes, hours or days: `10m`, `24h`, `90d`."""

Amounts = dict[str | None, Decimal]
"""An amount per currency. The key None stands for a currency that the source does not name."""


_MOST_DECIMALS = 18
"""Decimals of a value; a text such as 1e-999999999 would have a billion."""


class Param(BaseModel):
    """A param of a SQL file.

    `decimal` and `integer` bind to `:name`. `amounts` is a DECIMAL per currency and binds to the relation `params.name`, with
    the columns `currency` and `amount`.
    """

    model_config = ConfigDict(extra="forbid")

    type: Literal["decimal", "integer", "amounts"]
    default: Any
    min: Decimal
    max: Decimal
    description: str

    @model_validator(mode="after")
    def _default_is_within_bounds(self) -> Param:
        self.default = self.read(self.default)
        return self

    def read(self, value: Any) -> Decimal | int | Amounts:
        """Convert a value to the type of this param.

        Raises:
            ValueError: the value has another type or is out of bounds.
        """
        if self.type == "amounts":
            if not isinstance(value, Mapping) or not value:
                raise ValueError(f"expected an amount per currency, for example {{EUR: 1000, USD: 1100}}, found {shown(value)}")
            return {None if c is None else str(c): self._amount(a) for c, a in value.items()}
        number = self._number(value)
        if self.type == "integer":
            if number != int(number):
                raise ValueError(f"expected a whole number, found {shown(value, repr_of=str)}")
            return int(number)
        return number

    def _amount(self, value: Any) -> Decimal:
        number = self._number(value)
        if number != round(number, 2):
            raise ValueError(f"expected an amount with at most two decimal places, found {shown(value, repr_of=str)}")
        return number

    def _number(self, value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
            raise ValueError(f"expected a number, found {shown(value)}")
        try:
            number = Decimal(str(value))
        except ArithmeticError:
            raise ValueError(f"expected a number, found {shown(value)}") from None
        if not (number.is_finite() and self.min <= number <= self.max):
            raise ValueError(f"expected a number from {self.min} to {self.max}, found {shown(value, repr_of=str)}")
        if number.as_tuple().exponent < -_MOST_DECIMALS:  # type: ignore[operator]  # finite, so it is an integer
            raise ValueError(f"expected at most {_MOST_DECIMALS} decimals, found {shown(value, repr_of=str)}")
        # 4, 4.0 and 4e0 are one number: they must read alike in reasons and give one rule version
        digits = f"{number:f}"
        return Decimal(digits.rstrip("0").rstrip(".") if "." in digits else digits)
