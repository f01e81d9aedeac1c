"""HiveQL for DuckDB, with Hive's values."""

# ruff: noqa: E501 (templates of SQL, and lines of a page)
from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp

from hive_io.errors import QueryError
from hive_io.hiveql.aggregates import mean, moment, over, percentile
from hive_io.hiveql.annotate import Annotator, ColumnsOf, chosen, exact_digits, is_partition
from hive_io.hiveql.bounds import within_the_stack
from hive_io.hiveql.calls import call_of, is_implied, is_subtraction
from hive_io.hiveql.patterns import PatternError
from hive_io.hiveql.rewrite import bracketed, fill, rewrite
from hive_io.hiveql.signatures import SIGNATURES, number_of
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
    Type,
    as_decimal,
    common_of,
    is_exact,
    is_floating,
    is_integer,
    mark,
    narrow,
    of_data_type,
    type_of,
)  # fmt: skip

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.Between, exp.In)
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INTEGER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$"
_DOUBLE = r"^[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[fFdD]?|NaN|Infinity)$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}( ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?)?$"
_FORMS = {"DECIMAL": _NUMBER, "TIMESTAMP": _TIME}
_EXACT_DOUBLE = 2**53
_HALF = {"TINYINT": 2**7, "SMALLINT": 2**15, "INT": 2**31, "BIGINT": 2**63}


def day(node: exp.Expr) -> str:
    """The DATE of a value; of a text, of the day that it starts with."""
    kind = type_of(node)
    if is_partition(node):
        return "TRY_CAST(# AS DATE)"
    if kind == STRING:
        return r"TRY_CAST(REGEXP_EXTRACT(#, '^ *([0-9]{4}-[0-9]{1,2}-[0-9]{1,2})', 1) AS DATE)"
    return "#" if kind == DATE else "CAST(# AS DATE)" if kind == TIMESTAMP else "TRY_CAST(# AS DATE)"


def time(node: exp.Expr) -> str:
    """The TIMESTAMP of a value; of a text of one form, NULL of any other."""
    kind = type_of(node)
    return (
        f"CASE WHEN REGEXP_MATCHES(#, '{_TIME}') THEN TRY_CAST(# AS TIMESTAMP) END"
        if kind == STRING
        else "TRY_CAST(# AS TIMESTAMP)"
    )


def to_duckdb(
    tree: exp.Query, relation: Callable[[str], str], columns_of: ColumnsOf = lambda name: None, *, strict: bool = False
) -> str:
    """Translate to DuckDB.

    Args:
        tree: a bound query; its tables are named `database.name`.
        relation: the name of the DuckDB relation that holds the rows of a table `database.name`.
        columns_of: the types of a table's columns; without them, what depends on types is left as it is.
        strict: whether what types forbid is an error.

    Raises:
        QueryError: a table without a database; what types forbid.
    """
    tree = tree.copy()
    annotator = Annotator(columns_of, names=False)
    annotator.query(tree)
    if strict and annotator.problems:
        raise annotator.problems[0]
    with within_the_stack():
        return rewrite(tree, _Translator(tree, relation)).sql(dialect="duckdb", copy=False)


class _Translator:
    def __init__(self, tree: exp.Query, relation: Callable[[str], str]) -> None:
        self._relation = relation
        self._ctes = {cte.alias for cte in tree.find_all(exp.CTE)}

    def __call__(self, node: exp.Expr) -> exp.Expr | None:
        if isinstance(node, exp.Table):
            return self._table(node)
        if isinstance(node, exp.Literal):
            return _literal(node)
        if isinstance(node, (exp.Cast, exp.TryCast)):
            return _cast(node.this, type_of(node.this), of_data_type(node.args["to"]), node.args["to"])
        if isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
            # `date_sub(d, n)` is `d + n * -1` to sqlglot
            return None if isinstance(node.parent, exp.TsOrDsAdd) and is_subtraction(node.parent) else _arithmetic(node)
        if isinstance(node, exp.Div):
            return _division(node)
        if isinstance(node, exp.IntDiv):
            return fill("CAST(_0 AS BIGINT) // NULLIF(_1, 0)", [node.this, node.expression], "duckdb", day, time)
        if isinstance(node, exp.Neg):
            return _negated(node)
        if isinstance(node, _COMPARISONS):
            return _comparison(node)
        if isinstance(node, exp.Like):
            return _like(node)
        if isinstance(node, exp.Case):
            return _case(node)
        if isinstance(node, exp.If) and isinstance(node.parent, exp.Case):
            return None
        if isinstance(node, exp.Bracket):
            return fill(
                "LIST_EXTRACT(_0, CAST(_1 AS BIGINT) + 1)", [node.this, _not_negative(node.expressions[0])], "duckdb", day, time
            )
        if isinstance(node, exp.Interval):
            return None
        if isinstance(node, exp.Window):
            return _window(node)
        if isinstance(node, (exp.Paren, exp.Alias)):
            mark(node, type_of(node.this))
            return None
        return _call(node)

    def _table(self, node: exp.Table) -> exp.Expr | None:
        if not node.db:
            if node.name not in self._ctes:
                # DuckDB would look for a file or a Python variable of that name
                raise QueryError(f"There is no table {node.name}; tables are named database.table", line_of(node))
            return None
        alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(node.name, quoted=True))
        relation = exp.to_identifier(self._relation(f"{node.db}.{node.name}"), quoted=True)
        return exp.Table(this=relation, alias=alias, joins=node.args.get("joins"))


