"""The type of each part of a query, and what its types forbid: the second half of the allow-list."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from hive_io.errors import QueryError
from hive_io.hiveql.calls import call_of, name_of
from hive_io.hiveql.patterns import PatternError, check_like
from hive_io.hiveql.signatures import KINDS, SIGNATURES, Signature, number_of
from hive_io.hiveql.spelling import written
from hive_io.hiveql.syntax import line_of
from hive_io.hiveql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INT,
    INTERVAL,
    STRING,
    TIMESTAMP,
    UNKNOWN,
    VOID,
    Columns,
    Type,
    are_wide,
    arithmetic,
    array,
    as_decimal,
    bounded,
    common,
    common_of,
    family,
    is_floating,
    is_integer,
    is_number,
    item_of,
    mark,
    narrow,
    of_data_type,
    of_number,
    type_of,
)  # fmt: skip
from hive_io.table import PARTITION

ColumnsOf = Callable[[str], Columns | None]
"""The columns of a table `database.name`; None if they are not known."""

DAY_TEXT = re.compile(r"\d{4}-\d{2}-\d{2}")
TIME_TEXT = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2}:\d{2}(\.\d{1,6})?)?")
MOST_IN_A_FRAME = 2**31 - 1
"""The largest bound of a RANGE frame that Apache Hive reads."""

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ)
_ORDERED = ("row_number", "rank", "dense_rank", "ntile", "lag", "lead", "first_value", "last_value")
_IN_LISTS = ("size", "array_contains", "sort_array")


@dataclass
class _Scope:
    """What a name can mean in a SELECT."""

    sources: dict[str, Columns | None] = field(default_factory=dict)
    parent: _Scope | None = None
    aliases: dict[str, Type] = field(default_factory=dict)
    given: frozenset[str] = frozenset()


class Annotator:
    """Marks each node of a query with its type, and collects what is wrong.

    Args:
        columns_of: the columns of a table; where it gives None, types below are UNKNOWN, and allowed.
        names: whether a name that no table has is a problem.
    """

    def __init__(self, columns_of: ColumnsOf, *, names: bool = True) -> None:
        self._columns_of = columns_of
        self._names = names
        self.problems: list[QueryError] = []

    # --- queries ------------------------------------------------------------------------------------------------------

    def query(self, tree: exp.Expr, outer: _Scope | None = None, ctes: dict[str, Columns | None] | None = None) -> Columns:
        """Annotate a query; its columns, none if they are not known."""
        ctes = dict(ctes or {})
        tree = tree.unnest()
        with_ = tree.args.get("with_")
        for cte in with_.expressions if with_ else ():
            ctes[cte.alias] = self.query(cte.this, outer, ctes) or None
        if isinstance(tree, exp.SetOperation):
            # a year of days is a tree of many levels, but of few at each side
            left = self.query(tree.this, outer, ctes)
            right = self.query(tree.expression, outer, ctes)
            return self._union(tree, left, right)
        if not isinstance(tree, exp.Select):
            return {}
        return self._select(tree, outer, ctes)

    def _union(self, tree: exp.Expr, left: Columns, right: Columns) -> Columns:
        if not left or not right:
            return left
        if len(left) != len(right):
            self._fail(tree, f"UNION of {len(left)} and {len(right)} columns")
            return left
        result = {}
        for (name, one), other in zip(left.items(), right.values(), strict=True):
            kind = common((one, other))
            if kind is None:
                self._fail(tree, f"UNION: {name} is {one} in one SELECT and {other} in another; CAST one of them")
            result[name] = kind or UNKNOWN
        return result

    def _select(self, select: exp.Select, outer: _Scope | None, ctes: dict[str, Columns | None]) -> Columns:
        scope = _Scope(parent=outer, given=frozenset(s.alias for s in select.expressions if isinstance(s, exp.Alias)))
        from_ = select.args.get("from_")
        sources = [from_.this] if from_ else []
        joins = list(select.args.get("joins") or ())
        for source in (*sources, *(join.this for join in joins)):
            self._source(source, scope, outer, ctes)
        semi = {join.this.alias_or_name for join in joins if str(join.kind or "").upper() == "SEMI"}
        for join in joins:
            if join.args.get("on"):
                self._condition(join.args["on"], scope, ctes)
        everywhere = scope.sources
        scope.sources = {name: columns for name, columns in everywhere.items() if name not in semi}
        if select.args.get("where"):
            self._condition(select.args["where"].this, scope, ctes)
        group = select.args.get("group")
        for expression in group.expressions if group else ():
            self._expression(expression, scope, ctes)
        result: dict[str, Type] = {}
        is_known = True
        for number, selected in enumerate(select.expressions):
            if isinstance(selected, exp.Star) or (isinstance(selected, exp.Column) and isinstance(selected.this, exp.Star)):
                everything = self._star(selected, scope)
                is_known = is_known and everything is not None
                result |= everything or {}
                continue
            kind = self._expression(selected, scope, ctes)
            result[selected.alias_or_name or f"_c{number}"] = kind
            if isinstance(selected, exp.Alias):
                scope.aliases[selected.alias] = kind
        if select.args.get("having"):
            self._condition(select.args["having"].this, scope, ctes, aliases=True)
        order = select.args.get("order")
        for expression in order.expressions if order else ():
            self._expression(expression, scope, ctes, aliases=True)
        return result if is_known else {}

    def _source(self, source: exp.Expr, scope: _Scope, outer: _Scope | None, ctes: dict[str, Columns | None]) -> None:
        name = source.alias_or_name
        if isinstance(source, exp.Table):
            if source.args.get("db"):
                scope.sources[name] = self._columns_of(f"{source.db}.{source.name}")
            else:
                scope.sources[name] = ctes.get(source.name)
        else:
            scope.sources[name] = self.query(source, outer, ctes) or None
        for join in source.args.get("joins") or ():
            self._source(join.this, scope, outer, ctes)

    def _star(self, star: exp.Expr, scope: _Scope) -> dict[str, Type] | None:
        """The columns of one source or of all; None if those of one are not known."""
        names = [star.table] if isinstance(star, exp.Column) and star.table else list(scope.sources)
        result: dict[str, Type] = {}
        for name in names:
            columns = scope.sources.get(name)
            if columns is None:
                return None
            result |= columns
        return result

    # --- expressions --------------------------------------------------------------------------------------------------

    def _condition(self, node: exp.Expr, scope: _Scope, ctes: dict[str, Columns | None], *, aliases: bool = False) -> None:
        kind = self._expression(node, scope, ctes, aliases=aliases)
        if kind not in (BOOLEAN, UNKNOWN, VOID):
            self._fail(node, f"{_shown(node)} is {kind}, where a condition is wanted")

    def _expression(self, top: exp.Expr, scope: _Scope, ctes: dict[str, Columns | None], *, aliases: bool = False) -> Type:
        order: list[exp.Expr] = []
        stack = [top]
        while stack:
            node = stack.pop()
            order.append(node)
            if isinstance(node, (exp.Subquery, exp.Query)):
                continue
            stack.extend(child for child in node.iter_expressions() if not isinstance(child, (exp.Identifier, exp.DataType)))
        for node in reversed(order):
            try:
                if isinstance(node, exp.Column):
                    kind = self._column(node, scope, aliases)
                elif isinstance(node, (exp.Subquery, exp.Query)):
                    columns = self.query(node, scope, ctes)
                    kind = next(iter(columns.values()), UNKNOWN)
                else:
                    kind = self._type(node)
            except QueryError as error:
                if error.line is None:
                    error.line = line_of(node)
                self.problems.append(error)
                kind = UNKNOWN
            mark(node, kind)
        return type_of(top)

    def _column(self, node: exp.Column, scope: _Scope, aliases: bool) -> Type:
        if isinstance(node.this, exp.Star):
            return UNKNOWN
        here: _Scope | None = scope
        while here is not None:
            if node.table:
                if node.table in here.sources:
                    columns = here.sources[node.table]
                    if columns is not None and node.name not in columns:
                        known = ", ".join(sorted(columns))
                        raise QueryError(f"{node.table} has no column {node.name}; it has {known}")
                    return UNKNOWN if columns is None else columns[node.name]
            else:
                found = [
                    columns[node.name] for columns in here.sources.values() if columns is not None and node.name in columns
                ]
                if len(found) > 1:
                    raise QueryError(f"{node.name} is a column of several tables; say which, table.{node.name}")
                if found:
                    return found[0]
                if aliases and node.name in here.aliases:
                    return here.aliases[node.name]
                if None in here.sources.values():
                    return UNKNOWN
            here = here.parent
        if not self._names:
            return UNKNOWN
        if node.table:
            raise QueryError(f"there is no {node.table} in FROM")
        if node.name in scope.given and not aliases:
            raise QueryError(f"{node.name} is a name that SELECT gives, not a column; write its expression")
        known = ", ".join(sorted({name for columns in scope.sources.values() for name in columns or ()})) or "none"
        raise QueryError(f"the tables read here have no column {node.name}; they have {known}")

    def _type(self, node: exp.Expr) -> Type:
        if isinstance(node, exp.Literal):
            return STRING if node.is_string else of_number(node.name)
        if isinstance(node, exp.Null):
            return VOID
        if isinstance(node, (exp.Boolean, exp.Exists)):
            return BOOLEAN
        if isinstance(node, (exp.Paren, exp.Alias, exp.Ordered)):
            return type_of(node.this)
        if isinstance(node, (exp.Cast, exp.TryCast)):
            return self._cast(node)
        if isinstance(node, exp.Window):
            return self._window(node)
        if isinstance(node, exp.Neg):
            return self._number(node.this)
        if isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv)):
            return self._arithmetic(node)
        if isinstance(node, (*_COMPARISONS, exp.Between, exp.In)):
            return self._comparison(node)
        if isinstance(node, exp.Is):
            return BOOLEAN
        if isinstance(node, (exp.And, exp.Or, exp.Not)):
            return self._logic(node)
        if isinstance(node, exp.Like):
            return self._like(node)
        if isinstance(node, exp.Case):
            return self._case(node)
        if isinstance(node, exp.If) and isinstance(node.parent, exp.Case):
            return type_of(node.args["true"])
        if isinstance(node, exp.Bracket):
            return self._bracket(node)
        if isinstance(node, exp.Interval):
            return INTERVAL
        implied = isinstance(node, (exp.TsOrDsToDate, exp.TimeStrToTime)) and "hiveql_written" not in node.meta
        if implied and isinstance(node.parent, exp.Func):
            return type_of(node.this)  # not the author's: the function around it takes what is in it
        if isinstance(node, exp.Distinct):
            return type_of(node.expressions[0]) if node.expressions else UNKNOWN
        return self._call(node)

    def _number(self, node: exp.Expr) -> Type:
        kind = type_of(node)
        if kind not in (UNKNOWN, VOID) and not is_number(kind):
            raise QueryError(f"{_shown(node)} is {kind}, where a number is wanted; CAST it")
        return kind

    def _arithmetic(self, node: exp.Expr) -> Type:
        left, right = node.this, node.expression
        one, other = type_of(left), type_of(right)
        if INTERVAL in (one, other):
            if one not in (TIMESTAMP, UNKNOWN) or not isinstance(node, (exp.Add, exp.Sub)):
                raise QueryError(
                    f"{_shown(node)}: add an INTERVAL to a TIMESTAMP that stands before it; for a DATE use DATE_ADD, ADD_MONTHS"
                )
            return TIMESTAMP
        kinds = self._number(left), self._number(right)
        if UNKNOWN in kinds or VOID in kinds:
            return (
                DOUBLE
                if DOUBLE in kinds and not isinstance(node, exp.IntDiv)
                else BIGINT
                if isinstance(node, exp.IntDiv)
                else UNKNOWN
            )
        if isinstance(node, exp.IntDiv):
            if not all(map(is_integer, kinds)):
                raise QueryError(f"{_shown(node)}: DIV is for integers; use FLOOR(a / b)")
            return BIGINT
        sign = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}[type(node)]  # type: ignore[index]
        if any(map(is_floating, kinds)) or all(map(is_integer, kinds)):
            return arithmetic(sign, *kinds)
        narrowed = narrow(left), narrow(right)
        found = arithmetic(sign, *narrowed)
        if sign in "*/" and exact_digits(sign, *narrowed) > 38 and (sign == "/" or found.scale < scale_of(sign, *narrowed)):
            written = " and ".join(map(str, kinds))
            raise QueryError(
                f"{_shown(node)}: {written} need more than 38 digits, and engines drop them differently; "
                "CAST a side to DECIMAL of fewer digits, or to DOUBLE"
            )
        return found

    def _comparison(self, node: exp.Expr) -> Type:
        if isinstance(node, exp.In):
            others = list(node.expressions) + ([node.args["query"]] if node.args.get("query") else [])
            sides = [node.this, *others]
        else:
            sides = list(node.iter_expressions())
        if any(is_partition(side) for side in sides) and any(map(_is_no_text, sides)):
            raise QueryError(
                f"{node.sql('hive')}: ds is text; compare it with text, for example DATE_FORMAT(DATE_SUB(…), 'yyyy-MM-dd')"
            )
        kinds = [type_of(side) for side in sides]
        families = {family(kind) for kind in kinds if kind not in (UNKNOWN, VOID)}
        if families == {"time", "STRING"}:
            for side, kind in zip(sides, kinds, strict=True):
                if kind == STRING:
                    inner = side.unnest()
                    if not isinstance(inner, exp.Literal):
                        raise QueryError(f"{_shown(node)} compares text with a time; CAST the text AS TIMESTAMP, or AS DATE")
                    _check_time(inner, "TIMESTAMP")
        elif len(families) > 1:
            shown = " with ".join(dict.fromkeys(str(kind) for kind in kinds if kind not in (UNKNOWN, VOID)))
            raise QueryError(f"{_shown(node)} compares {shown}; CAST one side to the type of the other")
        elif any(kind.kind == "ARRAY" for kind in kinds):
            raise QueryError(f"{_shown(node)} compares arrays; compare their items")
        if isinstance(node, (exp.NullSafeEQ, exp.Between, exp.In)) and are_wide(kinds):
            shown = " and ".join(dict.fromkeys(str(kind) for kind in kinds if kind.kind == "DECIMAL"))
            raise QueryError(f"{_shown(node)}: {shown} together have more than 38 digits; CAST one to fewer")
        return BOOLEAN

    def _logic(self, node: exp.Expr) -> Type:
        for side in node.iter_expressions():
            if type_of(side) not in (BOOLEAN, UNKNOWN, VOID):
                raise QueryError(f"{_shown(side)} is {type_of(side)}, where a condition is wanted")
        return BOOLEAN

    def _like(self, node: exp.Expr) -> Type:
        pattern = node.expression.unnest()
        if type_of(node.this) not in (STRING, UNKNOWN, VOID):
            raise QueryError(f"{_shown(node)}: LIKE is for text; {_shown(node.this)} is {type_of(node.this)}")
        if isinstance(pattern, exp.Literal):
            try:
                check_like(pattern.name)
            except PatternError as error:
                raise QueryError(str(error)) from None
        elif not isinstance(pattern, exp.Placeholder):
            raise QueryError(
                f"{_shown(node)}: the pattern of LIKE is written out; to look for a column's text, use INSTR(x, y) > 0"
            )
        return BOOLEAN

    def _case(self, node: exp.Case) -> Type:
        branches = [branch.args["true"] for branch in node.args["ifs"]]
        if node.args.get("default"):
            branches.append(node.args["default"])
        for branch in node.args["ifs"]:
            kind, wanted = type_of(branch.this), type_of(node.this) if node.this else BOOLEAN
            if UNKNOWN not in (kind, wanted) and VOID not in (kind, wanted) and family(kind) != family(wanted):
                raise QueryError(f"WHEN {_shown(branch.this)} is {kind}, where {wanted} is wanted")
        return common_of(branches)

    def _bracket(self, node: exp.Bracket) -> Type:
        kind, place = type_of(node.this), node.expressions[0]
        if kind not in (UNKNOWN, VOID) and kind.kind != "ARRAY":
            raise QueryError(f"{_shown(node)}: {_shown(node.this)} is {kind}, and not an ARRAY")
        if type_of(place) not in (UNKNOWN, VOID) and not is_integer(type_of(place)):
            raise QueryError(f"{_shown(node)}: a place in an ARRAY is an integer")
        if type_of(place) == BIGINT:
            raise QueryError(f"{_shown(node)}: a place in an ARRAY is INT; CAST it AS INT")
        number = number_of(place)
        if number is not None and number < 0:
            raise QueryError(f"{_shown(node)}: the first item of an ARRAY is 0")
        return item_of(kind) if kind.kind == "ARRAY" else UNKNOWN

    # --- casts --------------------------------------------------------------------------------------------------------

    def _cast(self, node: exp.Expr) -> Type:
        given, wanted = type_of(node.this), of_data_type(node.args["to"])
        inner = node.this.unnest()
        if wanted.kind == "ARRAY":
            if given not in (VOID, UNKNOWN, wanted):
                raise QueryError(f"{_shown(node)}: an ARRAY is not CAST; cast its items")
            return wanted
        if given.kind == "ARRAY":
            raise QueryError(f"{_shown(node)}: engines write an ARRAY differently; take its items, x[0]")
        if wanted in (DATE, TIMESTAMP) and isinstance(inner, exp.Literal) and inner.is_string:
            _check_time(inner, wanted.kind)
        if is_integer(wanted):
            if given.kind in ("DATE", "TIMESTAMP"):
                raise QueryError(f"{_shown(node)}: a {given} is no number; use UNIX_TIMESTAMP(ts)")
            number = number_of(inner)
            if number is not None and not -(2**31) <= number < 2**31 and wanted != BIGINT:
                raise QueryError(f"{_shown(node)}: {number} does not fit in {wanted}; use BIGINT")
            if is_floating(given):
                raise QueryError(f"{_shown(node)}: engines cut a DOUBLE that is too large differently; cast FLOOR(x)")
        elif wanted.kind == "DECIMAL" or wanted.kind == "DOUBLE":
            if given.kind in ("DATE", "TIMESTAMP", "BOOLEAN"):
                raise QueryError(f"{_shown(node)}: a {given} is no number; use UNIX_TIMESTAMP(ts), or IF(x, 1, 0)")
        elif wanted == STRING:
            if is_floating(given):
                raise QueryError(f"{_shown(node)}: engines write a DOUBLE differently; CAST it to DECIMAL first")
            _check_written(node.this)
        elif wanted in (DATE, TIMESTAMP):
            if given != UNKNOWN and given.kind not in ("DATE", "TIMESTAMP", "STRING", "VOID"):
                raise QueryError(f"{_shown(node)}: {given} is no time; use FROM_UNIXTIME for seconds")
        elif wanted == BOOLEAN and given != UNKNOWN and given.kind not in ("BOOLEAN", "VOID"):
            raise QueryError(f"{_shown(node)}: engines read {given} differently; compare it, x = 'true' or x <> 0")
        return wanted

    # --- calls --------------------------------------------------------------------------------------------------------

    def _call(self, node: exp.Expr) -> Type:
        call = call_of(node)
        if call is None:
            return UNKNOWN
        args = [arg.expressions[0] if isinstance(arg, exp.Distinct) and arg.expressions else arg for arg in call.args]
        if call.name == "count" and args and isinstance(args[0], exp.Star):
            return BIGINT
        self._check_place(node, call.name, call.args)
        signature = self._signature(node, call.name, args)
        if signature.literal:
            try:
                signature.literal(args)
            except PatternError as error:
                raise QueryError(f"{name_of(node)}: {error}") from None
        if signature.name in ("concat", "||"):
            for arg in args:
                _check_written(arg)
        if call.name == "array_contains":
            kinds = [item_of(type_of(args[0])), type_of(args[1])]
            if UNKNOWN not in kinds and VOID not in kinds and kinds[0] != kinds[1]:
                raise QueryError(f"{name_of(node)}: the items are {kinds[0]}, and {_shown(args[1])} is {kinds[1]}; CAST it")
            if kinds[1] == VOID:
                raise QueryError(f"{name_of(node)}: NULL is in no ARRAY")
        kinds = [type_of(arg) for arg in args]
        if kinds and kinds[0].kind == "DECIMAL":
            if signature.name in ("stddev_pop", "stddev_samp", "var_pop") and kinds[0].scale > 9:
                raise QueryError(f"{name_of(node)} of {kinds[0]}: CAST it to 9 digits after the point or fewer")
            if signature.name == "avg" and kinds[0].precision > 24:
                raise QueryError(f"{name_of(node)} of {kinds[0]}: CAST it to DECIMAL(24,{kinds[0].scale}) or fewer digits")
        if signature.name == "nullif":
            if UNKNOWN not in kinds and VOID not in kinds and family(kinds[0]) != family(kinds[1]):
                raise QueryError(f"{name_of(node)} compares {kinds[0]} with {kinds[1]}; CAST one side to the type of the other")
            if are_wide(kinds):
                raise QueryError(
                    f"{name_of(node)}: {kinds[0]} and {kinds[1]} together have more than 38 digits; CAST one to fewer"
                )
        if isinstance(signature.result, Type):
            return signature.result
        if call.name in ("coalesce", "nvl", "greatest", "least", "if", "array"):
            found = common_of(args[1:] if call.name == "if" else args)
            return array(found) if call.name == "array" else found
        if call.name in ("lag", "lead") and len(args) > 2:
            return common_of([args[0], args[2]])
        if call.name in ("%", "pmod", "mod") and any(kind.kind == "DECIMAL" for kind in kinds):
            kinds = [narrow(arg) for arg in args]
        if UNKNOWN in kinds or VOID in kinds:
            return UNKNOWN
        if call.name == "round":
            return _rounded(kinds[0], number_of(args[1]) or 0 if len(args) > 1 else 0)
        return signature.result(kinds)

    def _signature(self, node: exp.Expr, name: str, args: Sequence[exp.Expr]) -> Signature:
        known = [signature for signature in SIGNATURES.get(name, ()) if signature.takes(len(args))]
        if not known:
            raise QueryError(f"{name_of(node)}() is not in the allow-list of HiveQL that means the same on every engine")
        wrong = None
        for signature in known:
            wrong = next((number for number, arg in enumerate(args) if not fits(signature.letter(number), arg)), None)
            if wrong is None:
                return signature
        arg, letter = args[wrong or 0], known[-1].letter(wrong or 0)
        given = type_of(arg)
        what = "must be written out" if letter in "SI" and given in (STRING, INT, BIGINT, UNKNOWN) else f"is {given}"
        wanted = " or ".join(signature.shown for signature in known)
        hint = _HINTS.get((name, given.kind), "")
        raise QueryError(f"{name_of(node)}: {_shown(arg)} {what}; it takes {wanted}{hint}")

    def _check_place(self, node: exp.Expr, name: str, args: Sequence[exp.Expr]) -> None:
        window = node.parent if isinstance(node.parent, exp.Window) and node.arg_key == "this" else None
        signature = SIGNATURES[name][0] if name in SIGNATURES else None
        if signature is None:
            return
        if signature.use == "window" and window is None:
            raise QueryError(f"{name_of(node)}() needs OVER (… ORDER BY …)")
        if name in _ORDERED and window is not None and not window.args.get("order"):
            raise QueryError(f"{name_of(node)}() needs ORDER BY in its window: its rows have no order otherwise")
        if window is not None and any(isinstance(arg, exp.Distinct) for arg in args):
            raise QueryError(f"{name_of(node)}(DISTINCT …) OVER: Spark has none; count DISTINCT in a GROUP BY, and join it")
        if window is not None and name in ("percentile", "collect_set"):
            raise QueryError(f"{name_of(node)}() OVER is not in the allow-list; use GROUP BY, and join it")
        if name in ("sum", "avg", "stddev_pop", "stddev", "stddev_samp", "var_pop", "variance") and args:
            arg = args[0].expressions[0] if isinstance(args[0], exp.Distinct) else args[0]
            if is_floating(type_of(arg)):
                raise QueryError(
                    f"{name_of(node)} of a DOUBLE: the last digits depend on the order of rows; CAST it to DECIMAL(18,4)"
                )

    # --- windows ------------------------------------------------------------------------------------------------------

    def _window(self, node: exp.Window) -> Type:
        spec = node.args.get("spec")
        order = node.args.get("order")
        if spec is not None:
            kind = str(spec.args.get("kind") or "").upper()
            bounds = [spec.args.get("start"), spec.args.get("end")]
            offsets = [bound for bound in bounds if isinstance(bound, exp.Expr)]
            if kind not in ("ROWS", "RANGE"):
                raise QueryError(f"a frame of {kind} is not in the allow-list; use ROWS or RANGE")
            for offset in offsets:
                if not isinstance(offset, exp.Placeholder) and number_of(offset.unnest()) is None:
                    raise QueryError(f"{offset.sql('hive')}: the bound of a frame is an integer, written out")
            if kind == "RANGE" and offsets:
                self._check_range(node, order, [number_of(offset.unnest()) for offset in offsets])
        return type_of(node.this)

    def _check_range(self, node: exp.Window, order: exp.Expr | None, offsets: Sequence[int | None]) -> None:
        if order is None or len(order.expressions) != 1:
            raise QueryError("a frame by RANGE has one key in ORDER BY")
        key = order.expressions[0].this
        kind = type_of(key)
        if kind not in (UNKNOWN, VOID) and not is_integer(kind):
            raise QueryError(
                f"a frame by RANGE counts in integers; {_shown(key)} is {kind}; use UNIX_TIMESTAMP(t) or UNIX_MICROS(t)"
            )
        if any(offset is not None and offset > MOST_IN_A_FRAME // 2 for offset in offsets):
            problem = wide_frame_problem(node, key)
            if problem:
                raise QueryError(problem)

    def _fail(self, node: exp.Expr, message: str) -> None:
        self.problems.append(QueryError(message, line_of(node)))


def wide_frame_problem(window: exp.Window, key: exp.Expr) -> str | None:
    """Why Apache Hive cannot have a frame whose bounds are over 2^31, if it cannot."""
    if not isinstance(key.unnest(), exp.UnixMicros):
        return f"a bound of a frame is at most {MOST_IN_A_FRAME // 2} on Apache Hive; larger ones are for UNIX_MICROS(t)"
    spec = window.args["spec"].args
    ends = [spec.get("start_side") if isinstance(spec.get("start"), exp.Expr) else None,
            spec.get("end_side") if isinstance(spec.get("end"), exp.Expr) else None]  # fmt: skip
    if None in ends and spec.get("start") != "UNBOUNDED" and spec.get("end") != "UNBOUNDED":
        return None
    if ends[0] == ends[1] and isinstance(window.this, (exp.Count, exp.Sum)):
        return None
    return (
        "a frame of more than 1073741823 microseconds that leaves out the current row, or has an end on both sides, "
        "is for COUNT and SUM with both ends on one side; order by UNIX_TIMESTAMP(t) for other functions"
    )


_HINTS = {
    ("unix_timestamp", "STRING"): "; CAST the text AS TIMESTAMP",
    ("length", "DECIMAL"): "; CAST it AS STRING",
    ("concat_ws", "ARRAY"): "; write the items out",
    ("substr", "BIGINT"): "; CAST it AS INT",
    ("substring", "BIGINT"): "; CAST it AS INT",
}


def chosen(signatures: Sequence[Signature], args: Sequence[exp.Expr]) -> Signature:
    """The first signature that the arguments fit, or else the first."""
    fitting = [s for s in signatures if all(fits(s.letter(n), arg) for n, arg in enumerate(args))]
    return (fitting or signatures)[0]


def fits(letter: str, arg: exp.Expr) -> bool:
    kind = type_of(arg)
    inner = arg.unnest()
    if letter == "S":
        return isinstance(inner, exp.Literal) and inner.is_string
    if letter == "I":
        return number_of(inner) is not None or isinstance(inner, exp.Placeholder)
    return kind in (UNKNOWN, VOID) or KINDS[letter][1](kind)


def _rounded(kind: Type, digits: int) -> Type:
    if kind.kind != "DECIMAL":
        return kind
    return bounded(kind.precision - kind.scale + digits + 1, digits)


def exact_digits(sign: str, left: Type, right: Type) -> int:
    """Digits that a product or a quotient of DECIMALs needs by Hive's rules, before they are cut to 38."""
    (_, p1, s1, _), (_, p2, _, _) = _decimals(left, right)
    return p1 + p2 + 1 if sign == "*" else p1 - s1 + _decimals(left, right)[1].scale + arithmetic("/", left, right).scale


