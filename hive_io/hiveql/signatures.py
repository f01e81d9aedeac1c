"""The allow-list as data: each function with its argument types, its result, what it becomes on each engine, and a note.

An argument is a letter: `s` STRING, `i` an integer, `j` an INT or shorter, `e` an integer or DECIMAL, `n` a number, `x` DOUBLE, `b` BOOLEAN, `d` DATE,
`t` TIMESTAMP, `D` DATE, TIMESTAMP or STRING, `a` an ARRAY, `c` anything but an ARRAY, `y` anything, `v` a value that concatenation takes,
`S` a text and `I` an integer that are written out; then `?` for one that may be left out, `*` for one or more.
A template has `_0`, `_1` … for the arguments; without one, the call is sent as it is.
"""

# ruff: noqa: E501 (a table, a row a line)
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sqlglot import exp

from hive_io.hiveql import patterns
from hive_io.hiveql.types import (
    BIGINT,
    DATE,
    DOUBLE,
    INT,
    STRING,
    UNKNOWN,
    Type,
    arithmetic,
    array,
    bounded,
    common,
    decimal,
    is_exact,
    is_floating,
    is_integer,
    is_number,
)  # fmt: skip

Template: TypeAlias = "str | Callable[[Sequence[exp.Expr]], str] | None"
Result: TypeAlias = "Type | Callable[[Sequence[Type]], Type]"

KINDS: dict[str, tuple[str, Callable[[Type], bool]]] = {
    "s": ("STRING", lambda kind: kind == STRING),
    "i": ("INT", is_integer),
    "j": ("INT", lambda kind: is_integer(kind) and kind != BIGINT),
    "e": ("DECIMAL or INT", is_exact),
    "n": ("number", is_number),
    "x": ("DOUBLE", is_floating),
    "b": ("BOOLEAN", lambda kind: kind.kind == "BOOLEAN"),
    "d": ("DATE", lambda kind: kind.kind == "DATE"),
    "t": ("TIMESTAMP", lambda kind: kind.kind == "TIMESTAMP"),
    "D": ("DATE, TIMESTAMP or STRING", lambda kind: kind.kind in ("DATE", "TIMESTAMP", "STRING")),
    "a": ("ARRAY", lambda kind: kind.kind == "ARRAY"),
    "c": ("any type but ARRAY", lambda kind: kind.kind != "ARRAY"),
    "y": ("any type", lambda kind: True),
    "v": ("STRING, INT, DECIMAL, DATE, TIMESTAMP or BOOLEAN", lambda kind: kind.kind != "ARRAY" and not is_floating(kind)),
    "S": ("text literal", lambda kind: kind == STRING),
    "I": ("integer literal", is_integer),
}
"""What a letter stands for, and which types it takes."""


@dataclass(frozen=True)
class Signature:
    """One way to call a function.

    Attributes:
        args: letters, with `?` or `*` behind the last ones.
        duckdb, hive, spark: what the call becomes; `spark` is `hive` if it is not given.
        literal: checks the literals among the arguments; raises PatternError.
        use: "scalar", "aggregate" or "window".
        names: other names of the function that Hive has.
    """

    name: str
    args: str
    result: Result
    duckdb: Template = None
    hive: Template = None
    spark: Template = None
    note: str = ""
    literal: Callable[[Sequence[exp.Expr]], None] | None = None
    use: str = "scalar"
    names: tuple[str, ...] = ()

    @property
    def letters(self) -> list[str]:
        return [part for part in self.args.split() if part]

    def takes(self, count: int) -> bool:
        """True if it can be called with so many arguments."""
        least = sum(not part.endswith("?") for part in self.letters)
        return least <= count and (count <= len(self.letters) or self.args.endswith("*"))

    def letter(self, number: int) -> str:
        return self.letters[min(number, len(self.letters) - 1)][0]

    @property
    def shown(self) -> str:
        """The call with the types of its arguments."""
        words = []
        for part in self.letters:
            word = KINDS[part[0]][0]
            words.append(f"[{word}]" if part.endswith("?") else f"{word}, …" if part.endswith("*") else word)
        return f"{self.name}({', '.join(words)})"


def text_of(node: exp.Expr) -> str:
    """The value of a literal."""
    return node.name


def sql_text(value: str) -> str:
    return exp.Literal.string(value).sql("duckdb")


def hive_text(value: str) -> str:
    return exp.Literal.string(value).sql("hive")


# --- parts of templates -----------------------------------------------------------------------------------------------


def day(part: str) -> str:
    """DuckDB: the DATE of a DATE, a TIMESTAMP, or of a text that starts with a day, as Hive reads it."""
    return f"CAST(TRY_CAST({part} AS TIMESTAMP) AS DATE)"