def _template(text: str, *args: exp.Expr) -> exp.Expr:
    return fill(text, args, "duckdb", day, time)


def _literal(node: exp.Literal) -> exp.Expr | None:
    """Hive drops zeros at the end of a DECIMAL that is written out."""
    if node.is_string or "." not in node.name or type_of(node).kind != "DECIMAL":
        return None
    if isinstance(node.parent, exp.DataTypeParam):
        return None
    text = node.name.rstrip("0").rstrip(".") or "0"
    return exp.cast(exp.Literal.string(text if text[0] != "." else f"0{text}"), str(type_of(node)), dialect="duckdb")


def _not_negative(node: exp.Expr) -> exp.Expr:
    return node if number_of(node) is not None else _template("CASE WHEN _0 >= 0 THEN _0 END", node)


# --- casts ------------------------------------------------------------------------------------------------------------


def _wrapped(node: exp.Expr, wanted: Type) -> exp.Expr:
    """A whole number cut to an integer type as Java cuts it."""
    half = _HALF[wanted.kind]
    return _template(f"CAST(((CAST(_0 AS HUGEINT) & {2 * half - 1}) + {half}) % {2 * half} - {half} AS {wanted.kind})", node)


def _is_valid(node: exp.Expr, wanted: Type) -> bool:
    """True for a literal of the form of a type: the CAST of it need not ask for the form again in each row."""
    form = _FORMS.get(wanted.kind)
    return form is not None and isinstance(node, exp.Literal) and node.is_string and re.fullmatch(form, node.name) is not None


def _cast(node: exp.Expr, given: Type, wanted: Type, to: exp.Expr | None = None) -> exp.Expr:
    if given == STRING and _is_valid(node, wanted):
        return exp.TryCast(this=node, to=exp.DataType.build(str(wanted), dialect="hive"))
    if given in (UNKNOWN, VOID) or wanted.kind in ("UNKNOWN", "ARRAY"):
        kind = to.copy() if to is not None and wanted.kind != "DECIMAL" else exp.DataType.build(str(wanted), dialect="hive")
        return exp.TryCast(this=node, to=kind)
    if given == wanted:
        return (
            node
            if isinstance(node, exp.TryCast)
            else exp.TryCast(this=node, to=exp.DataType.build(str(wanted), dialect="hive"))
        )
    if is_integer(wanted):
        return _to_integer(node, given, wanted)
    if wanted.kind == "DECIMAL":
        if is_floating(given):
            # from the digits that it shows, as BigDecimal.valueOf does
            return _template(f"TRY_CAST(CAST(_0 AS VARCHAR) AS {wanted})", node)
        if given == STRING:
            return _template(
                f"CASE WHEN REGEXP_MATCHES(TRIM(_0, ' '), '{_NUMBER}') THEN TRY_CAST(TRIM(_0, ' ') AS {wanted}) END", node
            )
    elif wanted == DOUBLE:
        if given == STRING:
            digits = "REGEXP_REPLACE(TRIM(_0, ' '), '[fFdD]$', '')"
            return _template(
                f"CASE WHEN REGEXP_MATCHES(TRIM(_0, ' '), '{_DOUBLE}') THEN TRY_CAST({digits} AS DOUBLE) END", node
            )
        if given.kind == "DECIMAL" and given.precision > 15 and given.scale:
            # DuckDB divides twice what is larger, and is a digit off
            limit = f"{_EXACT_DOUBLE // 10**given.scale}"
            return _template(
                f"CASE WHEN ABS(_0) < {limit} THEN CAST(_0 AS DOUBLE) ELSE CAST(CAST(_0 AS VARCHAR) AS DOUBLE) END", node
            )
    elif wanted == STRING:
        return _text(node, given)
    elif wanted == DATE:
        return _template("@D0", node)
    elif wanted == TIMESTAMP:
        return _template("@T0", node)
    return exp.TryCast(this=node, to=exp.DataType.build(str(wanted), dialect="hive"))


