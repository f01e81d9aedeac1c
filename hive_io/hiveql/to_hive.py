"""HiveQL for a HiveServer2: as it is written, but for what Apache Hive or Spark reads in a way of its own."""

from __future__ import annotations

from typing import Literal, TypeAlias

from sqlglot import exp

from hive_io.hiveql.aggregates import mean, moment, over, percentile
from hive_io.hiveql.annotate import Annotator, ColumnsOf, chosen, is_partition
from hive_io.hiveql.bounds import within_the_stack
from hive_io.hiveql.calls import call_of, is_implied
from hive_io.hiveql.frames import for_hive
from hive_io.hiveql.patterns import PatternError
from hive_io.hiveql.rewrite import bracketed, fill, rewrite
from hive_io.hiveql.signatures import SIGNATURES
from hive_io.hiveql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    MOST_DIGITS,
    STRING,
    TIMESTAMP,
    UNKNOWN,
    VOID,
    Type,
    are_wide,
    as_decimal,
    constant,
    is_exact,
    is_floating,
    is_integer,
    mark,
    narrow,
    of_data_type,
    type_of,
)  # fmt: skip

Engine: TypeAlias = Literal["hive", "spark"]

_DOUBLE = r"^[+-]?(([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?[fFdD]?|NaN|Infinity)$"
_INTEGER = r"^[+-]?([0-9]+\\.?[0-9]*|\\.[0-9]+)$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}( ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?)?$"
"""Apache Hive takes 25:00:00 for 1:00 of the next day."""
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.Between, exp.In)


def to_hive(tree: exp.Query, columns_of: ColumnsOf = lambda name: None, engine: Engine = "hive") -> str:
    """The text that a HiveServer2 gets.

    Args:
        columns_of: the types of a table's columns; without them, what depends on types is left as it is.
        engine: what the server runs on.
    """
    tree = tree.copy()
    Annotator(columns_of, names=False).query(tree)
    # every name quoted: what is no keyword to the engine that checked the query may be one to the server
    with within_the_stack():
        return rewrite(tree, _Translator(engine)).sql(dialect="hive", identify=True, copy=False)


