"""Cases in SQLite: what alerts do to them, decisions, versions, history, the queue."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
import sqlalchemy as sa

from fraud_assets.cases.database import writing
from fraud_assets.cases.model import Decision, EventKind, QueueFilter, ReasonCode, Status, Synced
from fraud_assets.cases.store import CaseStore
from fraud_assets.errors import CaseChanged, CaseError, CaseNotFound
from tests.fraud_assets.cases.alerts import alert

HOUR = dt.timedelta(hours=1)


def kinds(store: CaseStore, case_id: str) -> list[EventKind]:
    return [event.kind for event in store.history(case_id)]


def decide(store: CaseStore, now: dt.datetime, case_id: str = "1", decision: Decision = Decision.FRAUD) -> None:
    reason = {Decision.FRAUD: ReasonCode.STOLEN_CARD, Decision.HONEST: ReasonCode.CUSTOMER_CONFIRMS}[decision]
    store.decide(case_id, decision, reason, None, "ann", store.case(case_id).version, now)


def test_a_customer_has_one_case_and_the_same_alerts_change_nothing(store: CaseStore, now: dt.datetime) -> None:
    alerts = [alert(1), alert(2, amount=Decimal("0.20")), alert(3, currency="USD"), alert(4, "c2", score=0.9, severity="high")]
    assert store.sync(alerts, now) == Synced(opened=2, merged=2)
    case = store.cases_of_customer("c1")[0]
    assert (case.alert_count, case.amounts) == (3, {"EUR": Decimal("100.30"), "USD": Decimal("100.10")})
    assert [each.customer_id for each in store.queue()] == ["c2", "c1"]
    before = (store.queue(), store.history("1"), store.history("2"))
    assert store.sync(alerts, now + HOUR) == Synced()
    assert (store.queue(), store.history("1"), store.history("2")) == before
    assert [each.transaction_id for each in store.alerts(case.case_id)] == ["t1", "t2", "t3"]
    assert store.alerts(case.case_id)[0] == alerts[0]


def test_a_graver_alert_raises_and_wakes_and_another_does_not(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1)], now)
    store.snooze("1", now + 24 * HOUR, "ann", 1, now)
    assert store.sync([alert(2, score=0.4)], now) == Synced(merged=1)
    assert store.case("1").status is Status.SNOOZED
    assert store.sync([alert(3, severity="critical", score=0.4)], now) == Synced(raised=1, reopened=1)
    case = store.case("1")
    assert (case.status, case.severity, case.score, case.snoozed_until) == (Status.OPEN, "critical", 0.5, None)
    assert kinds(store, "1") == ["opened", "snoozed", "merged", "raised", "woken"]


def test_an_alert_seen_again_as_graver_raises_its_case_once(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1)], now)
    graver = alert(1, score=0.8, rules=("high_value", "velocity"), reasons=("a lot", "fast"))
    assert store.sync([graver], now) == Synced(raised=1)
    assert store.sync([graver], now) == store.sync([alert(1)], now) == Synced()
    case = store.case("1")
    assert (case.score, case.rules, case.headline, case.alert_count) == (0.8, ("high_value", "velocity"), "a lot", 1)


def test_a_snooze_ends_by_itself(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1)], now)
    store.snooze("1", now + HOUR, "ann", 1, now)
    store.sync([], now + HOUR / 2)
    assert store.case("1").status is Status.SNOOZED
    store.sync([], now + HOUR)
    assert store.case("1").status is Status.OPEN


def test_a_decision_covers_all_alerts_but_exceptions(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1), alert(2), alert(3)], now)
    version = store.case("1").version
    case = store.decide(
        "1", Decision.FRAUD, ReasonCode.STOLEN_CARD, " card gone ", "ann", version, now, {"t2": Decision.HONEST}
    )
    assert (case.status, case.decision, case.note, case.decided_by, case.decided_at) == (
        Status.DECIDED, Decision.FRAUD, "card gone", "ann", now,
    )  # fmt: skip
    rows = store.decisions_since()
    assert [(row.transaction_id, row.decision) for row in rows] == [("t1", "fraud"), ("t2", "honest"), ("t3", "fraud")]
    assert len({row.decision_id for row in rows}) == 3
    assert store.decisions_since(rows[1].number) == rows[2:]
    assert store.decisions_between(now, now + HOUR) == rows and store.decisions_between(now - HOUR, now) == []


def test_a_decision_against_an_earlier_version_says_who_was_first(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1)], now)
    store.decide("1", Decision.HONEST, ReasonCode.CUSTOMER_CONFIRMS, None, "bob", 1, now)
    with pytest.raises(CaseChanged) as error:
        store.decide("1", Decision.FRAUD, ReasonCode.STOLEN_CARD, None, "ann", 1, now)
    assert all(part in str(error.value) for part in ("bob", "honest", "2026-03-02T10:00:00Z")), error.value
    assert [row.decision for row in store.decisions_since()] == ["honest"]
    with pytest.raises(CaseError, match=r"decided as honest by bob"):
        store.decide("1", Decision.FRAUD, ReasonCode.STOLEN_CARD, None, "ann", 2, now)


def test_an_alert_that_nobody_saw_is_not_decided(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1)], now)
    store.sync([alert(2)], now)
    with pytest.raises(CaseChanged, match="t2"):
        store.decide("1", Decision.HONEST, ReasonCode.CUSTOMER_CONFIRMS, None, "ann", 1, now)


def test_a_decided_case_stays_and_a_new_alert_opens_another(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1)], now)
    decide(store, now)
    assert store.sync([alert(1), alert(2)], now + HOUR) == Synced(opened=1)
    first, second = store.case("1"), store.case("2")
    assert (first.status, first.alert_count, second.status, second.former) == (Status.DECIDED, 1, Status.OPEN, "1")
    # graver now, but decided: the history says so
    assert store.sync([alert(1, score=0.9)], now + HOUR) == Synced(raised=1)
    assert store.case("1") == first
    assert kinds(store, "1")[-1] is EventKind.RAISED


def test_undo_takes_back_a_decision_and_then_a_snooze(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1)], now)
    store.snooze("1", now + 24 * HOUR, "ann", 1, now)
    decide(store, now)
    case = store.undo("1", "bob", 3, now)
    assert (case.status, case.snoozed_until, case.decision) == (Status.SNOOZED, now + 24 * HOUR, None)
    assert [(row.decision, row.decided_by) for row in store.decisions_since()] == [("fraud", "ann"), ("undecided", "bob")]
    assert store.undo("1", "bob", 4, now).status is Status.OPEN
    with pytest.raises(CaseError, match="no decision"):
        store.undo("1", "bob", 5, now)
    assert kinds(store, "1") == ["opened", "snoozed", "decided", "undone", "undone"]


def test_a_second_waiting_case_is_never_made(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1)], now)
    decide(store, now)
    store.sync([alert(2)], now)
    for change in (
        lambda: store.undo("1", "ann", 2, now),
        lambda: store.reopen("1", "again", "ann", 2, now),
    ):
        with pytest.raises(CaseError, match="case 2"):
            change()
    decide(store, now, "2", Decision.HONEST)
    case = store.reopen("1", "new facts", "ann", 2, now)
    assert (case.status, case.decision) == (Status.OPEN, None)
    assert store.decisions_since()[-1].decision is Decision.UNDECIDED
    assert store.history("1")[-1].detail == {"why": "new facts"}


def test_reasons_notes_and_times_that_are_wrong_are_refused(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1)], now)
    with pytest.raises(CaseError, match="customer_confirms, usual"):
        store.decide("1", Decision.HONEST, ReasonCode.STOLEN_CARD, None, "ann", 1, now)
    with pytest.raises(CaseError, match="4001"):
        store.comment("1", "x" * 4001, "ann", 1, now)
    for until in (now, now + 367 * 24 * HOUR):
        with pytest.raises(CaseError, match="366 days"):
            store.snooze("1", until, "ann", 1, now)
    with pytest.raises(CaseError, match="t9"):
        store.decide("1", Decision.FRAUD, ReasonCode.MULE, None, "ann", 1, now, {"t9": Decision.HONEST})
    for wrong in ("2", "x", "", "-1", "9" * 30, "1 OR 1=1"):
        with pytest.raises(CaseNotFound):
            store.case(wrong)
    assert store.case("1").version == 1 and len(store.history("1")) == 1


def test_history_and_decisions_cannot_be_changed(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1)], now)
    decide(store, now)
    for table in ("events", "decisions"):
        for change in (f"UPDATE {table} SET number = number + 100", f"DELETE FROM {table}"):
            with pytest.raises(sa.exc.DBAPIError, match="append-only"), writing(store.engine) as connection:
                connection.execute(sa.text(change))


def test_filters_counts_and_the_next_case(store: CaseStore, now: dt.datetime) -> None:
    store.sync(
        [alert(n, f"c{n}", score=round(0.1 * n, 1), rules=("velocity" if n % 2 else "high_value",)) for n in range(1, 7)], now
    )
    assert [case.score for case in store.queue(limit=2, offset=1)] == [0.5, 0.4]
    store.assign("1", "ann", "lead", 1, now)
    decide(store, now, "6")
    assert store.counts() == {Status.OPEN: {"medium": 5}, Status.SNOOZED: {}, Status.DECIDED: {"medium": 1}}
    for wanted, found in [
        (QueueFilter(status=Status.OPEN, rule="velocity"), ["5", "3", "1"]),
        (QueueFilter(rule="velo"), []),
        (QueueFilter(assigned_to="ann"), ["1"]),
        (QueueFilter(min_score=0.5), ["6", "5"]),
        (QueueFilter(customer_id="c4"), ["4"]),
        (QueueFilter(text="T3"), ["3"]),
        (QueueFilter(text="%"), []),
        (QueueFilter(text="2"), ["2"]),
        (QueueFilter(severity="high"), []),
    ]:
        assert [case.case_id for case in store.queue(wanted)] == found, wanted
        assert store.count(wanted) == len(found)
    waiting = QueueFilter(status=Status.OPEN)
    assert [getattr(store.next_case(str(n), waiting), "case_id", None) for n in (6, 5, 2, 1)] == ["5", "4", "1", "5"]
    assert store.next_case("4", QueueFilter(customer_id="c4")) is None


def test_a_day_counts_what_was_not_undone(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(n, f"c{n}") for n in range(1, 6)], now - 4 * 24 * HOUR)
    store.sync([alert(6, "c6")], now)
    decide(store, now, "1")
    decide(store, now, "2", Decision.HONEST)
    decide(store, now, "3", Decision.HONEST)
    store.undo("3", "bob", 2, now)
    decide(store, now + 24 * HOUR, "4")
    summary = store.day(now.date())
    assert (summary.opened, summary.decided, summary.precision) == (1, {Decision.FRAUD: 1, Decision.HONEST: 1}, 0.5)
    assert summary.decided_by == {"ann": {Decision.FRAUD: 1, Decision.HONEST: 1}}
    assert (summary.backlog, summary.backlog_by_age["3 to 7 days"], summary.backlog_by_age["under a day"]) == (4, 3, 1)
    assert summary.oldest == dt.timedelta(days=4, hours=14)
