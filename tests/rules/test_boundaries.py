"""Every param of every rule has a boundary, at exactly the value of the param."""

from __future__ import annotations

import datetime as dt
import pkgutil
from collections.abc import Iterator, Mapping
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import tests
from fraud_assets.detection.rule_book import read_rule_book
from hive_io import EmbeddedWarehouse
from tests.boundaries import MOVES, Boundary, Rows
from tests.fraud_fixtures import DAY, NOON, profile, transaction

D = Decimal
BOTH = ("at", "miss")


def after(seconds: float, transaction_id: str, customer_id: str, amount: str = "10.00", **more: Any) -> dict[str, Any]:
    return transaction(transaction_id, customer_id, amount, event_time=NOON + dt.timedelta(seconds=seconds), **more)


def pair(at: str, miss: str, **more: Any) -> Rows:
    """Two transactions with these amounts, of one customer each."""
    return [transaction("at", "at", at, **more), transaction("miss", "miss", miss, **more)]


def row_of(customer: str, amounts: list[str], every: float = 60, **more: Any) -> Iterator[dict[str, Any]]:
    """Consecutive transactions of a customer; the last one has the customer's name as its id."""
    for number, amount in enumerate(amounts):
        name = customer if number == len(amounts) - 1 else f"{customer} {number}"
        yield after(number * every, name, customer, amount, **more)


def rows(at: list[str], miss: list[str], every: float = 60, **more: Any) -> Rows:
    return [*row_of("at", at, every, **more), *row_of("miss", miss, every, **more)]


def profiles(at: Mapping[str, Any] = {}, miss: Mapping[str, Any] = {}, **both: Any) -> Rows:
    """Profiles with a mean of 100.00."""
    return [profile("at", **both, **at), profile("miss", **both, **miss)]


def ago(days: int) -> str:
    return (DAY - dt.timedelta(days=days)).isoformat()


def card_testing() -> Iterator[Boundary]:
    def of(param: str, values: tuple[object, object, object], at: list[str], miss: list[str]) -> Boundary:
        params = {"least_tests": 3, "small_share": 0.25, "large_times": 2}
        return Boundary(
            "card_testing", param, values, {"customer_profiles": profiles(), "transactions": rows(at, miss)}, params
        )

    yield of("least_tests", (2, 3, 4), ["9", "9", "9", "500"], ["9", "9", "500"])
    yield of("small_share", (0.2501, 0.25, 0.2499), [*["25.00"] * 3, "500"], [*["25.01"] * 3, "500"])
    yield of("large_times", (1.9999, 2, 2.0001), ["9", "9", "9", "200.00"], ["9", "9", "9", "199.99"])


def dormant_account() -> Iterator[Boundary]:
    params = {"quiet_days": 45, "times_mean": 2}
    quiet = profiles({"last_day": ago(45)}, {"last_day": ago(44)})
    tables = {"customer_profiles": quiet, "transactions": pair("500", "500")}
    yield Boundary("dormant_account", "quiet_days", (44, 45, 46), tables, params)
    tables = {"customer_profiles": profiles(last_day=ago(80)), "transactions": pair("200.00", "199.99")}
    yield Boundary("dormant_account", "times_mean", (1.9999, 2, 2.0001), tables, params)
    others = [profile("other", first_day=ago(90), last_day=ago(1))]
    opened = [{"customer_id": name, "opened_at": dt.datetime(2020, 1, 1)} for name in BOTH]
    tables = {"customer_profiles": others, "customers": opened, "transactions": pair("200.00", "199.99")}
    values = ({"EUR": 199.99}, {"EUR": 200}, {"EUR": 200.01})
    yield Boundary("dormant_account", "least_amounts", values, tables, params)


def high_risk_activity() -> Iterator[Boundary]:
    risky = [{"customer_id": name, "credit_score": 480, "fraud_reports": 0, "reason": "low"} for name in BOTH]
    tables = {"high_risk_customers": risky, "customer_profiles": profiles(), "transactions": pair("400.01", "400.00")}
    yield Boundary("high_risk_activity", "times_mean", (3.9999, 4, 4.0001), tables, {})


