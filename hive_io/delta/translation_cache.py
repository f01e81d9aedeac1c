"""Keeps translated queries: most queries of a process differ only in the times that they name.

The live path runs the same thirty queries with every poll, each for a few seconds, and a translation takes longer than DuckDB
takes for the rows of these seconds.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from threading import Lock

from sqlglot import exp

from hive_io.dialect import to_duckdb
from hive_io.hiveql.annotate import ColumnsOf
from hive_io.hiveql.types import Columns

MOST = 512
"""Translations that are kept."""

_TIME = re.compile(r"'(\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2}:\d{2}(?:\.\d{1,6})?)?)'")
_PLACE = re.compile(r"'\x00(\d+)\x00'")


class TranslationCache:
    """DuckDB's text of queries, by everything that it depends on except the values of their dates and times.

    Two queries have the same text if they are the same but for these values, if equal values are equal in both, and if the
    values have the same form: as dates, or as times with the same number of digits.
    """

    def __init__(self) -> None:
        self._texts: dict[object, str] = {}
        self._lock = Lock()

    def to_duckdb(
        self,
        tree: exp.Query,
        names: Iterable[str],
        relation: Callable[[str], str],
        columns_of: ColumnsOf,
        *,
        strict: bool = False,
    ) -> str:
        """`to_duckdb` of the query, from memory if a similar one was translated before.

        Args:
            names: the tables that the query reads, as `database.table`. `relation` is called for each.
        """
        tables = {name: (relation(name), columns_of(name)) for name in names}

        def columns(name: str) -> Columns | None:
            return tables[name][1] if name in tables else columns_of(name)

        # not as HiveQL, where a CAST and a TRY_CAST read the same
        times: list[str] = []
        key_text = _TIME.sub(lambda found: _placed(found, times), tree.sql(comments=False))
        forms = tuple(len(each) for each in times)
        shown = tuple((name, place, tuple(found.items()) if found else None) for name, (place, found) in tables.items())
        key = (key_text, forms, shown, strict)
        with self._lock:
            template = self._texts.get(key)
        if template is not None:
            return _PLACE.sub(lambda place: f"'{times[int(place[1])]}'", template)
        text = to_duckdb(tree, lambda name: tables[name][0] if name in tables else relation(name), columns, strict=strict)
        found: list[str] = list(times)
        template = _TIME.sub(lambda each: _placed(each, found), text)
        # a time that the translation has made itself would stay as it is in the next query
        if len(found) == len(times) and "\x00" not in text:
            with self._lock:
                if len(self._texts) >= MOST:
                    self._texts.clear()
                self._texts[key] = template
        return text


def _placed(found: re.Match[str], times: list[str]) -> str:
    """A mark in place of a date or time: its number among the different ones so far. What is not valid stays."""
    value = found[1]
    try:
        dt.datetime.fromisoformat(value)
    except ValueError:
        return found[0]
    if value not in times:
        times.append(value)
    return f"'\x00{times.index(value)}\x00'"