class _Translator:
    def __init__(self, engine: Engine) -> None:
        self._spark = engine == "spark"

    def __call__(self, node: exp.Expr) -> exp.Expr | None:
        if not self._spark:
            self._widen(node)
        if isinstance(node, (exp.Paren, exp.Alias)):
            mark(node, type_of(node.this))
            return None
        if isinstance(node, exp.Literal):
            return _literal(node)
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Neg):
            # two signs are the beginning of a comment
            return exp.Neg(this=exp.Paren(this=node.this))
        if isinstance(node, (exp.Case, exp.Coalesce, exp.Greatest, exp.Least, exp.Nullif)) and type_of(node).kind == "DECIMAL":
            return self._pinned(node)
        if isinstance(node, exp.If) and not isinstance(node.parent, exp.Case) and type_of(node).kind == "DECIMAL":
            return self._pinned(node)
        if isinstance(node, exp.IntDiv):
            if isinstance(node.expression, exp.Nullif):
                return None
            # `x DIV 0` is NULL in Spark, an error in Apache Hive
            divisor = exp.Nullif(this=node.expression, expression=exp.Literal.number(0))
            return exp.IntDiv(this=node.this, expression=divisor)
        if isinstance(node, exp.Div):
            return self._division(node)
        if isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
            return _decimals(node)
        if isinstance(node, exp.Between):
            _times(node)
            return self._between(node)
        if isinstance(node, _COMPARISONS):
            _times(node)
            return self._wide_comparison(node) if self._spark else None
        if isinstance(node, (exp.Cast, exp.TryCast)):
            return self._cast(node)
        if isinstance(node, exp.Window):
            return self._window(node)
        if isinstance(node, exp.DPipe):
            return self._concat([node.this, node.expression])
        if isinstance(node, exp.Like) and node.args.get("negate"):
            return None
        return self._call(node)

    # --- parts of templates -------------------------------------------------------------------------------------------

    def day(self, node: exp.Expr) -> str:
        """The DATE of a value; of a text, of the day that it starts with: engines differ in what may follow."""
        if is_partition(node) or type_of(node) != STRING:
            return "#"
        return r"CAST(REGEXP_EXTRACT(#, '^ *([0-9]{4}-[0-9]{1,2}-[0-9]{1,2})', 1) AS DATE)"

    def time(self, node: exp.Expr) -> str:
        """The TIMESTAMP of a value; of a text of one form, NULL of any other."""
        return f"CASE WHEN # RLIKE '{_TIME}' THEN CAST(# AS TIMESTAMP) END" if type_of(node) == STRING else "#"

    def _template(self, text: str, *args: exp.Expr) -> exp.Expr:
        return fill(text, args, "hive", self.day, self.time)

    # --- nodes --------------------------------------------------------------------------------------------------------

    def _division(self, node: exp.Div) -> exp.Expr | None:
        left, right = node.this, node.expression
        if type_of(node).kind == "DECIMAL":
            left, right = _operand(left), _operand(right)
        return exp.Div(this=left, expression=self._not_zero(right), typed=node.args.get("typed"), safe=node.args.get("safe"))

    def _wide_comparison(self, node: exp.Expr) -> exp.Expr | None:
        """DECIMALs that have more than 38 digits together: Spark gives NULL for large ones, Hive compares them."""
        if not isinstance(node, exp.Binary) or isinstance(node, exp.NullSafeEQ):
            return None
        kinds = [type_of(node.this), type_of(node.expression)]
        if not all(map(is_exact, kinds)) or not are_wide(kinds):
            return None
        rough = "_0 = _1".replace(
            "=", {exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}[type(node)]
        )
        as_doubles = rough.replace("_0", "CAST(_0 AS DOUBLE)").replace("_1", "CAST(_1 AS DOUBLE)")
        return self._template(f"COALESCE({rough}, {as_doubles})", node.this, node.expression)

    def _between(self, node: exp.Between) -> exp.Expr | None:
        """Apache Hive gives NULL where a bound is NULL, and the other one is missed."""
        low, high = node.args["low"], node.args["high"]
        if self._spark or all(isinstance(bound.unnest(), (exp.Literal, exp.Cast, exp.TryCast)) for bound in (low, high)):
            return None
        return self._template(
            "CASE WHEN _0 < _1 THEN FALSE WHEN _0 > _2 THEN FALSE ELSE _0 >= _1 AND _0 <= _2 END", node.this, low, high
        )

    def _pinned(self, node: exp.Expr) -> exp.Expr:
        """A choice among DECIMALs in its type: of constants, each engine has its own idea of their digits."""
        kind = type_of(node)
        new = self._call(node)
        copy = node.copy() if new is None else new
        if not self._spark and kind.precision < MOST_DIGITS:
            # Hive plans a CAST to the type that the choice has, then leaves it out and finds another type
            wide = exp.DataType.build(f"DECIMAL({kind.precision + 1},{kind.scale})", dialect="hive")
            copy = exp.TryCast(this=copy, to=wide)
        return mark(exp.TryCast(this=copy, to=exp.DataType.build(str(kind), dialect="hive")), kind)

    def _not_zero(self, node: exp.Expr) -> exp.Expr:
        """A divisor, NULL for 0: Apache Hive takes `a / b IS NULL` for `a IS NULL OR b IS NULL`, in COALESCE too."""
        inner = node.unnest()
        inner = inner.this if isinstance(inner, (exp.Cast, exp.TryCast)) else inner
        if self._spark or (isinstance(inner, exp.Literal) and not inner.is_string and float(inner.name)):
            return node
        return self._template("CASE WHEN _0 <> 0 THEN _0 END", node)

    def _cast(self, node: exp.Expr) -> exp.Expr | None:
        given, wanted, inner = type_of(node.this), of_data_type(node.args["to"]), node.this
        if isinstance(inner.unnest(), exp.Literal) and wanted in (DATE, TIMESTAMP):
            return None
        return self._cast_value(inner, given, wanted)

    def _cast_value(self, inner: exp.Expr, given: Type, wanted: Type) -> exp.Expr | None:
        if wanted == STRING and given == BOOLEAN and self._spark:
            return self._template("UPPER(CAST(_0 AS STRING))", inner)
        if given == STRING:
            if wanted == TIMESTAMP:
                return self._template("@T0", inner)
            if wanted == DATE and not is_partition(inner):
                return self._template("@D0", inner)
            if wanted == DOUBLE and self._spark:
                return self._template(f"CASE WHEN TRIM(_0) RLIKE '{_DOUBLE}' THEN CAST(_0 AS DOUBLE) END", inner)
        if is_integer(wanted) and given.kind == "DECIMAL" and self._spark:
            # NULL in Hive; Spark cuts the bits. Whole parts: its comparison of DECIMALs that need more than 38 digits is NULL
            half = 2 ** {"TINYINT": 7, "SMALLINT": 15, "INT": 31, "BIGINT": 63}[wanted.kind]
            inside = f"CEIL(_0) > CAST('-{half + 1}' AS DECIMAL(20,0)) AND FLOOR(_0) < CAST('{half}' AS DECIMAL(20,0))"
            return self._template(f"CASE WHEN {inside} THEN CAST(_0 AS {wanted.kind}) END", inner)
        if wanted == DOUBLE and given.kind == "DECIMAL":
            return self._as_double(inner)
        if is_integer(wanted) and given == STRING and self._spark:
            # a point without digits is 0 to Spark
            return self._template(f"CASE WHEN TRIM(_0) RLIKE '{_INTEGER}' THEN CAST(_0 AS {wanted.kind}) END", inner)
        if wanted.kind == "DECIMAL":
            return exp.TryCast(this=_written_out(inner), to=exp.DataType.build(str(wanted), dialect="hive"))
        return None

    def _concat(self, args: list[exp.Expr]) -> exp.Expr:
        parts = []
        for arg in args:
            given = type_of(arg)
            if given in (STRING, UNKNOWN, VOID):
                parts.append(arg)
            elif given == BOOLEAN and self._spark:
                parts.append(self._template("UPPER(CAST(_0 AS STRING))", arg))
            else:
                parts.append(self._template("CAST(_0 AS STRING)", arg))
        return exp.Anonymous(this="CONCAT", expressions=parts)

    def _call(self, node: exp.Expr) -> exp.Expr | None:
        call = call_of(node)
        if call is None or is_implied(node):
            return None
        known = [s for s in SIGNATURES.get(call.name, ()) if s.takes(len(call.args))]
        if not known:
            return None
        name, args = known[0].name, call.args
        if known[0].use == "aggregate":
            return None if isinstance(node.parent, exp.Window) else self._aggregate(node)
        if name == "concat":
            return self._concat(args)
        if name in ("%", "pmod"):
            return self._remainder(node, name, args)
        if name == "nullif" and not self._spark and type_of(args[0]) != type_of(args[1]):
            return self._nullif(*args)
        if name == "round" and type_of(node).kind == "DECIMAL":
            # Spark keeps fewer digits than Hive where there are none to round
            return self._template(f"CAST(_0 AS {type_of(node)})", _written_out(args[0]))
        signature = chosen(known, args)
        template = signature.spark if self._spark and signature.spark is not None else signature.hive
        if template is None:
            return None
        try:
            text = template if isinstance(template, str) else template(args)
        except PatternError:
            return None  # of a tree that the project built itself, and compared
        return self._template(text, *args)

    def _nullif(self, one: exp.Expr, other: exp.Expr) -> exp.Expr:
        """NULLIF of two types: Apache Hive compares both in the type of the first, in which 0.01 is 0."""
        same = exp.EQ(this=bracketed(one.copy()), expression=bracketed(other.copy()))
        self._widen(same)
        return exp.Case(ifs=[exp.If(this=same, true=exp.Null())], default=one.copy())

    def _remainder(self, node: exp.Expr, name: str, args: list[exp.Expr]) -> exp.Expr | None:
        one, other = args
        kind = type_of(node)
        if kind.kind == "DECIMAL":
            one, other = _operand(one), _operand(other)
        if name == "%":
            return self._template("_0 % _1", one, self._not_zero(other))
        # Spark has no negative result where the divisor is negative
        other = self._not_zero(other)
        expanded = "(_0 % _1 + _1) % _1" if self._spark or kind.kind == "DECIMAL" else "PMOD(_0, _1)"
        new = self._template(expanded, one, other)
        return self._template(f"CAST(_0 AS {kind})", new) if kind.kind == "DECIMAL" else new

    def _aggregate(self, node: exp.Expr) -> exp.Expr | None:
        call = call_of(node)
        assert call is not None
        name, args = SIGNATURES[call.name][0].name, call.args
        if name == "avg":
            return mean(args[0], "hive")
        if name in ("stddev_pop", "stddev_samp", "var_pop"):
            return moment(name, args[0], "hive", self._cast_number)
        if name == "percentile":
            return percentile(args[0], args[1], "hive", self._cast_number)
        return None

    def _as_double(self, node: exp.Expr) -> exp.Expr:
        """A DECIMAL as a DOUBLE: Apache Hive gives NULL from 10^20 on and drops small digits, unless it reads a text."""
        if not self._spark and is_wide(type_of(node)):
            return mark(self._template("CAST(CONCAT(CAST(_0 AS STRING), 'E0') AS DOUBLE)", node), DOUBLE)
        return mark(self._template("CAST(_0 AS DOUBLE)", node), DOUBLE)

    def _widen(self, node: exp.Expr) -> None:
        """Turn wide DECIMALs beside DOUBLEs into DOUBLEs, where Hive would do so by itself."""
        if isinstance(node, _COMPARISONS):
            to_double = any(is_floating(type_of(side)) for side in node.iter_expressions())
        else:
            to_double = is_floating(type_of(node)) and not isinstance(
                node, (exp.Cast, exp.TryCast, exp.AggFunc, exp.Window, exp.Column, exp.Query)
            )
        for side in list(node.iter_expressions()) if to_double else ():
            if is_wide(type_of(side)) and not isinstance(side, exp.Query):
                side.replace(self._as_double(side.copy()))

    def _cast_number(self, node: exp.Expr, given: Type, wanted: Type) -> exp.Expr:
        if wanted == DOUBLE and given.kind == "DECIMAL":
            return self._as_double(node)
        return exp.TryCast(this=node, to=exp.DataType.build(str(wanted), dialect="hive"))

    def _window(self, node: exp.Window) -> exp.Expr | None:
        call = call_of(node.this)
        if call is not None and call.name in SIGNATURES and SIGNATURES[call.name][0].use == "aggregate":
            new = self._aggregate(node.this)
            if new is not None:
                whole = exp.Paren(this=over(node, new))
                if not self._spark:
                    for window in list(whole.find_all(exp.Window)):
                        changed = for_hive(window)
                        if changed is not None:
                            window.replace(changed)
                else:
                    for window in list(whole.find_all(exp.Window)):
                        changed = _spark_frame(window)
                        if changed is not None:
                            window.replace(changed)
                return whole
        return _spark_frame(node) if self._spark else for_hive(node)