def scale_of(sign: str, left: Type, right: Type) -> int:
    one, other = _decimals(left, right)
    return one.scale + other.scale if sign == "*" else max(6, one.scale + other.precision + 1)


def _decimals(left: Type, right: Type) -> tuple[Type, Type]:
    return as_decimal(left), as_decimal(right)


def _check_written(node: exp.Expr) -> None:
    """Raise QueryError for a DECIMAL that Spark writes with an exponent."""
    kind = type_of(node)
    if kind.kind == "DECIMAL" and kind.scale > 6:
        raise QueryError(
            f"{_shown(node)} as text has {kind.scale} digits after the point, which Spark writes as 0E-{kind.scale}; "
            f"round it first, CAST(x AS DECIMAL(18,6)) for example"
        )


def _check_time(node: exp.Literal, kind: str) -> None:
    form = DAY_TEXT if kind == "DATE" else TIME_TEXT
    if not form.fullmatch(node.name):
        wanted = "2026-01-31" if kind == "DATE" else "2026-01-31 23:59:59"
        raise QueryError(f"{node.name!r} as a {kind}: write it like {wanted}, which every engine reads alike")
    try:
        dt.datetime.fromisoformat(node.name)
    except ValueError:
        raise QueryError(f"{node.name!r} is no time of the calendar") from None


