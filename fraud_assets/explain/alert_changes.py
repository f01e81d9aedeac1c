"""Why the alerts of a day are other ones than at an earlier time: each alert gained, lost or changed, with its cause."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from fraud_assets.detection.rule import SCORECARD, Rule
from fraud_assets.engine.engine import Engine
from fraud_assets.explain.list_changes import BLACKLIST_TABLE, entries_of_day, read_by, what_changed
from fraud_assets.explain.tolerant_reader import TolerantReader, in_days, rows_where
from fraud_assets.schemas.detection import ALERT_THRESHOLDS, FRAUD_ALERTS, TRANSACTION_SCORES
from fraud_assets.schemas.lists import LISTS
from fraud_assets.schemas.sources import TRANSACTIONS
from hive_io import PARTITION, Warehouse

Row = Mapping[str, Any]

_NOT_COMPARED = {"ingested_at", PARTITION}
"""Columns of a transaction whose change is no correction."""


class Change(StrEnum):
    """What happened to an alert between the two times."""

    GAINED = "gained"
    LOST = "lost"
    CHANGED = "changed"


class Cause(StrEnum):
    """Why an alert changed, the first that applies."""

    ARRIVED = "transaction arrived later"
    REMOVED = "transaction removed"
    CORRECTED = "transaction corrected"
    STATUS = "rule became active, or is no longer"
    RULE = "rule version"
    CARD = "scorecard"
    FEATURE = "feature"
    THRESHOLD = "score that an alert needs"
    CUSTOMER = "other transactions of the customer"
    LIST = "entry of a list"
    REFERENCE = "profile or report"
    UNKNOWN = "not found"


@dataclass(frozen=True)
class AlertChange:
    """An alert that was gained, lost or changed.

    Attributes:
        rule: the rule whose hit was gained or lost, or `scorecard`; None if only the score changed.
        detail: what differs, in words.
    """

    transaction_id: str
    customer_id: str
    change: Change
    rule: str | None
    cause: Cause
    detail: str


def alert_changes(engine: Engine, warehouse: Warehouse, day: dt.date, as_of: dt.datetime) -> list[AlertChange]:
    """Compare the alerts of a day with those that it had at a time.

    Each hit and score that differs is charged to one cause, in the order of `Cause`: what happened to the transaction itself
    comes before the rules, and these before what they read.

    Raises:
        NoHistory, HistoryGone: the warehouse keeps no history, or none of that time.
    """
    then = _Day(TolerantReader(warehouse.as_of(as_of), engine.tables), engine, day)
    now = _Day(TolerantReader(warehouse, engine.tables), engine, day)
    names = sorted(then.alerts.keys() | now.alerts.keys())
    return [change for name in names for change in _changes_of(name, then, now)]


class _Day:
    """Rows of a day by transaction, at one time."""

    def __init__(self, reader: TolerantReader, engine: Engine, day: dt.date) -> None:
        self._reader = reader
        self._engine = engine
        self._day = day.isoformat()
        self.alerts = self._by_transaction(FRAUD_ALERTS.name)
        self.transactions = self._by_transaction(TRANSACTIONS.table.name)
        self.hits = {rule.name: self._by_transaction(rule.name) for rule in engine.book.evaluated}
        self._of_customers: dict[str, frozenset[str]] = {}

    @cached_property
    def entries(self) -> Mapping[str, list[Row]]:
        """Entries of lists by the transactions that they name; read only if a hit of a rule that reads lists differs."""
        return entries_of_day(self._reader, self._day)

    @cached_property
    def scores(self) -> dict[str, Row]:
        """Scores by transaction; read only if an alert differs by its score."""
        return self._by_transaction(TRANSACTION_SCORES.name)

    @cached_property
    def threshold(self) -> float | None:
        """The score that the budget of alerts needs on the day; None without a budget."""
        return next((float(row["score"]) for row in self.rows(ALERT_THRESHOLDS.name)), None)

    def _by_transaction(self, table: str) -> dict[str, Row]:
        return {row["transaction_id"]: row for row in self.rows(table)}

    def rows(self, table: str, **values: str) -> list[dict[str, Any]]:
        return self._reader.rows(rows_where(table, **{PARTITION: self._day}, **values))

    def exists(self, table: str) -> bool:
        """True if the warehouse had the table."""
        return table in self._reader.existing

    def rule(self, name: str) -> Rule | None:
        """The rule, if it is evaluated."""
        return self._engine.book.in_force(name)

    def versions(self, rule: str) -> set[str]:
        """The versions of a rule with hits on the day."""
        return {row["rule_version"] for row in self.hits.get(rule, {}).values()}

    def of_customer(self, customer: str) -> frozenset[str]:
        """The customer's transactions of the day before and the day, each as text."""
        if customer not in self._of_customers:
            before = (dt.date.fromisoformat(self._day) - dt.timedelta(days=1)).isoformat()
            query = rows_where(TRANSACTIONS.table.name, customer_id=customer).where(in_days(before, self._day))
            rows = self._reader.rows(query)
            self._of_customers[customer] = frozenset(_text(row) for row in rows)
        return self._of_customers[customer]

    def references(self, rule: str, customer: str, merchant: str | None) -> dict[str, frozenset[str]]:
        """Rows about the customer and the merchant in each other table that a rule reads."""
        found = {}
        for table in self._engine.reads(rule) if rule in self._engine.book.rules else ():
            described = self._engine.tables[table]
            keys = {"customer_id": customer, "merchant_id": merchant} if table != TRANSACTIONS.table.name else {}
            chosen = {name: value for name, value in keys.items() if name in described.column_types and value is not None}
            if chosen:
                found[table] = frozenset(_text(row) for row in self.rows(table, **chosen))
        return found


