"""Facts about a rule as text, for `fraud rules show` and the pages in docs/rules."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fraud_assets.detection.rule import Rule
from fraud_assets.sql.params import Param

_UNITS = {"day": 86400, "hour": 3600, "minute": 60}
"""Seconds of each unit, largest first."""

_SNAPSHOT = "the transaction's day, as of its start"


@dataclass(frozen=True)
class ParamFacts:
    """A param of a rule.

    Attributes:
        value: the value in force.
        bounds: the range in which a rules file may set it.
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
    """The params of a rule."""
    return [_param(name, param, rule.file.values[name]) for name, param in rule.file.meta.params.items()]


def _param(name: str, param: Param, value: Any) -> ParamFacts:
    bounds = f"{param.min} to {param.max}" + (" each" if param.type == "amounts" else "")
    return ParamFacts(name, written(value), written(param.default), bounds, param.description)


def written(value: Any) -> str:
    """The value of a param, as written in a rules file."""
    if not isinstance(value, Mapping):
        return str(value)
    return ", ".join(f"{'null' if currency is None else currency}: {amount}" for currency, amount in value.items())


def reads(rule: Rule) -> dict[str, str]:
    """The tables that the rule reads, with the period of the rows it reads."""
    return {name: _transactions_period(rule) if name == "transactions" else _SNAPSHOT for name in sorted(rule.file.tables())}


def _transactions_period(rule: Rule) -> str:
    meta = rule.file.meta
    if not meta.lookback:
        return "the day being judged"
    whose = "the same customer's" if meta.lookback_of == "customer" else "the"
    return f"the day being judged, plus {whose} previous {length(meta.lookback)}"


def length(time: dt.timedelta) -> str:
    """A duration in words, in the largest unit that goes into it at least twice without remainder; otherwise in minutes."""
    seconds = int(time.total_seconds())
    for name, unit in _UNITS.items():
        count, rest = divmod(seconds, unit)
        if not rest and (count > 1 or unit == _UNITS["minute"]):
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} seconds"