def high_value() -> Iterator[Boundary]:
    values = ({"EUR": 1999.99}, {"EUR": 2000}, {"EUR": 2000.01})
    yield Boundary("high_value", "thresholds", values, {"transactions": pair("2000.01", "2000.00")}, {})


def impossible_travel() -> Iterator[Boundary]:
    def travel(customer: str, seconds: float, degrees: float) -> Rows:
        """Two payments, the second one so many degrees further north; a degree is 111.19 km."""
        place = {"merchant_longitude": 16.0, "channel": "pos"}
        return [
            after(0, f"{customer} before", customer, merchant_latitude=48.0, **place),
            after(seconds, customer, customer, merchant_latitude=48.0 + degrees, **place),
        ]

    params = {"fastest": 900, "least_distance": 300}
    # 1000 km take 4000 s at 900 km/h
    tables = {"transactions": [*travel("at", 3999, 8.9932), *travel("miss", 4000, 8.9932)]}
    yield Boundary("impossible_travel", "fastest", (899.9, 900, 900.3), tables, params)
    tables = {"transactions": [*travel("at", 1, 2.698), *travel("miss", 1, 2.689)]}
    yield Boundary("impossible_travel", "least_distance", (299, 300, 301), tables, params)


def new_account_activity() -> Iterator[Boundary]:
    def opened(at: int, miss: int) -> Rows:
        days = zip(BOTH, (at, miss), strict=True)
        return [{"customer_id": name, "opened_at": NOON - dt.timedelta(days=ago)} for name, ago in days]

    params = {"new_for_days": 7, "thresholds": {"EUR": 400}}
    tables = {"customers": opened(6, 7), "transactions": pair("900", "900")}
    yield Boundary("new_account_activity", "new_for_days", (8, 7, 6), tables, params)
    tables = {"customers": opened(1, 1), "transactions": rows(["200.00", "200.01"], ["200.00", "200.00"])}
    values = ({"EUR": 399.99}, {"EUR": 400}, {"EUR": 400.01})
    yield Boundary("new_account_activity", "thresholds", values, tables, params)


def pass_through() -> Iterator[Boundary]:
    def of(param: str, values: tuple[object, object, object], at: tuple[str, str], miss: tuple[str, str]) -> Boundary:
        moved = [
            transfer
            for customer, (came_in, went_out) in zip(BOTH, (at, miss), strict=True)
            for transfer in (
                after(0, f"{customer} in", customer, came_in, transaction_type="transfer_in"),
                after(60, customer, customer, went_out, transaction_type="transfer_out"),
            )
        ]
        return Boundary(
            "pass_through", param, values, {"transactions": moved}, {"tolerance": 0.1, "least_amounts": {"EUR": 500}}
        )

    yield of("tolerance", (0.1001, 0.1, 0.0999), ("1000.00", "900.00"), ("1000.00", "899.99"))
    amounts = ({"EUR": 499.99}, {"EUR": 500}, {"EUR": 500.01})
    yield of("least_amounts", amounts, ("500.00", "500.00"), ("499.99", "499.99"))


def rapid_follow_up() -> Iterator[Boundary]:
    def of(param: str, values: tuple[object, object, object], at: list[str], miss: list[str]) -> Boundary:
        tables = {"customer_profiles": profiles(), "transactions": rows(at, miss)}
        return Boundary("rapid_follow_up", param, values, tables, {"least_payments": 3, "times_mean": 3})

    yield of("least_payments", (2, 3, 4), ["500"] * 3, ["500"] * 2)
    yield of("times_mean", (2.9999, 3, 3.0001), ["300.00"] * 3, ["299.99"] * 3)


