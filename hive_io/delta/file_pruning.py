"""File pruning: the files of a Delta Lake table that can hold rows of a query, by its bounds and the statistics in the log.

DuckDB would skip the other files too, but only after reading each name or opening the file. With pruning, the length of the
list depends on the queried span, not on the history.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import unquote

import deltalake
import pyarrow as pa
from sqlglot import exp

from hive_io.table import PARTITION

_STATISTICS_OF, _FIRST_COLUMNS = "delta.dataSkippingStatsColumns", "delta.dataSkippingNumIndexedCols"
_MILLISECOND = dt.timedelta(milliseconds=1)
_FLIPPED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GTE: exp.LTE,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.LT: exp.GT,
    exp.EQ: exp.EQ,
}
Value: TypeAlias = str | dt.datetime


@dataclass(frozen=True)
class Bound:
    """`column >= value` or `column <= value`. Strict bounds are treated as inclusive, which may admit one more file."""

    column: str
    is_lower: bool
    value: Value


def statistics(schema: pa.Schema) -> dict[str, str]:
    """The property of a table that has statistics in the log of its times, by which files are pruned, and of nothing else.

    Statistics of all columns cost each commit a third of its time, and would show the first and last value of a file, which may
    be as large as a rejected row, in the log.
    """
    times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    return {_STATISTICS_OF: ",".join(times)} if times else {_FIRST_COLUMNS: "0"}


def bounds(tree: exp.Query) -> dict[str, list[list[Bound]]]:
    """Return, for each table `database.name`, the bounds at each place where it is read. Rows outside them are not used there.

    A place where a table is joined with others has no bounds: its WHERE may refer to another table, or not hold for a join.
    """
    found: dict[str, list[list[Bound]]] = {}
    for table in tree.find_all(exp.Table):
        if table.db:
            found.setdefault(f"{table.db}.{table.name}", []).append(list(_bounds_of(table)))
    return found


def _bounds_of(table: exp.Table) -> Iterator[Bound]:
    select = table.parent.parent if isinstance(table.parent, exp.From) else None
    if not isinstance(select, exp.Select) or select.args.get("joins") or table.args.get("joins"):
        return
    for condition in _all_of(select.args.get("where")):
        for kind, column, other in _comparisons(condition):
            value = _value(other)
            if value is None or not isinstance(column, exp.Column) or column.table not in ("", table.alias_or_name):
                continue
            if kind in (exp.GTE, exp.GT, exp.EQ):
                yield Bound(column.name, True, value)
            if kind in (exp.LTE, exp.LT, exp.EQ):
                yield Bound(column.name, False, value)


def _all_of(where: exp.Where | None) -> list[exp.Expr]:
    """Conditions joined by AND in a WHERE."""
    if where is None:
        return []
    return list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this.unnest()]


def _comparisons(condition: exp.Expr) -> list[tuple[type[exp.Expr], exp.Expr, exp.Expr]]:
    """Comparisons of a condition, the column on the left; empty for a condition of another kind."""
    if isinstance(condition, exp.Between) and not condition.args.get("symmetric"):
        return [(exp.GTE, condition.this, condition.args["low"]), (exp.LTE, condition.this, condition.args["high"])]
    if type(condition) not in _FLIPPED:
        return []
    left, right = condition.this, condition.expression
    if isinstance(left, exp.Column):
        return [(type(condition), left, right)]
    return [(_FLIPPED[type(condition)], right, left)]


def _value(node: exp.Expr) -> Value | None:
    """A text literal, or the time of CAST('…' AS TIMESTAMP); None for anything else."""
    if isinstance(node, exp.Literal) and node.is_string:
        return str(node.this)
    if isinstance(node, exp.Cast) and node.is_type("timestamp") and isinstance(node.this, exp.Literal):
        try:
            return dt.datetime.fromisoformat(node.this.this)
        except ValueError:
            return None
    return None


def files(delta: deltalake.DeltaTable, places: Sequence[Sequence[Bound]]) -> list[str]:
    """Return the paths of the files that may hold rows within the bounds of any of the places."""
    paths = [unquote(uri) for uri in delta.file_uris()]
    if not all(places) or not paths:
        return paths
    actions = pa.table(delta.get_add_actions(flatten=True))
    needed: set[int] = set()
    for place in places:
        rest = list(range(len(paths)))
        for bound in sorted(place, key=lambda bound: bound.column != PARTITION):
            rest = _within(actions, rest, bound)
        needed.update(rest)
    return [path for number, path in enumerate(paths) if number in needed]


def _within(actions: pa.Table, numbers: list[int], bound: Bound) -> list[int]:
    """Numbers of the files that the bound does not exclude."""
    keeps: Callable[[Any], bool]
    if bound.column == PARTITION and isinstance(bound.value, str):
        name, keeps = f"partition.{PARTITION}", _texts(bound.is_lower, bound.value)
    elif isinstance(bound.value, dt.datetime):
        name, keeps = f"{'max' if bound.is_lower else 'min'}.{bound.column}", _times(bound.is_lower, bound.value)
    else:
        return numbers
    if name not in actions.column_names:
        return numbers
    values = actions.column(name).take(pa.array(numbers, pa.int64())).to_pylist()
    return [number for number, value in zip(numbers, values, strict=True) if value is None or keeps(value)]


def _texts(is_lower: bool, limit: str) -> Callable[[str], bool]:
    return (lambda value: value >= limit) if is_lower else (lambda value: value <= limit)


def _times(is_lower: bool, limit: dt.datetime) -> Callable[[dt.datetime], bool]:
    # statistics are truncated to milliseconds: the last row of a file may be later
    if is_lower:
        return lambda value: value.replace(tzinfo=None) + _MILLISECOND >= limit
    return lambda value: value.replace(tzinfo=None) <= limit
