"""HiveQL that means the same on every engine: parsing, parameters, the allow-list, translation to DuckDB."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import cast

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from hive_io.errors import QueryError
from hive_io.table import PARTITION

Value = str | int | bool | Decimal | dt.datetime | None
"""What a parameter can be. Numbers with digits behind the point are Decimal, so that nothing is rounded."""


class HiveQL:
    """One SELECT in HiveQL, with named parameters (`:name`) that are bound as literals, never pasted.

    Returned by an asset instead of rows, it runs in the warehouse, and nothing travels through Python.
    """

    def __init__(self, text: str, params: Mapping[str, Value] | None = None) -> None:
        self._text: str | None = text
        self._params = dict(params or {})
        self._bound: exp.Query | None = None

    @classmethod
    def of(cls, tree: exp.Query) -> HiveQL:
        """A query that was put together as a syntax tree, of parts that `parse` let through; without parameters."""
        query = cls("")
        query._text, query._bound = None, tree
        return query

    @property
    def text(self) -> str:
        """The query as it was given."""
        if self._text is None:
            self._text = self.bound().sql(dialect="hive")
        return self._text

    def bound(self) -> exp.Query:
        """The syntax tree with literals for parameters; not to be changed.

        Raises:
            QueryError: not one SELECT, not in the allow-list, or a parameter without a value.
        """
        if self._bound is None:
            self._bound = bind(parse(self.text), self._params)
        return self._bound

    def __str__(self) -> str:
        return self.bound().sql(dialect="hive", pretty=True)


def parse(text: str) -> exp.Query:
    """Parse one SELECT and hold it against the allow-list.

    Raises:
        QueryError: with the line.
    """
    try:
        trees = [tree for tree in sqlglot.parse(text, read="hive") if tree is not None]
    except ParseError as error:
        first = error.errors[0]
        where = f"{first['start_context'][-30:]}>>{first['highlight']}<<".strip()
        raise QueryError(f"{first['description']} near {where!r}", first["line"]) from None
    except TokenError as error:
        raise QueryError(f"The text cannot be read as SQL: {error}") from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise QueryError("A query is one SELECT; statements that write are built by the warehouse", 1)
    for problem in problems(trees[0]):
        raise problem
    return trees[0]


def bind(tree: exp.Query, params: Mapping[str, Value]) -> exp.Query:
    """Put literals in the place of `:name`.

    Raises:
        QueryError: a placeholder that `params` does not name.
    """

    def replace(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Placeholder):
            return node
        if node.name not in params:
            known = ", ".join(f":{name}" for name in sorted(params)) or "none"
            raise QueryError(f":{node.name} has no value; known parameters: {known}")
        return literal(params[node.name])

    return cast(exp.Query, tree.transform(replace))


def literal(value: Value) -> exp.Expr:
    """A literal that HiveQL reads as exactly this value; a datetime becomes its UTC time, in microseconds."""
    if value is None:
        return exp.null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, Decimal):
        digits, exponent = value.as_tuple().digits, value.as_tuple().exponent
        if not isinstance(exponent, int):
            raise QueryError(f"{value} is no number")
        scale = max(-exponent, 0)
        precision = max(len(digits) + max(exponent, 0), scale + 1)
        return exp.cast(exp.Literal.string(f"{value:f}"), f"DECIMAL({precision},{scale})")
    if isinstance(value, int):
        return exp.Literal.number(value)
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise QueryError(f"{value} has no time zone")
        return exp.cast(exp.Literal.string(f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}"), "TIMESTAMP")
    return exp.Literal.string(value)


# --- the allow-list ---------------------------------------------------------------------------------------------------
# What was compared on Spark and on DuckDB and gave the same; everything else is refused until it is compared, too.

_FUNCTIONS: tuple[type[exp.Expr], ...] = (
    exp.Abs, exp.And, exp.Or, exp.Array, exp.ArrayAgg, exp.Asin, exp.Case, exp.Cast, exp.TryCast, exp.Ceil,
    exp.Coalesce, exp.Concat, exp.Cos, exp.Count, exp.DateDiff, exp.Exists, exp.Exp, exp.Floor, exp.If, exp.Lag,
    exp.Length, exp.Lower, exp.Max, exp.Min, exp.Pow, exp.Radians, exp.RegexpReplace, exp.Replace, exp.RowNumber,
    exp.Sin, exp.Sqrt, exp.StrToUnix, exp.Sum, exp.TimeStrToTime, exp.TimeToStr, exp.Trim, exp.TsOrDsAdd,
    exp.TsOrDsToDate, exp.Upper,
)  # fmt: skip

_NODES: tuple[type[exp.Expr], ...] = (
    exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.With, exp.CTE,
    exp.Subquery, exp.Union, exp.Table, exp.TableAlias, exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Literal,
    exp.Null, exp.Boolean, exp.Placeholder, exp.DataType, exp.DataTypeParam, exp.Var, exp.Paren, exp.Tuple,
    exp.Distinct, exp.Window, exp.WindowSpec, exp.Not, exp.Neg, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE,
    exp.NullSafeEQ, exp.Is, exp.In, exp.Between, exp.Like, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv,
)  # fmt: skip

_ALLOWED = frozenset((*_FUNCTIONS, *_NODES))

_REASONS: dict[type[exp.Expr], str] = {
    exp.Avg: "last digits differ; take CAST(SUM(x) AS DOUBLE) / COUNT(x)",
    exp.Stddev: "last digits differ; make it from COUNT, SUM(x) and SUM(x * x) on DECIMAL",
    exp.StddevPop: "last digits differ; make it from COUNT, SUM(x) and SUM(x * x) on DECIMAL",
    exp.StddevSamp: "last digits differ; make it from COUNT, SUM(x) and SUM(x * x) on DECIMAL",
    exp.Variance: "last digits differ; make it from COUNT, SUM(x) and SUM(x * x) on DECIMAL",
    exp.Greatest: "Hive gives NULL where one argument is NULL, DuckDB does not; take CASE",
    exp.Least: "Hive gives NULL where one argument is NULL, DuckDB does not; take CASE",
    exp.Round: "halves of a DOUBLE round differently; take CAST(FLOOR(x * 100 + 0.5) / 100 AS DECIMAL(18,2))",
    exp.ArraySize: "size(NULL) is -1 in Hive and NULL in DuckDB",
    exp.ArrayUniqueAgg: "its order differs; take COUNT(DISTINCT x) or GROUP BY",
    exp.Substring: "position 0 differs",
    exp.Lateral: "explode of an empty array differs",
    exp.Limit: "without a total order the rows differ; filter by ROW_NUMBER()",
    exp.DayOfWeek: "Sunday is 1 in Hive and 0 in DuckDB; take pmod of datediff to a known Monday",
}

_INTEGERS = {exp.DataType.Type.INT, exp.DataType.Type.BIGINT, exp.DataType.Type.SMALLINT, exp.DataType.Type.TINYINT}
_OF_DOUBLES = (exp.Div, exp.Asin, exp.Cos, exp.Exp, exp.Pow, exp.Radians, exp.Sin, exp.Sqrt)
_WHOLE = (exp.Floor, exp.Ceil, exp.Count, exp.DateDiff, exp.Literal, exp.Null, exp.Placeholder)


def problems(tree: exp.Expr) -> Iterator[QueryError]:
    """What in the tree does not mean the same on every engine, with lines where they are known."""
    line: int | None = 1
    for node in tree.walk(bfs=False):
        line = node.meta.get("line", line)
        if isinstance(node, exp.Anonymous):
            yield QueryError(f"Function {node.name}() is not in the allow-list of HiveQL that every engine shares", line)
        elif type(node) not in _ALLOWED:  # not isinstance: SORT BY is an exp.Order to sqlglot
            name = node.sql_name().lower() + "()" if isinstance(node, exp.Func) else type(node).__name__
            why = _REASONS.get(type(node), "it is not in the allow-list of HiveQL that every engine shares")
            yield QueryError(f"{name}: {why}", _line_of(node) or line)
        elif isinstance(node, (exp.Cast, exp.TryCast)) and node.to.this in _INTEGERS:
            if not isinstance(node.this.unnest(), _WHOLE):
                yield QueryError(
                    f"{node.sql('hive')}: engines round or truncate, and a TIMESTAMP becomes NULL; "
                    "cast FLOOR(x), or use UNIX_TIMESTAMP(ts)",
                    _line_of(node) or line,
                )
        elif isinstance(node, (exp.Cast, exp.TryCast)) and node.is_type("DECIMAL") and _is_unrounded(node.this):
            yield QueryError(
                f"{node.sql('hive')}: halves of a DOUBLE round differently; "
                "round it before, FLOOR(x * 100 + 0.5) / 100 for two digits",
                _line_of(node) or line,
            )
        elif isinstance(node, exp.Join) and node.kind == "ANTI":
            yield QueryError("LEFT ANTI JOIN: Apache Hive has none; take LEFT JOIN and WHERE … IS NULL", _line_of(node) or line)
        elif isinstance(node, (exp.Cast, exp.TryCast)) and node.is_type(*exp.DataType.TEXT_TYPES) and _is_boolean(node.this):
            yield QueryError(
                f"{node.sql('hive')}: true is 'TRUE' to Apache Hive; take IF(…, 'true', 'false')", _line_of(node) or line
            )
        elif isinstance(node, exp.StrToUnix) and not _is_default_format(node):
            yield QueryError("UNIX_TIMESTAMP with a format differs; give it one TIMESTAMP", _line_of(node) or line)
        elif isinstance(node, (exp.Binary, exp.Between, exp.In)) and isinstance(node, exp.Predicate):
            yield from _partition_against_other_type(node)


def _is_boolean(node: exp.Expr) -> bool:
    """Whether an expression shows that it is a BOOLEAN."""
    node = node.unnest()
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return node.is_type("BOOLEAN")
    return isinstance(node, (exp.Boolean, exp.Predicate, exp.Connector, exp.Not))


def _is_unrounded(node: exp.Expr) -> bool:
    """Whether an expression shows that it is a DOUBLE, with more digits than a power of ten of whole numbers has."""
    node = node.unnest()
    if isinstance(node, exp.Div) and isinstance(node.this.unnest(), (exp.Floor, exp.Ceil)):
        return not re.fullmatch("10*", node.expression.sql("hive"))
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return node.is_type("DOUBLE", "FLOAT")
    if isinstance(node, (exp.Floor, exp.Ceil, exp.IntDiv, exp.Count, exp.Predicate)):
        return False
    return isinstance(node, _OF_DOUBLES) or any(map(_is_unrounded, node.iter_expressions()))


def _is_default_format(node: exp.StrToUnix) -> bool:
    return node.sql("hive") == f"UNIX_TIMESTAMP({node.this.sql('hive')})"


def _partition_against_other_type(node: exp.Expr) -> Iterator[QueryError]:
    sides = [side.unnest() for side in node.iter_expressions()]
    if any(isinstance(side, exp.Column) and side.name == PARTITION for side in sides) and any(map(_is_no_text, sides)):
        yield QueryError(
            f"{node.sql('hive')}: ds is text; compare it with text, DATE_FORMAT(DATE_SUB(…), 'yyyy-MM-dd') for example",
            _line_of(node),
        )


def _is_no_text(side: exp.Expr) -> bool:
    if isinstance(side, (exp.Cast, exp.TryCast)):
        return not side.is_type(*exp.DataType.TEXT_TYPES)
    return isinstance(side, (exp.TsOrDsToDate, exp.TsOrDsAdd)) or (isinstance(side, exp.Literal) and not side.is_string)


def _line_of(node: exp.Expr) -> int | None:
    lines = [n.meta["line"] for n in node.walk() if "line" in n.meta]
    return min(lines) if lines else None


# --- translation ------------------------------------------------------------------------------------------------------


def to_duckdb(tree: exp.Query, relation: Callable[[str], str]) -> str:
    """Translate to DuckDB.

    Args:
        tree: a bound query; its tables are named `database.name`.
        relation: the name of the DuckDB relation that holds the rows of a table `database.name`.
    """

    named = {cte.alias for cte in tree.find_all(exp.CTE)}

    def translate(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Table) and not node.db and node.name not in named:
            # DuckDB would look for a file or a Python variable of that name
            raise QueryError(f"There is no table {node.name}; tables are named database.table", _line_of(node))
        if isinstance(node, exp.Table) and node.db:
            alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(node.name, quoted=True))
            return exp.Table(
                this=exp.to_identifier(relation(f"{node.db}.{node.name}"), quoted=True),
                alias=alias,
                joins=node.args.get("joins"),
            )
        if isinstance(node, exp.StrToUnix):
            # sqlglot's own translation parses a text, and fails on a TIMESTAMP
            epoch = exp.func("epoch", exp.cast(node.this, "TIMESTAMP"))
            return exp.cast(exp.Floor(this=epoch), "BIGINT")
        return _null_by_zero(node)

    return tree.transform(translate).sql(dialect="duckdb", copy=False)


def to_hive(tree: exp.Query) -> str:
    """The text that a HiveServer2 gets."""
    # every name quoted: what is no keyword to the engine that checked the query may be one to the server
    return tree.transform(_null_by_zero).sql(dialect="hive", identify=True, copy=False)


def _null_by_zero(node: exp.Expr) -> exp.Expr:
    """`x DIV 0` is NULL in Spark, an error in Apache Hive and in DuckDB."""
    if not isinstance(node, exp.IntDiv) or isinstance(node.expression, exp.Nullif):
        return node
    divisor = exp.Nullif(this=node.expression, expression=exp.Literal.number(0))
    return exp.IntDiv(this=node.this, expression=divisor)