def is_partition(side: exp.Expr) -> bool:
    side = side.unnest()
    return isinstance(side, exp.Column) and side.name == PARTITION


def _is_no_text(side: exp.Expr) -> bool:
    side = side.unnest()
    if isinstance(side, (exp.Cast, exp.TryCast)):
        return not side.is_type(*exp.DataType.TEXT_TYPES)
    return isinstance(side, (exp.TsOrDsToDate, exp.TsOrDsAdd)) or (isinstance(side, exp.Literal) and not side.is_string)


def _shown(node: exp.Expr) -> str:
    """A part of the query as text, short."""
    return written(node)


def list_problems(tree: exp.Expr) -> Iterator[QueryError]:
    """Lists whose order an engine chooses: in a result, or in an item of them."""
    for node in tree.find_all(exp.ArrayAgg, exp.ArrayUniqueAgg):
        parent = node.parent
        if isinstance(node, exp.ArrayAgg) and isinstance(parent, exp.Window) and parent.args.get("order"):
            continue
        above = parent.parent if isinstance(parent, exp.Window) else parent
        call = call_of(above) if above is not None else None
        if call is None or call.name not in _IN_LISTS:
            yield QueryError(f"{name_of(node)}(): its order differs; only inside {', '.join(_IN_LISTS)}", line_of(node))
