"""Checks that a SELECT looks no further back than the lookback of its front matter, as far as its text shows.

Two forms are recognised: window frames ordered by time, and `UNIX_TIMESTAMP(a) - UNIX_TIMESTAMP(b) < seconds`. Frames counted
in rows, LAG and GROUP BY have no length in time and are not checked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from sqlglot import exp

from fraud_assets.sql.files import FrontMatter, SqlFile, line_of

_AGGREGATES = (
    exp.Sum, exp.Count, exp.Min, exp.Max, exp.Avg, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop,
    exp.ArrayAgg, exp.ArrayUniqueAgg, exp.FirstValue, exp.LastValue,
)  # fmt: skip
MICROS = 1_000_000
"""Microseconds of a second: the unit of frames ordered by UNIX_MICROS."""


def beyond_lookback(file: SqlFile[FrontMatter]) -> Iterator[tuple[str, int | None]]:
    """Parts of the SELECT that reach further back than `lookback`: a message and the line, if known, for each."""
    lookback = int(file.meta.lookback.total_seconds())
    limit = f"lookback is {_written(file.meta.lookback)}" if lookback else "the rule declares no lookback"
    for window in file.tree().find_all(exp.Window):
        if not _is_by_time(window) or not isinstance(window.this, _AGGREGATES):
            continue
        spec = window.args.get("spec")
        start = spec.args.get("start") if spec else "UNBOUNDED"
        if start == "UNBOUNDED":
            unbounded = f"the frame of {window.this.sql('hive')} is unbounded; give it a start: RANGE BETWEEN … PRECEDING"
            yield unbounded, line_of(window)
        elif spec and spec.args.get("kind") == "RANGE" and isinstance(start, exp.Expr):
            seconds = _seconds(start, file)
            if seconds is None or spec.args.get("start_side") != "PRECEDING":
                continue
            if _is_in_micros(window):
                if seconds > lookback * MICROS:
                    most = lookback * MICROS
                    yield (
                        f"the frame begins {seconds} microseconds back, but {limit}; use at most {most} PRECEDING",
                        line_of(window),
                    )
            # a frame counts whole seconds, but the lookback can end at a fraction of one
            elif seconds >= max(lookback, 1):
                most = max(lookback - 1, 0)
                yield f"the frame begins {seconds} seconds back, but {limit}; use at most {most} PRECEDING", line_of(window)
    for comparison in file.tree().find_all(exp.LT, exp.LTE):
        kind = _difference(comparison.this)
        seconds = _seconds(comparison.expression, file) if kind else None
        if seconds is None:
            continue
        if kind is exp.UnixMicros:
            if seconds > lookback * MICROS:
                yield f"the comparison reaches {seconds} microseconds back, but {limit}", line_of(comparison)
        elif seconds + isinstance(comparison, exp.LTE) > lookback:
            yield f"the comparison reaches {seconds} seconds back, but {limit}", line_of(comparison)


def _is_by_time(window: exp.Window) -> bool:
    order = window.args.get("order")
    first = order.expressions[0].this if order else None
    return isinstance(first, (exp.StrToUnix, exp.UnixMicros)) or (isinstance(first, exp.Column) and first.name == "event_time")


def _is_in_micros(window: exp.Window) -> bool:
    return isinstance(window.args["order"].expressions[0].this, exp.UnixMicros)


def _difference(node: exp.Expr) -> type[exp.Expr] | None:
    """The function of `f(a) - f(b)` for UNIX_TIMESTAMP and UNIX_MICROS; None for any other expression."""
    node = node.unnest()
    if not isinstance(node, exp.Sub):
        return None
    kinds = {type(side.unnest()) for side in (node.this, node.expression)}
    return next((kind for kind in (exp.StrToUnix, exp.UnixMicros) if kinds == {kind}), None)


def _seconds(node: exp.Expr, file: SqlFile[FrontMatter]) -> int | None:
    """A literal number, of seconds or microseconds; for a param, the maximum that a rules file may set."""
    if isinstance(node, exp.Placeholder) and node.name in file.meta.params:
        return int(file.meta.params[node.name].max)
    return int(node.name) if isinstance(node, exp.Literal) and node.is_int else None


def _written(time: dt.timedelta) -> str:
    """A duration as front matter has it, in the largest unit that divides it."""
    seconds = int(time.total_seconds())
    return next(f"{seconds // unit}{letter}" for letter, unit in (("d", 86400), ("h", 3600), ("m", 60)) if not seconds % unit)
