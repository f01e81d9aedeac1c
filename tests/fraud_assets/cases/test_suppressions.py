"""Suppressions: they hide nothing graver, count what they hid, end, and give back what they hid when they are lifted."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from fraud_assets.cases.model import SuppressionKind, Synced
from fraud_assets.cases.store import CaseStore
from fraud_assets.errors import CaseError, CaseNotFound
from tests.fraud_assets.cases.alerts import alert

DAY = dt.timedelta(days=1)


def suppress(store: CaseStore, now: dt.datetime, kind: str = "customer", value: str = "c1", **more: Any) -> int:
    given = {"until": now + 7 * DAY, "by": "ann", "why": "travels", "now": now, **more}
    return store.suppress(SuppressionKind(kind), value, **given).number


def test_only_what_is_no_graver_is_hidden_and_counted(store: CaseStore, now: dt.datetime) -> None:
    number = suppress(store, now)
    alerts = [
        alert(1),
        alert(2, score=0.899999, severity="low"),
        alert(3, score=0.9),
        alert(4, severity="high"),
        alert(5, "c2"),
    ]
    assert store.sync(alerts, now) == Synced(opened=2, raised=1, hidden=2)
    assert store.sync(alerts, now) == Synced()
    assert [each.hidden for each in store.suppressions()] == [2]
    assert store.hidden(number) == alerts[:2]
    assert {a.transaction_id for case in store.queue() for a in store.alerts(case.case_id)} == {"t3", "t4", "t5"}


def test_a_hidden_alert_that_becomes_graver_opens_a_case(store: CaseStore, now: dt.datetime) -> None:
    suppress(store, now)
    store.sync([alert(1)], now)
    assert store.sync([alert(1, severity="critical")], now) == Synced(opened=1)
    assert store.case_of_transaction("t1").severity == "critical"


def test_a_rule_hides_an_alert_if_no_other_rule_hit(store: CaseStore, now: dt.datetime) -> None:
    suppress(store, now, "rule", "high_value")
    both = alert(2, rules=("high_value", "velocity"), reasons=("a lot", "fast"), rule_versions=("1", "2"))
    assert store.sync([alert(1), both], now) == Synced(opened=1, hidden=1)
    suppress(store, now, "merchant", "m7")
    assert store.sync([alert(3, merchant_id="m7", rules=("velocity",)), alert(4, merchant_id="m8", rules=())], now).hidden == 1


def test_it_ends_and_hides_nothing_that_has_a_case(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1)], now)
    number = suppress(store, now)
    assert store.sync([alert(1, score=0.6)], now) == Synced(raised=1)
    assert store.sync([alert(2)], now + 7 * DAY - dt.timedelta(microseconds=1)) == Synced(hidden=1)
    assert store.sync([alert(3)], now + 7 * DAY) == Synced(merged=1)
    assert store.suppressions(now + 7 * DAY) == [] and store.suppressions(now)[0].number == number


def test_lifting_gives_back_what_was_hidden(store: CaseStore, now: dt.datetime) -> None:
    first, second = suppress(store, now), suppress(store, now, "merchant", "m1", severity="low")
    store.sync([alert(1), alert(2, "c2", severity="low"), alert(3, severity="low")], now)
    assert store.lift(first, "bob", now) == Synced(opened=1, hidden=1), "the third is hidden by the second now"
    assert [(each.number, each.hidden, each.lifted_by) for each in store.suppressions()] == [
        (second, 2, None),
        (first, 1, "bob"),
    ]
    assert store.case_of_transaction("t1").status == "open"
    assert store.lift(second, "bob", now) == Synced(opened=1, merged=1)
    with pytest.raises(CaseError, match="bob"):
        store.lift(first, "ann", now)
    with pytest.raises(CaseNotFound):
        store.lift(99, "ann", now)


@pytest.mark.parametrize(
    "wrong",
    [
        {"until": dt.datetime(2026, 3, 2, 10, tzinfo=dt.UTC)},
        {"until": dt.datetime(2028, 1, 1, tzinfo=dt.UTC)},
        {"why": " "},
        {"severity": "huge"},
        {"below_score": 0},
        {"value": ""},
    ],
)
def test_without_an_end_a_reason_and_bounds_there_is_none(store: CaseStore, now: dt.datetime, wrong: dict[str, Any]) -> None:
    with pytest.raises(CaseError):
        suppress(store, now, **wrong)
    assert store.suppressions() == []
