"""RANGE frames for Apache Hive, which leaves out rows at the bound nearer to the current row, and reads bounds up to 2^31 only.

Its scanner (ValueBoundaryScanner, 4.0.1) compares `distance > bound`. That is right for the far end of a frame; for the near
one (`… AND m PRECEDING`, `BETWEEN m FOLLOWING …`) a row at distance m is left out. Keys are integers: with doubled keys no
row is at an odd distance, and a bound of 2m - 1 means the same to every engine.
"""

from __future__ import annotations

from sqlglot import exp

from hive_io.errors import QueryError
from hive_io.hiveql.annotate import MOST_IN_A_FRAME
from hive_io.hiveql.rewrite import bracketed, fill
from hive_io.hiveql.signatures import number_of
from hive_io.hiveql.types import mark, type_of

_CURRENT = "CURRENT ROW"
_MOST = MOST_IN_A_FRAME // 2
_UNITS = 2**30
"""The bound of a wide frame, in units that are as long as it needs."""
_MIDDLE = 1_700_000_000_000_000
"""Microseconds since 1970 that are taken off a key before it becomes a DOUBLE: 2023, so that it is exact for centuries."""


def for_hive(window: exp.Window) -> exp.Expr | None:
    """The window as Apache Hive reads it right; None if it does anyway."""
    spec = window.args.get("spec")
    if spec is None or str(spec.args.get("kind")).upper() != "RANGE":
        return None
    start, start_side = _bound(spec, "start")
    end, end_side = _bound(spec, "end")
    offsets = [bound for bound in (start, end) if isinstance(bound, int)]
    if not offsets:
        return None
    near = (isinstance(end, int) and end_side == "PRECEDING") or (isinstance(start, int) and start_side == "FOLLOWING")
    if max(offsets) > _MOST:
        return _wide(window, start, start_side, end, end_side)
    if not near:
        return None
    frame = _framed(
        window,
        _doubled(window),
        _twice(start, start_side == "FOLLOWING"),
        start_side,
        _twice(end, end_side == "PRECEDING"),
        end_side,
    )
    return _peers_for_null(window, frame, _doubled(window))


def _bound(spec: exp.Expr, which: str) -> tuple[int | str, str]:
    value, side = spec.args.get(which), str(spec.args.get(f"{which}_side") or "").upper()
    if value is None:
        return _CURRENT, ""
    if isinstance(value, exp.Expr):
        number = number_of(value.unnest())
        if number is None:
            raise QueryError(f"{value.sql('hive')}: the bound of a frame is an integer, written out")
        return (number, side) if number else (_CURRENT, "")
    return str(value).upper(), side


def _twice(bound: int | str, near: bool) -> int | str:
    return 2 * bound - near if isinstance(bound, int) else bound


def _key(window: exp.Window) -> exp.Expr:
    key: exp.Expr = window.args["order"].expressions[0].this
    return key


def _doubled(window: exp.Window) -> exp.Expr:
    return fill("CAST(_0 AS BIGINT) * 2", [_key(window)], "hive", str, str)


def _framed(window: exp.Window, key: exp.Expr, start: int | str, start_side: str, end: int | str, end_side: str) -> exp.Window:
    """The window with another key and another frame."""
    new = window.copy()
    new.args["order"].expressions[0].set("this", key.copy())
    spec = exp.WindowSpec(kind="RANGE")
    for name, bound, side in (("start", start, start_side), ("end", end, end_side)):
        spec.set(name, exp.Literal.number(bound) if isinstance(bound, int) else bound)
        spec.set(f"{name}_side", side if isinstance(bound, int) or bound == "UNBOUNDED" else None)
    new.set("spec", spec)
    return new


def _peers_for_null(window: exp.Window, frame: exp.Expr, key: exp.Expr) -> exp.Expr:
    """Rows without a key are as far from each other as rows of one key, by the standard; Hive has none in such a frame."""
    start, start_side = _bound(window.args["spec"], "start")
    end, end_side = _bound(window.args["spec"], "end")
    peers = _framed(
        window,
        key,
        start if start == "UNBOUNDED" else _CURRENT,
        start_side if start == "UNBOUNDED" else "",
        end if end == "UNBOUNDED" else _CURRENT,
        end_side if end == "UNBOUNDED" else "",
    )
    case = fill("CASE WHEN _0 IS NULL THEN _1 ELSE _2 END", [_key(window), peers, frame], "hive", str, str)
    return mark(case, type_of(window))


# --- bounds over 2^31 -------------------------------------------------------------------------------------------------


def _scaled(window: exp.Window, bound: int) -> exp.Expr:
    """The key in units in which `bound` and a half are 2^30: a DOUBLE, to which a microsecond is more than its last digit."""
    factor = format(_UNITS / (bound + 0.5), ".17e")
    return fill(f"CAST(_0 - {_MIDDLE} AS DOUBLE) * {factor}", [_key(window)], "hive", str, str)


def _wide(window: exp.Window, start: int | str, start_side: str, end: int | str, end_side: str) -> exp.Expr:
    if not (isinstance(start, int) and isinstance(end, int)):
        bound = start if isinstance(start, int) else end
        assert isinstance(bound, int)
        far = (start_side == "PRECEDING") if isinstance(start, int) else (end_side == "FOLLOWING")
        if not far:
            raise QueryError(f"a frame that begins or ends {bound} microseconds away, with no end: Apache Hive has none")
        return _framed(
            window,
            _scaled(window, bound),
            _UNITS if isinstance(start, int) else start,
            start_side,
            _UNITS if isinstance(end, int) else end,
            end_side,
        )
    if start_side != end_side:
        raise QueryError("a frame with an end on both sides of the current row has bounds up to 1073741823 on Apache Hive")
    back = start_side == "PRECEDING"
    far_bound, near_bound = (start, end) if back else (end, start)
    return _difference(window, far_bound, near_bound, back)


def _to_current(window: exp.Window, bound: int, back: bool, key: exp.Expr) -> exp.Window:
    """From `bound` to the current row and those of its key."""
    ends: tuple[int | str, str, int | str, str] = (
        (bound, "PRECEDING", _CURRENT, "") if back else (_CURRENT, "", bound, "FOLLOWING")
    )
    return _framed(window, key, *ends)


def _difference(window: exp.Window, far: int, near: int, back: bool) -> exp.Expr:
    """COUNT or SUM of a frame that leaves out the current row: of all from it on, less those that are too near."""
    key = _scaled(window, far)
    whole = _to_current(window, _UNITS, back, key)
    if near == 1:
        less = _framed(window, key, _CURRENT, "", _CURRENT, "")
    elif near - 1 <= _MOST:
        less = _to_current(window, near - 1, back, bracketed(_key(window).copy()))
    else:
        less = _to_current(window, _UNITS, back, _scaled(window, near - 1))
    function = window.this
    if far < near:
        raise QueryError("a frame whose far bound is nearer than the near one is empty")
    if isinstance(function, exp.Count):
        text, parts = "_0 - _1", [whole, less]
    else:
        counts = []
        for part in (whole, less):
            count = part.copy()
            count.set("this", exp.Count(this=function.this.copy()))
            counts.append(count)
        text, parts = "CASE WHEN _2 > _3 THEN _0 - COALESCE(_1, 0) END", [whole, less, *counts]
    result = fill(text, parts, "hive", str, str)
    kind = type_of(window)
    if kind.kind == "DECIMAL":
        result = fill(f"CAST(_0 AS {kind})", [result], "hive", str, str)
    return _peers_for_null(window, result, key)