def repeated_anomalies() -> Iterator[Boundary]:
    params = {"least_anomalies": 2, "least_share": 0.5, "deviations": 3, "least_history": 10}

    def before(at: tuple[int, int], miss: tuple[int, int]) -> Rows:
        """Number of unusual payments in 7 and in 90 days."""
        return [
            {"customer_id": name, "currency": "EUR", "anomalies_7": week, "anomalies": all_}
            for name, (week, all_) in zip(BOTH, (at, miss), strict=True)
        ]

    def of(param: str, values: tuple[object, object, object], **tables: Rows) -> Boundary:
        usual = {"customer_profiles": profiles(), "transactions": pair("175.00", "175.00")}
        return Boundary("repeated_anomalies", param, values, {**usual, **tables}, params)

    yield of("least_anomalies", (1, 2, 3), customer_anomalies=before((2, 2), (1, 1)))
    yield of("least_share", (0.39, 0.5, 0.51), customer_anomalies=before((2, 4), (2, 5)))
    twice = before((2, 2), (2, 2))
    yield of("deviations", (2.99, 3, 3.01), customer_anomalies=twice, transactions=pair("175.00", "174.99"))
    history = profiles({"transactions": 10}, {"transactions": 9})
    yield of("least_history", (9, 10, 11), customer_anomalies=twice, customer_profiles=history)
    alike = {"customer_profiles": profiles(amount_deviation=D(0)), "transactions": pair("175.00", "174.99")}
    yield of("least_spread", (0.2499, 0.25, 0.2501), customer_anomalies=twice, **alike)


def risky_merchant() -> Iterator[Boundary]:
    def of(
        param: str, values: tuple[object, object, object], at: tuple[int, int, int], miss: tuple[int, int, int], before: int
    ) -> Boundary:
        sold = [
            {"merchant_id": name, "place": "Graz, AT", "reports_7": week, "reports": month, "transactions": transactions}
            for name, (week, month, transactions) in zip(BOTH, (at, miss), strict=True)
        ]
        paid = [transaction(name, merchant_id=name) for name in BOTH]
        others = {"least_reports": 2, "risky_share": 0.1, "least_reports_before": before, "more_sold": 2}
        return Boundary("risky_merchant", param, values, {"merchant_profiles": sold, "transactions": paid}, others)

    never = 100_000
    yield of("least_reports", (1, 2, 3), (2, 2, 0), (1, 1, 0), never)
    # 2 reports per 18 weekly transactions plus the 2 that every merchant is credited; per 18.25 plus 2
    yield of("risky_share", (0.098, 0.1, 0.1001), (2, 2, 72), (2, 2, 73), never)
    yield of("more_sold", (1, 2, 3), (2, 2, 72), (2, 2, 73), never)
    yield of("least_reports_before", (2, 3, 4), (1, 3, 20), (1, 2, 20), 3)


def structuring() -> Iterator[Boundary]:
    def of(param: str, values: tuple[object, object, object], at: list[str], miss: list[str]) -> Boundary:
        params = {"limits": {"EUR": 10000}, "least_share": 0.8, "least_transfers": 3}
        return Boundary("structuring", param, values, {"transactions": rows(at, miss, transaction_type="transfer_out")}, params)

    limits = ({"EUR": 10000.01}, {"EUR": 10000}, {"EUR": 9999.99})
    yield of("limits", limits, ["9999.99"] * 3, ["10000.00"] * 3)
    yield of("least_share", (0.7999, 0.8, 0.8001), ["8000.00"] * 3, ["7999.99"] * 3)
    yield of("least_transfers", (2, 3, 4), ["9000"] * 3, ["9000"] * 2)


def suspicious_locations() -> Iterator[Boundary]:
    params = {"least_reports": 2, "risky_share": 0.05, "least_history": 20}

    def risky(param: str, values: tuple[object, object, object], at: tuple[int, int], miss: tuple[int, int]) -> Boundary:
        sold = [
            {"merchant_id": name, "place": f"{name}, AT", "reports": reports, "transactions": transactions}
            for name, (reports, transactions) in zip(BOTH, (at, miss), strict=True)
        ]
        paid = [transaction(name, merchant_city=name) for name in BOTH]
        return Boundary("suspicious_locations", param, values, {"merchant_profiles": sold, "transactions": paid}, params)

    yield risky("least_reports", (1, 2, 3), (2, 4), (1, 2))
    yield risky("risky_share", (0.0487, 0.05, 0.0501), (2, 40), (2, 41))
    known = [
        {"customer_id": name, "merchant_country": "AT", "transactions": count}
        for name, count in zip(BOTH, (20, 19), strict=True)
    ]
    abroad = pair("10", "10", merchant_city="Paris", merchant_country="FR")
    tables = {"customer_countries": known, "transactions": abroad}
    yield Boundary("suspicious_locations", "least_history", (19, 20, 21), tables, params)