def _all_given(name: str, count: int) -> str:
    args = [f"_{number}" for number in range(count)]
    missing = " OR ".join(f"{arg} IS NULL" for arg in args)
    return f"CASE WHEN {missing} THEN NULL ELSE {name}({', '.join(args)}) END"


def _extreme(name: str) -> Callable[[Sequence[exp.Expr]], str]:
    return lambda args: _all_given(name, len(args))


def _substr(args: Sequence[exp.Expr], length: str) -> str:
    size = "" if len(args) < 3 else ", CASE WHEN _2 < 0 THEN 0 ELSE _2 END"
    start = args[1]
    if isinstance(start, exp.Literal):
        return f"SUBSTRING(_0, {max(int(start.name), 1)}{size})"
    return (
        f"CASE WHEN _1 < -{length}(_0) THEN CASE WHEN _0 IS NULL THEN NULL{' WHEN _2 IS NULL THEN NULL' if size else ''} ELSE '' END "
        f"ELSE SUBSTRING(_0, CASE WHEN _1 = 0 THEN 1 ELSE _1 END{size}) END"
    )


def _hive_substr(args: Sequence[exp.Expr]) -> str:
    """Hive counts UTF-16 units, of which a sign outside the basic plane has two; regular expressions count signs."""
    numbers = [number_of(arg) for arg in args[1:]]
    if None in numbers:
        return _hive_substr_of_places(len(args) > 2)
    start, size = numbers[0] or 0, numbers[1] if len(numbers) > 1 else None
    if size is not None and size <= 0:
        return "SUBSTR(_0, 1, 0)"
    if start >= 0:
        taken = ".*" if size is None else f".{{0,{size}}}"
        pattern = f"(?s)^.{{{max(start, 1) - 1}}}({taken})"
    else:
        first = -start if size is None else min(size, -start)
        pattern = f"(?s)(.{{{first}}}).{{{-start - first}}}\\z"
    return f"REGEXP_EXTRACT(_0, {hive_text(pattern)}, 1)"


def _hive_substr_of_places(has_size: bool) -> str:
    """SUBSTR whose places are computed: the pattern is written by the query."""
    missing = "_0 IS NULL OR _1 IS NULL OR _2 IS NULL" if has_size else "_0 IS NULL OR _1 IS NULL"
    outside = "_1 > LENGTH(_0) OR _1 < -LENGTH(_0)" + (" OR _2 <= 0" if has_size else "")
    # never negative: Hive computes calls of constants before it knows whether they are needed
    before = "CAST(GREATEST(CASE WHEN _1 > 0 THEN _1 - 1 WHEN _1 < 0 THEN LENGTH(_0) + _1 ELSE 0 END, 0) AS STRING)"
    taken = "'}(.{0,', CAST(GREATEST(LEAST(_2, LENGTH(_0)), 0) AS STRING), '})'" if has_size else "'}(.*)'"
    return (
        f"CASE WHEN {missing} THEN NULL WHEN {outside} THEN '' "
        f"ELSE REGEXP_EXTRACT(_0, CONCAT('(?s)^.{{', {before}, {taken}), 1) END"
    )


def number_of(node: exp.Expr) -> int | None:
    """The value of an integer literal, with its sign."""
    if isinstance(node, exp.Neg):
        inner = number_of(node.this)
        return None if inner is None else -inner
    return int(node.name) if isinstance(node, exp.Literal) and node.is_int else None


def _format(duckdb: str) -> Callable[[Sequence[exp.Expr]], str]:
    def template(args: Sequence[exp.Expr]) -> str:
        pattern = text_of(args[1]) if len(args) > 1 else "yyyy-MM-dd HH:mm:ss"
        known = pattern.replace("strict", "") if "%" in pattern else patterns.strftime(pattern)
        return f"STRFTIME({duckdb}, {sql_text(known)})"

    return template


def _check_format(args: Sequence[exp.Expr]) -> None:
    if len(args) > 1 and "%" not in text_of(args[1]):
        patterns.strftime(text_of(args[1]))


def _hive_format(name: str, part: str = "_0") -> Callable[[Sequence[exp.Expr]], str]:
    def template(args: Sequence[exp.Expr]) -> str:
        pattern = text_of(args[1]) if len(args) > 1 else "yyyy-MM-dd HH:mm:ss"
        if "%" in pattern:
            for sign, letters in (("%Y", "yyyy"), ("%m", "MM"), ("%d", "dd"), ("%H", "HH"), ("%M", "mm"), ("%S", "ss")):
                pattern = pattern.replace(sign + "strict", letters).replace(sign, letters)
        return f"{name}({part}, {hive_text(pattern)})"

    return template


