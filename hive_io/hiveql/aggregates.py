"""Aggregates from exact sums, so that every engine gives the same digits; in a GROUP BY and in a window."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from hive_io.hiveql.rewrite import fill
from hive_io.hiveql.types import DOUBLE, UNKNOWN, VOID, Type, as_decimal, bounded, decimal, is_exact, is_integer, mark, type_of

Cast = Callable[[exp.Expr, Type, Type], exp.Expr]
"""How a dialect casts a value from one type to another."""


def moment(name: str, arg: exp.Expr, dialect: str, cast: Cast) -> exp.Expr | None:
    """`stddev_pop`, `stddev_samp` or `var_pop` from COUNT(x), SUM(x) and SUM(x * x) on DECIMAL; None for an unknown type."""
    given = type_of(arg)
    if not is_exact(given):
        return None
    kind = as_decimal(given)
    x = f"CAST(_0 AS {kind})"
    scale = kind.scale
    # so that the difference has room for all its digits: Hive drops those after the sixth where 38 are too few
    wide, total = (decimal(38, 2 * scale), decimal(38, scale)) if scale <= 3 else (decimal(26, 2 * scale), decimal(18, scale))
    if dialect == "duckdb":
        # 38 digits before the product: that of two shorter DECIMALs has too few of them
        x2 = f"CAST(_0 AS DECIMAL(38,{scale})) * {x}"
        spread = (
            f"CAST(COUNT(_0) AS DECIMAL(38,0)) * TRY_CAST(SUM({x2}) AS {wide}) - "
            f"CAST(TRY_CAST(SUM({x}) AS {total}) AS DECIMAL(38,{scale})) * TRY_CAST(SUM({x}) AS {total})"
        )
    else:
        sum_ = f"CAST(SUM({x}) AS {total})"
        spread = f"CAST(COUNT(_0) AS DECIMAL(10,0)) * CAST(SUM({x} * {x}) AS {wide}) - {sum_} * {sum_}"
    inner = fill(spread, [arg], dialect, str, str)
    result = decimal(38, 2 * scale)
    number = cast(mark(exp.Paren(this=inner), result), result, DOUBLE)
    count = "CAST(COUNT(_1) AS DOUBLE)"
    text = {
        "stddev_pop": f"CASE WHEN COUNT(_1) > 0 THEN SQRT(_0) / {count} END",
        "var_pop": f"CASE WHEN COUNT(_1) > 0 THEN _0 / ({count} * {count}) END",
        "stddev_samp": f"CASE WHEN COUNT(_1) > 1 THEN SQRT(_0 / ({count} * (COUNT(_1) - 1))) END",
    }[name]
    return fill(text, [number, arg], dialect, str, str)


def mean(arg: exp.Expr, dialect: str) -> exp.Expr | None:
    """The mean of integers, a DOUBLE; for a server of DECIMALs, too: Apache Hive's AVG of them is wrong in some frames."""
    kind = type_of(arg.expressions[0] if isinstance(arg, exp.Distinct) else arg)
    if kind.kind == "DECIMAL" and dialect == "hive":
        total, wanted = decimal(min(kind.precision + 10, 38), kind.scale), bounded(kind.precision + 4, kind.scale + 4)
        text = f"CASE WHEN COUNT(_0) > 0 THEN CAST(CAST(SUM(_0) AS {total}) / CAST(COUNT(_0) AS DECIMAL(10,0)) AS {wanted}) END"
        return fill(text, [arg], dialect, str, str)
    if not is_integer(kind):
        return None
    return fill(
        "CASE WHEN COUNT(_0) > 0 THEN CAST(CAST(SUM(_0) AS BIGINT) AS DOUBLE) / COUNT(_0) END", [arg], dialect, str, str
    )


def percentile(arg: exp.Expr, share: exp.Expr, dialect: str, cast: Cast) -> exp.Expr:
    """The exact percentile, by Hive's formula, from a sorted list."""
    place = f"(CAST('{share.name}' AS DOUBLE) * (COUNT(_0) - 1))"
    if dialect == "duckdb":
        sorted_ = "LIST_SORT(LIST(_0) FILTER (WHERE _0 IS NOT NULL))"
        low, high = (f"LIST_EXTRACT({sorted_}, CAST({rounding}({place}) AS BIGINT) + 1)" for rounding in ("FLOOR", "CEIL"))
    else:
        sorted_ = "SORT_ARRAY(COLLECT_LIST(_0))"
        low, high = (f"{sorted_}[CAST({rounding}({place}) AS INT)]" for rounding in ("FLOOR", "CEIL"))
    given = type_of(arg)
    parts = []
    for text in (low, high):
        item = fill(text, [arg], dialect, str, str)
        parts.append(cast(mark(item, given), given, DOUBLE) if given not in (UNKNOWN, VOID) else exp.cast(item, "DOUBLE"))
    whole = (
        f"CASE WHEN COUNT(_2) = 0 THEN NULL WHEN FLOOR({place}) = CEIL({place}) THEN _0 "
        f"ELSE (CEIL({place}) - {place}) * _0 + ({place} - FLOOR({place})) * _1 END"
    ).replace("COUNT(_0)", "COUNT(_2)")
    return fill(whole, [*parts, arg], dialect, str, str)


def over(window: exp.Window, expression: exp.Expr) -> exp.Expr:
    """Put the window behind each aggregate of an expression."""
    holder = exp.Paren(this=expression)
    stack: list[exp.Expr] = [expression]
    while stack:
        node = stack.pop()
        if isinstance(node, (exp.AggFunc, exp.Filter)):
            shell = window.copy()
            parent, key, index = node.parent, node.arg_key, node.index
            shell.set("this", node)
            assert parent is not None
            parent.set(key or "", shell, index)
        else:
            stack.extend(node.iter_expressions())
    new = holder.this
    new.parent = None
    return new
