"""Hive types: how they combine, and the type of each expression of a query over tables whose columns are known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import NamedTuple

from sqlglot import exp

from hive_io.errors import QueryError


class Type(NamedTuple):
    """A Hive type.

    Attributes:
        kind: its name without parameters; VOID is the type of NULL, UNKNOWN that of a column of an unknown table.
        precision: digits of a DECIMAL.
        scale: digits after the point of a DECIMAL.
        item: the type of the items of an ARRAY.
    """

    kind: str
    precision: int = 0
    scale: int = 0
    item: str = ""

    def __deepcopy__(self, memo: object) -> Type:
        return self  # a tree is copied often, with the types of its nodes

    def __str__(self) -> str:
        if self.kind == "DECIMAL":
            return f"DECIMAL({self.precision},{self.scale})"
        return f"ARRAY<{self.item}>" if self.kind == "ARRAY" else self.kind


UNKNOWN, VOID, BOOLEAN, STRING, DATE, TIMESTAMP, INTERVAL, DOUBLE, FLOAT, INT, BIGINT = map(
    Type, ["UNKNOWN", "VOID", "BOOLEAN", "STRING", "DATE", "TIMESTAMP", "INTERVAL", "DOUBLE", "FLOAT", "INT", "BIGINT"]
)
INTEGERS = ("TINYINT", "SMALLINT", "INT", "BIGINT")
FLOATS = ("FLOAT", "DOUBLE")
MOST_DIGITS = 38
_DIGITS = {"TINYINT": 3, "SMALLINT": 5, "INT": 10, "BIGINT": 19}
_KINDS = {
    exp.DataType.Type.TEXT: "STRING",
    exp.DataType.Type.VARCHAR: "STRING",
    exp.DataType.Type.BOOLEAN: "BOOLEAN",
    exp.DataType.Type.TINYINT: "TINYINT",
    exp.DataType.Type.SMALLINT: "SMALLINT",
    exp.DataType.Type.INT: "INT",
    exp.DataType.Type.BIGINT: "BIGINT",
    exp.DataType.Type.FLOAT: "FLOAT",
    exp.DataType.Type.DOUBLE: "DOUBLE",
    exp.DataType.Type.DATE: "DATE",
    exp.DataType.Type.TIMESTAMP: "TIMESTAMP",
}


def decimal(precision: int, scale: int) -> Type:
    return Type("DECIMAL", precision, scale)


def array(item: Type) -> Type:
    return Type("ARRAY", item=str(item))


def item_of(kind: Type) -> Type:
    """The type of the items of an ARRAY."""
    return parse_type(kind.item) if kind.item else UNKNOWN


def parse_type(text: str) -> Type:
    """From Hive's text: `DECIMAL(18,2)`, `ARRAY<STRING>`."""
    if text in ("UNKNOWN", "VOID", "INTERVAL"):
        return Type(text)
    return of_data_type(exp.DataType.build(text, dialect="hive"))


def of_data_type(node: exp.DataType) -> Type:
    if node.this == exp.DataType.Type.DECIMAL:
        digits = [int(part.name) for part in node.expressions]
        # Hive's own defaults
        return decimal(digits[0] if digits else 10, digits[1] if len(digits) > 1 else 0)
    if node.this == exp.DataType.Type.ARRAY:
        return array(of_data_type(node.expressions[0]) if node.expressions else UNKNOWN)
    return Type(_KINDS.get(node.this, "UNKNOWN"))


_DUCKDB = {"VARCHAR": "STRING", "INTEGER": "INT"}


def of_duckdb(text: str) -> Type:
    """From a type of DuckDB, of those that tables have."""
    if text.endswith("[]"):
        return array(of_duckdb(text[:-2]))
    if text.startswith("DECIMAL"):
        precision, scale = map(int, text[8:-1].split(","))
        return decimal(precision, scale)
    kind = _DUCKDB.get(text, text)
    return Type(kind if kind in _KINDS.values() else "UNKNOWN")


def of_number(text: str) -> Type:
    """The type of a number as it is written; zeros at the end of a DECIMAL count for nothing in Hive."""
    if re.search("[eE]", text):
        return DOUBLE
    whole, _, rest = text.partition(".")
    if "." not in text:
        value = int(text)
        return INT if value < 2**31 else BIGINT if value < 2**63 else decimal(len(str(value)), 0)
    rest, whole = rest.rstrip("0"), whole.lstrip("0")
    return decimal(max(len(whole) + len(rest), 1), len(rest))


def is_integer(kind: Type) -> bool:
    return kind.kind in INTEGERS


def is_exact(kind: Type) -> bool:
    return kind.kind in INTEGERS or kind.kind == "DECIMAL"


def is_floating(kind: Type) -> bool:
    return kind.kind in FLOATS


def is_number(kind: Type) -> bool:
    return is_exact(kind) or is_floating(kind)


def family(kind: Type) -> str:
    """What can be compared with one another."""
    if is_number(kind):
        return "number"
    return "time" if kind.kind in ("DATE", "TIMESTAMP") else kind.kind


def as_decimal(kind: Type) -> Type:
    """The DECIMAL that holds every value of an exact type."""
    return decimal(_DIGITS[kind.kind], 0) if kind.kind in _DIGITS else kind


def bounded(precision: int, scale: int) -> Type:
    """Hive's DECIMAL for a result that needs so many digits: of those after the point, 6 are kept if 38 are too few."""
    if precision <= MOST_DIGITS:
        return decimal(precision, scale)
    return decimal(MOST_DIGITS, max(MOST_DIGITS - (precision - scale), min(scale, 6)))


