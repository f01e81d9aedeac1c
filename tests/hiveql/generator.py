"""Draws queries from the allow-list's own signatures, and compares what they give embedded and on a HiveServer2.

`python -m tests.hiveql.generator --server hive://… --seed 1 --count 2000` prints each expression whose values differ, shrunk.
Values are odd on purpose: NULL, edges of types, letters outside the basic plane, halves, days before 1970.
"""

# ruff: noqa: E501 (a table, a row a line)
from __future__ import annotations

import argparse
import datetime as dt
import math
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from hive_io import Column, EmbeddedWarehouse, HiveQL, HiveServer, HiveServer2Warehouse, QueryError, Span, Table
from hive_io.hiveql.signatures import ALL, Signature
from hive_io.hiveql.types import Type
from hive_io.warehouse import Reader

DAY = "2026-01-01"
ODD = Table(
    "fintech",
    "odd",
    (
        Column("id", "BIGINT"),
        Column("g", "INT"),
        Column("s", "STRING"),
        Column("s2", "STRING"),
        Column("day", "STRING"),
        Column("digits", "STRING"),
        Column("n", "INT"),
        Column("k", "INT"),
        Column("b", "BIGINT"),
        Column("m", "DECIMAL(18,2)"),
        Column("r", "DECIMAL(10,4)"),
        Column("x", "DOUBLE"),
        Column("f", "BOOLEAN"),
        Column("t", "TIMESTAMP"),
        Column("u", "TIMESTAMP"),
        Column("a", "ARRAY<STRING>"),
    ),
    key=("id",),
    time_column=None,
)


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _rows() -> pa.Table:
    texts = ["abc", "", None, " a b ", "ABC", "a,b,,c", "São Paulo", "straße", "ΑΣ ΒΣ", "😀a😀", "a_b%c", "it's \"x\"", "x\\y", "12.50",
             "tab\there", "\u00a0nbsp\u00a0", "1e3", "null", "aXbX", "a.b"]  # fmt: skip
    day = [
        "2026-01-31",
        "2024-02-29",
        "2026-1-2",
        "bad",
        None,
        "1969-12-31",
        "2026-02-30",
        "2026-01-15 10:20:30",
        " 2026-01-02",
        "",
        "2025-12-31",
        "2026-02-28",
    ]
    digits = [
        "12",
        "-7",
        " 3.5 ",
        "1e3",
        "abc",
        None,
        "",
        ".5",
        "99999999999",
        "-0.5",
        "+4",
        "12.345",
        "1_0",
        "5.",
        "NaN",
        "1.5f",
    ]
    ints = [0, 1, -1, 7, -7, None, 2147483647, -2147483648, 100, 3, 12, 2]
    small = [0, 1, 2, 3, None, 5, -2, 10]
    bigs = [0, 1, -1, None, 9007199254740993, -9223372036854775807, 9223372036854775807, 1_700_000_000, 86400, 42]
    money = [
        "0.00",
        "0.01",
        "-0.05",
        "12.35",
        "99.99",
        None,
        "9999999999999999.99",
        "-9999999999999999.99",
        "2.50",
        "1234567.89",
        "10000000.00",
        "0.10",
    ]
    ratios = ["0.0000", "1.5000", "-2.2500", "3.1416", None, "999999.9999", "0.0005", "-0.5000", "7.0000"]
    doubles = [0.0, 1.5, -2.5, 0.1, 1.005, 2.675, None, 1e300, -1e-7, 123456789.125, 0.5, -0.5, 1e15, 3.0, 9.3e18, 1e8]
    times = ["2026-01-31 23:59:59.999999", "1969-12-31 23:59:59.500000", "2024-02-29 00:00:00", "2026-01-01 10:00:00.100000", None,
             "2026-03-29 02:30:00", "2026-12-31 23:59:59", "1900-01-01 00:00:00.000001", "2026-01-04 12:34:56", "2026-01-01 10:00:00.900000"]  # fmt: skip
    lists = [["a", "b"], [], None, ["b", "a", "B"], ["x"], ["😀", "é", ""], ["c", "c"]]
    rows = []
    for number in range(48):

        def pick(values: Sequence[Any], step: int, number: int = number) -> Any:
            return values[(number * step + number // len(values)) % len(values)]

        rows.append(
            {
                "id": number,
                "g": number % 5,
                "s": pick(texts, 1),
                "s2": pick(texts, 7),
                "day": pick(day, 1),
                "digits": pick(digits, 1),
                "n": pick(ints, 1),
                "k": pick(small, 1),
                "b": pick(bigs, 1),
                "m": None if pick(money, 1) is None else Decimal(pick(money, 1)),
                "r": None if pick(ratios, 1) is None else Decimal(pick(ratios, 1)),
                "x": pick(doubles, 1),
                "f": [True, False, None][number % 3],
                "t": None if pick(times, 1) is None else _time(pick(times, 1)),
                "u": dt.datetime(2026, 1, 1)
                + dt.timedelta(microseconds=(number // 2) * 100_000_007 % 4_000_000_000 + number % 3),
                "a": pick(lists, 1),
                "ds": DAY,
            }
        )
    return pa.Table.from_pylist(rows, schema=ODD.arrow_schema)


# --- expressions ------------------------------------------------------------------------------------------------------


@dataclass
class Expression:
    """A text with expressions in it, of one kind."""

    kind: str
    parts: list[str | Expression]
    approximate: bool = False

    def __str__(self) -> str:
        return "".join(map(str, self.parts))

    @property
    def inner(self) -> list[Expression]:
        return [part for part in self.parts if isinstance(part, Expression)]

    @property
    def is_approximate(self) -> bool:
        return self.approximate or any(part.is_approximate for part in self.inner)


COLUMNS = {
    "STRING": ["s", "s2", "day", "digits"],
    "INT": ["n", "k"],
    "BIGINT": ["b", "id"],
    "DECIMAL": ["m", "r"],
    "DOUBLE": ["x"],
    "BOOLEAN": ["f"],
    "TIMESTAMP": ["t", "u"],
    "DATE": ["CAST(t AS DATE)", "to_date(day)"],
    "ARRAY": ["a", "split(s, ',')"],
}
LITERALS = {
    "STRING": ["'abc'", "''", "'a'", "'é😀'", "'2026-01-31'", "' x '"],
    "INT": ["0", "1", "-3", "7", "2147483647"],
    "BIGINT": ["CAST(5 AS BIGINT)", "9007199254740993"],
    "DECIMAL": ["1.50", "0.5", "-12.345", "CAST('3.10' AS DECIMAL(5,2))", "1.0"],
    "DOUBLE": ["CAST(2 AS DOUBLE)", "1e3", "CAST('0.1' AS DOUBLE)"],
    "BOOLEAN": ["TRUE", "FALSE"],
    "TIMESTAMP": ["CAST('2026-01-31 12:00:00.5' AS TIMESTAMP)", "TIMESTAMP '1969-12-31 00:00:00'"],
    "DATE": ["DATE '2024-02-29'", "CAST('2026-01-31' AS DATE)"],
    "ARRAY": ["array('a', 'b')", "array('c', s)"],
}
WRITTEN_OUT: dict[tuple[str, int], list[str]] = {
    ("date_format", 1): ["'yyyy-MM-dd'", "'HH:mm:ss'", "'yyyy-MM-dd HH'", "'dd.MM.yyyy'", "'yyyy/MM'"],
    ("from_unixtime", 1): ["'yyyy-MM-dd'", "'HH:mm'"],
    ("round", 1): ["0", "1", "2", "4"],
    ("concat_ws", 0): ["','", "''", "' - '"],
    ("lpad", 1): ["0", "2", "6"],
    ("rpad", 1): ["0", "2", "6"],
    ("lpad", 2): ["'x'", "'ab'", "' '"],
    ("rpad", 2): ["'x'", "'ab'", "' '"],
    ("translate", 1): ["'abc'", "'aX'", "'é'"],
    ("translate", 2): ["'xy'", "''", "'123'"],
    ("replace", 1): ["'a'", "'X'", "'😀'", "' '"],
    ("regexp_replace", 1): ["'[0-9]+'", "'(a)(b)'", "'a|X'", r"'\\s+'", "'[^a-z]'", "'b+'"],
    ("regexp_replace", 2): ["'#'", "''", "'-'"],
    ("regexp_extract", 1): ["'([a-z]+)'", "'(a)(b)?'", r"'(\\d+)\\.(\\d+)'", "'^(.)'", "'(x|y|c)$'"],
    ("regexp_extract", 2): ["0", "1"],
    ("rlike", 1): ["'a'", "'^a'", "'b$'", "'[A-Z]{2}'", r"'\\d'", "'a.b'", "'(a|X)b'"],
    ("split", 1): ["','", "'[ ,]'", "'b'", r"'\\.'"],
    ("sha2", 1): ["256"],
    ("percentile", 1): ["0.5", "0.95", "0", "1", "0.25"],
    ("ntile", 0): ["3", "4"],
    ("lag", 1): ["1", "2"],
    ("lead", 1): ["1", "2"],
}
LETTERS = {
    "s": ["STRING"], "i": ["INT", "BIGINT"], "e": ["INT", "BIGINT", "DECIMAL"], "n": ["INT", "BIGINT", "DECIMAL", "DOUBLE"], "x": ["DOUBLE"],
    "b": ["BOOLEAN"], "d": ["DATE"], "t": ["TIMESTAMP"], "D": ["DATE", "TIMESTAMP", "STRING"], "a": ["ARRAY"],
    "c": ["STRING", "INT", "BIGINT", "DECIMAL", "DOUBLE", "TIMESTAMP", "DATE"],
    "y": ["STRING", "INT", "BIGINT", "DECIMAL", "DOUBLE", "TIMESTAMP", "DATE"],
    "v": ["STRING", "INT", "DECIMAL", "BOOLEAN", "DATE", "TIMESTAMP"],
}  # fmt: skip
KINDS = ["STRING", "INT", "BIGINT", "DECIMAL", "DOUBLE", "BOOLEAN", "TIMESTAMP", "DATE", "ARRAY"]
APPROXIMATE = {"exp", "ln", "log10", "pow", "sin", "cos", "asin", "radians", "months_between"}
SAME = {"abs", "coalesce", "nullif", "greatest", "least", "if", "round"}
COMPARED = ["STRING", "INT", "BIGINT", "DECIMAL", "DOUBLE", "TIMESTAMP", "DATE"]
_RESULTS = {"floor": ("BIGINT", "DOUBLE"), "ceil": ("BIGINT", "DOUBLE")}


class Generator:
    """Draws from the signatures; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.scalars = [s for s in ALL if s.use == "scalar"]

    def expression(self, kind: str | None = None, depth: int = 3) -> Expression:
        kind = kind or self.random.choice(KINDS[:8])
        if depth <= 0 or self.random.random() < 0.15:
            return self._leaf(kind)
        makers = self._makers(kind)
        return self.random.choice(makers)(depth - 1)

    def _leaf(self, kind: str) -> Expression:
        if self.random.random() < 0.75:
            return Expression(kind, [self.random.choice(COLUMNS[kind])])
        if self.random.random() < 0.1:
            of = {"ARRAY": "ARRAY<STRING>", "DECIMAL": "DECIMAL(12,3)"}.get(kind, kind)
            return Expression(kind, [f"CAST(NULL AS {of})"])
        return Expression(kind, [self.random.choice(LITERALS[kind])])

    def _makers(self, kind: str) -> list[Callable[[int], Expression]]:
        makers: list[Callable[[int], Expression]] = []
        for signature in self.scalars:
            if signature.name in ("array", "||", "rlike", "%"):
                continue
            if isinstance(signature.result, Type):
                if signature.result.kind == kind and signature.name not in APPROXIMATE:
                    makers.append(lambda depth, s=signature: self._call(s, kind, depth))
            elif signature.name in SAME and kind not in ("ARRAY", "BOOLEAN"):
                if signature.name in ("abs", "round") and kind not in ("INT", "BIGINT", "DECIMAL", "DOUBLE"):
                    continue
                if signature.name == "round" and kind == "BIGINT":
                    continue
                makers.append(lambda depth, s=signature: self._same(s, kind, depth))
        makers += self._operators(kind)
        return makers

    def _call(self, signature: Signature, kind: str, depth: int) -> Expression:
        letters = signature.letters
        count = len(letters) if self.random.random() < 0.6 else sum(not letter.endswith("?") for letter in letters)
        if signature.args.endswith("*"):
            count += self.random.randrange(2)
        args: list[Expression] = []
        for number in range(count):
            args.append(self._arg(signature, number, depth))
        return self._joined(signature.name, kind, args, approximate=signature.name in APPROXIMATE)

    def _arg(self, signature: Signature, number: int, depth: int) -> Expression:
        known = WRITTEN_OUT.get((signature.name, number))
        letter = signature.letter(number)
        if known and (letter in "SI" or number):
            return Expression("INT" if letter == "I" else "STRING", [self.random.choice(known)])
        if signature.name in ("substr", "date_add", "date_sub", "add_months") and number:
            return self._small()
        if signature.name == "from_unixtime":
            return Expression(
                "BIGINT", [self.random.choice(["unix_timestamp(t)", "0", "-1", "1767225600", "k * 86400", "unix_timestamp(u)"])]
            )
        if signature.name in ("instr", "locate") and number == (signature.name == "instr"):
            return Expression("STRING", [self.random.choice(["'a'", "'b'", "'X'", "'😀'", "','"])])
        if signature.name == "array_contains":
            return self.expression("ARRAY" if not number else "STRING", depth)
        return self.expression(self.random.choice(LETTERS[letter]), depth)

    def _small(self) -> Expression:
        return Expression("INT", [self.random.choice(["0", "1", "2", "-2", "-1", "3", "k", "40", "12"])])

    def _same(self, signature: Signature, kind: str, depth: int) -> Expression:
        if signature.name == "if":
            args = [self.expression("BOOLEAN", depth), self.expression(kind, depth), self.expression(kind, depth)]
        elif signature.name in ("abs", "round"):
            args = [self.expression(kind, depth)]
            if signature.name == "round" and self.random.random() < 0.8:
                args.append(Expression("INT", [self.random.choice(WRITTEN_OUT["round", 1])]))
        else:
            args = [
                self.expression(kind, depth) for _ in range(self.random.choice([2, 2, 3]) if signature.name != "nullif" else 2)
            ]
        return self._joined(signature.name, kind, args)

    def _joined(self, name: str, kind: str, args: Sequence[Expression], *, approximate: bool = False) -> Expression:
        parts: list[str | Expression] = [f"{name}("]
        for number, arg in enumerate(args):
            parts += [", "] * (number > 0) + [arg]
        return Expression(kind, [*parts, ")"], approximate)

    def _of(self, kind: str, template: str, *kinds: str) -> Callable[[int], Expression]:
        """A form with expressions of kinds in the place of `§`."""

        def make(depth: int) -> Expression:
            parts: list[str | Expression] = []
            pieces = template.split("§")
            for number, piece in enumerate(pieces):
                parts.append(piece)
                if number < len(kinds):
                    wanted = kinds[number]
                    parts.append(self.expression(self.random.choice(wanted.split("|")), depth))
            return Expression(kind, parts)

        return make

    def _operators(self, kind: str) -> list[Callable[[int], Expression]]:
        of = self._of
        case = of(kind, "(CASE WHEN § THEN § ELSE § END)", "BOOLEAN", kind, kind)
        forms: dict[str, list[Callable[[int], Expression]]] = {
            "STRING": [
                of(kind, "(§ || §)", "STRING|INT", "STRING|BOOLEAN"), of(kind, "CAST(§ AS STRING)", "INT"), of(kind, "CAST(CAST(§ AS DECIMAL(30,6)) AS STRING)", "DECIMAL"),
                of(kind, "CAST(§ AS STRING)", "BOOLEAN"), of(kind, "CAST(§ AS STRING)", "DATE"), of(kind, "CAST(§ AS STRING)", "TIMESTAMP"),
                of(kind, "CAST(§ AS STRING)", "BIGINT"), of(kind, "§[0]", "ARRAY"), of(kind, "§[2]", "ARRAY"), of(kind, "§[k]", "ARRAY"),
            ],
            "INT": [
                of(kind, "(§ + §)", "INT", "INT"), of(kind, "(§ - §)", "INT", "INT"), of(kind, "(§ * §)", "INT", "INT"), of(kind, "(- §)", "INT"),
                of(kind, "(§ % §)", "INT", "INT"), of(kind, "pmod(§, §)", "INT", "INT"), of(kind, "CAST(§ AS INT)", "DECIMAL"), of(kind, "CAST(§ AS INT)", "STRING"),
                of(kind, "CAST(§ AS INT)", "BIGINT"), of(kind, "CAST(floor(§) AS INT)", "DECIMAL"), of(kind, "CAST(§ AS INT)", "BOOLEAN"),
            ],
            "BIGINT": [
                of(kind, "(§ DIV §)", "INT", "INT"), of(kind, "(§ DIV §)", "BIGINT", "INT"), of(kind, "(§ + §)", "BIGINT", "INT"), of(kind, "(§ - §)", "BIGINT", "BIGINT"),
                of(kind, "(§ * §)", "BIGINT", "INT"), of(kind, "floor(§)", "DOUBLE"), of(kind, "ceil(§)", "DOUBLE"), of(kind, "CAST(§ AS BIGINT)", "STRING"),
                of(kind, "(unix_timestamp(§) - unix_timestamp(§))", "TIMESTAMP", "TIMESTAMP"), of(kind, "CAST(§ AS BIGINT)", "DECIMAL"), of(kind, "(§ % §)", "BIGINT", "INT"),
            ],
            "DECIMAL": [
                of(kind, "(§ + §)", "DECIMAL", "DECIMAL|INT"), of(kind, "(§ - §)", "DECIMAL|INT", "DECIMAL"), of(kind, "CAST((m * §) AS DECIMAL(20,4))", "INT"),
                of(kind, "(m * r)"), of(kind, "(m * m)"), of(kind, "(m * 1.50)"), of(kind, "(m / 3)"), of(kind, "(m / r)"), of(kind, "(r / m)"), of(kind, "(m / n)"), of(kind, "(n / r)"),
                of(kind, "(m * b)"), of(kind, "(r * k)"), of(kind, "(m % r)"), of(kind, "(m % 3)"), of(kind, "pmod(m, r)"), of(kind, "(- §)", "DECIMAL"),
                of(kind, "CAST(§ AS DECIMAL(12,3))", "DECIMAL"), of(kind, "CAST(§ AS DECIMAL(12,3))", "DOUBLE"), of(kind, "CAST(§ AS DECIMAL(12,3))", "STRING"),
                of(kind, "CAST(§ AS DECIMAL)", "DECIMAL"), of(kind, "CAST(§ AS DECIMAL(20,2))", "BIGINT"), of(kind, "floor(§)", "DECIMAL"), of(kind, "ceil(§)", "DECIMAL"),
                of(kind, "coalesce(§, 0)", "DECIMAL"), of(kind, "(CASE WHEN § THEN § ELSE § END)", "BOOLEAN", "DECIMAL", "INT"),
            ],
            "DOUBLE": [
                of(kind, "(§ + §)", "DOUBLE", "DOUBLE|DECIMAL|INT"), of(kind, "(§ - §)", "DOUBLE|DECIMAL", "DOUBLE"), of(kind, "(§ * §)", "DOUBLE", "DOUBLE|INT"),
                of(kind, "(§ / §)", "DOUBLE", "DOUBLE|DECIMAL"), of(kind, "(§ / §)", "INT", "INT|BIGINT"), of(kind, "CAST(§ AS DOUBLE)", "DECIMAL"), of(kind, "CAST(§ AS DOUBLE)", "STRING"),
                of(kind, "CAST(§ AS DOUBLE)", "BIGINT"), of(kind, "(- §)", "DOUBLE"), of(kind, "sqrt(§)", "DOUBLE|INT"),
            ],
            "BOOLEAN": [
                *(of(kind, f"(§ {sign} §)", c, c) for sign in ("=", "<>", "<", "<=", ">", "<=>") for c in COMPARED),
                of(kind, "(§ < §)", "DECIMAL", "DOUBLE"), of(kind, "(§ >= §)", "BIGINT", "DECIMAL"), of(kind, "(§ = §)", "INT", "DOUBLE"),
                of(kind, "(§ AND §)", "BOOLEAN", "BOOLEAN"), of(kind, "(§ OR §)", "BOOLEAN", "BOOLEAN"), of(kind, "(NOT §)", "BOOLEAN"),
                of(kind, "(§ IS NULL)", "STRING|DECIMAL"), of(kind, "(§ IS NOT NULL)", "INT|TIMESTAMP"), of(kind, "(§ BETWEEN § AND §)", "DECIMAL", "INT", "DECIMAL"),
                of(kind, "(§ IN ('abc', '', §))", "STRING", "STRING"), of(kind, "(§ IN (1, 2, NULL))", "INT"), of(kind, "(§ IN (12.345, 99.99))", "DECIMAL"),
                of(kind, "(§ NOT IN (0, 7))", "INT"), of(kind, "(§ LIKE 'a%')", "STRING"), of(kind, r"(s LIKE '%a\\_b%')"), of(kind, "(§ NOT LIKE '%b%')", "STRING"),
                *(of(kind, f"(§ RLIKE {pattern})", "STRING") for pattern in WRITTEN_OUT["rlike", 1]),
                of(kind, "(§ > '2026-01-01')", "TIMESTAMP"), of(kind, "(§ = '2026-01-31')", "DATE"), of(kind, "(§ >= §)", "TIMESTAMP", "DATE"),
            ],
            "TIMESTAMP": [
                *(of(kind, f"(§ {sign} INTERVAL {count} {unit})", kind) for sign in "+-" for count, unit in ((1, "DAY"), (90, "MINUTE"), (36, "HOUR"), (5, "SECOND"), (1, "MONTH"), (2, "YEAR"))),
                of(kind, "CAST(§ AS TIMESTAMP)", "DATE"), of(kind, "CAST(§ AS TIMESTAMP)", "STRING"),
            ],
            "DATE": [of(kind, "CAST(§ AS DATE)", "TIMESTAMP"), of(kind, "CAST(§ AS DATE)", "STRING")],
            "ARRAY": [of(kind, "sort_array(§)", "ARRAY"), of(kind, "array(§, §)", "STRING", "STRING")],
        }  # fmt: skip
        return [*forms[kind], case] if kind != "ARRAY" else forms[kind]

    def approximate(self) -> Expression:
        """A call whose last digit may differ, with nothing around it."""
        signature = self.random.choice([s for s in self.scalars if s.name in APPROXIMATE])
        args = [
            Expression("DOUBLE", [self.random.choice(["x / 1e6", "r", "k", "CAST(k AS DOUBLE) / 7", "n / 1000"])])
            for _ in signature.letters
        ]
        if signature.name == "months_between":
            args = [self._leaf("DATE"), self._leaf("DATE")]
        if signature.name in ("exp", "pow"):
            args = [Expression("DOUBLE", ["CAST(k AS DOUBLE) / 7"]) for _ in args]
        return self._joined(signature.name, "DOUBLE", args, approximate=True)

    # --- aggregates and windows ---------------------------------------------------------------------------------------

    def aggregate(self) -> Expression:
        of = self._of
        exact = "INT|DECIMAL"
        return self.random.choice(
            [
                of("BIGINT", "count(*)"), of("BIGINT", "count(§)", "STRING"), of("BIGINT", "count(DISTINCT §)", "STRING|INT"), of("BIGINT", "count(DISTINCT k, f)"),
                of("DECIMAL", "sum(§)", "DECIMAL"), of("BIGINT", "sum(§)", "INT"), of("DECIMAL", "sum(DISTINCT r)"), of("DECIMAL", "avg(m)"), of("DECIMAL", "avg(r)"), of("DOUBLE", "avg(§)", "INT"),
                of("STRING", "min(§)", "STRING"), of("DECIMAL", "max(§)", "DECIMAL"), of("TIMESTAMP", "max(§)", "TIMESTAMP"), of("DOUBLE", "min(x)"),
                of("DOUBLE", "stddev(r)"), of("DOUBLE", "stddev_samp(r)"), of("DOUBLE", "stddev_pop(k)"), of("DOUBLE", "variance(k)"), of("DOUBLE", "stddev(CAST(m / 1000000 AS DECIMAL(12,2)))"),
                of("DOUBLE", "percentile(§, 0.5)", exact), of("DOUBLE", "percentile(r, 0.95)"), of("DOUBLE", "percentile(k, 0.25)"),
                of("INT", "size(collect_set(§))", "STRING|INT"), of("INT", "size(collect_list(§))", "DECIMAL"), of("BOOLEAN", "array_contains(collect_set(§), 'abc')", "STRING"),
                of("STRING", "sort_array(collect_list(§))[0]", "STRING"),
                of("BIGINT", "sum(if(§, 1, 0))", "BOOLEAN"), of("DECIMAL", "sum(CASE WHEN § THEN m ELSE 0 END)", "BOOLEAN"), of("DECIMAL", "avg(r) + 1"), of("DOUBLE", "avg(k) / 3"),
            ]
        )(1)  # fmt: skip

    def window(self) -> Expression:
        choose = self.random.choice
        by = choose(["PARTITION BY g", "PARTITION BY g", "PARTITION BY f", ""])
        ordered = choose(["id", "id DESC", "k, id", "u, id", "m DESC, id"])
        near, far = sorted((self.random.randrange(0, 4), self.random.randrange(0, 12)))
        key, unit = choose(
            [
                ("k", 1),
                ("n", 1),
                ("id", 1),
                ("unix_timestamp(u)", 100),
                ("unix_micros(u)", 100_000_007),
                ("unix_micros(u)", 400_000_028),
            ]
        )
        frame = choose(
            [
                f"BETWEEN {far * unit} PRECEDING AND CURRENT ROW", f"BETWEEN {far * unit} PRECEDING AND {near * unit} PRECEDING",
                f"BETWEEN {near * unit} FOLLOWING AND {far * unit} FOLLOWING", "BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
                f"BETWEEN {far * unit} PRECEDING AND 1 PRECEDING", f"BETWEEN CURRENT ROW AND {far * unit} FOLLOWING", f"BETWEEN UNBOUNDED PRECEDING AND {near * min(unit, 1000)} PRECEDING",
            ]
        )  # fmt: skip
        wide = unit > 1000
        function = choose(
            ["count(*)", "sum(r)", "count(s)", "sum(k)"]
            if wide
            else ["count(*)", "sum(m)", "sum(k)", "max(r)", "min(s)", "avg(r)", "count(x)", "avg(k)", "stddev(r)"]
        )
        down = choose(["", "", " DESC"])
        ranged = f"{function} OVER ({by} ORDER BY {key}{down} RANGE {frame})"
        rows = choose(
            [
                "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
                "ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING",
                "",
                "ROWS BETWEEN CURRENT ROW AND 2 FOLLOWING",
            ]
        )
        kind = {
            "count(*)": "BIGINT",
            "sum(k)": "BIGINT",
            "count(s)": "BIGINT",
            "count(x)": "BIGINT",
            "min(s)": "STRING",
            "avg(k)": "DOUBLE",
            "stddev(r)": "DOUBLE",
        }
        forms = [
            Expression(kind.get(function, "DECIMAL"), [ranged]), Expression(kind.get(function, "DECIMAL"), [ranged]), Expression(kind.get(function, "DECIMAL"), [ranged]),
            Expression("INT", [f"row_number() OVER ({by} ORDER BY {ordered})"]), Expression("INT", [f"{choose(['rank', 'dense_rank'])}() OVER ({by} ORDER BY k, f)"]),
            Expression("INT", [f"ntile(3) OVER ({by} ORDER BY {ordered})"]), Expression("STRING", [f"{choose(['lag', 'lead'])}(s) OVER ({by} ORDER BY {ordered})"]),
            Expression("DECIMAL", [f"{choose(['lag', 'lead'])}(m, 2, 0) OVER ({by} ORDER BY {ordered})"]),
            Expression("STRING", [f"{choose(['first_value', 'last_value'])}(s) OVER ({by} ORDER BY {ordered} {rows})"]),
            Expression("DECIMAL", [f"sum(m) OVER ({by} ORDER BY {ordered} {rows})"]), Expression("DECIMAL", [f"avg(r) OVER ({by} ORDER BY {ordered} {rows})"]),
            Expression("INT", [f"size(collect_list(s) OVER ({by} ORDER BY {ordered} {rows}))"]), Expression("DECIMAL", [f"m - avg(r) OVER ({by or 'PARTITION BY g'})"]),
        ]  # fmt: skip
        return choose(forms)


# --- running ----------------------------------------------------------------------------------------------------------

SHAPES = {
    "expression": "SELECT id AS row_id, {selected} FROM fintech.odd",
    "approximate": "SELECT id AS row_id, {selected} FROM fintech.odd",
    "aggregate": "SELECT g AS row_id, {selected} FROM fintech.odd GROUP BY g",
    "window": "SELECT id AS row_id, {selected} FROM fintech.odd",
    "nested": "SELECT q.row_id, {outer} FROM (SELECT p.id AS row_id, {selected} FROM (SELECT * FROM fintech.odd) p) q",
    "joined": "WITH c AS (SELECT id AS cid FROM fintech.odd WHERE id < 40) SELECT id AS row_id, {selected} FROM fintech.odd LEFT JOIN c ON c.cid = id "
    "WHERE c.cid IS NOT NULL",
}


@dataclass
class Difference:
    """An expression whose values differ.

    Attributes:
        values: the first row that differs: its number, the value embedded, and the server's.
    """

    shape: str
    text: str
    values: tuple[Any, Any, Any]

    def __str__(self) -> str:
        return f"{self.shape}: {self.text}\n    row {self.values[0]}: embedded {self.values[1]!r}, server {self.values[2]!r}"


@dataclass
class Judge:
    """Two warehouses with the same rows."""

    embedded: Reader
    server: Reader
    asked: int = 0
    refused: dict[str, str] = field(default_factory=dict)

    def differences(self, shape: str, drawn: Sequence[Expression]) -> list[tuple[Expression, Difference]]:
        """Run expressions in one SELECT, and give those that differ; halves of it where an engine fails."""
        drawn = [e for e in drawn if not self._is_refused(shape, e)]
        if not drawn:
            return []
        query = _select(shape, drawn)
        outcomes: list[list[dict[str, Any]] | str] = []
        for warehouse in (self.embedded, self.server):
            try:
                outcomes.append(sorted(warehouse.query(HiveQL(query)).to_pylist(), key=lambda row: repr(row["row_id"])))
            except Exception as error:
                outcomes.append(f"{type(error).__name__}: {str(error)[:300]}")
        self.asked += 1
        one, other = outcomes
        if isinstance(one, str) or isinstance(other, str):
            if len(drawn) == 1:
                if isinstance(one, str) and isinstance(other, str):
                    return []
                shown = (None, one if isinstance(one, str) else "rows", other if isinstance(other, str) else "rows")
                return [(drawn[0], Difference(shape, str(drawn[0]), shown))]
            middle = len(drawn) // 2
            return self.differences(shape, drawn[:middle]) + self.differences(shape, drawn[middle:])
        found = []
        for number, expression in enumerate(drawn):
            name = f"x{number}"
            for left, right in zip(one, other, strict=True):
                if not _same(left[name], right[name], approximate=expression.is_approximate):
                    found.append((expression, Difference(shape, str(expression), (left["row_id"], left[name], right[name]))))
                    break
        return found

    def _is_refused(self, shape: str, expression: Expression) -> bool:
        try:
            self.embedded_schema(_select(shape, [expression]))
        except QueryError as error:
            self.refused[str(expression)] = str(error)
            return True
        return False

    def embedded_schema(self, text: str) -> None:
        """Raises QueryError for what the allow-list refuses."""
        from hive_io.dialect import check, parse

        for problem in check(parse(text), {ODD.full_name: ODD}):
            raise problem

    def shrink(self, shape: str, expression: Expression) -> Expression:
        """The smallest expression that still differs; all candidates of a round in one SELECT."""
        best = expression
        for _ in range(12):
            candidates = sorted(
                {str(c): c for c in _smaller(best) if len(str(c)) < len(str(best))}.values(), key=lambda c: len(str(c))
            )
            if shape != "expression":
                candidates = [c for c in candidates if "OVER" in str(c) or shape != "window"][:20]
            failing = self.differences(shape, candidates[:60])
            if not failing:
                return best
            best = min((e for e, _ in failing), key=lambda e: len(str(e)))
        return best


def _select(shape: str, drawn: Sequence[Expression]) -> str:
    selected = ", ".join(f"{_shown(e)} AS x{number}" for number, e in enumerate(drawn))
    outer = ", ".join(f"q.x{number} AS x{number}" for number in range(len(drawn)))
    return SHAPES[shape].format(selected=selected, outer=outer)


def _shown(expression: Expression) -> str:
    """What is selected: a DECIMAL as text, so that its digits count."""
    if expression.kind != "DECIMAL":
        return str(expression)
    quotient = "/" in str(expression) or "avg" in str(expression)
    return f"CAST(CAST({expression} AS DECIMAL(38,6)) AS STRING)" if quotient else f"CAST({expression} AS STRING)"


def _smaller(expression: Expression) -> Iterator[Expression]:
    for part in expression.inner:
        yield part
        yield from _smaller(part)
    for number, part in enumerate(expression.parts):
        if isinstance(part, Expression):
            for column in COLUMNS[part.kind]:
                yield Expression(
                    expression.kind,
                    [*expression.parts[:number], Expression(part.kind, [column]), *expression.parts[number + 1 :]],
                    expression.approximate,
                )
            for smaller in _smaller(part):
                if smaller.kind == part.kind:
                    yield Expression(
                        expression.kind,
                        [*expression.parts[:number], smaller, *expression.parts[number + 1 :]],
                        expression.approximate,
                    )


def _same(one: Any, other: Any, *, approximate: bool) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return one == other or (approximate and math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-300))
    return bool(one == other)


def fill(warehouse: Any) -> None:
    """Write the odd rows."""
    warehouse.replace(ODD, _rows(), Span.days(dt.date.fromisoformat(DAY), dt.date.fromisoformat(DAY)))


def draw(seed: int, count: int, batch: int = 40) -> Iterator[tuple[str, list[Expression]]]:
    """Batches of expressions, with the shape of the SELECT for each."""
    generator = Generator(seed)
    shapes = ["expression", "expression", "expression", "window", "aggregate", "approximate", "nested", "joined"]
    left, number = count, 0
    while left > 0:
        shape = shapes[number % len(shapes)]
        size = min(left, batch if shape not in ("window", "aggregate") else batch // 4)
        makers = {"aggregate": generator.aggregate, "window": generator.window, "approximate": generator.approximate}
        yield shape, [makers.get(shape, generator.expression)() for _ in range(size)]
        left -= size
        number += 1


def compare(
    embedded: Reader, server: Reader, seed: int, count: int, *, say: Callable[[str], None] = lambda text: None
) -> tuple[list[Difference], Judge]:
    """Differences between two warehouses that have the odd rows, shrunk."""
    judge, found = Judge(embedded, server), []
    for shape, drawn in draw(seed, count):
        for expression, difference in judge.differences(shape, drawn):
            smallest = judge.shrink(shape, expression)
            again = judge.differences(shape, [smallest])
            found.append(again[0][1] if again else difference)
            say(str(found[-1]))
    return found, judge


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True, help="hive://user@host:port/database?staging=/folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        embedded = EmbeddedWarehouse(Path(folder))
        server = HiveServer2Warehouse(HiveServer.of(arguments.server))
        fill(embedded)
        fill(server)
        found, judge = compare(embedded, server, arguments.seed, arguments.count, say=lambda text: print(text, flush=True))
    print(
        f"{arguments.count} expressions in {judge.asked} SELECTs, {len(judge.refused)} refused, {len(found)} differ; seed {arguments.seed}"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