def _to_integer(node: exp.Expr, given: Type, wanted: Type) -> exp.Expr:
    if given == STRING:
        whole = r"REGEXP_REPLACE(TRIM(_0, ' '), '^[+]?(-?)([0-9]*)(\.[0-9]*)?$', '\1' || '0' || '\2')"
        return _template(
            f"CASE WHEN REGEXP_MATCHES(TRIM(_0, ' '), '{_INTEGER}') THEN TRY_CAST({whole} AS {wanted.kind}) END", node
        )
    if given == BOOLEAN or (is_integer(given) and _HALF[given.kind] <= _HALF[wanted.kind]):
        return exp.TryCast(this=node, to=exp.DataType.build(wanted.kind))
    number = number_of(node.unnest())
    if number is not None and -_HALF[wanted.kind] <= number < _HALF[wanted.kind]:
        return exp.Cast(this=node, to=exp.DataType.build(wanted.kind))
    if given.kind == "DECIMAL":
        return _template(f"TRY_CAST(TRUNC(_0) AS {wanted.kind})" if given.scale else f"TRY_CAST(_0 AS {wanted.kind})", node)
    return _wrapped(node, wanted)


def _text(node: exp.Expr, given: Type) -> exp.Expr:
    if given == STRING:
        return node
    if given == BOOLEAN:
        return _template("UPPER(CAST(_0 AS VARCHAR))", node)
    if given.kind == "DECIMAL" and given.precision == given.scale < 38:
        # DuckDB writes .5 where there is no digit before the point
        return _template(f"CAST(CAST(_0 AS DECIMAL({given.precision + 1},{given.scale})) AS VARCHAR)", node)
    return _template("CAST(_0 AS VARCHAR)", node)


# --- arithmetic -------------------------------------------------------------------------------------------------------


def _arithmetic(node: exp.Expr) -> exp.Expr | None:
    left, right, kind = node.this, node.expression, type_of(node)
    sign = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}[type(node)]  # type: ignore[index]
    if INTERVAL in (type_of(left), type_of(right)) or UNKNOWN in (type_of(left), type_of(right)):
        return None
    if kind in (VOID, UNKNOWN):
        return None
    if is_integer(kind):
        wide = "BIGINT" if kind != BIGINT else "HUGEINT"
        return _narrowed(f"CAST(_0 AS {wide}) {sign} _1", node, kind)
    if is_floating(kind):
        return fill(f"{_as_double(left, 0)} {sign} {_as_double(right, 1)}", [left, right], "duckdb", day, time)
    one, other = as_decimal(narrow(left)), as_decimal(narrow(right))
    if sign == "*":
        # 38 digits for one side: the product of two shorter ones has too few of them in DuckDB
        text = f"CAST(_0 AS DECIMAL(38,{one.scale})) * CAST(_1 AS {other})"
        if exact_digits("*", narrow(left), narrow(right)) > 38:
            text = f"TRY({text})"
        return _template(f"TRY_CAST({text} AS {kind})", left, right)
    text = (
        f"CAST(_0 AS DECIMAL(38,{kind.scale})) {sign} CAST(_1 AS DECIMAL(38,{kind.scale}))"
        if kind.precision == 38
        else f"CAST(_0 AS {kind}) {sign} CAST(_1 AS {kind})"
    )
    return _template(f"TRY_CAST(TRY({text}) AS {kind})" if kind.precision == 38 else f"CAST({text} AS {kind})", left, right)


