"""`docs/hiveql.md`, written from the allow-list: `python -m hive_io.hiveql.docs docs/hiveql.md`."""

# ruff: noqa: E501 (templates of SQL, and lines of a page)
from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from hive_io.hiveql.signatures import ALL, REFUSED, Signature
from hive_io.hiveql.syntax import refused_parts
from hive_io.hiveql.types import Type

_HEAD = """# HiveQL that means one thing

A rule or a feature is one SELECT. It runs embedded (DuckDB), on Apache Hive 4 and on Spark, and gives the same values there; where
engines differ, Hive's value is given. `fraud rules check` refuses what is not listed here, with file and line.
This page is written from the allow-list: `python -m hive_io.hiveql.docs docs/hiveql.md`.

## Form

- `WITH`, `SELECT`, `DISTINCT`, `FROM`, `WHERE`, `GROUP BY`, `HAVING`, `UNION`, `UNION ALL`, subqueries, `EXISTS`, `IN (SELECT …)`.
- `JOIN`, `LEFT JOIN`, `RIGHT JOIN`, `FULL JOIN`, `CROSS JOIN`, `LEFT SEMI JOIN`, each with `ON`.
- Names and functions in any letter case. Tables are named `database.table`, or by their name alone in rules and features.
- `CASE`, `+ - * /`, `%`, `DIV` for integers, `||`, `= <> < <= > >= <=>`, `BETWEEN`, `IN`, `IS NULL`, `LIKE` and `RLIKE` with a
  pattern that is written out, `AND`, `OR`, `NOT`, `x[0]`.
- A comparison has one kind of value on both sides: numbers, text, times or conditions. A time may be compared with a text that is
  written out, `event_time >= '2026-01-31'`.
- `timestamp + INTERVAL 90 MINUTE`, with SECOND, MINUTE, HOUR, DAY, MONTH or YEAR, and a whole number.
- `x / 0`, `x % 0` and `x DIV 0` are NULL.
- Text may have any letters; `${env:HOME}` is a text too, and nothing is put in its place.

## Types

STRING, BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, DECIMAL(p,s), DOUBLE, DATE, TIMESTAMP, and ARRAY of these in tables.

- DECIMAL arithmetic has Hive's digits: `DECIMAL(18,2) * 1.50` has 3 after the point, `/ 3` has 6. Zeros at the end of a number that is
  written out do not count. A product or quotient that needs more than 38 digits is refused: CAST a side.
- `CAST(x AS INT)` of a DECIMAL or a text cuts what is after the point, and is NULL for what is too large. A DOUBLE is not cast to an
  integer: `CAST(FLOOR(x) AS INT)`.
- A DOUBLE is cast to DECIMAL by the digits that it shows, halves away from zero; it is not cast to STRING.
- `CAST(x AS TIMESTAMP)` of a text takes `2026-01-31` and `2026-01-31 23:59:59.123456`, all else is NULL. `CAST(x AS DATE)` takes the
  day that the text starts with.
- Integers have their own bits: `2147483647 + 1` is -2147483648, on every engine.

## Windows

- `ROWS` and `RANGE`, with PRECEDING, FOLLOWING, CURRENT ROW and UNBOUNDED. The bound of a frame is a whole number, written out or a param.
- `RANGE` counts in integers: order by `UNIX_TIMESTAMP(t)` for seconds, by `UNIX_MICROS(t)` for microseconds. Both bounds are in the
  frame: `RANGE BETWEEN 10 PRECEDING AND 1 PRECEDING` has the rows at distance 10 and at distance 1, on Apache Hive too.
- Bounds go up to 1073741823. By `UNIX_MICROS(t)` larger ones are read too: for a frame that ends or begins at the current row; and for
  COUNT and SUM where both bounds are on one side.
- Rows without a key are as far from each other as rows of the same key. NULL comes first.

## Functions

| call | gives | note |
| --- | --- | --- |
"""


def render() -> str:
    """The page."""
    return _HEAD + "\n".join(_rows()) + "\n\n" + _REFUSED + "\n".join(_refused()) + "\n"


_REFUSED = """## What is refused, and what to write

| refused | instead |
| --- | --- |
"""


def _rows() -> Iterator[str]:
    for signature in sorted(ALL, key=lambda s: (s.name.lstrip("%|"), s.name)):
        names = f" Also `{'`, `'.join(signature.names)}`." if signature.names else ""
        note = (signature.note + names).strip().replace("|", "\\|")
        where = " Needs OVER." if signature.use == "window" else ""
        yield f"| `{signature.shown}` | {_result(signature)} | {note}{where} |".replace("||(", "\\|\\|(")


def _result(signature: Signature) -> str:
    if isinstance(signature.result, Type):
        return str(signature.result)
    known = {
        "_same": "as given",
        "_common": "the common type",
        "_sum": "DECIMAL with 10 digits more; BIGINT of integers",
        "_list": "ARRAY",
        "_array": "ARRAY",
    }
    known |= {
        "_avg": "DECIMAL with 4 digits more; DOUBLE of integers",
        "_whole": "BIGINT; DECIMAL of a DECIMAL",
        "_remainder": "DECIMAL; an integer of integers",
    }
    return known.get(getattr(signature.result, "__name__", ""), "the common type")


def _refused() -> Iterator[str]:
    for name, advice in sorted(REFUSED.items()):
        yield f"| `{name}` | {advice} |".replace("||", "\\|\\|")
    for said in sorted(set(refused_parts())):
        what, _, advice = said.partition(": ") if ": " in said else said.partition("; ")
        yield f"| {what} | {advice or 'leave it out'} |"


def main() -> int:
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