_IN_CALENDAR = "_0 >= -12212553600 AND _0 < 253402300800"
"""Seconds of the years 1583 to 9999: Apache Hive fails on what is far beyond them, and has another calendar before."""

_A_THOUSAND_YEARS = "_1 >= -12000 AND _1 <= 12000"


def _seconds_format(args: Sequence[exp.Expr]) -> str:
    # inside the call: Hive computes calls of constants before it knows whether they are needed
    return _hive_format("FROM_UNIXTIME", f"CASE WHEN {_IN_CALENDAR} THEN _0 END")(args)


def _check_regex(args: Sequence[exp.Expr]) -> None:
    patterns.re2(text_of(args[1]))


def _regex(form: str) -> Callable[[Sequence[exp.Expr]], str]:
    return lambda args: form.replace("@P", sql_text(patterns.re2(text_of(args[1]))))


def _java(form: str) -> Callable[[Sequence[exp.Expr]], str]:
    return lambda args: form.replace("@P", hive_text(patterns.java(text_of(args[1]))))


def _check_replace(args: Sequence[exp.Expr]) -> None:
    _check_regex(args)
    patterns.replacement(text_of(args[2]), patterns.groups(text_of(args[1])))


def _re2_replace(args: Sequence[exp.Expr]) -> str:
    new = patterns.replacement(text_of(args[2]), patterns.groups(text_of(args[1])))
    return f"REGEXP_REPLACE(_0, {sql_text(patterns.re2(text_of(args[1])))}, {sql_text(new)}, 'g')"


def _check_extract(args: Sequence[exp.Expr]) -> None:
    _check_regex(args)
    group = int(text_of(args[2])) if len(args) > 2 else 1
    if group > patterns.groups(text_of(args[1])):
        raise patterns.PatternError(
            f"the regular expression has no group {group}; write ( ) around what is wanted, or take group 0"
        )


def _group(args: Sequence[exp.Expr]) -> str:
    return text_of(args[2]) if len(args) > 2 else "1"


def _hive_pad(form: str) -> Callable[[Sequence[exp.Expr]], str]:
    """Hive pads to UTF-16 units."""

    def template(args: Sequence[exp.Expr]) -> str:
        cut = f"(?s)^(.{{0,{number_of(args[1]) or 0}}})"
        return f"CASE WHEN LENGTH(_0) >= _1 THEN REGEXP_EXTRACT(_0, {hive_text(cut)}, 1) ELSE {form} END"

    return template


def _check_pad(args: Sequence[exp.Expr]) -> None:
    if not text_of(args[2]):
        raise patterns.PatternError("the text to pad with is empty; give one letter or more")
    if (number_of(args[1]) or 0) < 0 or any(ord(letter) > 0xFFFF for letter in text_of(args[2])):
        raise patterns.PatternError("the length is not negative, and the text to pad with has no signs outside the basic plane")


def _check_split(args: Sequence[exp.Expr]) -> None:
    _check_regex(args)
    if not text_of(args[1]) or patterns.matches_nothing(text_of(args[1])):
        raise patterns.PatternError("the pattern of SPLIT matches the empty text, where engines cut differently")


def _check_regex_replace(args: Sequence[exp.Expr]) -> None:
    _check_replace(args)
    if patterns.matches_nothing(text_of(args[1])):
        raise patterns.PatternError("the pattern of REGEXP_REPLACE matches the empty text; use + instead of *")


def _check_translate(args: Sequence[exp.Expr]) -> None:
    if len(set(text_of(args[1]))) < len(text_of(args[1])):
        raise patterns.PatternError("TRANSLATE names a letter twice")


def _check_needle(args: Sequence[exp.Expr]) -> None:
    for arg in args:
        if isinstance(arg, exp.Literal) and arg.is_string and not arg.name:
            raise patterns.PatternError("the empty text is found at different places; look for one letter or more")


def _check_replace_text(args: Sequence[exp.Expr]) -> None:
    if not text_of(args[1]):
        raise patterns.PatternError("the text to replace is empty, which engines take differently")


def _check_hash(args: Sequence[exp.Expr]) -> None:
    if text_of(args[1]) != "256":
        raise patterns.PatternError("SHA2 with 256 bits is the one that every engine has")


def _check_index(args: Sequence[exp.Expr]) -> None:
    number = number_of(args[1])
    if number is not None and number < 0:
        raise patterns.PatternError("an ARRAY's first item is 0; a negative place differs")