def _narrowed(text: str, node: exp.Expr, kind: Type) -> exp.Expr:
    """Cut the result of a wider type as Java cuts it. The operands stand in it once: a sum of many is no longer than it is."""
    return _wrapped(_template(text, node.this, node.expression), kind)


def _negated(node: exp.Neg) -> exp.Expr | None:
    kind = type_of(node)
    if isinstance(node.this, exp.Neg):
        # two signs are the beginning of a comment
        return exp.Neg(this=exp.Paren(this=node.this))
    if not is_integer(kind) or isinstance(node.this, exp.Literal):
        return None
    return _wrapped(_template("-CAST(_0 AS HUGEINT)", node.this), kind)


def _as_double(node: exp.Expr, number: int) -> str:
    return f"_{number}" if is_floating(type_of(node)) else f"CAST(_{number} AS DOUBLE)"


def _division(node: exp.Div) -> exp.Expr:
    left, right, kind = node.this, node.expression, type_of(node)
    if kind.kind != "DECIMAL":
        # built in place, not from a template: quotients hold whole formulas, which are copied into one
        sides = [
            side if is_floating(type_of(side)) else exp.Cast(this=side, to=exp.DataType.build("DOUBLE"))
            for side in (left, right)
        ]
        return exp.Div(this=bracketed(sides[0]), expression=exp.Nullif(this=sides[1], expression=exp.Literal.number(0)))
    one, other = as_decimal(narrow(left)), as_decimal(narrow(right))
    return quotient(left, one, right, other, kind)


def quotient(left: exp.Expr, one: Type, right: exp.Expr, other: Type, kind: Type) -> exp.Expr:
    """`left / right` of DECIMALs with the digits of a type, halves away from zero; DuckDB would give a DOUBLE.

    Both are taken as whole numbers of 128 bits, the first with as many zeros as the result needs.
    """
    shift = kind.scale - one.scale + other.scale
    top = f"({_unscaled('_0', one)} * {'1' + '0' * max(shift, 0)}::HUGEINT)"
    below = f"NULLIF({_unscaled('_1', other)}, 0)"
    rounded = f"{top} // {below} + CASE WHEN ABS({top} % {below}) * 2 >= ABS({below}) THEN CASE WHEN ({top} < 0) = ({below} < 0) THEN 1 ELSE -1 END ELSE 0 END"
    if not kind.scale:
        return _template(f"TRY_CAST({rounded} AS {kind})", left, right)
    unit = f"CAST('0.{'0' * (kind.scale - 1)}1' AS DECIMAL({kind.scale},{kind.scale}))"
    return _template(f"TRY_CAST(TRY_CAST({rounded} AS DECIMAL(38,0)) * {unit} AS {kind})", left, right)


def _unscaled(part: str, kind: Type) -> str:
    """The whole number of the smallest units that a DECIMAL has."""
    if not kind.scale:
        return f"CAST({part} AS HUGEINT)"
    return f"CAST(REPLACE(CAST(CAST({part} AS DECIMAL(38,{kind.scale})) AS VARCHAR), '.', '') AS HUGEINT)"


# --- conditions -------------------------------------------------------------------------------------------------------


def _comparison(node: exp.Expr) -> exp.Expr | None:
    kinds = {type_of(side) for side in node.iter_expressions()}
    times = kinds & {DATE, TIMESTAMP}
    if times and STRING in kinds:
        wanted = "TIMESTAMP" if TIMESTAMP in kinds else "DATE"
        for side in list(node.iter_expressions()):
            if type_of(side) == STRING and isinstance(side.unnest(), exp.Literal):
                text = side.unnest().name
                kind = "TIMESTAMP" if wanted == "TIMESTAMP" or len(text) > 10 else "DATE"
                side.replace(exp.cast(exp.Literal.string(text), kind))
        return None
    return _wide_comparison(node)


def _wide_comparison(node: exp.Expr) -> exp.Expr | None:
    """DECIMALs that have more than 38 digits together: DuckDB fails on large ones, Hive compares them."""
    if not isinstance(node, exp.Binary) or isinstance(node, exp.NullSafeEQ):
        return None
    kinds = [type_of(node.this), type_of(node.expression)]
    if not all(map(is_exact, kinds)):
        return None
    kinds = [as_decimal(kind) for kind in kinds]
    scale = max(kind.scale for kind in kinds)
    if max(kind.precision - kind.scale for kind in kinds) + scale <= 38:
        return None
    both = type(node)(this=exp.column("_0"), expression=exp.column("_1")).sql("duckdb")
    exact, rough = (
        both.replace("_0", f"TRY_CAST(_0 AS {kind})").replace("_1", f"TRY_CAST(_1 AS {kind})")
        for kind in (f"DECIMAL(38,{scale})", "DOUBLE")
    )
    return _template(f"COALESCE({exact}, {rough})", node.this, node.expression)