def unusual_transaction() -> Iterator[Boundary]:
    params = {"deviations": 6, "steady_deviations": 3, "steady_spread": 0, "times_maximum": 2, "least_history": 10}
    tables = {"customer_profiles": profiles(), "transactions": pair("250.00", "249.75")}
    yield Boundary("unusual_transaction", "deviations", (5.99, 6, 6.01), tables, params)
    wide = profiles(amount_deviation=D(1000), amount_max=D(200))
    tables = {"customer_profiles": wide, "transactions": pair("400.00", "398.00")}
    yield Boundary("unusual_transaction", "times_maximum", (1.99, 2, 2.01), tables, params)
    tables = {"customer_profiles": profiles({"transactions": 10}, {"transactions": 9}), "transactions": pair("900", "900")}
    yield Boundary("unusual_transaction", "least_history", (9, 10, 11), tables, params)
    steady = {**params, "deviations": 100, "steady_spread": 0.75, "times_maximum": 1000}
    tables = {"customer_profiles": profiles(), "transactions": pair("175.00", "174.75")}
    yield Boundary("unusual_transaction", "steady_deviations", (2.99, 3, 3.01), tables, steady)
    spreads = profiles({"amount_deviation": D("75.00")}, {"amount_deviation": D("75.01")})
    tables = {"customer_profiles": spreads, "transactions": pair("400.00", "400.00")}
    yield Boundary("unusual_transaction", "steady_spread", (0.7501, 0.75, 0.7499), tables, steady)
    tables = {"customer_profiles": profiles(amount_deviation=D(0)), "transactions": pair("175.00", "174.75")}
    yield Boundary("unusual_transaction", "least_spread", (0.2495, 0.25, 0.2505), tables, steady)


def velocity() -> Iterator[Boundary]:
    params = {"most_in_10_minutes": 4, "most_in_an_hour": 15, "most_in_a_day": 30}
    tables = {"transactions": rows(["10"] * 5, ["10"] * 4)}
    yield Boundary("velocity", "most_in_10_minutes", (3, 4, 5), tables, params)
    tables = {"transactions": rows(["10"] * 16, ["10"] * 15, every=239)}
    yield Boundary("velocity", "most_in_an_hour", (14, 15, 16), tables, params)
    tables = {"transactions": rows(["10"] * 31, ["10"] * 30, every=1400)}
    yield Boundary("velocity", "most_in_a_day", (29, 30, 31), tables, params)


BUILDERS = [
    card_testing, dormant_account, high_risk_activity, high_value, impossible_travel, new_account_activity, pass_through,
    rapid_follow_up, repeated_anomalies, risky_merchant, structuring, suspicious_locations, unusual_transaction, velocity,
]  # fmt: skip


def of_new_rules() -> Iterator[Boundary]:
    """`BOUNDARIES` of the test files of single rules in tests/rules."""
    for module in pkgutil.iter_modules([str(Path(tests.__file__ or "").parent / "rules")], "tests.rules."):
        yield from getattr(import_module(module.name), "BOUNDARIES", [])


BOUNDARIES = [*(boundary for build in BUILDERS for boundary in build()), *of_new_rules()]


def test_every_param_of_every_rule_has_a_boundary() -> None:
    declared = {(rule.name, param) for rule in read_rule_book().rules.values() for param in rule.file.meta.params}
    assert declared == {(boundary.rule, boundary.param) for boundary in BOUNDARIES}
    assert len(declared) == len(BOUNDARIES)


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=lambda boundary: f"{boundary.rule}-{boundary.param}")
def test_a_param_is_the_boundary_between_hit_and_near_miss(boundary: Boundary, lake: EmbeddedWarehouse) -> None:
    assert boundary.found(lake) == MOVES
