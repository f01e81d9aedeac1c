"""Labels: one row per transaction on the day it became known, with what the transaction says of itself."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from fraud_assets.detection.rule_book import RuleBook, read_rule_book
from fraud_assets.engine.engine import Engine
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, compute, fill, transaction

Row = dict[str, Any]
DAYS = Span.days(DAY - dt.timedelta(days=100), DAY)
HOUR = dt.timedelta(hours=1)
MIDNIGHT = dt.datetime.combine(DAY, dt.time())
BEFORE = MIDNIGHT - dt.timedelta(microseconds=1)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(RuleBook({}, read_rule_book().features))


def report(report_id: str, transaction_id: str | None, reported_at: dt.datetime, **more: Any) -> Row:
    return {"report_id": report_id, "transaction_id": transaction_id, "reported_at": reported_at, "known_at": reported_at} | {
        "customer_id": "c of the report",
        "merchant_id": " M of the report ",
        **more,
    }


def labels(engine: Engine, lake: EmbeddedWarehouse, reports: list[Row], transactions: list[Row]) -> list[Row]:
    fill(lake, "transactions", transactions, DAYS)
    fill(lake, "fraud_reports", reports, DAYS)
    at_once = compute(engine, lake, "labels", DAYS)
    days = [DAYS.first_day, *Span.days(DAY - dt.timedelta(days=3), DAY).each_day()]
    day_by_day = [row for day in days for row in compute(engine, lake, "labels", Span.days(day, day))]
    assert sorted(map(str, at_once)) == sorted(map(str, day_by_day))
    assert [*at_once[0]][:4] == ["transaction_id", "is_fraud", "known_at", "origin"]
    assert all(row["is_fraud"] is True and row["origin"] == "fraud report" for row in at_once)
    return sorted(at_once, key=lambda row: (row["transaction_id"], row["known_at"]))


def test_a_label_stands_in_the_day_it_became_known(engine: Engine, lake: EmbeddedWarehouse) -> None:
    reports = [
        report("r1", "first instant", MIDNIGHT),
        report("r2", "last instant before", BEFORE),
        report("r3", "served late", MIDNIGHT - 50 * 24 * HOUR, known_at=MIDNIGHT + HOUR),
        # days that earlier releases loaded say only when it was reported
        report("r4", "earlier release", BEFORE, known_at=None),
        report("r5", None, MIDNIGHT),
    ]
    found = labels(engine, lake, reports, [])
    yesterday = (DAY - dt.timedelta(days=1)).isoformat()
    assert [(row["transaction_id"], row["known_at"], row["ds"]) for row in found] == [
        ("earlier release", BEFORE, yesterday),
        ("first instant", MIDNIGHT, DAY.isoformat()),
        ("last instant before", BEFORE, yesterday),
        ("served late", MIDNIGHT + HOUR, DAY.isoformat()),
    ]


def test_reports_of_one_transaction_give_one_label_a_day(engine: Engine, lake: EmbeddedWarehouse) -> None:
    reports = [
        report("r1", "t", MIDNIGHT + 2 * HOUR),
        report("r2", "t", MIDNIGHT + HOUR, customer_id="of the earliest"),
        report("r3", "t", MIDNIGHT - HOUR),
    ]
    found = labels(engine, lake, reports, [])
    assert [(row["known_at"], row["customer_id"]) for row in found] == [
        (MIDNIGHT - HOUR, "c of the report"),
        (MIDNIGHT + HOUR, "of the earliest"),
    ]


def test_the_transaction_says_who_where_and_when(engine: Engine, lake: EmbeddedWarehouse) -> None:
    def at(days: int) -> dt.datetime:
        return MIDNIGHT - days * 24 * HOUR

    transactions = [
        transaction("recent", "c1", "7.50", event_time=at(3), merchant_id="M-1", merchant_key="m-1"),
        transaction("no key", "c2", event_time=at(90), merchant_id=" M-2 "),
        transaction("too old", "c3", event_time=at(91), merchant_key="m-3"),
        # a clock that is ahead: this row is not known when the label is
        transaction("later", "c4", event_time=MIDNIGHT, merchant_key="m-4"),
    ]
    names = ("recent", "no key", "too old", "unknown")
    reports = [report(name, name, MIDNIGHT + HOUR) for name in names] + [report("later", "later", BEFORE)]
    found = labels(engine, lake, reports, transactions)
    assert {row["transaction_id"]: (row["event_time"], row["customer_id"], row["merchant_key"]) for row in found} == {
        "recent": (at(3), "c1", "m-1"),
        "no key": (at(90), "c2", "m-2"),
        "too old": (None, "c of the report", "m of the report"),
        "unknown": (None, "c of the report", "m of the report"),
        "later": (None, "c of the report", "m of the report"),
    }
    assert {row["transaction_id"]: (row["amount"], row["currency"]) for row in found if row["event_time"]} == {
        "recent": (Decimal("7.50"), "EUR"),
        "no key": (Decimal(10), "EUR"),
    }
    assert all(row["amount"] is None and row["currency"] is None for row in found if not row["event_time"])


# --- decisions ----------------------------------------------------------------------------------------------------------

TEN_DAYS = Span.days(DAY - dt.timedelta(days=9), DAY)


def decision(number: int, transaction_id: str, found: str, days_ago: int = 0, hour: int = 12) -> Row:
    at = MIDNIGHT - days_ago * 24 * HOUR + hour * HOUR
    return {
        "decision_id": f"d{number}",
        "transaction_id": transaction_id,
        "customer_id": "c of the case",
        "decision": found,
    } | {
        "decided_at": at,
        "number": number,
        "ds": at.date().isoformat(),
    }


def decided(engine: Engine, lake: EmbeddedWarehouse, decisions: list[Row], transactions: list[Row] | None = None) -> list[Row]:
    fill(lake, "transactions", transactions or [], TEN_DAYS)
    fill(lake, "decisions", decisions, TEN_DAYS)
    at_once = compute(engine, lake, "labels", TEN_DAYS)
    day_by_day = [row for day in TEN_DAYS.each_day() for row in compute(engine, lake, "labels", Span.days(day, day))]
    assert sorted(map(str, at_once)) == sorted(map(str, day_by_day))
    return sorted(at_once, key=lambda row: (row["transaction_id"], row["ds"]))


def test_the_last_decision_of_a_day_is_its_label(engine: Engine, lake: EmbeddedWarehouse) -> None:
    decisions = [
        decision(1, "t1", "fraud", hour=9),
        decision(2, "t1", "honest", hour=11),
        # at one moment, the later number
        decision(3, "t2", "honest"),
        decision(4, "t2", "fraud"),
    ]
    transactions = [transaction("t2", "c2", "7.50", merchant_id=" M ", event_time=BEFORE)]
    first, second = decided(engine, lake, decisions, transactions)
    assert (first["is_fraud"], first["known_at"], first["origin"]) == (False, MIDNIGHT + 11 * HOUR, "decision")
    assert (first["customer_id"], first["merchant_key"], first["event_time"]) == ("c of the case", None, None)
    assert (second["is_fraud"], second["customer_id"], second["merchant_key"]) == (True, "c2", "m")
    assert (second["amount"], second["event_time"]) == (Decimal("7.50"), BEFORE)


def test_a_decision_that_is_taken_back_makes_its_label_void(engine: Engine, lake: EmbeddedWarehouse) -> None:
    decisions = [
        decision(1, "later", "fraud", 5),
        decision(2, "later", "undecided", 3),
        decision(3, "later", "undecided", 2),
        # within a day, no label was there
        decision(4, "at once", "fraud", 3, hour=9),
        decision(5, "at once", "undecided", 3, hour=10),
        decision(6, "never", "undecided", 1),
    ]
    found = decided(engine, lake, decisions)
    assert [(row["transaction_id"], row["is_fraud"], row["ds"]) for row in found] == [
        ("later", True, (DAY - 5 * 24 * HOUR).isoformat()),
        ("later", None, (DAY - 3 * 24 * HOUR).isoformat()),
    ]
    # what stood when each day began
    before = compute(engine, lake, "decided_transactions", TEN_DAYS)
    assert {row["ds"] for row in before} == {(DAY - n * 24 * HOUR).isoformat() for n in (4, 3)}
    assert {(row["transaction_id"], row["is_fraud"], row["is_reported"]) for row in before} == {("later", True, False)}
