"""Function calls of a syntax tree: the name as it is documented, the name as it was written, and the arguments in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlglot import exp

WRITTEN = "hiveql_written"
"""The key of a node's meta that holds the name of its function as the author wrote it."""
FORMAT = "hiveql_format"
"""The key of a node's meta that holds a pattern of dates as the author wrote it."""


class Call(NamedTuple):
    """A call of a function.

    Attributes:
        name: as it is documented.
        args: its arguments; parts of the tree.
    """

    name: str
    args: list[exp.Expr]


_Args = Callable[[exp.Expr], list[exp.Expr]]


def _arguments(*keys: str) -> _Args:
    def read(node: exp.Expr) -> list[exp.Expr]:
        found: list[exp.Expr] = []
        for key in keys:
            value = node.args.get(key)
            found += value if isinstance(value, list) else [value] if isinstance(value, exp.Expr) else []
        return found

    return read


def _unwrapped(node: exp.Expr, *kinds: type[exp.Expr]) -> exp.Expr:
    """Without the conversion that sqlglot puts around an argument."""
    return node.this if isinstance(node, kinds) and WRITTEN not in node.meta else node


def _dates(*keys: str) -> _Args:
    plain = _arguments(*keys)
    return lambda node: [_unwrapped(arg, exp.TsOrDsToDate, exp.TimeStrToTime) for arg in plain(node)]


def _pattern(node: exp.Expr) -> list[exp.Expr]:
    args = [_unwrapped(node.this, exp.TimeStrToTime)]
    if FORMAT in node.meta:
        args.append(exp.Literal.string(node.meta[FORMAT]))
    elif isinstance(node, exp.TimeToStr):
        args.append(exp.Literal.string(node.args["format"].name))
    return args


def _days(node: exp.Expr) -> list[exp.Expr]:
    count = node.expression
    return [node.this, count.this if is_subtraction(node) else count]


def is_subtraction(node: exp.Expr) -> bool:
    """True if a TsOrDsAdd was written as `date_sub`: sqlglot multiplies its days by -1."""
    count = node.expression
    return (
        isinstance(count, exp.Mul)
        and isinstance(count.expression, exp.Neg)
        and isinstance(count.expression.this, exp.Literal)
        and node.meta.get(WRITTEN, "date_sub").lower() == "date_sub"
    )


def is_implied(node: exp.Expr) -> bool:
    """True for a conversion that sqlglot put around an argument, and the author did not write."""
    return (
        isinstance(node, (exp.TsOrDsToDate, exp.TimeStrToTime))
        and WRITTEN not in node.meta
        and isinstance(node.parent, (exp.DateDiff, exp.TimeToStr, exp.Day, exp.Month, exp.Year))
    )


_T, _TE = _arguments("this"), _arguments("this", "expression")
_CALLS: Mapping[type[exp.Expr], tuple[str, _Args]] = {
    exp.Abs: ("abs", _T),
    exp.Ceil: ("ceil", _T),
    exp.Floor: ("floor", _T),
    exp.Round: ("round", _arguments("this", "decimals")),
    exp.Sqrt: ("sqrt", _T),
    exp.Exp: ("exp", _T),
    exp.Ln: ("ln", _T),
    exp.Pow: ("pow", _TE),
    exp.Sin: ("sin", _T),
    exp.Cos: ("cos", _T),
    exp.Asin: ("asin", _T),
    exp.Radians: ("radians", _T),
    exp.Lower: ("lower", _T),
    exp.Upper: ("upper", _T),
    exp.Length: ("length", _T),
    exp.Concat: ("concat", _arguments("expressions")),
    exp.ConcatWs: ("concat_ws", _arguments("expressions")),
    exp.Substring: ("substr", _arguments("this", "start", "length")),
    exp.RegexpSplit: ("split", _TE),
    exp.Translate: ("translate", _arguments("this", "from_", "to")),
    exp.Replace: ("replace", _arguments("this", "expression", "replacement")),
    exp.RegexpReplace: ("regexp_replace", _arguments("this", "expression", "replacement")),
    exp.RegexpExtract: ("regexp_extract", _arguments("this", "expression", "group")),
    exp.MD5: ("md5", _T),
    exp.SHA2: ("sha2", _arguments("this", "length")),
    exp.TimeToStr: ("date_format", _pattern),
    exp.UnixToStr: ("from_unixtime", _pattern),
    exp.StrToUnix: ("unix_timestamp", _pattern),
    exp.UnixMicros: ("unix_micros", _T),
    exp.DateDiff: ("datediff", _dates("this", "expression")),
    exp.TsOrDsToDate: ("to_date", _T),
    exp.LastDay: ("last_day", _T),
    exp.AddMonths: ("add_months", _TE),
    exp.MonthsBetween: ("months_between", _TE),
    exp.Hour: ("hour", _T),
    exp.Minute: ("minute", _T),
    exp.Second: ("second", _T),
    exp.Day: ("day", _dates("this")),
    exp.DayOfMonth: ("day", _T),
    exp.Month: ("month", _dates("this")),
    exp.Year: ("year", _dates("this")),
    exp.Quarter: ("quarter", _T),
    exp.DayOfWeek: ("dayofweek", _T),
    exp.WeekOfYear: ("weekofyear", _T),
    exp.Coalesce: ("coalesce", _arguments("this", "expressions")),
    exp.Nullif: ("nullif", _TE),
    exp.Greatest: ("greatest", _arguments("this", "expressions")),
    exp.Least: ("least", _arguments("this", "expressions")),
    exp.If: ("if", _arguments("this", "true", "false")),
    exp.Array: ("array", _arguments("expressions")),
    exp.ArraySize: ("size", _T),
    exp.ArrayContains: ("array_contains", _TE),
    exp.ArraySort: ("sort_array", _arguments("this", "asc")),
    exp.Count: ("count", _arguments("this", "expressions")),
    exp.Sum: ("sum", _T),
    exp.Avg: ("avg", _T),
    exp.Min: ("min", _arguments("this", "expressions")),
    exp.Max: ("max", _arguments("this", "expressions")),
    exp.Stddev: ("stddev", _T),
    exp.StddevPop: ("stddev_pop", _T),
    exp.StddevSamp: ("stddev_samp", _T),
    exp.Variance: ("variance", _T),
    exp.VariancePop: ("var_pop", _T),
    exp.Quantile: ("percentile", _arguments("this", "quantile")),
    exp.ArrayAgg: ("collect_list", _T),
    exp.ArrayUniqueAgg: ("collect_set", _T),
    exp.RowNumber: ("row_number", _T),
    exp.Rank: ("rank", _arguments("expressions")),
    exp.DenseRank: ("dense_rank", _arguments("expressions")),
    exp.Ntile: ("ntile", _T),
    exp.Lag: ("lag", _arguments("this", "offset", "default")),
    exp.Lead: ("lead", _arguments("this", "offset", "default")),
    exp.FirstValue: ("first_value", _T),
    exp.LastValue: ("last_value", _T),
    exp.Mod: ("%", _TE),
    exp.DPipe: ("||", _TE),
    exp.RegexpLike: ("rlike", _TE),
}
_NOT_WRITTEN = (exp.TsOrDsToDate, exp.TimeStrToTime)