def _check_percentile(args: Sequence[exp.Expr]) -> None:
    share = args[1]
    if not isinstance(share, exp.Literal) or share.is_string or not 0 <= float(share.name) <= 1:
        raise patterns.PatternError("the share of PERCENTILE is a number from 0 to 1, written out")


def _check_digits(args: Sequence[exp.Expr]) -> None:
    digits = number_of(args[1]) if len(args) > 1 else 0
    if digits is None or not 0 <= digits <= 18:
        raise patterns.PatternError("ROUND takes 0 to 18 digits, written out")


# --- results ----------------------------------------------------------------------------------------------------------


def _same(types: Sequence[Type]) -> Type:
    return types[0]


def _common(types: Sequence[Type]) -> Type:
    return common(types) or UNKNOWN


def _sum(types: Sequence[Type]) -> Type:
    (kind,) = types[:1]
    if is_integer(kind):
        return BIGINT
    return decimal(min(kind.precision + 10, 38), kind.scale) if kind.kind == "DECIMAL" else kind


def _avg(types: Sequence[Type]) -> Type:
    (kind,) = types[:1]
    if kind.kind != "DECIMAL":
        return DOUBLE if is_number(kind) else UNKNOWN
    return bounded(kind.precision + 4, kind.scale + 4)


def _whole(types: Sequence[Type]) -> Type:
    (kind,) = types[:1]
    if kind.kind == "DECIMAL":
        return decimal(min(kind.precision - kind.scale + (kind.scale > 0), 38) or 1, 0)
    return UNKNOWN if kind == UNKNOWN else BIGINT


def _remainder(types: Sequence[Type]) -> Type:
    return arithmetic("%", *types) if all(map(is_number, types)) else UNKNOWN


def _array(types: Sequence[Type]) -> Type:
    return array(common(types) or UNKNOWN)


def _list(types: Sequence[Type]) -> Type:
    return array(types[0])


# --- the list ---------------------------------------------------------------------------------------------------------

_APPROXIMATE = "A DOUBLE whose last digit differs from engine to engine: round it before it is compared or shown."
_UNDEFINED = " NULL outside its range."
_DAY = "A STRING counts by its first ten letters, a day; NULL if they are none."
_IN_ORDER = "Needs ORDER BY in its window. Add a key that is unique: rows of one rank have no order."
_LIST = "Its order differs: only inside size, array_contains or sort_array"

_LONG_CAPITALS = {
    "ß": "SS", "ŉ": "ʼN", "ǰ": "J̌", "ΐ": "Ϊ́", "ΰ": "Ϋ́", "և": "ԵՒ", "ﬀ": "FF", "ﬁ": "FI", "ﬂ": "FL", "ﬃ": "FFI", "ﬄ": "FFL", "ﬅ": "ST", "ﬆ": "ST",
}  # fmt: skip
"""Letters that Java writes as several capitals, and DuckDB does not."""
_replaced = "_0"
for _small, _capitals in _LONG_CAPITALS.items():
    _replaced = f"REPLACE({_replaced}, '{_small}', '{_capitals}')"
_UPPER = f"CASE WHEN REGEXP_MATCHES(_0, '[{''.join(_LONG_CAPITALS)}]') THEN UPPER({_replaced}) ELSE UPPER(_0) END"