def _spark_frame(window: exp.Window) -> exp.Expr | None:
    """A RANGE frame over INT in 64 bits: 32 do not hold what is before the least of them."""
    spec, order = window.args.get("spec"), window.args.get("order")
    if spec is None or order is None or not any(isinstance(spec.args.get(name), exp.Expr) for name in ("start", "end")):
        return None
    ordered = order.expressions[0]
    if str(spec.args.get("kind")).upper() == "RANGE" and is_integer(type_of(ordered.this)) and type_of(ordered.this) != BIGINT:
        ordered.set("this", mark(exp.cast(ordered.this.copy(), "BIGINT"), BIGINT))
    return None


def is_wide(kind: Type) -> bool:
    """True for a DECIMAL that can be 10^20 or more, or has digits that Apache Hive drops: it keeps 18 after the point."""
    return kind.kind == "DECIMAL" and (kind.precision - kind.scale > 19 or kind.scale > 12)


def _literal(node: exp.Literal) -> exp.Expr | None:
    """Hive drops zeros at the end of a DECIMAL that is written out, Spark keeps them."""
    if node.is_string or "." not in node.name or type_of(node).kind != "DECIMAL":
        return None
    text = node.name.rstrip("0").rstrip(".") or "0"
    if "." in text:
        return None if text == node.name else exp.Literal.number(text)
    return exp.cast(exp.Literal.string(text), str(type_of(node)), dialect="hive")