def arithmetic(operator: str, left: Type, right: Type) -> Type:
    """The type of `left operator right`, numbers both: Hive's rules (HiveDecimalUtils, GenericUDFOPDivide and its kind)."""
    if is_floating(left) or is_floating(right) or (operator == "/" and is_integer(left) and is_integer(right)):
        return DOUBLE
    if is_integer(left) and is_integer(right):
        return max(left, right, key=lambda kind: INTEGERS.index(kind.kind))
    (_, p1, s1, _), (_, p2, s2, _) = as_decimal(left), as_decimal(right)
    if operator in "+-":
        scale = max(s1, s2)
        return bounded(max(p1 - s1, p2 - s2) + scale + 1, scale)
    if operator == "*":
        return bounded(p1 + p2 + 1, s1 + s2)
    if operator == "/":
        scale = max(6, s1 + p2 + 1)
        return bounded(p1 - s1 + s2 + scale, scale)
    scale = max(s1, s2)
    return bounded(min(p1 - s1, p2 - s2) + scale, scale)


def common(kinds: Iterable[Type]) -> Type | None:
    """The type that CASE, COALESCE and UNION give to values of these types; None if Hive would convert between families."""
    given = [kind for kind in kinds if kind != VOID]
    if not given:
        return VOID
    if UNKNOWN in given:
        return UNKNOWN
    if len(set(given)) == 1:
        return given[0]
    if not all(map(is_number, given)):
        return None
    if any(map(is_floating, given)):
        return DOUBLE
    if all(map(is_integer, given)):
        return max(given, key=lambda kind: INTEGERS.index(kind.kind))
    wide = [as_decimal(kind) for kind in given]
    return wider(wide)


def are_wide(kinds: Iterable[Type]) -> bool:
    """True if exact numbers of these types have no DECIMAL in common that holds all of their digits."""
    exact = [as_decimal(kind) for kind in kinds if is_exact(kind)]
    if len(exact) < 2:
        return False
    return max(kind.precision - kind.scale for kind in exact) + max(kind.scale for kind in exact) > MOST_DIGITS


def wider(kinds: Sequence[Type]) -> Type:
    """The DECIMAL that holds the values of all; of more than 38 digits, Hive drops those after the point."""
    whole, scale = max(kind.precision - kind.scale for kind in kinds), max(kind.scale for kind in kinds)
    return decimal(min(whole + scale, MOST_DIGITS), min(scale, MOST_DIGITS - whole))


# --- expressions ------------------------------------------------------------------------------------------------------

_MARK = "hive_type"
Columns = Mapping[str, Type]


def type_of(node: exp.Expr) -> Type:
    """The type that `annotate` found; UNKNOWN before it."""
    found = node.meta.get(_MARK)
    return found if isinstance(found, Type) else UNKNOWN


def mark(node: exp.Expr, kind: Type) -> exp.Expr:
    node.meta[_MARK] = kind
    return node


def common_of(nodes: Iterable[exp.Expr], *, line: int | None = None) -> Type:
    """The common type of branches, integers that are written out as narrow as they are.

    Raises:
        QueryError: they have none.
    """
    nodes = list(nodes)
    kinds = [type_of(node) for node in nodes]
    found = common(map(narrow, nodes) if any(kind.kind == "DECIMAL" for kind in kinds) else kinds)
    if found is None:
        raise QueryError(f"{', '.join(dict.fromkeys(map(str, kinds)))} have no common type; CAST them to one", line)
    wide = [as_decimal(narrow(node)) for node in nodes if is_exact(type_of(node))]
    if (
        found.kind == "DECIMAL"
        and max(kind.precision - kind.scale for kind in wide) + max(kind.scale for kind in wide) > MOST_DIGITS
    ):
        written = " and ".join(dict.fromkeys(map(str, kinds)))
        raise QueryError(f"{written} together need more than 38 digits, and engines drop them differently; CAST one", line)
    return found


def narrow(node: exp.Expr) -> Type:
    """The type of an operand of DECIMAL arithmetic: an integer that is written out has as many digits as it shows."""
    inner = node.unnest()
    if isinstance(inner, exp.Neg):
        inner = inner.this.unnest()
    if isinstance(inner, exp.Literal) and inner.is_int and type_of(node).kind in INTEGERS:
        return decimal(len(inner.name.lstrip("0")) or 1, 0)
    value = constant(node)
    return (
        type_of(node)
        if value is None
        else of_number(f"{abs(value):f}." if value == value.to_integral_value() else f"{abs(value):f}")
    )


def constant(node: exp.Expr) -> Decimal | None:
    """The value of `CAST('1.50' AS DECIMAL(3,2))`, as a param is bound: Hive drops its last zeros in arithmetic."""
    inner = node.unnest()
    sign = 1
    if isinstance(inner, exp.Neg):
        inner, sign = inner.this.unnest(), -1
    if not isinstance(inner, (exp.Cast, exp.TryCast)) or type_of(node).kind != "DECIMAL":
        return None
    text = inner.this.unnest()
    if not isinstance(text, exp.Literal):
        return None
    kind = of_data_type(inner.args["to"])
    try:
        value = Decimal(text.name.strip()).quantize(Decimal(1).scaleb(-kind.scale), ROUND_HALF_UP, Context(prec=80))
    except InvalidOperation:
        return None
    return (
        sign * (value.normalize() if value else Decimal(0))
        if abs(value) < Decimal(10) ** (kind.precision - kind.scale)
        else None
    )
