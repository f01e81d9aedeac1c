"""Alerts of the lake become cases; days that did not change are not read."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from fraud_assets.cases.model import Synced
from fraud_assets.cases.store import CaseStore
from fraud_assets.cases.sync import begin_at, sync_alerts
from fraud_assets.errors import CaseError
from fraud_assets.schemas.detection import FRAUD_ALERTS
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, NOON, fill

A_DAY = dt.timedelta(days=1)


def row(name: str, day: dt.date = DAY, **more: Any) -> dict[str, Any]:
    return {
        "transaction_id": name,
        "customer_id": "c1",
        "event_time": dt.datetime.combine(day, NOON.time()),
        "amount": Decimal("12.30"),
        "currency": "EUR",
        "merchant_id": "m1",
        "score": 0.5,
        "severity": "high",
        "rules": ["velocity", "high_value"],
        "reasons": ["fast", "a lot"],
        "rule_versions": ["1", "2"],
        **more,
    }


def test_a_warehouse_without_alerts_opens_nothing(store: CaseStore, lake: EmbeddedWarehouse, now: dt.datetime) -> None:
    assert sync_alerts(store, lake, now) == Synced()


def test_alerts_of_all_days_are_taken_once(store: CaseStore, lake: EmbeddedWarehouse, now: dt.datetime) -> None:
    both = Span.days(DAY, DAY + A_DAY)
    rows = [row("t1"), row("t2", customer_id="c2"), row("t3", DAY + A_DAY, currency=None)]
    fill(lake, FRAUD_ALERTS, rows, both)
    assert sync_alerts(store, lake, now) == Synced(opened=2, merged=1)
    case = store.case_of_transaction("t3")
    assert (case.customer_id, case.amounts) == ("c1", {"EUR": Decimal("12.30"), "": Decimal("12.30")})
    first = store.alerts(case.case_id)[0]
    assert (first.event_time, first.rules, first.reasons, first.rule_versions) == (
        NOON.replace(tzinfo=dt.UTC), ("velocity", "high_value"), ("fast", "a lot"), ("1", "2"),
    )  # fmt: skip
    assert sync_alerts(store, lake, now) == sync_alerts(store, lake, now, everything=True) == Synced()


def test_only_a_day_that_changed_is_read_again(store: CaseStore, lake: EmbeddedWarehouse, now: dt.datetime) -> None:
    fill(lake, FRAUD_ALERTS, [row("t1")])
    fill(lake, FRAUD_ALERTS, [row("t2", DAY + A_DAY, customer_id="c2")], Span.days(DAY + A_DAY, DAY + A_DAY))
    sync_alerts(store, lake, now)
    unread = store.marks("alerts ")
    # graver by score, by severity, by a rule; another transaction in its place
    for changed in ({"score": 0.6}, {"severity": "critical", "score": 0.6}, {"transaction_id": "t0"}):
        fill(lake, FRAUD_ALERTS, [row("t1", **changed)])
        assert sync_alerts(store, lake, now) != Synced(), changed
        marks = store.marks("alerts ")
        assert {name for name in marks if marks[name] != unread[name]} == {f"alerts {DAY}"}
        unread = marks


def test_days_before_the_first_are_left_out_from_then_on(store: CaseStore, lake: EmbeddedWarehouse, now: dt.datetime) -> None:
    fill(lake, FRAUD_ALERTS, [row("t1")])
    fill(lake, FRAUD_ALERTS, [row("t2", DAY + A_DAY, customer_id="c2")], Span.days(DAY + A_DAY, DAY + A_DAY))
    begin_at(store, DAY + A_DAY)
    assert sync_alerts(store, lake, now) == Synced(opened=1)
    assert sync_alerts(store, lake, now, everything=True) == Synced()
    begin_at(store, DAY)
    assert sync_alerts(store, lake, now) == Synced(opened=1)


def test_a_sync_that_failed_is_completed_by_the_next(store: CaseStore, lake: EmbeddedWarehouse, now: dt.datetime) -> None:
    fill(lake, FRAUD_ALERTS, [row("t1"), row("t2", customer_id=None)])
    with pytest.raises(CaseError, match="t2 has no customer_id"):
        sync_alerts(store, lake, now)
    fill(lake, FRAUD_ALERTS, [row("t1"), row("t2")])
    assert sync_alerts(store, lake, now) == Synced(opened=1, merged=1)
