"""Rows of the table `lists`, and which entries match transactions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import pyarrow as pa

from fraud_assets.lists.files import BLACKLIST, NamedList
from fraud_assets.lists.keys import KEYS
from fraud_assets.schemas.lists import LISTS
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import API_TABLES, TRANSACTIONS
from hive_io import PARTITION, HiveQL, Reader, Span
from hive_io.table import DAY

MATCH_DAYS = 90
"""Days in which transactions of an entry are looked for."""

Named: TypeAlias = tuple[str, str, str]
"""An entry by list, key and value, as compared."""

_BLACKLIST = """
SELECT b.ds, b.merchant_key, MIN(b.merchant_id) AS merchant_id, MIN(b.listed_because) AS listed_because
FROM (
  SELECT e.ds, COALESCE(e.merchant_key, LOWER(TRIM(e.merchant_id))) AS merchant_key, e.merchant_id, e.listed_because
  FROM fintech.blacklist e
  WHERE e.ds BETWEEN :first AND :last
) b
GROUP BY b.ds, b.merchant_key
"""

_MATCHES = """
SELECT l.list_name, l.key_name, l.value_key, COUNT(*) AS transactions, MAX(t.event_time) AS last_time
FROM fintech.transactions t
JOIN (
  SELECT DISTINCT e.list_name, e.key_name, e.value_key FROM fintech.lists e WHERE e.ds = :day AND e.key_name = :key
) l ON {condition}
WHERE t.ds BETWEEN :first AND :last
GROUP BY l.list_name, l.key_name, l.value_key
"""


def list_rows(lists: Iterable[NamedList], reader: Reader, span: Span) -> pa.Table:
    """Rows of `lists` for the days of a span: entries of files that count on a day, and the source's blacklist of that day."""
    rows = []
    for day in span.each_day():
        start = dt.datetime.combine(day, dt.time(), dt.UTC)
        for each in lists:
            for entry in each.entries:
                if entry.counts_between(start, start + DAY):
                    until = entry.counts_until
                    rows.append(
                        {
                            "list_name": each.name,
                            "kind": each.kind,
                            "key_name": entry.key,
                            "value": entry.value,
                            "value_key": entry.value_key,
                            "reason": entry.reason,
                            "owner": entry.owner,
                            "starts_at": entry.starts_at.replace(tzinfo=None),
                            "ends_at": until.replace(tzinfo=None) if until else None,
                            PARTITION: day.isoformat(),
                        }
                    )
    return pa.Table.from_pylist([*rows, *_of_the_source(reader, span)], LISTS.arrow_schema)


def _of_the_source(reader: Reader, span: Span) -> Iterable[dict[str, object]]:
    if API_TABLES["blacklist"].table.name not in reader.tables(DATABASE):
        return
    for row in reader.query(HiveQL(_BLACKLIST, {"first": span.first_ds, "last": span.last_ds})).to_pylist():
        yield {
            "list_name": BLACKLIST,
            "kind": "block",
            "key_name": "merchant",
            "value": row["merchant_id"],
            "value_key": row["merchant_key"],
            "reason": row["listed_because"],
            "owner": "source",
            # the list as known when the day began
            "starts_at": dt.datetime.fromisoformat(row[PARTITION]),
            "ends_at": None,
            PARTITION: row[PARTITION],
        }


def matches(reader: Reader, day: dt.date, keys: Iterable[str]) -> Mapping[Named, tuple[int, dt.datetime]]:
    """Transactions of the last 90 days that the entries of a day name, with the time of the last one.

    Args:
        keys: only entries of these keys.
    """
    if not {LISTS.name, TRANSACTIONS.table.name} <= {*reader.tables(DATABASE)}:
        return {}
    found = {}
    first = (day - (MATCH_DAYS - 1) * DAY).isoformat()
    for key, condition in KEYS.items():
        if key in keys:
            params = {"day": day.isoformat(), "key": key, "first": first, "last": day.isoformat()}
            for row in reader.query(HiveQL(_MATCHES.format(condition=condition), params)).to_pylist():
                named = (row["list_name"], row["key_name"], row["value_key"])
                found[named] = (row["transactions"], row["last_time"].replace(tzinfo=dt.UTC))
    return found
