"""Repeated anomalies: counted per day, aggregated as of the start of a day, and judged by the rule."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, NOON, SPAN, compute, fill, judge, profile, transaction

D = Decimal
RULE = "repeated_anomalies"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(read_rule_book())


def paid(transaction_id: str, customer_id: str, amount: str = "175.00", seconds: float = 0, **more: Any) -> dict[str, Any]:
    """A payment; 175.00 is 3 deviations above the mean of `profile`."""
    return transaction(transaction_id, customer_id, amount, event_time=NOON + dt.timedelta(seconds=seconds), **more)


def before(customer_id: str, week: int, older: int = 0, currency: str | None = "EUR") -> dict[str, Any]:
    return {"customer_id": customer_id, "currency": currency, "anomalies_7": week, "anomalies": week + older}


def days_before(number: int) -> str:
    return (DAY - dt.timedelta(days=number)).isoformat()


# --- the rule -----------------------------------------------------------------------------------------------------------


def test_an_unusual_amount_after_several_in_7_days_and_few_before(engine: Engine, lake: EmbeddedWarehouse) -> None:
    customers = ("twice", "once", "never", "often", "as often", "same second", "usual", "abroad")
    result = judge(
        engine,
        lake,
        RULE,
        customer_profiles=[*map(profile, customers), profile("abroad", currency="USD"), profile("unnamed", currency=None)],
        customer_anomalies=[
            before("twice", 2),
            before("once", 1),
            before("often", 2, older=3),
            before("as often", 2, older=2),
            before("same second", 1),
            before("usual", 2),
            before("abroad", 2, currency="USD"),
            before("unnamed", 2, currency=None),
        ],
        transactions=[
            paid("third of the week", "twice"),
            paid("a little less", "twice", "174.99", 1),
            paid("second of the week", "once"),
            paid("with one earlier on the day", "once", "200.00", 1),
            *(paid(f"never {number}", "never", seconds=number) for number in range(3)),
            paid("one of many", "often"),
            paid("half of them", "as often"),
            # a payment in the same second is not an earlier one
            paid("at once", "same second"),
            paid("at once, too", "same second"),
            paid("usual", "usual", "100.00"),
            paid("in euro", "abroad"),
            paid("in dollars", "abroad", currency="USD"),
            paid("unnamed", "unnamed", currency=None),
        ],
    )
    assert result.hits.keys() == {
        "third of the week", "with one earlier on the day", "never 2", "half of them", "in dollars", "unnamed",
    }  # fmt: skip
    assert result.hits["with one earlier on the day"]["reason"] == (
        "200.00 EUR is 4.00 standard deviations above this customer's mean of 100.00, after 2 unusual payments in 7 days and "
        "0 in the weeks before them"
    )
    assert (result.hits["never 2"]["weight"], result.hits["never 2"]["severity"]) == (0.8, "high")
    assert result.evidence("half of them") == {
        "amount": D("175.00"), "currency": "EUR", "deviations_above": D("3.00"), "mean": D("100.00"),
        "anomalies": 2, "older": 2,
    }  # fmt: skip
    assert result.evidence("unnamed")["currency"] == "(currency not named)"
    assert result.transactions == result.judged == 15


def test_transactions_that_the_rule_cannot_judge(engine: Engine, lake: EmbeddedWarehouse) -> None:
    result = judge(
        engine,
        lake,
        RULE,
        customer_profiles=[profile("c"), profile("short", transactions=9)],
        customer_anomalies=[before(name, 5) for name in ("c", "short", "stranger")],
        transactions=[
            *(paid(name, name, "9999.00") for name in ("short", "stranger")),
            paid("declined", "c", "9999.00", status="declined"),
            paid("reversed", "c", "9999.00", status="reversed"),
            *(paid(kind, "c", "9999.00", transaction_type=kind) for kind in ("transfer_in", "transfer_out", "refund")),
            paid("other currency", "c", "9999.00", currency="USD"),
            paid("judged", "c", "9999.00", status=None, transaction_type=None),
        ],
    )
    assert (result.hits.keys(), result.transactions, result.judged) == ({"judged"}, 9, 1)


def test_amounts_that_were_all_alike_are_a_history(engine: Engine, lake: EmbeddedWarehouse) -> None:
    result = judge(
        engine,
        lake,
        RULE,
        customer_profiles=[profile("alike", amount_deviation=D(0)), profile("nearly", amount_deviation=D("0.01"))],
        customer_anomalies=[before("alike", 2), before("nearly", 2)],
        transactions=[
            paid("at", "alike", "130.00"),
            paid("under", "alike", "129.99", seconds=-1),
            paid("far", "nearly", "5000.00"),
        ],
    )
    assert {name: result.evidence(name)["deviations_above"] for name in result.hits} == {"at": D("3.00"), "far": D("490.00")}
    assert result.judged == 3


def test_payments_that_are_not_judged_are_not_counted(engine: Engine, lake: EmbeddedWarehouse) -> None:
    earlier = [
        paid("declined", "c1", status="declined"),
        paid("reversed", "c1", status="reversed"),
        paid("transfer", "c1", transaction_type="transfer_out"),
        paid("other currency", "c1", currency="USD"),
        paid("other customer", "c2"),
    ]
    result = judge(
        engine,
        lake,
        RULE,
        customer_profiles=[profile("c1"), profile("c1", currency="USD"), profile("c2")],
        transactions=[*earlier, paid("approved", "c1", seconds=1), paid("with one before", "c1", seconds=2)],
    )
    assert not result.hits


def test_payments_before_midnight_count_only_with_the_day_before(engine: Engine, lake: EmbeddedWarehouse) -> None:
    yesterday, both = days_before(1), Span.days(DAY - dt.timedelta(days=1), DAY)
    fill(lake, "customer_profiles", [profile("c1", ds=days_before(0)), profile("c1", ds=yesterday)], both)
    late = NOON - dt.timedelta(hours=13)
    fill(lake, "transactions", [transaction("late", "c1", "200", event_time=late), paid("next", "c1", "200")], both)
    compute(engine, lake, "customer_daily_anomalies", both)
    compute(engine, lake, "customer_anomalies", both)
    assert compute(engine, lake, RULE) == [], "one earlier payment is not two"
    more = transaction("later", "c1", "200", event_time=late + dt.timedelta(seconds=1))
    fill(lake, "transactions", [more, transaction("late", "c1", "200", event_time=late), paid("next", "c1", "200")], both)
    compute(engine, lake, "customer_daily_anomalies", both)
    compute(engine, lake, "customer_anomalies", both)
    assert [hit["transaction_id"] for hit in compute(engine, lake, RULE)] == ["next"]


# --- its features -------------------------------------------------------------------------------------------------------


def test_the_anomalies_of_a_day(engine: Engine, lake: EmbeddedWarehouse) -> None:
    profiles = [
        profile("c1"), profile("c1", currency="USD"), profile("c2", currency=None), profile("calm"),
        profile("short", transactions=9), profile("alike", amount_deviation=D(0)),
        profile("nothing", amount_mean=D(0), amount_deviation=D(0)),
    ]  # fmt: skip
    profiles = [*({**row, "ds": days_before(0)} for row in profiles), profile("new", ds=days_before(1))]
    rows = [
        paid("at", "c1"),
        paid("above", "c1", "5000.00"),
        paid("under", "c1", "174.99"),
        paid("dollars", "c1", currency="USD"),
        paid("unnamed", "c2", currency=None, status=None, transaction_type=None),
        paid("calm", "calm", "100.00"),
        *(paid(name, name, "5000.00") for name in ("short", "new", "stranger")),
        # a deviation of at least a tenth of the mean, and a cent
        paid("alike", "alike", "130.00"),
        paid("alike, a little less", "alike", "129.99"),
        paid("nothing", "nothing", "0.03"),
        paid("nothing, a little less", "nothing", "0.02"),
        paid("reversed", "c1", status="reversed"),
        paid("declined", "c1", status="declined"),
        *(paid(kind, "c1", transaction_type=kind) for kind in ("transfer_in", "transfer_out", "refund")),
    ]
    fill(lake, "customer_profiles", profiles, Span.days(DAY - dt.timedelta(days=1), DAY))
    fill(lake, "transactions", rows)
    found = {(r["customer_id"], r["currency"]): r["anomalies"] for r in compute(engine, lake, "customer_daily_anomalies")}
    assert found == {("c1", "EUR"): 2, ("c1", "USD"): 1, ("c2", None): 1, ("alike", "EUR"): 1, ("nothing", "EUR"): 1}


def test_the_anomalies_before_the_start_of_a_day(engine: Engine, lake: EmbeddedWarehouse) -> None:
    days = [
        {"customer_id": "c1", "currency": "EUR", "anomalies": 10**place, "ds": days_before(number)}
        for place, number in enumerate([-1, 0, 1, 7, 8, 90, 91])
    ]
    others = [
        {"customer_id": "c1", "currency": "USD", "anomalies": 3, "ds": days_before(2)},
        {"customer_id": "c2", "currency": None, "anomalies": 4, "ds": days_before(30)},
    ]
    reach = Span.days(DAY - dt.timedelta(days=91), DAY + dt.timedelta(days=1))
    fill(lake, "customer_daily_anomalies", [*days, *others], reach)
    found = {
        (r["customer_id"], r["currency"]): (r["anomalies"], r["anomalies_7"])
        for r in compute(engine, lake, "customer_anomalies", SPAN)
    }
    assert found == {("c1", "EUR"): (111_100, 1_100), ("c1", "USD"): (3, 3), ("c2", None): (4, 0)}
