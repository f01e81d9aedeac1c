"""Rules on sequences: transactions that complete a pattern, near misses, and other customers' transactions."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, NOON, SPAN, Judged, compute, fill, judge, profile, transaction

D = Decimal


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(read_rule_book())


def after(seconds: float, transaction_id: str, customer_id: str = "c1", amount: str = "10.00", **more: Any) -> dict[str, Any]:
    """A transaction at noon plus these seconds."""
    return transaction(transaction_id, customer_id, amount, event_time=NOON + dt.timedelta(seconds=seconds), **more)


# --- velocity -----------------------------------------------------------------------------------------------------------


def burst(customer_id: str, count: int, every: float) -> list[dict[str, Any]]:
    return [after(number * every, f"{customer_id} {number + 1}", customer_id) for number in range(count)]


def test_velocity_counts_the_last_ten_minutes_hour_and_day_of_the_customer(engine: Engine, lake: EmbeddedWarehouse) -> None:
    result = judge(
        engine,
        lake,
        "velocity",
        transactions=[
            # the first of six is outside the ten minutes if the sixth follows after 600 s
            *burst("six in 595 s", 6, 119),
            *burst("six in 600 s", 6, 120),
            *burst("twenty-one in 3580 s", 21, 179),
            *burst("twenty-one in 3600 s", 21, 180),
            *(after(number, f"many {number}", f"customer {number}") for number in range(20)),
        ],
    )
    many = "more than 5, 20 or 70 are many"
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "six in 595 s 6": f"6 transactions in 10 minutes, 6 in an hour, 6 in 24 hours; {many}",
        "twenty-one in 3580 s 21": f"4 transactions in 10 minutes, 21 in an hour, 21 in 24 hours; {many}",
    }
    assert result.transactions == result.judged == 74
    assert {hit["severity"] for hit in result.hits.values()} == {"low"}


def test_velocity_looks_over_midnight(engine: Engine, lake: EmbeddedWarehouse) -> None:
    midnight = dt.datetime.combine(DAY, dt.time())
    times = [midnight + dt.timedelta(seconds=seconds) for seconds in (-300, -200, -100, -50, -1, 0)]
    both = Span.days(DAY - dt.timedelta(days=1), DAY)
    fill(lake, "transactions", [transaction(f"t{n}", event_time=at) for n, at in enumerate(times)], both)
    assert [hit["transaction_id"] for hit in compute(engine, lake, "velocity")] == ["t5"]


def test_velocity_looks_back_24_hours_and_no_longer(engine: Engine, lake: EmbeddedWarehouse) -> None:
    def spread(customer_id: str, seconds: int) -> list[dict[str, Any]]:
        """70 transactions, and one at noon, the given number of seconds after the first."""
        since = NOON - dt.timedelta(seconds=seconds)
        rows = [
            transaction(f"{customer_id} {n}", customer_id, event_time=since + n * dt.timedelta(seconds=1200)) for n in range(70)
        ]
        return [*rows, transaction(customer_id, customer_id, event_time=NOON)]

    both = Span.days(DAY - dt.timedelta(days=1), DAY)
    fill(lake, "transactions", [*spread("inside", 86_399), *spread("outside", 86_400)], both)
    [hit] = compute(engine, lake, "velocity")
    assert hit["transaction_id"] == "inside"
    assert hit["reason"] == "1 transactions in 10 minutes, 2 in an hour, 71 in 24 hours; more than 5, 20 or 70 are many"


# --- card_testing -------------------------------------------------------------------------------------------------------


def test_card_testing_is_small_or_declined_payments_and_then_a_large_one(engine: Engine, lake: EmbeddedWarehouse) -> None:
    def tests(customer: str, count: int = 3, amount: str = "25.00", **more: Any) -> list[dict[str, Any]]:
        return [after(number, f"{customer} test {number}", customer, amount, **more) for number in range(count)]

    result = judge(
        engine,
        lake,
        "card_testing",
        customer_profiles=[
            profile(name) for name in ("c1", "declined", "two", "dearer", "small", "late", "same second", "at once", "paid")
        ],
        transactions=[
            *tests("c1"),
            after(60, "large", "c1", "300.00"),
            after(61, "not large", "c1", "299.99"),
            after(62, "in another currency", "c1", "500.00", currency="USD"),
            *tests("declined", amount="99.00", status="declined"),
            after(60, "after declined", "declined", "300.00"),
            *tests("two", 2),
            after(60, "after two", "two", "500.00"),
            *tests("dearer", amount="25.01"),
            after(60, "after dearer", "dearer", "500.00"),
            *tests("late"),
            after(7199, "at the end of two hours", "late", "300.00"),
            after(7200, "too late", "late", "300.00"),
            *(after(0, f"same second {number}", "same second", "1.00") for number in range(3)),
            after(0.000001, "a microsecond later", "same second", "500.00"),
            *(after(0, f"at once {number}", "at once", "1.00") for number in range(3)),
            after(0, "in the same microsecond", "at once", "500.00"),
            *tests("stranger"),
            after(60, "no profile", "stranger", "500.00"),
            *tests("paid", transaction_type="transfer_out"),
            after(60, "after transfers", "paid", "500.00"),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "large": "300.00 EUR after 3 small or declined payments in 2 hours; this customer's mean is 100.00",
        "after declined": "300.00 EUR after 3 small or declined payments in 2 hours; this customer's mean is 100.00",
        "at the end of two hours": "300.00 EUR after 3 small or declined payments in 2 hours; this customer's mean is 100.00",
        "a microsecond later": "500.00 EUR after 3 small or declined payments in 2 hours; this customer's mean is 100.00",
    }
    assert result.transactions - result.judged == 1 + 4 + 3
    assert (result.hits["large"]["weight"], result.hits["large"]["severity"]) == (0.7, "critical")
    assert result.evidence("large") == {"amount": D("300.00"), "currency": "EUR", "tests": 3, "mean": D("100.00")}


# --- structuring --------------------------------------------------------------------------------------------------------


def test_structuring_is_three_transfers_just_under_the_limit_in_a_day(engine: Engine, lake: EmbeddedWarehouse) -> None:
    def sent(customer: str, *amounts: str, every: float = 3600, **more: Any) -> list[dict[str, Any]]:
        made = {"transaction_type": "transfer_out", **more}
        return [after(n * every, f"{customer} {n + 1}", customer, amount, **made) for n, amount in enumerate(amounts)]

    under = "9999.99"
    result = judge(
        engine,
        lake,
        "structuring",
        transactions=[
            *sent("three", under, "8000.00", under),
            *sent("two", under, under),
            *sent("at the limit", under, under, "10000.00"),
            *sent("well under", under, under, "7999.99"),
            *sent("a large one between", under, "12000.00", under, under),
            *sent("yen", "999999.00", "900000.00", "800000.00", currency="JPY"),
            *sent("declined", under, under, under, status="declined"),
            *sent("purchases", under, under, under, transaction_type="purchase"),
            *sent("no limit", under, under, under, currency="XXX"),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "three 3": "3 transfers just under 10000.00 EUR in 24 hours, 27999.98 together",
        "a large one between 4": "3 transfers just under 10000.00 EUR in 24 hours, 29999.97 together",
        "yen 3": "3 transfers just under 1000000.00 JPY in 24 hours, 2699999.00 together",
    }
    assert result.transactions - result.judged == 9
    assert result.hits["three 3"]["severity"] == "high"


def test_structuring_looks_back_24_hours_and_no_longer(engine: Engine, lake: EmbeddedWarehouse) -> None:
    both = Span.days(DAY - dt.timedelta(days=1), DAY)
    made = {"transaction_type": "transfer_out", "amount": "9000.00"}
    rows = [
        after(seconds - start, f"{name} {n}", name, **made)
        for name, start in (("in a day", 86_399), ("longer", 86_400))
        for n, seconds in enumerate((0, start - 10, start))
    ]
    fill(lake, "transactions", rows, both)
    assert [hit["transaction_id"] for hit in compute(engine, lake, "structuring")] == ["in a day 2"]


# --- pass_through -------------------------------------------------------------------------------------------------------


def test_pass_through_is_about_as_much_out_as_came_in(engine: Engine, lake: EmbeddedWarehouse) -> None:
    def moved(customer: str, came_in: str, *went_out: str, **more: Any) -> list[dict[str, Any]]:
        first = after(0, f"{customer} in", customer, came_in, transaction_type="transfer_in", **more)
        made = {"transaction_type": "transfer_out", **more}
        return [
            first,
            *(after(60 * n, f"{customer} out {n}", customer, amount, **made) for n, amount in enumerate(went_out, 1)),
        ]

    result = judge(
        engine,
        lake,
        "pass_through",
        transactions=[
            *moved("least", "1000.00", "900.00"),
            *moved("too little", "1000.00", "899.99"),
            *moved("most", "1000.00", "1100.00"),
            *moved("too much", "1000.00", "1100.01"),
            *moved("pieces", "1000.00", "300.00", "300.00", "350.00"),
            *moved("small sums", "499.99", "499.99"),
            *moved("small sums in yen", "74999.00", "74999.00", currency="JPY"),
            after(0, "out first", "before", "1000.00", transaction_type="transfer_out"),
            after(60, "in after", "before", "1000.00", transaction_type="transfer_in"),
            after(0, "nothing in", "nothing", "1000.00", transaction_type="transfer_out"),
            after(0, "a purchase", "shopper", "1000.00"),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "least out 1": "1000.00 EUR came in and 900.00 went out within 24 hours",
        "most out 1": "1000.00 EUR came in and 1100.00 went out within 24 hours",
        "pieces out 3": "1000.00 EUR came in and 950.00 went out within 24 hours",
    }
    assert result.transactions - result.judged == 1
    assert (result.hits["least out 1"]["weight"], result.hits["least out 1"]["severity"]) == (0.6, "high")


# --- impossible_travel --------------------------------------------------------------------------------------------------

PLACES = {"Wien": (48.2082, 16.3738), "Graz": (47.0707, 15.4395), "Paris": (48.8566, 2.3522), "Sydney": (-33.8688, 151.2093)}


def there(seconds: float, transaction_id: str, customer: str, city: str, **more: Any) -> dict[str, Any]:
    latitude, longitude = PLACES[city]
    place = {"merchant_city": city, "merchant_latitude": latitude, "merchant_longitude": longitude, "channel": "pos"}
    return after(seconds, transaction_id, customer, **{**place, **more})


def test_travel_faster_than_an_airliner_is_impossible(engine: Engine, lake: EmbeddedWarehouse) -> None:
    # Vienna to Paris, 1033 km by the law of cosines, at 900 km/h: 4132 s
    result = judge(
        engine,
        lake,
        "impossible_travel",
        transactions=[
            there(0, "a1", "fast", "Wien"),
            there(4131, "a2", "fast", "Paris"),
            there(0, "b1", "just", "Wien"),
            there(4132, "b2", "just", "Paris"),
            there(0, "c1", "near", "Wien"),
            there(1, "c2", "near", "Graz"),
            there(0, "d1", "at once", "Sydney"),
            there(0.1, "d2", "at once", "Wien"),
            there(0, "e1", "online", "Wien"),
            there(1, "e2", "online", "Sydney", channel="online"),
            there(2, "e3", "online", "Wien"),
            there(0, "f1", "nowhere", "Wien"),
            there(1, "f2", "nowhere", "Sydney", merchant_latitude=None),
            there(0, "h1", "null island", "Wien"),
            there(1800, "h2", "null island", "Sydney", merchant_latitude=0.0, merchant_longitude=-0.0),
            there(3600, "h3", "null island", "Wien"),
            there(0, "i1", "on the equator", "Wien"),
            there(1, "i2", "on the equator", "Sydney", merchant_latitude=0.0),
            there(0, "g1", "one", "Wien"),
            there(1, "g2", "other", "Sydney"),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "a2": "1033 km from Wien to Paris in 68 minutes",
        "d2": "15976 km from Sydney to Wien in 0 minutes",
        "i2": "13124 km from Wien to Sydney in 0 minutes",
    }
    # the first payment of a customer and payments without coordinates, or at 0, 0, cannot be judged
    assert result.judged == 7
    assert result.evidence("a2") == {"distance": 1033, "minutes": 68, "city": "Paris", "city_before": "Wien"}


# --- rapid_follow_up ----------------------------------------------------------------------------------------------------


def test_two_payments_well_above_the_mean_within_half_an_hour(engine: Engine, lake: EmbeddedWarehouse) -> None:
    result = judge(
        engine,
        lake,
        "rapid_follow_up",
        customer_profiles=[profile(name) for name in ("c1", "late", "less", "between")],
        transactions=[
            after(0, "first", amount="300.00"),
            after(1799, "second", amount="310.00"),
            after(1800, "small", amount="10.00"),
            after(0, "late 1", "late", "300.00"),
            after(1800, "late 2", "late", "300.00"),
            after(0, "less 1", "less", "300.00"),
            after(1, "less 2", "less", "299.99"),
            after(0, "sent 1", "between", "300.00", transaction_type="transfer_out"),
            after(1, "sent 2", "between", "300.00", transaction_type="transfer_out"),
            after(0, "unknown 1", "unknown", "300.00"),
            after(1, "unknown 2", "unknown", "300.00"),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "second": "2 payments of 3 times this customer's mean of 100.00 or more in half an hour, 610.00 EUR together"
    }
    assert result.transactions - result.judged == 4


# --- new_account_activity, dormant_account, risky_merchant ---------------------------------------------------------------


def customer(customer_id: str, opened_at: dt.datetime | None) -> dict[str, Any]:
    return {"customer_id": customer_id, "opened_at": opened_at}


def test_a_new_account_that_spends_much(engine: Engine, lake: EmbeddedWarehouse) -> None:
    week = dt.timedelta(days=7)
    result = judge(
        engine,
        lake,
        "new_account_activity",
        customers=[
            customer("new", NOON - week + dt.timedelta(days=1)),
            customer("old", NOON - week),
            customer("yen", NOON - dt.timedelta(days=1)),
            customer("unknown age", None),
        ],
        transactions=[
            after(0, "half", "new", "200.00"),
            after(60, "all", "new", "200.00"),
            after(61, "over", "new", "0.01"),
            after(62, "declined", "new", "500.00", status="declined"),
            after(63, "income", "new", "500.00", transaction_type="transfer_in"),
            after(0, "old", "old", "5000.00"),
            after(0, "yen", "yen", "60000.00", currency="JPY"),
            after(0, "unknown age", "unknown age", "5000.00"),
            after(0, "not in the snapshot", "stranger", "5000.00"),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "over": "400.01 EUR in 24 hours, with an account that is 6 days old",
        "not in the snapshot": "5000.00 EUR in 24 hours, with an account that is 0 days old",
    }
    assert result.judged == 6


def test_the_age_of_accounts_that_are_opened_today_or_later(engine: Engine, lake: EmbeddedWarehouse) -> None:
    midnight = dt.datetime.combine(DAY, dt.time())
    names = ("planned", "later today", "at midnight", "listed", "used before", "opened today")
    transactions = [after(0, name, name, "900.00") for name in names]
    profiles = [profile("used before", currency="USD"), profile("opened yesterday")]
    result = judge(
        engine,
        lake,
        "new_account_activity",
        customers=[
            customer("planned", midnight + dt.timedelta(days=1)),
            customer("later today", NOON + dt.timedelta(hours=1)),
            customer("at midnight", midnight),
            customer("listed", None),
        ],
        customer_profiles=profiles,
        transactions=transactions,
    )
    age = "900.00 EUR in 24 hours, with an account that is 0 days old"
    assert {name: hit["reason"] for name, hit in result.hits.items()} == dict.fromkeys(
        ["later today", "at midnight", "opened today"], age
    )
    assert (result.transactions, result.judged) == (6, 3)
    without = judge(engine, lake, "new_account_activity", customer_profiles=profiles, transactions=transactions)
    assert (without.hits, without.judged) == ({}, 0), "without a snapshot of the day, nobody is known to be new"


def test_sums_keep_currencies_apart_and_say_so(engine: Engine, lake: EmbeddedWarehouse) -> None:
    opened = [customer(name, NOON - dt.timedelta(days=2)) for name in ("three", "euro", "yen")]
    result = judge(
        engine,
        lake,
        "new_account_activity",
        customers=opened,
        transactions=[
            # together over each of the thresholds, none of them alone
            after(0, "three 1", "three", "399.00"),
            after(60, "three 2", "three", "439.00", currency="USD"),
            after(120, "three 3", "three", "359.00", currency="GBP"),
            after(180, "three 4", "three", "2.00"),
            after(0, "euro", "euro", "401.00"),
            after(1, "later in dollars", "euro", "1.00", currency="USD"),
            # a currency without a threshold, and one that is not named
            after(0, "yen 1", "yen", "1.00", currency="XXX"),
            after(1, "yen 2", "yen", "1.00", currency=None),
            after(2, "yen 3", "yen", "60001.00", currency="JPY"),
        ],
    )
    old = "24 hours, with an account that is 2 days old"
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "three 4": f"401.00 EUR in {old}; payments in other currencies are not added (2)",
        "euro": f"401.00 EUR in {old}",
        "yen 3": f"60001.00 JPY in {old}; payments in other currencies are not added (2)",
    }
    sent = {"transaction_type": "transfer_out", "amount": "9000.00"}
    structured = judge(
        engine,
        lake,
        "structuring",
        transactions=[*(after(n, f"s{n}", **sent) for n in range(3)), after(1, "dollars", currency="USD", **sent)],
    )
    assert {name: hit["reason"] for name, hit in structured.hits.items()} == {
        "s2": "3 transfers just under 10000.00 EUR in 24 hours, 27000.00 together; "
        "transfers in other currencies are not added (1)"
    }
    moved = judge(
        engine,
        lake,
        "pass_through",
        transactions=[
            after(0, "in", amount="1000.00", transaction_type="transfer_in"),
            after(1, "in dollars", amount="900.00", transaction_type="transfer_in", currency="USD"),
            after(2, "out", amount="950.00", transaction_type="transfer_out"),
        ],
    )
    assert {name: hit["reason"] for name, hit in moved.hits.items()} == {
        "out": "1000.00 EUR came in and 950.00 went out within 24 hours; transfers in other currencies are not added (1)"
    }
    followed = judge(
        engine,
        lake,
        "rapid_follow_up",
        customer_profiles=[profile("c1")],
        transactions=[
            after(0, "first", amount="300.00"),
            after(1, "dollars", amount="5.00", currency="USD"),
            after(2, "second", amount="310.00"),
        ],
    )
    assert {name: hit["reason"] for name, hit in followed.hits.items()} == {
        "second": "2 payments of 3 times this customer's mean of 100.00 or more in half an hour, 610.00 EUR together; "
        "payments in other currencies are not added (1)"
    }


def quiet_bank(engine: Engine, lake: EmbeddedWarehouse, first_day: int | None, **more: Any) -> Judged:
    """Payments of accounts without a profile, in a bank whose profiles begin so many days before."""

    def used_since(name: str, days: int) -> dict[str, Any]:
        first = (DAY - dt.timedelta(days=days)).isoformat()
        return profile(name, first_day=first, last_day=(DAY - dt.timedelta(days=1)).isoformat())

    used = [] if first_day is None else [used_since("others", first_day), used_since("used", 2)]
    ages = {"old": 1000, "used": 1000, "unused": 60, "young": 44, "planned": -1}
    return judge(
        engine,
        lake,
        "dormant_account",
        customers=[*(customer(name, NOON - dt.timedelta(days=age)) for name, age in ages.items()), customer("ageless", None)],
        customer_profiles=used,
        transactions=[
            *(transaction(name, name, "5000.00", **more) for name in [*ages, "ageless", "stranger"]),
            transaction("small", "old", "199.99", **more),
            transaction("no limit", "old", "5000.00", **{**more, "currency": "XXX"}),
        ],
    )


def test_an_account_that_was_quiet_for_longer_than_its_profile_remembers(engine: Engine, lake: EmbeddedWarehouse) -> None:
    result = quiet_bank(engine, lake, 90)
    opened = {name: (DAY - dt.timedelta(days=age)).isoformat() for name, age in (("old", 1000), ("unused", 60))}
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "old": f"5000.00 EUR from an account that was opened on {opened['old']} and not used for at least 90 days; "
        "it has no mean, 200.00 is large",
        "unused": f"5000.00 EUR from an account that was opened on {opened['unused']} and not used for at least 60 days; "
        "it has no mean, 200.00 is large",
    }
    assert {name: result.evidence(name)["quiet"] for name in result.hits} == {"old": 90, "unused": 60}
    # old, small, unused, young, and used by its profile; no opening, no snapshot, no limit
    assert (result.transactions, result.judged) == (9, 5)


def test_an_account_is_quiet_only_for_as_long_as_the_data_reach_back(engine: Engine, lake: EmbeddedWarehouse) -> None:
    found = {days: quiet_bank(engine, lake, days) for days in (None, 44, 45)}
    assert {days: (sorted(result.hits), result.judged) for days, result in found.items()} == {
        None: ([], 0),
        44: ([], 1),
        45: (["old", "unused"], 5),
    }
    assert found[45].evidence("old")["quiet"] == 45


def test_an_account_of_transfers_only_is_not_known_to_be_quiet(engine: Engine, lake: EmbeddedWarehouse) -> None:
    result = quiet_bank(engine, lake, 90, transaction_type="transfer_out")
    assert (result.hits, result.judged) == ({}, 1)


def test_a_quiet_account_that_pays_in_another_currency(engine: Engine, lake: EmbeddedWarehouse) -> None:
    last = (DAY - dt.timedelta(days=60)).isoformat()
    result = judge(
        engine,
        lake,
        "dormant_account",
        customer_profiles=[profile("c1", last_day=last, first_day=last)],
        transactions=[
            transaction("large", amount="220.00", currency="USD"),
            transaction("small", amount="219.99", currency="USD"),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "large": f"220.00 USD from an account that was last used 60 days before, on {last}; it has no mean, 220.00 is large"
    }
    assert result.judged == 2


def test_a_dormant_account_that_pays_a_large_amount(engine: Engine, lake: EmbeddedWarehouse) -> None:
    def quiet(customer_id: str, days: int, **more: Any) -> dict[str, Any]:
        return profile(customer_id, last_day=(DAY - dt.timedelta(days=days)).isoformat(), **more)

    result = judge(
        engine,
        lake,
        "dormant_account",
        customer_profiles=[
            quiet("45", 45),
            quiet("44", 44),
            quiet("other currency", 80),
            quiet("other currency", 1, currency="USD"),
        ],
        transactions=[
            transaction("large", "45", "200.00"),
            transaction("small", "45", "199.99"),
            transaction("transfer", "45", "200.00", transaction_type="transfer_out"),
            transaction("income", "45", "200.00", transaction_type="transfer_in"),
            transaction("a day early", "44", "9999.00"),
            transaction("used in dollars", "other currency", "9999.00"),
            transaction("no history", "stranger", "9999.00"),
        ],
    )
    last = (DAY - dt.timedelta(days=45)).isoformat()
    reason = f"200.00 EUR from an account that was last used 45 days before, on {last}; its mean is 100.00"
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {"large": reason, "transfer": reason}
    assert result.judged == 5


def test_a_merchant_with_a_large_share_of_reports(engine: Engine, lake: EmbeddedWarehouse) -> None:
    def sold(merchant_id: str, transactions: int, in_28_days: int, in_7: int = 0, yesterday: int = 0) -> dict[str, Any]:
        reports = {"reports": in_28_days, "reports_7": in_7, "reports_1": yesterday}
        return {"merchant_id": merchant_id, "place": "Graz, AT", "transactions": transactions, **reports}

    result = judge(
        engine,
        lake,
        "risky_merchant",
        merchant_profiles=[
            # 18 transactions of a usual week plus the 2 that every merchant is credited
            sold("at", 72, 2, 2),
            sold("under", 73, 2, 2),
            sold("one", 0, 1, 1),
            sold("half", 24, 5, 4),
            sold("half, goes on", 28, 5, 4, 3),
            sold("all", 4, 3, 3, 9),
            sold("calmer now", 30, 3, 1),
            sold("calmer, under", 31, 3, 1),
            sold("calm for a week", 30, 3),
            sold("calmer, two", 2, 2, 1),
            sold("no sales", 0, 3, 3),
        ],
        transactions=[
            *(
                transaction(name, merchant_id=name)
                for name in (
                    "at", "under", "one", "half", "half, goes on", "all", "calmer now", "calmer, under", "calmer, two",
                    "calm for a week", "no sales", "stranger",
                )
            ),
            transaction("bank", merchant_id="all", transaction_type="transfer_out"),
        ],
    )  # fmt: skip
    assert {name: hit["weight"] for name, hit in result.hits.items()} == {
        "at": pytest.approx(0.05 + 0.49 * 0.1, abs=1e-12),
        "half": pytest.approx(0.05 + 0.49 * 0.5, abs=1e-12),
        # a share of 4 in 9, and for yesterday 3 in 3
        "half, goes on": pytest.approx(0.05 + 0.49 * 0.4444 + 0.21, abs=1e-12),
        "all": pytest.approx(0.75, abs=1e-12),
        "calmer now": 0.05,
        "no sales": pytest.approx(0.05 + 0.49, abs=1e-12),
    }
    assert result.hits["half"]["reason"] == (
        "4 fraud reports in 7 days and 5 in 28 for 24 transactions of merchant half in 28 days: 0.5000 of a usual week, "
        "0.1 is risky"
    )
    assert result.hits["half, goes on"]["evidence"] == (
        '{"merchant_id": "half, goes on", "reports_1": 3, "reports_7": 4, "reports": 5, "sales": 28, "share": 0.4444}'
    )
    assert (result.transactions, result.judged) == (13, 11)


@pytest.mark.parametrize("keys", [("m-0042", "m-0042"), (None, None), ("m-0042", None)])
def test_a_merchant_is_risky_in_any_spelling(engine: Engine, lake: EmbeddedWarehouse, keys: tuple[str | None, ...]) -> None:
    """Days that an earlier release computed have a profile for each spelling, and no keys."""
    sold = [
        {"merchant_id": name, "merchant_key": key, "transactions": 10, "reports": 1, "reports_7": 1, "reports_1": 0}
        for name, key in zip((" M-0042", "m-0042"), keys, strict=True)
    ]
    paid = [transaction("a", merchant_id="M-0042"), transaction("b", merchant_id="m-0042 ", merchant_key="m-0042")]
    result = judge(engine, lake, "risky_merchant", merchant_profiles=sold, transactions=paid)
    assert {name: (hit["weight"] > 0, result.evidence(name)["sales"]) for name, hit in result.hits.items()} == {
        "a": (True, 20),
        "b": (True, 20),
    }
    assert result.evidence("b")["merchant_id"] == "m-0042 "


def test_the_largest_and_smallest_amounts_fail_no_rule(engine: Engine, lake: EmbeddedWarehouse) -> None:
    largest = "1000000000000.00"
    names = ("tiny", "huge")
    means = {"tiny": D("0.01"), "huge": D(largest)}
    profiles = [profile(name, amount_mean=means[name], amount_max=means[name], last_day="2025-11-01") for name in names]
    rows = [
        after(seconds, f"{amount} of {name} {seconds}", name, amount, transaction_type=kind)
        for name in names
        for seconds, (amount, kind) in enumerate(
            [("0.00", "purchase"), (largest, "purchase"), (largest, "transfer_in"), (largest, "transfer_out"), (largest, None)]
        )
    ]
    fill(lake, "customers", [customer(name, NOON) for name in names], SPAN)
    most = dict.fromkeys(("transactions", "reports", "reports_7", "reports_1"), 2**62)
    fill(lake, "merchant_profiles", [{"merchant_id": "m1", **most}], SPAN)
    fill(lake, "customer_profiles", profiles, SPAN)
    often = {"currency": "EUR", "anomalies": 2**62, "anomalies_7": 2**62}
    fill(lake, "customer_anomalies", [{"customer_id": name, **often} for name in names], SPAN)
    fill(lake, "transactions", rows, SPAN)
    hits = {rule.name: len(compute(engine, lake, rule.name)) for rule in engine.book.evaluated if rule.name in NEW}
    assert hits.keys() == NEW and hits["dormant_account"] > 0 and hits["new_account_activity"] > 0


NEW = {
    "card_testing", "dormant_account", "impossible_travel", "new_account_activity", "pass_through", "rapid_follow_up",
    "repeated_anomalies", "risky_merchant", "structuring", "velocity",
}  # fmt: skip
