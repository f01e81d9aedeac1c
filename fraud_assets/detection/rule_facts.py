"""What a rule is, in words and values: for `fraud rules show` and for its page in the documentation."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fraud_assets.detection.rule import Rule
from fraud_assets.sql.params import Param

_UNITS = {"day": 86400, "hour": 3600, "minute": 60}


@dataclass(frozen=True)
class ParamFacts:
    """A param of a rule.

    Attributes:
        value: in force.
        bounds: inside which a rules file may set it.
    """

    name: str
    value: str
    default: str
    bounds: str
    description: str

    @property
    def is_overridden(self) -> bool:
        return self.value != self.default


def params(rule: Rule) -> list[ParamFacts]:
    return [_param(name, param, rule.file.values[name]) for name, param in rule.file.meta.params.items()]


def _param(name: str, param: Param, value: Any) -> ParamFacts:
    bounds = f"{param.min} to {param.max}" + (" each" if param.type == "amounts" else "")
    return ParamFacts(name, written(value), written(param.default), bounds, param.description)


def written(value: Any) -> str:
    """A param's value, as a rules file would have it."""
    if not isinstance(value, Mapping):
        return str(value)
    return ", ".join(f"{'null' if currency is None else currency}: {amount}" for currency, amount in value.items())


def reads(rule: Rule) -> dict[str, str]:
    """The tables that the rule reads, and of which time."""
    return {name: _of_the_window(rule) if name == "transactions" else _OF_THE_DAY for name in sorted(rule.file.tables())}


_OF_THE_DAY = "of the transaction's day, as known when it began"


def _of_the_window(rule: Rule) -> str:
    meta = rule.file.meta
    if not meta.lookback:
        return "of the day that is judged, none before it"
    of = " of the same customer" if meta.lookback_of == "customer" else ""
    return f"of the day that is judged, and those{of} of the {length(meta.lookback)} before"


def length(time: dt.timedelta) -> str:
    """A look-back, in the largest unit of which it has at least two, or else the next smaller one."""
    seconds = int(time.total_seconds())
    for name, unit in _UNITS.items():
        count, rest = divmod(seconds, unit)
        if not rest and (count > 1 or unit == _UNITS["minute"]):
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} seconds"