_KEYS: dict[type[exp.Expr], set[str]] = {
    exp.Abs: {"this"},
    exp.ArraySize: {"this"},
    exp.Lag: {"this", "offset", "default"},
    exp.Lead: {"this", "offset", "default"},
    exp.Ceil: {"this"},
    exp.Floor: {"this"},
    exp.Round: {"this", "decimals"},
    exp.Substring: {"this", "start", "length"},
    exp.RegexpSplit: {"this", "expression"},
    exp.RegexpReplace: {"this", "expression", "replacement"},
    exp.RegexpExtract: {"this", "expression", "group"},
    exp.RegexpLike: {"this", "expression"},
    exp.DateDiff: {"this", "expression"},
    exp.TsOrDsToDate: {"this"},
    exp.LastDay: {"this"},
    exp.AddMonths: {"this", "expression"},
    exp.MonthsBetween: {"this", "expression"},
    exp.ArrayContains: {"this", "expression"},
    exp.Quantile: {"this", "quantile"},
    exp.Trim: {"this", "position"},
    exp.Length: {"this"},
    exp.Split: {"this", "expression"},
}
"""Parts of functions that have more of them in other dialects."""


def surplus_of(node: exp.Expr) -> list[str]:
    """Parts of a call that Hive's function of that name does not have."""
    known = _KEYS.get(type(node))
    if known is None:
        return []
    return [
        key
        for key, value in node.args.items()
        if key not in known and (isinstance(value, exp.Expr) or (isinstance(value, list) and value))
    ]


def call_of(node: exp.Expr) -> Call | None:
    """The call that a node is; None for operators and clauses."""
    if isinstance(node, exp.Anonymous):
        return Call(node.name.lower(), list(node.expressions))
    if isinstance(node, exp.TsOrDsAdd):
        return Call("date_sub" if is_subtraction(node) else "date_add", _days(node))
    if isinstance(node, exp.Trim):
        sides = {"LEADING": "ltrim", "TRAILING": "rtrim"}
        return Call(sides.get(str(node.args.get("position") or "").upper(), "trim"), _arguments("this", "expression")(node))
    if isinstance(node, exp.Pad):
        return Call("lpad" if node.args.get("is_left") else "rpad", _arguments("this", "expression", "fill_pattern")(node))
    if isinstance(node, exp.StrPosition):
        written = node.meta.get(WRITTEN, "locate").lower()
        place = node.args.get("position")
        if written == "instr":
            return Call("instr", [node.this, node.args["substr"], *([place] if place else [])])
        return Call("locate", [node.args["substr"], node.this, *([place] if place else [])])
    if isinstance(node, exp.Log):
        base = node.this
        written = node.meta.get(WRITTEN, "log10" if base.name == "10" else "log").lower()
        return Call(written, [node.expression] if written in ("log10", "log2") else [base, node.expression])
    found = _CALLS.get(type(node))
    return Call(found[0], found[1](node)) if found else None


def name_of(node: exp.Expr) -> str:
    """The function of a node, as the author wrote it if that is known."""
    call = call_of(node)
    if WRITTEN in node.meta:
        return str(node.meta[WRITTEN])
    if call is not None:
        return call.name
    if isinstance(node, exp.ApproxQuantile):
        return "percentile_approx"
    return node.sql_name().lower() if isinstance(node, exp.Func) else type(node).__name__