def _like(node: exp.Like) -> exp.Expr | None:
    pattern = node.expression
    if isinstance(pattern, exp.Literal) and "\\" in pattern.name:
        plain = exp.Like(this=node.this, expression=node.expression)
        escaped = exp.Escape(this=plain, expression=exp.Literal.string("\\"))
        return exp.Not(this=escaped) if node.args.get("negate") else escaped
    return None


def _case(node: exp.Case) -> exp.Expr | None:
    branches = [branch.args["true"] for branch in node.args["ifs"]]
    if node.args.get("default"):
        branches.append(node.args["default"])
    wanted = type_of(node)
    for branch in branches:
        new = _in_type(branch, wanted)
        if new is not branch:
            branch.replace(new)
    return None


def _in_type(node: exp.Expr, wanted: Type) -> exp.Expr:
    """A branch in the common type, if it is a number of another."""
    given = type_of(node)
    if given == wanted or given in (UNKNOWN, VOID) or not (is_exact(wanted) or is_floating(wanted)):
        return node
    copy = node.copy()
    return mark(_cast(copy, given, wanted), wanted)


# --- calls ------------------------------------------------------------------------------------------------------------


def _call(node: exp.Expr) -> exp.Expr | None:
    call = call_of(node)
    if call is None or is_implied(node):
        return None
    name, args = call
    signatures = [s for s in SIGNATURES.get(name, ()) if s.takes(len(args))]
    if not signatures:
        return None
    if signatures[0].use == "aggregate":
        return None if isinstance(node.parent, exp.Window) else _aggregate(node)
    build = _BUILT.get(signatures[0].name)
    if build is not None:
        return build(node, args)
    if signatures[0].name in ("greatest", "least") and type_of(node).kind == "DECIMAL":
        args = [_in_type(arg, type_of(node)) for arg in args]
    signature = chosen(signatures, args)
    template = signature.duckdb
    if template is None:
        return None
    try:
        text = template if isinstance(template, str) else template(args)
    except PatternError:
        return None  # of a tree that the project built itself, and compared
    return fill(text, args, "duckdb", day, time)


def _concat(node: exp.Expr, args: list[exp.Expr]) -> exp.Expr:
    parts = [bracketed(_text(arg, type_of(arg)) if type_of(arg) != UNKNOWN else exp.cast(arg, "TEXT")) for arg in args]
    whole = parts[0]
    for part in parts[1:]:
        whole = exp.DPipe(this=whole, expression=part, safe=False)
    return mark(exp.Paren(this=whole), STRING) if len(parts) > 1 else whole


def _concat_ws(node: exp.Expr, args: list[exp.Expr]) -> exp.Expr:
    return exp.Anonymous(this="CONCAT_WS", expressions=args)


def _remainder(node: exp.Expr, args: list[exp.Expr]) -> exp.Expr:
    name = "pmod" if not isinstance(node, exp.Mod) else "%"
    kind = type_of(node)
    one, other = args
    if kind.kind == "DECIMAL":
        scale = max(as_decimal(narrow(one)).scale, as_decimal(narrow(other)).scale)
        wide = f"DECIMAL(38,{scale})"
        top, below = f"CAST(_0 AS {wide})", f"NULLIF(CAST(_1 AS {wide}), 0)"
        text = f"{top} % {below}" if name == "%" else f"({top} % {below} + {below}) % {below}"
        return _template(f"TRY_CAST({text} AS {kind})", one, other)
    if not is_integer(kind):
        below = "NULLIF(_1, 0)"
        return _template(f"_0 % {below}" if name == "%" else f"(_0 % {below} + {below}) % {below}", one, other)
    wide = "HUGEINT" if kind == BIGINT else "BIGINT"
    below = f"NULLIF(CAST(_1 AS {wide}), 0)"
    if name == "%":
        return _template(f"CAST(CAST(_0 AS {wide}) % {below} AS {kind.kind})", one, other)
    # Java adds in the type's own bits
    total = _wrapped(_template(f"CAST(_0 AS {wide}) % {below} + {below}", one, other), kind)
    return _template(f"CAST(_0 % {below} AS {kind.kind})", total, other)


