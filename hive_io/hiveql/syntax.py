"""The form of a query: which clauses and operators it may have, and which of their parts. Functions are in `signatures`."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from hive_io.errors import QueryError
from hive_io.hiveql.calls import call_of, name_of, surplus_of
from hive_io.hiveql.signatures import REFUSED, SIGNATURES

_CLAUSES: dict[type[exp.Expr], str] = {
    exp.Select: "with_ expressions distinct from_ joins where group having order",
    exp.From: "this",
    exp.Join: "this side kind on",
    exp.Where: "this",
    exp.Group: "expressions",
    exp.Having: "this",
    exp.Order: "expressions",
    exp.Ordered: "this desc nulls_first",
    exp.With: "expressions",
    exp.CTE: "this alias",
    exp.Subquery: "this alias joins",
    exp.Union: "this expression distinct with_ side kind",
    exp.Table: "this db alias joins",
    exp.TableAlias: "this",
    exp.Alias: "this alias",
    exp.Column: "this table",
    exp.Identifier: "this quoted",
    exp.Star: "",
    exp.Literal: "this is_string",
    exp.Null: "",
    exp.Boolean: "this",
    exp.Placeholder: "this kind",
    exp.DataType: "this expressions nested",
    exp.DataTypeParam: "this",
    exp.Var: "this",
    exp.Paren: "this",
    exp.Tuple: "expressions",
    exp.Distinct: "expressions",
    exp.Window: "this partition_by order spec over",
    exp.WindowSpec: "kind start start_side end end_side",
    exp.Not: "this",
    exp.And: "this expression",
    exp.Or: "this expression",
    exp.Neg: "this",
    exp.EQ: "this expression",
    exp.NEQ: "this expression",
    exp.GT: "this expression",
    exp.GTE: "this expression",
    exp.LT: "this expression",
    exp.LTE: "this expression",
    exp.NullSafeEQ: "this expression",
    exp.Is: "this expression",
    exp.In: "this expressions query",
    exp.Between: "this low high",
    exp.Like: "this expression negate",
    exp.Add: "this expression",
    exp.Sub: "this expression",
    exp.Mul: "this expression",
    exp.Div: "this expression typed safe",
    exp.IntDiv: "this expression",
    exp.Case: "this ifs default",
    exp.Cast: "this to",
    exp.TryCast: "this to",
    exp.Exists: "this",
    exp.Interval: "this unit",
    exp.Bracket: "this expressions",
}
"""Nodes that are no function calls, and those of their parts that a query may have."""

_PARTS: dict[tuple[type[exp.Expr], str], str] = {
    (exp.Select, "hint"): "hints are for one engine; leave them out",
    (exp.Select, "limit"): "LIMIT: without a total order the rows differ; filter by ROW_NUMBER()",
    (exp.Select, "laterals"): "LATERAL VIEW: explode of an empty array differs",
    (exp.Select, "qualify"): "QUALIFY: Spark has none; filter in a SELECT around this one",
    (exp.Select, "windows"): "WINDOW: write the window out, behind OVER",
    (exp.Select, "sort"): "SORT BY is not in the allow-list; use ORDER BY",
    (exp.Select, "distribute"): "DISTRIBUTE BY is not in the allow-list; the warehouse distributes rows",
    (exp.Select, "cluster"): "CLUSTER BY is not in the allow-list; the warehouse distributes rows",
    (exp.Distinct, "on"): "DISTINCT ON is not HiveQL; filter by ROW_NUMBER() OVER (PARTITION BY …)",
    (exp.Group, "all"): "GROUP BY ALL is not HiveQL; name the columns",
    (exp.Group, "totals"): "GROUP BY … WITH TOTALS is not HiveQL",
    (exp.Group, "rollup"): "WITH ROLLUP is not in the allow-list; use UNION ALL of two GROUP BY",
    (exp.Group, "cube"): "WITH CUBE is not in the allow-list; use UNION ALL of several GROUP BY",
    (exp.Group, "grouping_sets"): "GROUPING SETS is not in the allow-list; use UNION ALL of several GROUP BY",
    (exp.Join, "method"): "NATURAL and ASOF joins are not in the allow-list; say ON what rows are joined",
    (exp.Join, "using"): "JOIN … USING: its columns differ; use ON a.x = b.x",
    (exp.Join, "hint"): "hints are for one engine; leave them out",
    (exp.Join, "match_condition"): "NATURAL and ASOF joins are not in the allow-list; say ON what rows are joined",
    (exp.Union, "by_name"): "UNION BY NAME is not HiveQL; name the columns in one order",
    (exp.Union, "on"): "UNION BY NAME is not HiveQL; name the columns in one order",
    (exp.Union, "limit"): "LIMIT: without a total order the rows differ; filter by ROW_NUMBER()",
    (exp.Union, "order"): "ORDER BY behind UNION is not in the allow-list; a table has no order",
    (exp.With, "recursive"): "WITH RECURSIVE: Apache Hive has none",
    (exp.Table, "catalog"): "a.b.c in FROM: a table has two names, database.table",
    (exp.Table, "sample"): "TABLESAMPLE is not in the allow-list: its rows differ",
    (exp.TableAlias, "columns"): "names of columns behind a table's alias: name them in its SELECT",
    (exp.Column, "db"): "a.b.c: a column has two names, table.column; there are no structs",
    (exp.Star, "except_"): "* EXCEPT is not HiveQL; name the columns",
    (exp.Star, "replace"): "* REPLACE is not HiveQL; name the columns",
    (exp.Star, "rename"): "* RENAME is not HiveQL; name the columns",
    (exp.Window, "alias"): "WINDOW: write the window out, behind OVER",
    (exp.WindowSpec, "exclude"): "EXCLUDE of a frame: Apache Hive has none; subtract the row itself, SUM(x) OVER (…) - x",
    (exp.Ordered, "with_fill"): "WITH FILL is not HiveQL",
    (exp.Bracket, "offset"): "x[i, j]: x[i] takes one place",
    (exp.Cast, "format"): "CAST … FORMAT: Spark has none; use DATE_FORMAT",
    (exp.TryCast, "format"): "CAST … FORMAT: Spark has none; use DATE_FORMAT",
}
"""Parts of nodes that are refused, and what to write instead."""

_NODES: dict[type[exp.Expr], str] = {
    exp.Lateral: "LATERAL VIEW: explode of an empty array differs",
    exp.Limit: "LIMIT: without a total order the rows differ; filter by ROW_NUMBER()",
    exp.Filter: "FILTER (WHERE …): Apache Hive has none; use SUM(IF(condition, x, NULL))",
    exp.IgnoreNulls: "IGNORE NULLS: it differs; filter the rows in a SELECT below",
    exp.WithinGroup: "WITHIN GROUP: use PERCENTILE(x, 0.5)",
    exp.Escape: "LIKE … ESCAPE: Apache Hive has none; a backslash stands before % or _",
    exp.ILike: "ILIKE: use LOWER(x) LIKE",
    exp.BitwiseAnd: "&: signs differ; use % and DIV",
    exp.BitwiseOr: "|: signs differ; use %, DIV and +",
    exp.Dot: "a.b.c: there are no structs; a column is table.column",
    exp.Any: "ANY is not in the allow-list; use IN, or x LIKE a OR x LIKE b",
    exp.All: "ALL is not in the allow-list; use x LIKE a AND x LIKE b",
    exp.SimilarTo: "SIMILAR TO: Apache Hive has none; use RLIKE",
    exp.Extract: "EXTRACT: use HOUR(t), DAY(t), MONTH(t), YEAR(t)",
    exp.Values: "VALUES is not in the allow-list; use SELECT … UNION ALL SELECT …",
    exp.Hint: "hints are not in the allow-list: each is for one engine; leave them out",
    exp.TableSample: "TABLESAMPLE is not in the allow-list: its rows differ",
    exp.Sort: "SORT BY is not in the allow-list; use ORDER BY",
    exp.Distribute: "DISTRIBUTE BY is not in the allow-list; the warehouse distributes rows",
    exp.Intersect: "INTERSECT is not in the allow-list; use LEFT SEMI JOIN",
    exp.Except: "EXCEPT is not in the allow-list; use NOT EXISTS",
    exp.Explode: "explode: rows of an empty array differ",
}


def problems(tree: exp.Expr) -> Iterator[QueryError]:
    """What a query has that the allow-list does not, with lines where they are known."""
    line: int | None = 1
    for node in tree.walk(bfs=False):
        line = node.meta.get("line", line)
        for said in _of_node(node):
            yield QueryError(said, line_of(node) or line)


def _of_node(node: exp.Expr) -> Iterator[str]:
    kind = type(node)
    if kind in _CLAUSES:
        yield from _parts(node, set(_CLAUSES[kind].split()))
        if kind is exp.Join:
            yield from _join(node)
        elif kind is exp.Order and not isinstance(node.parent, (exp.Query, exp.Window)):
            yield "ORDER BY within a function is not HiveQL; order the array by SORT_ARRAY"
        elif kind is exp.Interval:
            yield from _interval(node)
        elif kind is exp.Bracket and len(node.expressions) != 1:
            yield "x[i] takes one place"
        elif kind is exp.Is and not isinstance(node.expression, (exp.Null, exp.Boolean)):
            yield "IS takes NULL, TRUE or FALSE; compare by = or <=>"
        elif kind is exp.DataType and str(node.this.value).upper() not in _TYPES:
            yield f"{node.sql('hive')} is not a type of the allow-list; there are {', '.join(_TYPES_SHOWN)}"
        elif kind is exp.DataType and not _is_decimal(node):
            yield "DECIMAL takes its digits, 1 to 38, and how many of them stand behind the point: DECIMAL(18,2)"
        if kind in (exp.Group, exp.Order):
            yield from _by_position(node)
        return
    if kind in _NODES:
        yield _NODES[kind]
        return
    if kind in (exp.TsOrDsToDate, exp.TimeStrToTime) and "hiveql_written" not in node.meta and node.parent is not None:
        return
    call = call_of(node)
    if call is None:
        name = name_of(node)
        written = f"{name}()" if isinstance(node, exp.Func) else name
        advice = REFUSED.get(name.lower()) or REFUSED.get(node.sql_name().lower() if isinstance(node, exp.Func) else "")
        yield f"{written} is not in the allow-list of HiveQL that means the same on every engine" + (
            f"; {advice}" if advice else ""
        )
        return
    name = name_of(node)
    known = SIGNATURES.get(call.name)
    if known is None or (name.lower() not in SIGNATURES and name.lower() in REFUSED):
        advice = REFUSED.get(name.lower()) or REFUSED.get(call.name)
        yield f"Function {name}() is not in the allow-list of HiveQL that means the same on every engine" + (
            f"; {advice}" if advice else ""
        )
        return
    if name.lower() not in SIGNATURES:
        yield f"{name}() is not HiveQL; write {call.name}"
        return
    if not any(signature.takes(len(call.args)) for signature in known):
        if call.name in ("min", "max"):
            yield f"{name}() of several values is not HiveQL; use {'GREATEST' if call.name == 'max' else 'LEAST'}"
        elif call.name in ("locate", "instr"):
            yield f"{name}() takes two texts; to search from a place on, use INSTR(SUBSTR(text, place), part)"
        elif call.name in ("unix_timestamp", "from_unixtime"):
            yield f"{name.upper()} with a format differs; give it one TIMESTAMP, and CAST text to TIMESTAMP"
        else:
            yield f"{name}() takes {' or '.join(signature.shown for signature in known)}"
    elif surplus_of(node):
        yield f"{name}() takes {' or '.join(signature.shown for signature in known)}"
    if isinstance(node, exp.Anonymous) and any(isinstance(arg, exp.Star) for arg in call.args):
        yield f"{name}(*) is not HiveQL"


_TYPES = {
    "TEXT",
    "VARCHAR",
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "DOUBLE",
    "DECIMAL",
    "DATE",
    "TIMESTAMP",
    "ARRAY",
}
_TYPES_SHOWN = ("STRING", "BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "DOUBLE", "DECIMAL(p,s)", "DATE", "TIMESTAMP")


def _is_decimal(node: exp.Expr) -> bool:
    """False for a DECIMAL whose digits are not those of a DECIMAL; types of other kinds have none."""
    if node.this != exp.DataType.Type.DECIMAL:
        return True
    given = [part.this for part in node.expressions]
    if not all(isinstance(each, exp.Literal) and not each.is_string and each.name.isdecimal() for each in given):
        return False
    digits = [int(each.name) for each in given if len(each.name) < 4]
    return len(digits) == len(given) <= 2 and 1 <= (digits or [10])[0] <= 38 and (digits[1:] or [0])[0] <= (digits or [10])[0]


def _parts(node: exp.Expr, allowed: set[str]) -> Iterator[str]:
    for key, value in node.args.items():
        if key in allowed or value is None or value is False or value == []:
            continue
        if isinstance(node, exp.Select) and key in ("hint", "limit", "laterals", "sort", "distribute", "cluster"):
            continue  # the part itself is refused, with its line
        if isinstance(node, exp.Table) and key == "sample":
            continue
        known = _PARTS.get((type(node), key))
        if known is None:
            known = (
                f"{key.strip('_').upper()} of {node.sql_name() if isinstance(node, exp.Func) else type(node).__name__.upper()}"
            )
            known += " is not in the allow-list of HiveQL that means the same on every engine"
        yield known


def _join(node: exp.Expr) -> Iterator[str]:
    kind, side = (str(node.args.get(key) or "").upper() for key in ("kind", "side"))
    if kind == "ANTI":
        yield "LEFT ANTI JOIN: Apache Hive has none; use LEFT JOIN and WHERE … IS NULL"
    elif kind not in ("", "INNER", "OUTER", "CROSS", "SEMI") or (kind == "SEMI" and side != "LEFT"):
        yield f"{side} {kind} JOIN is not in the allow-list; use JOIN, LEFT JOIN or LEFT SEMI JOIN".lstrip()


_UNITS = ("SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "YEAR")


def _interval(node: exp.Expr) -> Iterator[str]:
    unit = node.args.get("unit")
    if not isinstance(node.parent, (exp.Add, exp.Sub)):
        yield "INTERVAL stands behind + or - only, with a TIMESTAMP before it"
    whole = isinstance(node.this, exp.Literal) and node.this.name.lstrip("-").isdigit()
    if not whole:
        yield "INTERVAL takes a whole number, written out: INTERVAL 90 MINUTE"
    name = unit.name.upper() if isinstance(unit, exp.Var) else ""
    if name not in _UNITS:
        singular = name.removesuffix("S")
        example = (
            f"; write INTERVAL {node.this.name} {singular}" if whole and singular in _UNITS else ", as in INTERVAL 90 MINUTE"
        )
        yield f"INTERVAL takes one of {', '.join(_UNITS)}, not {name or 'none'}{example}"


def _by_position(node: exp.Expr) -> Iterator[str]:
    if not isinstance(node.parent, exp.Query):
        return
    for item in node.expressions:
        inner = item.this if isinstance(item, exp.Ordered) else item
        if isinstance(inner, exp.Literal):
            where = "GROUP BY" if isinstance(node, exp.Group) else "ORDER BY"
            yield f"{inner.sql('hive')} in {where}: name the column; engines take it for a number or a place"


def line_of(node: exp.Expr) -> int | None:
    """The first line that a part of the tree stands on."""
    lines = [part.meta["line"] for part in node.walk() if "line" in part.meta]
    return min(lines) if lines else None


def refused_parts() -> list[str]:
    """Clauses and operators that are refused, each with what to write instead."""
    return [*_PARTS.values(), *_NODES.values()]
