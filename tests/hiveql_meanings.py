"""What allowed HiveQL means: the same in the embedded warehouse and on every HiveServer2."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.hive_io_fixtures import at, ds, payment

T = "fintech.payments"

MEANS: list[tuple[str, Any]] = [
    ("unix_timestamp(CAST('2026-01-01 00:00:01.999999' AS TIMESTAMP))", 1_767_225_601),
    ("unix_timestamp(CAST('1969-12-31 23:59:59' AS TIMESTAMP))", -1),
    ("datediff('2026-03-01', '2026-02-27')", 2),
    ("datediff(CAST('2026-01-02 00:00:01' AS TIMESTAMP), CAST('2026-01-01 23:59:59' AS TIMESTAMP))", 1),
    ("datediff('2026-01-01', '2026-01-31')", -30),
    ("date_format(date_sub('2026-03-01', 1), 'yyyy-MM-dd')", "2026-02-28"),
    ("date_format(date_sub(CAST('2028-03-01 12:00:00' AS TIMESTAMP), 1), 'yyyy-MM-dd')", "2028-02-29"),
    ("date_format(date_add('2026-12-31', 1), 'yyyy-MM-dd')", "2027-01-01"),
    ("date_format(CAST('2026-01-02 03:04:05' AS TIMESTAMP), 'yyyy-MM-dd')", "2026-01-02"),
    ("NULL <=> NULL", True),
    ("1 <=> NULL", False),
    ("1 <=> 1", True),
    ("nvl(NULL, 'x')", "x"),
    ("coalesce(NULL, NULL, 'y')", "y"),
    ("if(1 > 2, 'yes', 'no')", "no"),
    ("if(CAST(NULL AS BOOLEAN), 'yes', 'no')", "no"),
    ("CASE WHEN CAST(NULL AS BOOLEAN) THEN 'a' WHEN 2 > 1 THEN 'b' ELSE 'c' END", "b"),
    ("7 DIV 2", 3),
    ("-7 DIV 2", -3),
    ("7 DIV 0", None),
    ("7 / 2", 3.5),
    ("1 / 0", None),
    ("0 / 0", None),
    ("concat('a', 'b', 'c')", "abc"),
    ("concat('a', NULL, 'c')", None),
    ("CAST('1.005' AS DECIMAL(18,3)) + CAST('2.5' AS DECIMAL(18,1))", Decimal("3.505")),
    ("CAST('not a number' AS DECIMAL(18,2))", None),
    ("CAST(floor(12.7) AS INT)", 12),
    ("CAST(floor(-12.2) AS BIGINT)", -13),
    ("CAST(ceil(12.2) AS INT)", 13),
    ("CAST(FLOOR(CAST(170.86 AS DOUBLE) / 4 * 100 + 0.5) / 100 AS DECIMAL(18,2))", Decimal("42.72")),
    ("CAST(FLOOR(sqrt(CAST(2 AS DOUBLE)) * 10000 + 0.5) / 10000 AS DECIMAL(18,4))", Decimal("1.4142")),
    ("CAST(CAST('1.10' AS DECIMAL(18,2)) AS STRING)", "1.10"),
    ("if(2 > 1, 'true', 'false')", "true"),
    ("regexp_replace('a1b22', '[0-9]+', '#')", "a#b#"),
    ("replace('aXbX', 'X', '-')", "a-b-"),
    ("upper(trim('  zoë '))", "ZOË"),
    ("length('😀é')", 2),
    ("abs(-1.5)", Decimal("1.5")),
    ("'abc' LIKE 'a%'", True),
    ("'it\\'s' = \"it's\"", True),
    ("2 IN (1, 2, NULL)", True),
    ("3 IN (1, 2, NULL)", None),
    ("array('a', 'b')", ["a", "b"]),
    ("sqrt(CAST(16 AS DOUBLE))", 4.0),
    ("pow(2, 10)", 1024.0),
    ("asin(sin(radians(CAST(90 AS DOUBLE))))", 1.5707963267948966),
]
"""Expressions without tables, and their values."""

SHOP = [
    payment("a", at(1, 0, 0, 0), "0.10"),
    payment("a", at(1, 0, 9, 59), "0.20"),
    payment("a", at(1, 0, 10, 1), "0.30"),
    payment("b", at(1, 12), "5.00"),
    payment("b", at(2, 12), "7.00"),
    payment("c", at(2, 13), None),
]
"""Payments of two days; `c` has one without an amount."""

QUERIES: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "sums of decimals are exact": (
        f"SELECT id, sum(amount) AS x, count(amount) AS n, count(*) AS m FROM {T} GROUP BY id",
        [("a", Decimal("0.60"), 3, 3), ("b", Decimal("12.00"), 2, 2), ("c", None, 0, 1)],
    ),
    "COUNT DISTINCT": (f"SELECT count(DISTINCT id) AS n FROM {T}", [(3,)]),
    "HAVING": (f"SELECT id FROM {T} GROUP BY id HAVING count(*) > 2", [("a",)]),
    "LEFT SEMI JOIN": (
        f"SELECT p.id FROM {T} p LEFT SEMI JOIN {T} q ON q.id = p.id AND q.ds = '{ds(2)}' WHERE p.ds = '{ds(1)}'",
        [("b",)],
    ),
    "NOT EXISTS": (
        f"SELECT p.id FROM {T} p WHERE p.ds = '{ds(2)}' AND NOT EXISTS (SELECT 1 FROM {T} q WHERE q.id = p.id AND q.ds < p.ds)",
        [("c",)],
    ),
    "EXISTS": (
        f"SELECT p.id FROM {T} p WHERE p.ds = '{ds(2)}' AND EXISTS (SELECT 1 FROM {T} q WHERE q.id = p.id AND q.ds < p.ds)",
        [("b",)],
    ),
    "LEFT JOIN keeps what has no partner": (
        f"SELECT p.id, q.amount FROM {T} p LEFT JOIN {T} q ON q.id = p.id AND q.ds = '{ds(1)}' WHERE p.ds = '{ds(2)}'",
        [("b", Decimal("5.00")), ("c", None)],
    ),
    "a frame of rows": (
        f"SELECT sum(amount) OVER (PARTITION BY id ORDER BY at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS x "
        f"FROM {T} WHERE id = 'a'",
        [(Decimal("0.10"),), (Decimal("0.30"),), (Decimal("0.50"),)],
    ),
    "a frame of seconds, both ends included": (
        "SELECT count(*) OVER (PARTITION BY id ORDER BY unix_timestamp(at) RANGE BETWEEN 600 PRECEDING AND CURRENT ROW) AS n "
        f"FROM {T} WHERE id = 'a'",
        [(1,), (2,), (2,)],
    ),
    "a frame of the seconds before": (
        "SELECT max(amount) OVER (PARTITION BY id ORDER BY unix_timestamp(at) RANGE BETWEEN 599 PRECEDING AND 1 PRECEDING) "
        f"AS x FROM {T} WHERE id = 'a'",
        [(Decimal("0.10"),), (Decimal("0.20"),), (None,)],
    ),
    "LAG": (
        f"SELECT id, lag(amount) OVER (PARTITION BY id ORDER BY at) AS x FROM {T} WHERE id = 'b'",
        [("b", Decimal("5.00")), ("b", None)],
    ),
    "NULL comes first in an order": (
        f"SELECT id, ROW_NUMBER() OVER (ORDER BY amount, id) AS n FROM {T} WHERE ds = '{ds(2)}'",
        [("b", 2), ("c", 1)],
    ),
    "lists in an order, without NULL": (
        "SELECT n, words FROM (SELECT ROW_NUMBER() OVER (PARTITION BY ds ORDER BY at DESC) AS n, collect_list(id) OVER "
        "(PARTITION BY ds ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS words "
        f"FROM {T} WHERE ds = '{ds(2)}') x WHERE n = 1",
        [(1, ["b", "c"])],
    ),
    "collect_list leaves NULL out": (
        f"SELECT collect_list(amount) AS x FROM {T} WHERE ds = '{ds(2)}'",
        [([Decimal("7.00")],)],
    ),
    "WITH, UNION ALL and DISTINCT": (
        f"WITH p AS (SELECT id FROM {T} WHERE ds = '{ds(1)}'), q AS (SELECT id FROM {T} WHERE ds = '{ds(2)}') "
        "SELECT DISTINCT id FROM (SELECT id FROM p UNION ALL SELECT id FROM q) x",
        [("a",), ("b",), ("c",)],
    ),
    "UNION drops what is twice": (
        f"SELECT id FROM {T} WHERE ds = '{ds(1)}' UNION SELECT id FROM {T} WHERE ds = '{ds(2)}'",
        [("a",), ("b",), ("c",)],
    ),
    "a yesterday by text": (
        f"SELECT t.id, y.amount FROM {T} t JOIN {T} y ON y.id = t.id AND y.ds = date_format(date_sub(t.ds, 1), 'yyyy-MM-dd')",
        [("b", Decimal("5.00"))],
    ),
    "a table without an alias lends its name": (
        f"SELECT payments.id FROM {T} WHERE payments.ds = '{ds(2)}'",
        [("b",), ("c",)],
    ),
}
"""SELECTs over `SHOP`, and their rows in any order."""