def _coalesce(node: exp.Expr, args: list[exp.Expr]) -> exp.Expr:
    wanted = type_of(node)
    given = [_in_type(arg, wanted) for arg in args]
    return exp.Coalesce(this=given[0], expressions=given[1:])


def _if(node: exp.Expr, args: list[exp.Expr]) -> exp.Expr:
    wanted = type_of(node)
    case = exp.Case(ifs=[exp.If(this=args[0], true=_in_type(args[1], wanted))])
    if len(args) > 2:
        case.set("default", _in_type(args[2], wanted))
    return case


def _array(node: exp.Expr, args: list[exp.Expr]) -> exp.Expr:
    wanted = common_of(args) if args else UNKNOWN
    return exp.Array(expressions=[_in_type(arg, wanted) for arg in args])


def _whole(node: exp.Expr, args: list[exp.Expr]) -> exp.Expr:
    name = "FLOOR" if isinstance(node, exp.Floor) else "CEIL"
    given = type_of(args[0])
    if is_integer(given):
        return _template("CAST(_0 AS BIGINT)", args[0])
    if given.kind == "DECIMAL":
        return _template(f"CAST({name}(_0) AS {type_of(node)})", args[0])
    if not is_floating(given):
        return _template(f"{name}(_0)", args[0])
    # Java's conversion: the nearest that there is, and 0 for what is no number
    return _template(
        f"CASE WHEN ISNAN(_0) THEN 0 WHEN _0 >= 9223372036854775807 THEN 9223372036854775807 "
        f"WHEN _0 <= -9223372036854775808 THEN -9223372036854775807 - 1 ELSE CAST({name}(_0) AS BIGINT) END",
        args[0],
    )


def _round(node: exp.Expr, args: list[exp.Expr]) -> exp.Expr:
    given, digits = type_of(args[0]), number_of(args[1]) or 0 if len(args) > 1 else 0
    if is_integer(given):
        return args[0]
    if given.kind == "DECIMAL":
        return _template(f"TRY_CAST(_0 AS {type_of(node)})", args[0])
    if not is_floating(given):
        return _template(f"ROUND(_0, {digits})", args[0])
    # from the digits that it shows, as BigDecimal.valueOf does; what has no room for digits stays
    return _template(
        f"CASE WHEN ABS(_0) < 1e{37 - digits} THEN CAST(CAST(CAST(CAST(_0 AS VARCHAR) AS DECIMAL(38,{digits})) AS VARCHAR) AS DOUBLE) ELSE _0 END",
        args[0],
    )


def _abs(node: exp.Expr, args: list[exp.Expr]) -> exp.Expr | None:
    given = type_of(args[0])
    if is_integer(given):
        least = -_HALF[given.kind]
        return _template(
            f"CASE WHEN _0 > {least} THEN ABS(_0) ELSE _0 END"
            if given != BIGINT
            else "CASE WHEN _0 > -9223372036854775807 - 1 THEN ABS(_0) ELSE _0 END",
            args[0],
        )
    return None


def _lower(node: exp.Expr, args: list[exp.Expr]) -> exp.Expr:
    # Java: a sigma at the end of a word, and a dotted I
    return _template(
        "CASE WHEN REGEXP_MATCHES(_0, '[Σİ]') THEN LOWER(REGEXP_REPLACE(REPLACE(_0, 'İ', 'i̇'), '(\\p{L}\\p{M}*)Σ(\\P{L}|$)', '\\1ς\\2', 'g')) "
        "ELSE LOWER(_0) END",
        args[0],
    )


def _date_shift(node: exp.Expr, args: list[exp.Expr]) -> exp.Expr:
    sign = "-" if call_of(node).name == "date_sub" else "+"  # type: ignore[union-attr]
    shift = args[1] if type_of(args[1]) == INT else exp.TryCast(this=args[1], to=exp.DataType.build("INT"))
    return _template(f"@D0 {sign} _1", args[0], mark(shift, INT))


# --- aggregates and windows -------------------------------------------------------------------------------------------


_NAMES = {"stddev": "stddev_pop", "std": "stddev_pop", "variance": "var_pop"}


