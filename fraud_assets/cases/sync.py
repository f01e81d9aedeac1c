"""Alerts of the lake for the store: only days that changed since the last sync are read."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlglot import exp

from fraud_assets.cases.model import Alert, Synced
from fraud_assets.cases.store import CaseStore
from fraud_assets.detection.rule import SEVERITIES
from fraud_assets.errors import CaseError
from fraud_assets.explain.tolerant_reader import missing_columns
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.windows import hiveql, table_node
from hive_io import PARTITION, HiveQL, Reader
from hive_io.dialect import literal

_AT_ONCE = 50_000
"""Alerts that are read by one query, at most, in whole days; always at least one day."""

_MARK = "alerts "
"""Prefix of the marks that hold the digest of each day that was taken."""

_FIRST_DAY = "first day"
"""Name of the mark with the first day whose alerts become cases."""


def begin_at(store: CaseStore, day: dt.date) -> None:
    """Let this and later syncs leave out the alerts of the days before a day."""
    store.set_marks({_FIRST_DAY: day.isoformat()})


def sync_alerts(store: CaseStore, lake: Reader, now: dt.datetime, *, everything: bool = False) -> Synced:
    """Take the alerts of all days that changed since the last sync, in order of time.

    Args:
        everything: read the days that did not change, too.
    """
    if FRAUD_ALERTS.name not in lake.tables(DATABASE):
        return store.sync([], now)
    known = {} if everything else store.marks(_MARK)
    digests = {row[PARTITION]: (row["alerts"], _digest(row)) for row in lake.query(digest_query()).to_pylist()}
    first = store.marks(_FIRST_DAY).get(_FIRST_DAY, "")
    changed = {
        day: count for day, (count, digest) in sorted(digests.items()) if day >= first and known.get(_MARK + day) != digest
    }
    done = Synced()
    for days in _portions(changed):
        done += store.sync(read_alerts(lake, days), now)
        store.set_marks({_MARK + day: digests[day][1] for day in days})
    return done if changed else store.sync([], now)


def read_alerts(lake: Reader, days: Sequence[str]) -> list[Alert]:
    """The alerts of days, given as `ds` in order."""
    names = [column.name for column in FRAUD_ALERTS.columns]
    missing = missing_columns(lake, FRAUD_ALERTS)
    stored = [name for name in names if name not in {null.alias for null in missing}]
    rows = exp.select(*map(exp.column, stored), *missing).from_(table_node(FRAUD_ALERTS))
    query = hiveql(rows.where(exp.column(PARTITION).isin(*map(literal, days))))
    schema = FRAUD_ALERTS.arrow_schema.empty_table().select(names).schema
    return [alert_of_row(row) for row in lake.query(query).select(names).cast(schema).to_pylist()]


def alert_of_row(row: Mapping[str, Any]) -> Alert:
    """An alert from a row of `fraud_alerts`.

    Raises:
        CaseError: it has no customer; every loaded transaction has one.
    """
    if row["customer_id"] is None:
        raise CaseError(f"fraud_alerts: the alert of transaction {row['transaction_id']} has no customer_id, so it has no case")
    return Alert(
        transaction_id=row["transaction_id"],
        customer_id=row["customer_id"],
        event_time=row["event_time"].replace(tzinfo=dt.UTC),
        amount=row["amount"],
        currency=row["currency"],
        merchant_id=row["merchant_id"],
        score=row["score"],
        severity=row["severity"],
        rules=tuple(row["rules"] or ()),
        reasons=tuple(row["reasons"] or ()),
        rule_versions=tuple(row["rule_versions"] or ()),
        card_version=row["card_version"],
    )


def digest_query() -> HiveQL:
    """For each day, sums that a change of an alert's score, severity, rules or transaction changes."""
    score = exp.cast(exp.column("score"), "DECIMAL(9,6)")
    moment = exp.cast(exp.func("UNIX_MICROS", exp.column("event_time")), "DECIMAL(28,0)")
    grave = exp.Case()
    for place, severity in enumerate(SEVERITIES):
        grave = grave.when(exp.column("severity").eq(literal(severity)), literal(4**place))
    sums = {
        "scores": score,
        "moments": moment,
        "severities": grave.else_(literal(0)),
        "hits": exp.func("SIZE", exp.column("rules")),
    }
    columns = [exp.func("SUM", value).as_(name) for name, value in sums.items()]
    ends = [exp.func(name, exp.column("transaction_id")).as_(name.lower() + "_id") for name in ("MIN", "MAX")]
    counted = exp.select(PARTITION, exp.Count(this=exp.Star()).as_("alerts"), *columns, *ends)
    return hiveql(counted.from_(table_node(FRAUD_ALERTS)).group_by(PARTITION))


def _digest(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(sorted((name, str(value)) for name, value in row.items())).encode()).hexdigest()[:16]


def _portions(counts: Mapping[str, int]) -> Iterator[list[str]]:
    """Days in order, as many together as have at most `_AT_ONCE` alerts."""
    together: list[str] = []
    total = 0
    for day, count in counts.items():
        if together and total + count > _AT_ONCE:
            yield together
            together, total = [], 0
        together.append(day)
        total += count
    if together:
        yield together
