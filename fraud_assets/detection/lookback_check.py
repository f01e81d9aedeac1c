"""How far back a rule's SELECT looks, as far as its text says: held against the look-back that it states.

What is found: frames of windows that are ordered by time, and `UNIX_TIMESTAMP(a) - UNIX_TIMESTAMP(b) < seconds`. A frame of so
many rows, LAG and GROUP BY have no length in time, and are not looked at.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from sqlglot import exp

from fraud_assets.sql.files import FrontMatter, SqlFile, line_of

_AGGREGATES = (exp.Sum, exp.Count, exp.Min, exp.Max, exp.ArrayAgg)


def beyond_lookback(file: SqlFile[FrontMatter]) -> Iterator[tuple[str, int | None]]:
    """What reaches further back than `lookback`, each with its line."""
    lookback = int(file.meta.lookback.total_seconds())
    stated = f"lookback is {_written(file.meta.lookback)}" if lookback else "no lookback is stated"
    for window in file.tree().find_all(exp.Window):
        if not _is_by_time(window) or not isinstance(window.this, _AGGREGATES):
            continue
        spec = window.args.get("spec")
        start = spec.args.get("start") if spec else "UNBOUNDED"
        if start == "UNBOUNDED":
            yield (
                f"the frame of {window.this.sql('hive')} has no beginning; state one, RANGE BETWEEN … PRECEDING",
                line_of(window),
            )
        elif spec and spec.args.get("kind") == "RANGE" and isinstance(start, exp.Expr):
            seconds = _seconds(start, file)
            # a second is whole, and a look-back ends at a fraction of one
            if seconds is not None and spec.args.get("start_side") == "PRECEDING" and seconds >= max(lookback, 1):
                may = f"; {max(lookback - 1, 0)} PRECEDING is the most"
                yield f"the frame begins {seconds} seconds before, and {stated}{may}", line_of(window)
    for comparison in file.tree().find_all(exp.LT, exp.LTE):
        seconds = _seconds(comparison.expression, file) if _is_difference(comparison.this) else None
        if seconds is not None and seconds + isinstance(comparison, exp.LTE) > lookback:
            yield f"rows of {seconds} seconds before are looked at, and {stated}", line_of(comparison)


def _is_by_time(window: exp.Window) -> bool:
    order = window.args.get("order")
    first = order.expressions[0].this if order else None
    return isinstance(first, exp.StrToUnix) or (isinstance(first, exp.Column) and first.name == "event_time")


def _is_difference(node: exp.Expr) -> bool:
    node = node.unnest()
    return isinstance(node, exp.Sub) and all(isinstance(side.unnest(), exp.StrToUnix) for side in (node.this, node.expression))


def _seconds(node: exp.Expr, file: SqlFile[FrontMatter]) -> int | None:
    """A number of seconds; of a param, the most that a rules file may set."""
    if isinstance(node, exp.Placeholder) and node.name in file.meta.params:
        return int(file.meta.params[node.name].max)
    return int(node.name) if isinstance(node, exp.Literal) and node.is_int else None


def _written(time: dt.timedelta) -> str:
    seconds = int(time.total_seconds())
    return next(f"{seconds // unit}{letter}" for letter, unit in (("d", 86400), ("h", 3600), ("m", 60)) if not seconds % unit)