def _aggregate(node: exp.Expr) -> exp.Expr | None:
    """What an aggregate becomes, outside a window."""
    call = call_of(node)
    assert call is not None
    name, args, kind = _NAMES.get(call.name, call.name), call.args, type_of(node)
    if name == "sum":
        return None if kind in (UNKNOWN, VOID) else _template(f"CAST(SUM(_0) AS {kind})", args[0])
    if name == "avg":
        if kind.kind == "DECIMAL":
            inner = args[0].expressions[0] if isinstance(args[0], exp.Distinct) else args[0]
            given = as_decimal(type_of(inner))
            total = Type("DECIMAL", min(given.precision + 10, 38), given.scale)
            sum_ = mark(exp.Sum(this=args[0].copy()), total)
            return quotient(sum_, total, mark(exp.Count(this=args[0].copy()), BIGINT), as_decimal(BIGINT), kind)
        return mean(args[0], "duckdb")
    if name in ("stddev_pop", "stddev_samp", "var_pop"):
        return moment(name, args[0], "duckdb", _cast)
    if name == "percentile":
        return percentile(args[0], args[1], "duckdb", _cast)
    if name == "collect_list":
        return _list("LIST(_0) FILTER (WHERE _1 IS NOT NULL)", args[0])
    if name == "collect_set":
        return _list("LIST(DISTINCT _0) FILTER (WHERE _1 IS NOT NULL)", args[0])
    return _count(node, args) if name == "count" else None


def _list(text: str, arg: exp.Expr) -> exp.Expr:
    inner = arg.expressions[0] if isinstance(arg, exp.Distinct) else arg
    return _template(f"COALESCE({text}, [])", arg, inner)


def _count(node: exp.Expr, args: list[exp.Expr]) -> exp.Expr | None:
    if len(args) > 1 or (isinstance(args[0], exp.Distinct) and len(args[0].expressions) > 1):
        given = args[0].expressions if isinstance(args[0], exp.Distinct) else args
        missing = exp.or_(*[exp.Is(this=arg.copy(), expression=exp.Null()) for arg in given])
        if not isinstance(args[0], exp.Distinct):
            return exp.Count(this=exp.Case(ifs=[exp.If(this=exp.not_(missing), true=exp.Literal.number(1))]))
        row = exp.Anonymous(this="ROW", expressions=[arg.copy() for arg in given])
        case = exp.Case(ifs=[exp.If(this=exp.not_(missing), true=row)])
        return exp.Count(this=exp.Distinct(expressions=[case]))
    return None


_BUILT: dict[str, Callable[[exp.Expr, list[exp.Expr]], exp.Expr | None]] = {
    "abs": _abs,
    "floor": _whole,
    "ceil": _whole,
    "round": _round,
    "%": _remainder,
    "pmod": _remainder,
    "concat": _concat,
    "||": _concat,
    "concat_ws": _concat_ws,
    "coalesce": _coalesce,
    "if": _if,
    "array": _array,
    "lower": _lower,
    "date_add": _date_shift,
    "date_sub": _date_shift,
}


def _widen_key(node: exp.Window) -> None:
    """A RANGE frame over INT in 64 bits: 32 do not hold what is before the least of them."""
    spec, order = node.args.get("spec"), node.args.get("order")
    if spec is None or order is None or not any(isinstance(spec.args.get(name), exp.Expr) for name in ("start", "end")):
        return
    ordered = order.expressions[0]
    if str(spec.args.get("kind")).upper() == "RANGE" and is_integer(type_of(ordered.this)) and type_of(ordered.this) != BIGINT:
        ordered.set("this", mark(exp.cast(ordered.this.copy(), "BIGINT"), BIGINT))


_RANKS = (exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile)


def _window(node: exp.Window) -> exp.Expr | None:
    function = node.this
    _widen_key(node)
    if isinstance(function, _RANKS):
        copy = node.copy()
        return exp.Cast(this=copy, to=exp.DataType.build("INT"))
    if isinstance(function, (exp.Lag, exp.Lead)):
        if function.args.get("default"):
            function.set("default", _in_type(function.args["default"], type_of(function)))
        return None
    call = call_of(function)
    if call is None or SIGNATURES.get(call.name, [None])[0] is None or SIGNATURES[call.name][0].use != "aggregate":
        return None
    new = _aggregate(function)
    return None if new is None else over(node, new)
