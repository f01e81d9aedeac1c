"""Parameters of SQL files: types, bounds and values."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

_SPAN = re.compile(r"(\d+)(m|h|d)")


def _timedelta(value: object) -> object:
    match = _SPAN.fullmatch(str(value))
    if not match:
        raise ValueError("is written as 10m, 24h or 90d")
    return dt.timedelta(**{{"m": "minutes", "h": "hours", "d": "days"}[match[2]]: int(match[1])})


Lookback = Annotated[dt.timedelta, BeforeValidator(_timedelta)]


Amounts = dict[str | None, Decimal]


class Param(BaseModel):
    """A parameter of a SQL file: `decimal` and `integer` bind to `:name`, `amounts` to the relation `params.name`.

    `amounts` are a DECIMAL per currency; the relation has the columns `currency` and `amount`.
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
        """A value for this param.

        Raises:
            ValueError: of another type, or out of bounds.
        """
        if self.type == "amounts":
            if not isinstance(value, Mapping) or not value:
                raise ValueError("takes an amount for each currency, like {EUR: 1000, USD: 1100}")
            return {None if c is None else str(c): self._amount(a) for c, a in value.items()}
        number = self._number(value)
        if self.type == "integer":
            if number != int(number):
                raise ValueError(f"takes a whole number, not {value}")
            return int(number)
        return number

    def _amount(self, value: Any) -> Decimal:
        number = self._number(value)
        if number != round(number, 2):
            raise ValueError(f"takes amounts with two digits behind the point, not {value}")
        return number

    def _number(self, value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
            raise ValueError(f"takes a number, not {value!r}")
        try:
            number = Decimal(str(value))
        except ArithmeticError:
            raise ValueError(f"takes a number, not {value!r}") from None
        if not (number.is_finite() and self.min <= number <= self.max):
            raise ValueError(f"takes {self.min} to {self.max}, not {value}")
        # 4, 4.0 and 4e0 are one number: written alike in reasons, and of one rule version
        digits = f"{number:f}"
        return Decimal(digits.rstrip("0").rstrip(".") if "." in digits else digits)