_WITHIN_LIST = [
    # numbers
    Signature("abs", "n", _same),
    Signature("floor", "n", _whole, note="BIGINT of a DOUBLE, DECIMAL of a DECIMAL."),
    Signature("ceil", "n", _whole, note="BIGINT of a DOUBLE, DECIMAL of a DECIMAL.", names=("ceiling",)),
    Signature("round", "n I?", _same, literal=_check_digits, note="Halves away from zero, also of a DOUBLE."),
    Signature("sqrt", "n", DOUBLE, "CASE WHEN _0 >= 0 THEN SQRT(CAST(_0 AS DOUBLE)) END", "CASE WHEN _0 >= 0 THEN SQRT(_0) END", None,
              "NULL of a negative number."),
    Signature("exp", "n", DOUBLE, "EXP(CAST(_0 AS DOUBLE))", note=_APPROXIMATE),
    Signature("ln", "n", DOUBLE, "CASE WHEN _0 > 0 THEN LN(CAST(_0 AS DOUBLE)) END", "CASE WHEN _0 > 0 THEN LN(_0) END", None, _APPROXIMATE + _UNDEFINED),
    Signature("log10", "n", DOUBLE, "CASE WHEN _0 > 0 THEN LOG10(CAST(_0 AS DOUBLE)) END", "CASE WHEN _0 > 0 THEN LOG10(_0) END", None, _APPROXIMATE + _UNDEFINED),
    Signature("pow", "n n", DOUBLE, "POW(CAST(_0 AS DOUBLE), CAST(_1 AS DOUBLE))", note=_APPROXIMATE, names=("power",)),
    Signature("sin", "n", DOUBLE, "SIN(CAST(_0 AS DOUBLE))", note=_APPROXIMATE),
    Signature("cos", "n", DOUBLE, "COS(CAST(_0 AS DOUBLE))", note=_APPROXIMATE),
    Signature("asin", "n", DOUBLE, "CASE WHEN ABS(_0) <= 1 THEN ASIN(CAST(_0 AS DOUBLE)) END", "CASE WHEN ABS(_0) <= 1 THEN ASIN(_0) END", None,
              _APPROXIMATE + _UNDEFINED),
    Signature("radians", "n", DOUBLE, "RADIANS(CAST(_0 AS DOUBLE))", note=_APPROXIMATE),
    Signature("%", "e e", _remainder, note="The sign of the first; NULL if the second is 0.", names=("mod",)),
    Signature("pmod", "e e", _remainder, note="Not negative where the second is positive; NULL if the second is 0."),
    # text
    Signature("lower", "s", STRING, "LOWER(_0)", names=("lcase",)),
    Signature("upper", "s", STRING, _UPPER, names=("ucase",)),
    Signature("length", "s", INT, "CAST(LENGTH(_0) AS INT)", note="In signs.", names=("char_length",)),
    Signature("trim", "s", STRING, "TRIM(_0, ' ')", note="Blanks only, no other white space."),
    Signature("ltrim", "s", STRING, "LTRIM(_0, ' ')", note="Blanks only."),
    Signature("rtrim", "s", STRING, "RTRIM(_0, ' ')", note="Blanks only."),
    Signature("concat", "v*", STRING, note="NULL if one is NULL. A BOOLEAN is TRUE or FALSE."),
    Signature("||", "v v", STRING, note="As concat."),
    Signature("concat_ws", "S s*", STRING, note="Leaves NULL out."),
    Signature("substr", "s j j?", STRING, lambda args: _substr(args, "LENGTH"), _hive_substr, lambda args: _substr(args, "LENGTH"),
              "The first sign is 1; 0 is 1; a negative place counts from the end.", names=("substring",)),
    Signature("instr", "s s", INT, "CAST(STRPOS(_0, _1) AS INT)", note="From 1; 0 if it is not found.", literal=_check_needle),
    Signature("locate", "s s", INT, "CAST(STRPOS(_1, _0) AS INT)", note="What is looked for comes first. From 1; 0 if it is not found.",
              literal=_check_needle),
    Signature("lpad", "s I S", STRING, "LPAD(_0, _1, _2)", _hive_pad("CONCAT(LPAD('', GREATEST(_1 - LENGTH(_0), 0), _2), _0)"), "LPAD(_0, _1, _2)", literal=_check_pad, note="Cuts what is longer."),
    Signature("rpad", "s I S", STRING, "RPAD(_0, _1, _2)", _hive_pad("CONCAT(_0, RPAD('', GREATEST(_1 - LENGTH(_0), 0), _2))"), "RPAD(_0, _1, _2)", literal=_check_pad, note="Cuts what is longer."),
    Signature("translate", "s S S", STRING, "TRANSLATE(_0, _1, _2)", literal=_check_translate),
    Signature("replace", "s S s", STRING, "REPLACE(_0, _1, _2)", literal=_check_replace_text),
    Signature("regexp_replace", "s S S", STRING, _re2_replace, _java("REGEXP_REPLACE(_0, @P, _2)"), literal=_check_regex_replace,
              note="All places. $1 is the first group."),
    Signature("regexp_extract", "s S I?", STRING,
              lambda args: f"REGEXP_EXTRACT(_0, {sql_text(patterns.re2(text_of(args[1])))}, {_group(args)})",
              lambda args: "CASE WHEN _0 IS NOT NULL THEN COALESCE(REGEXP_EXTRACT(_0, "
              f"{hive_text(patterns.java(text_of(args[1])))}, {_group(args)}), '') END",
              literal=_check_extract, note="The group's text, the first if none is named; empty if nothing matches."),
    Signature("rlike", "s S", Type("BOOLEAN"), _regex("REGEXP_MATCHES(_0, @P)"), _java("_0 RLIKE @P"), literal=_check_regex,
              note="`x RLIKE 'pattern'`: a part of the text matches.", names=("regexp",)),
    Signature("split", "s S", array(STRING), _regex("STR_SPLIT_REGEX(_0, @P)"), _java("SPLIT(_0, @P)"), literal=_check_split,
              note="By a regular expression."),
    Signature("md5", "s", STRING, "MD5(_0)"),
    Signature("sha2", "s I", STRING, "SHA256(_0)", literal=_check_hash, note="256 bits."),
    # times
    Signature("unix_timestamp", "t", BIGINT, "(EPOCH_US(CAST(_0 AS TIMESTAMP)) - (EPOCH_US(CAST(_0 AS TIMESTAMP)) % 1000000 + 1000000) % 1000000) // 1000000", "UNIX_TIMESTAMP(_0)",
        "(UNIX_MICROS(_0) - PMOD(UNIX_MICROS(_0), 1000000)) DIV 1000000",
              note="Whole seconds since 1970, downwards."),
    Signature("unix_micros", "t", BIGINT, "EPOCH_US(CAST(_0 AS TIMESTAMP))",
              "UNIX_TIMESTAMP(_0) * 1000000 + CAST(DATE_FORMAT(_0, 'SSSSSS') AS BIGINT)", "UNIX_MICROS(_0)",
              "Microseconds since 1970. Made for windows: `ORDER BY unix_micros(t) RANGE BETWEEN 599999999 PRECEDING AND CURRENT ROW`."),
    Signature("hour", "t", INT, "CAST(HOUR(_0) AS INT)"),
    Signature("minute", "t", INT, "CAST(MINUTE(_0) AS INT)"),
    Signature("second", "t", INT, "CAST(SECOND(_0) AS INT)", note="Whole seconds."),
    *(
        Signature(name, "D", INT, f"CAST({name.upper()}(@D0) AS INT)", f"{name.upper()}(@D0)", note=_DAY, names=names)
        for name, names in (("day", ("dayofmonth",)), ("month", ()), ("year", ()), ("quarter", ()), ("weekofyear", ()))
    ),
    Signature("dayofweek", "D", INT, "CAST(DAYOFWEEK(@D0) + 1 AS INT)", "DAYOFWEEK(@D0)", note="Sunday is 1. " + _DAY),
    Signature("to_date", "D", DATE, "@D0", "TO_DATE(@D0)", note=_DAY),
    Signature("date_add", "D i", DATE, "@D0 + CAST(_1 AS INT)", "DATE_ADD(@D0, _1)", note=_DAY),
    Signature("date_sub", "D i", DATE, "@D0 - CAST(_1 AS INT)", "DATE_SUB(@D0, _1)", note=_DAY),
    Signature("datediff", "D D", INT, "CAST(DATE_DIFF('day', @D1, @D0) AS INT)", "DATEDIFF(@D0, @D1)", names=("date_diff",),
              note="Days from the second to the first. " + _DAY),
    Signature("last_day", "D", STRING, "STRFTIME(LAST_DAY(@D0), '%Y-%m-%d')", "LAST_DAY(@D0)", "CAST(LAST_DAY(@D0) AS STRING)",
              "A STRING, as in Hive. " + _DAY),
    Signature("add_months", "D i", STRING,
              f"CASE WHEN {_A_THOUSAND_YEARS} THEN STRFTIME(CASE WHEN @D0 = LAST_DAY(@D0) THEN LAST_DAY(CAST(@D0 + TO_MONTHS(CAST(_1 AS INT)) AS DATE)) "
              "ELSE @D0 + TO_MONTHS(CAST(_1 AS INT)) END, '%Y-%m-%d') END",
              f"CASE WHEN {_A_THOUSAND_YEARS} THEN ADD_MONTHS(@D0, CAST(_1 AS INT)) END",
              f"CASE WHEN {_A_THOUSAND_YEARS} THEN CAST(CASE WHEN TO_DATE(@D0) = LAST_DAY(@D0) THEN LAST_DAY(ADD_MONTHS(@D0, CAST(_1 AS INT))) "
              "ELSE ADD_MONTHS(@D0, CAST(_1 AS INT)) END AS STRING) END",
              "A STRING, as in Hive; the last day of a month becomes the last day of another. NULL for more than 12,000 months. " + _DAY),
    Signature("months_between", "d d", DOUBLE,
              "ROUND(CASE WHEN DAY(_0) = DAY(_1) OR (_0 = LAST_DAY(_0) AND _1 = LAST_DAY(_1)) "
              "THEN CAST((YEAR(_0) - YEAR(_1)) * 12 + MONTH(_0) - MONTH(_1) AS DOUBLE) "
              "ELSE (YEAR(_0) - YEAR(_1)) * 12 + MONTH(_0) - MONTH(_1) + (DAY(_0) - DAY(_1)) / 31.0::DOUBLE END, 8)",
              note="Of dates; 8 digits. " + _APPROXIMATE),
    Signature("date_format", "d S", STRING, _format("_0"), _hive_format("DATE_FORMAT"), literal=_check_format,
              note="The pattern has yyyy, MM, dd, HH, mm, ss and the signs - / : . , _ and blank."),
    Signature("date_format", "t S", STRING, _format("_0"), _hive_format("DATE_FORMAT"), literal=_check_format),
    Signature("date_format", "s S", STRING, _format("@T0"), _hive_format("DATE_FORMAT", "@T0"),
              literal=_check_format, note="Of a text, a day or a time like 2026-01-31 23:59:59."),
    Signature("from_unixtime", "i S?", STRING, _format(f"CASE WHEN {_IN_CALENDAR} THEN MAKE_TIMESTAMP(CAST(_0 AS BIGINT) * 1000000) END"),
              _seconds_format, literal=_check_format, note="UTC; patterns as in date_format. NULL outside the years 1583 to 9999."),
    # any type
    Signature("coalesce", "c*", _common, names=("nvl",)),
    Signature("nullif", "c c", _same, "NULLIF(_0, _1)"),
    Signature("greatest", "c c*", _common, _extreme("GREATEST"), None, _extreme("GREATEST"), "NULL if one is NULL."),
    Signature("least", "c c*", _common, _extreme("LEAST"), None, _extreme("LEAST"), "NULL if one is NULL."),
    Signature("isnull", "c", Type("BOOLEAN"), "_0 IS NULL", "_0 IS NULL"),
    Signature("isnotnull", "c", Type("BOOLEAN"), "NOT _0 IS NULL", "NOT _0 IS NULL"),
    Signature("if", "b c c?", lambda types: common(types[1:]) or UNKNOWN),
    # arrays
    Signature("array", "c*", _array),
    Signature("size", "a", INT, "CAST(COALESCE(LEN(_0), -1) AS INT)", note="-1 of NULL."),
    Signature("array_contains", "a c", Type("BOOLEAN"), "COALESCE(LIST_CONTAINS(_0, _1), FALSE)", "ARRAY_CONTAINS(_0, _1)",
              "COALESCE(ARRAY_CONTAINS(_0, _1), FALSE)", "False of NULL."),
    Signature("sort_array", "a", _same, "LIST_SORT(_0, 'ASC', 'NULLS FIRST')"),
    # aggregates
    Signature("count", "y*", BIGINT, use="aggregate", note="COUNT(*), COUNT(x), COUNT(DISTINCT x, y)."),
    Signature("sum", "e", _sum, use="aggregate", note="Of a DOUBLE the last digits depend on the order of rows: CAST it to DECIMAL."),
    Signature("avg", "e", _avg, use="aggregate", note="Exact: of a DECIMAL four digits more, of integers a DOUBLE."),
    Signature("min", "c", _same, use="aggregate"),
    Signature("max", "c", _same, use="aggregate"),
    *(
        Signature(name, "e", DOUBLE, use="aggregate", note=f"From exact sums; {what}.", names=names)
        for name, what, names in (
            ("stddev_pop", "of the population, as Hive has it", ("stddev", "std")),
            ("stddev_samp", "of a sample, NULL of one value", ()),
            ("var_pop", "of the population, as Hive has it", ("variance",)),
        )
    ),
    Signature("percentile", "e n", DOUBLE, use="aggregate", literal=_check_percentile,
              note="Exact, between two values in proportion; not in a window."),
    Signature("collect_list", "c", _list, use="aggregate", note=f"{_LIST}; or in a window with ORDER BY. Leaves NULL out."),
    Signature("collect_set", "c", _list, use="aggregate", note=f"{_LIST}. Leaves NULL out."),
    # windows
    Signature("row_number", "", INT, use="window", note=_IN_ORDER),
    Signature("rank", "", INT, use="window", note="Needs ORDER BY in its window."),
    Signature("dense_rank", "", INT, use="window", note="Needs ORDER BY in its window."),
    Signature("ntile", "I", INT, use="window", note=_IN_ORDER),
    Signature("lag", "c I? c?", _same, use="window", note=_IN_ORDER),
    Signature("lead", "c I? c?", _same, use="window", note=_IN_ORDER),
    Signature("first_value", "c", _same, use="window", note=_IN_ORDER),
    Signature("last_value", "c", _same, use="window", note=_IN_ORDER),
]  # fmt: skip

