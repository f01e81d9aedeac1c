"""Entries of lists that name a transaction when it happens, and what changed in them since a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from sqlglot import exp

from fraud_assets.detection.rule import Rule
from fraud_assets.explain.tolerant_reader import TolerantReader, rows_where
from fraud_assets.lists.files import BLACKLIST
from fraud_assets.lists.keys import KEYS
from fraud_assets.schemas.lists import LISTS
from fraud_assets.schemas.sources import API_TABLES, TRANSACTIONS
from hive_io import PARTITION

BLACKLIST_TABLE = API_TABLES["blacklist"].table.name

Row: TypeAlias = Mapping[str, Any]

_IN_FORCE = "l.starts_at <= t.event_time AND (l.ends_at IS NULL OR t.event_time < l.ends_at)"
_KEY = ("list_name", "key_name", "value_key")
_SHOWN = ("kind", "value", "reason", "owner", "starts_at", "ends_at")


def entries_of_day(reader: TolerantReader, day: str) -> Mapping[str, list[Row]]:
    """Entries that count when a transaction of the day happens, by transaction."""
    found: dict[str, list[Row]] = defaultdict(list)
    columns = [exp.column(name, "l") for name in (*_KEY, *_SHOWN)]
    for key, condition in KEYS.items():
        entries = rows_where(LISTS.name, **{PARTITION: day, "key_name": key}).subquery("l")
        paid = rows_where(TRANSACTIONS.table.name, **{PARTITION: day}).subquery("t")
        query = exp.select(exp.column("transaction_id", "t"), *columns).from_(entries)
        for row in reader.rows(query.join(paid, on=f"{condition} AND {_IN_FORCE}", dialect="hive")):
            found[row["transaction_id"]].append(row)
    return found


def read_by(rule: Rule, entries: Iterable[Row]) -> list[Row]:
    """Those of the entries that a rule reads: of the lists that it names, or of all if it compares no name."""
    tables = rule.file.tables()
    if LISTS.name not in tables:
        return [each for each in entries if BLACKLIST_TABLE in tables and each["list_name"] == BLACKLIST]
    tree = rule.file.tree()
    if not any(column.name == "list_name" for column in tree.find_all(exp.Column)):
        return [*entries]
    said = {literal.this for literal in tree.find_all(exp.Literal) if literal.is_string}
    said |= {value for value in rule.file.scalars().values() if isinstance(value, str)}
    return [each for each in entries if each["list_name"] in said]


def what_changed(before: Iterable[Row], after: Iterable[Row]) -> list[str]:
    """A text for each entry that was added, ended or changed."""
    then, now = ({tuple(row[name] for name in _KEY): row for row in rows} for rows in (before, after))
    return [text for key in sorted(then.keys() | now.keys()) if (text := _change(then.get(key), now.get(key)))]


def _change(before: Row | None, after: Row | None) -> str:
    if before is None and after is not None:
        return f"{_named(after)} was added by {after['owner']}: {after['reason']}"
    if before is not None and after is None:
        return f"{_named(before)} no longer counts"
    assert before is not None and after is not None
    other = [name for name in _SHOWN if before[name] != after[name]]
    return f"{_named(after)} changed: " + ", ".join(f"{n} {before[n]} → {after[n]}" for n in other) if other else ""


def _named(row: Row) -> str:
    return f"{row['list_name']}: {row['key_name']} {row['value']}"