def _written_out(node: exp.Expr) -> exp.Expr:
    """A number as a text in its type: Apache Hive may give a literal another type without rounding it."""
    inner, sign = node.unnest(), ""
    if isinstance(inner, exp.Neg):
        inner, sign = inner.this.unnest(), "-"
    if not isinstance(inner, exp.Literal) or inner.is_string or type_of(node).kind != "DECIMAL":
        return node
    return mark(exp.cast(exp.Literal.string(f"{sign}{inner.name}"), str(type_of(node)), dialect="hive"), type_of(node))


def _operand(node: exp.Expr) -> exp.Expr:
    """An operand of DECIMAL arithmetic; of an integer, with the digits that Hive gives it: Spark gives a BIGINT one more."""
    value = constant(node)
    if value is not None:
        kind = narrow(node)
        return mark(exp.cast(exp.Literal.string(f"{value:f}"), str(kind), dialect="hive"), kind)
    if not is_integer(type_of(node)):
        return node
    kind = as_decimal(narrow(node))
    return mark(exp.TryCast(this=node.copy(), to=exp.DataType.build(str(kind), dialect="hive")), kind)


def _decimals(node: exp.Expr) -> exp.Expr | None:
    if type_of(node).kind != "DECIMAL":
        return None
    left, right = _operand(node.this), _operand(node.expression)
    return type(node)(this=left, expression=right)


def _times(node: exp.Expr) -> exp.Expr | None:
    """A text that is compared with a time, as a time."""
    kinds = {type_of(side) for side in node.iter_expressions()}
    if STRING in kinds and kinds & {DATE, TIMESTAMP}:
        for side in list(node.iter_expressions()):
            inner = side.unnest()
            if type_of(side) == STRING and isinstance(inner, exp.Literal):
                kind = "TIMESTAMP" if TIMESTAMP in kinds or len(inner.name) > 10 else "DATE"
                side.replace(exp.cast(exp.Literal.string(inner.name), kind))
    return None