SIGNATURES: dict[str, list[Signature]] = {}
"""By name, other names of a function included; several if it is called in several ways."""
for _signature in _WITHIN_LIST:
    for _name in (_signature.name, *_signature.names):
        SIGNATURES.setdefault(_name, []).append(_signature)

ALL: tuple[Signature, ...] = tuple(_WITHIN_LIST)

REFUSED: dict[str, str] = {
    "percentile_approx": "an approximation differs from engine to engine; use PERCENTILE(x, 0.5), which is exact",
    "var_samp": "use STDDEV_SAMP(x) * STDDEV_SAMP(x)",
    "ifnull": "Apache Hive has none; use COALESCE or NVL",
    "nvl2": "use IF(x IS NOT NULL, a, b)",
    "date_trunc": "use DATE_FORMAT(t, 'yyyy-MM-01') or FLOOR of UNIX_TIMESTAMP(t)",
    "trunc": "use DATE_FORMAT(d, 'yyyy-MM-01')",
    "next_day": "its names of days differ; use DATE_ADD and DAYOFWEEK",
    "extract": "use HOUR(t), DAY(t), MONTH(t), YEAR(t)",
    "dayofyear": "use DATEDIFF(d, DATE_FORMAT(d, 'yyyy-01-01')) + 1",
    "explode": "rows of an empty array differ",
    "current_date": "a rule depends on its data alone; use :window_start or ds",
    "current_timestamp": "a rule depends on its data alone; use :window_start",
    "rand": "a rule gives the same rows each time; leave it out",
    "log": "use LN or LOG10",
    "log2": "use LN(x) / LN(2)",
    "element_at": "Apache Hive has none; use x[0]",
    "substring_index": "use SPLIT(x, ',')[0], or REGEXP_EXTRACT",
    "initcap": "letters after signs differ; use CONCAT(UPPER(SUBSTR(x, 1, 1)), LOWER(SUBSTR(x, 2)))",
    "reverse": "signs outside the basic plane differ",
    "levenshtein": "engines count letters differently",
    "get_json_object": "paths and numbers are read differently; load the value as a column",
    "from_utc_timestamp": "times are UTC in every table; engines have different time zone tables",
    "to_utc_timestamp": "times are UTC in every table; engines have different time zone tables",
    "count_if": "use SUM(IF(condition, 1, 0))",
    "bool_or": "use MAX(IF(condition, 1, 0)) = 1",
    "bool_and": "use MIN(IF(condition, 1, 0)) = 1",
    "hash": "engines hash differently; use MD5",
    "conv": "engines differ; use CAST",
    "stack": "use UNION ALL",
    "str_to_map": "there are no maps; use REGEXP_EXTRACT",
    "elt": "use CASE",
    "percent_rank": "use (RANK() - 1) / (COUNT(*) - 1), both OVER",
    "cume_dist": "use COUNT(*) OVER a RANGE frame",
    "nth_value": "use ROW_NUMBER() and MAX(IF(n = 2, x, NULL))",
    "named_struct": "rows of a table have no structs; return columns",
    "struct": "rows of a table have no structs; return columns",
    "map": "rows of a table have no maps; return columns",
    "atan2": "use ASIN",
    "repeat": "use RPAD('', 3, 'x')",
    "date": "use TO_DATE(x) or CAST(x AS DATE)",
    "timestamp": "use CAST(x AS TIMESTAMP)",
    "decode": "use CASE",
    "decode_case": "use CASE",
    "median": "use PERCENTILE(x, 0.5)",
    "mode": "count each value in a SELECT below, and order the counts by ROW_NUMBER()",
    "approx_count_distinct": "an approximation differs from engine to engine; use COUNT(DISTINCT x)",
    "now": "a rule depends on its data alone; use :window_start",
    "uuid": "a rule gives the same rows each time; return transaction_id",
    "signum": "use CASE WHEN x > 0 THEN 1 WHEN x < 0 THEN -1 ELSE 0 END",
    "format_number": "use CAST(ROUND(x, 2) AS STRING)",
    "printf": "use CONCAT",
    "find_in_set": "use ARRAY_CONTAINS(SPLIT(list, ','), x)",
    "field": "use CASE",
    "bround": "use ROUND",
    "shiftleft": "use x * 2",
    "array_distinct": "use SORT_ARRAY(COLLECT_SET(x))",
    "json_tuple": "paths and numbers are read differently; load the value as a column",
    "to_unix_timestamp": "use UNIX_TIMESTAMP(t)",
    "degrees": "use x * 57.29577951308232",
    "posexplode": "rows of an empty array differ",
    "map_keys": "there are no maps; return columns",
    "parse_url": "use REGEXP_EXTRACT",
    "grouping": "use UNION ALL of several GROUP BY",
}
"""Functions that are not in the list, and what to write instead."""