def _changes_of(name: str, then: _Day, now: _Day) -> Iterable[AlertChange]:
    before, after = then.alerts.get(name), now.alerts.get(name)
    alert = after or before
    assert alert is not None
    change = Change.GAINED if before is None else Change.LOST if after is None else Change.CHANGED
    hit_before, hit_after = (set(row["rules"]) if row else set() for row in (before, after))
    for rule in sorted(hit_before ^ hit_after):
        cause, detail = _cause(name, rule, rule in hit_after, alert["customer_id"], then, now)
        yield AlertChange(name, alert["customer_id"], change, rule, cause, detail)
    if before and after and hit_before == hit_after and _scored(before) != _scored(after):
        cause, detail = _of_score(name, before, after, then, now)
        yield AlertChange(name, alert["customer_id"], change, None, cause, detail)


def _cause(name: str, rule: str, gained: bool, customer: str, then: _Day, now: _Day) -> tuple[Cause, str]:
    """Why a rule hits a transaction now and did not then, or the other way round."""
    if found := _of_transaction(name, then, now):
        return found
    if rule == SCORECARD:
        return _of_score(name, then.scores.get(name, {}), now.scores.get(name, {}), then, now)
    was_hit, is_hit = name in then.hits.get(rule, {}), name in now.hits.get(rule, {})
    if was_hit and is_hit:
        return Cause.STATUS, f"{rule} hit it at both times, and {'raises alerts now' if gained else 'raised alerts then'}"
    if rule not in now.hits:
        return Cause.STATUS, f"{rule} is no longer evaluated"
    if not then.exists(rule):
        return Cause.RULE, f"{rule} did not exist"
    versions, others = then.versions(rule), now.versions(rule)
    # without a hit at one of the times, its version is not known
    if versions and others and versions != others:
        return Cause.RULE, f"{rule} was version {', '.join(sorted(versions))}, and is {', '.join(sorted(others))}"
    transaction = now.transactions.get(name) or then.transactions[name]
    key = (rule, customer, transaction["merchant_id"])
    if (evaluated := now.rule(rule)) and evaluated.file.tables() & {LISTS.name, BLACKLIST_TABLE}:
        entries = (read_by(evaluated, day.entries.get(name, ())) for day in (then, now))
        if changed := what_changed(*entries):
            return Cause.LIST, "; ".join(changed)
    before, after = then.references(*key), now.references(*key)
    differing = [table for table in after if before.get(table) != after[table]]
    if differing == [BLACKLIST_TABLE]:
        return Cause.LIST, f"the source's blacklist has {'the' if after[BLACKLIST_TABLE] else 'no longer the'} merchant"
    if differing:
        return Cause.REFERENCE, f"{', '.join(differing)} of the customer or the merchant changed"
    if then.of_customer(customer) != now.of_customer(customer):
        return Cause.CUSTOMER, "transactions of the customer on the day, or the day before, arrived later or changed"
    return Cause.UNKNOWN, f"nothing that {rule} reads of this customer and merchant differs on the day"


def _of_transaction(name: str, then: _Day, now: _Day) -> tuple[Cause, str] | None:
    before, after = then.transactions.get(name), now.transactions.get(name)
    if before is None and after is not None:
        return Cause.ARRIVED, f"it arrived at {after['ingested_at']:%Y-%m-%d %H:%M:%S} UTC"
    if after is None:
        return Cause.REMOVED, "a correction moved it to another day, or a run no longer found it"
    assert before is not None
    if differing := [column for column in after if column not in _NOT_COMPARED and before.get(column) != after[column]]:
        return Cause.CORRECTED, ", ".join(f"{column} {before.get(column)} → {after[column]}" for column in differing)
    return None


def _of_score(name: str, before: Row, after: Row, then: _Day, now: _Day) -> tuple[Cause, str]:
    """Why the score of a transaction is another one."""
    if found := _of_transaction(name, then, now):
        return found
    if before.get("card_version") != after.get("card_version"):
        return Cause.CARD, f"scorecard {before.get('card_version')} → {after.get('card_version')}"
    old, new = (json.loads(day.scores[name]["contributions"]) if name in day.scores else {} for day in (then, now))
    points = [
        f"{key} {old.get(key, 0)} → {new.get(key, 0)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if points:
        return Cause.FEATURE, f"points of {', '.join(points)}"
    if then.threshold != now.threshold:
        return Cause.THRESHOLD, f"{_named(then.threshold)} → {_named(now.threshold)}"
    return Cause.UNKNOWN, "the scores of the day do not say"


def _named(threshold: float | None) -> str:
    return "FRAUD_ALERT_SCORE" if threshold is None else f"{threshold:.6f}"


def _scored(alert: Row) -> Sequence[object]:
    return alert["score"], alert["card_version"]


def _text(row: Row) -> str:
    return repr(sorted((name, value) for name, value in row.items() if name != "ingested_at"))
