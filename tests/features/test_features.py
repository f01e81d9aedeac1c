"""Feature tables against plain Python over random rows, and at the bounds of their history."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fraud_assets.detection.rule_book import RuleBook, read_rule_book
from fraud_assets.engine.engine import Engine
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, SPAN, compute, fill, transaction

D = Decimal
Row = dict[str, Any]

FIRST = dt.date(2026, 1, 30)  # the days span the end of a month
DAYS = [FIRST + dt.timedelta(days=n) for n in range(5)]
EMPTY_DAY = DAYS[2]
WEEK = Span.days(DAYS[0], DAYS[-1])
DEVIATIONS, LEAST_HISTORY = 1, 2


def days_before(number: int) -> str:
    return (DAY - dt.timedelta(days=number)).isoformat()


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> RuleBook:
    """The features of the package, with thresholds for anomalies low enough for a few random rows."""
    overrides = tmp_path_factory.mktemp("overrides") / "rules.yaml"
    overrides.write_text(f"customer_daily_anomalies: {{params: {{deviations: {DEVIATIONS}, least_history: {LEAST_HISTORY}}}}}")
    return read_rule_book(overrides=overrides)


@pytest.fixture(scope="module")
def engine(book: RuleBook) -> Engine:
    return Engine(RuleBook({}, book.features))


# --- random rows, and the results in plain Python -------------------------------------------------------------------


def _random_transactions() -> list[Row]:
    draw = random.Random(7)
    rows = []
    for number in range(220):
        day = draw.choice([day for day in DAYS if day != EMPTY_DAY])
        midnight = dt.datetime.combine(day, dt.time.min)
        seconds = draw.choice([0, 86_399.999999, draw.uniform(0, 86_399)])
        rows.append(
            transaction(
                f"t{number}",
                draw.choice(["c1", "c2", "c3"]),
                D(draw.choice([0, 1, 10**14 // 7, draw.randrange(10**6)])).scaleb(-2),
                event_time=midnight + dt.timedelta(seconds=seconds),
                currency=draw.choice(["EUR", "JPY", None]),
                merchant_id=draw.choice(["m1", "m2", "m3"]),
                merchant_city=draw.choice(["Graz", None]),
                merchant_country=draw.choice(["AT", "DE", None]),
                transaction_type=draw.choice(["purchase", "withdrawal", "transfer_out", "transfer_in", "refund", None]),
                status=draw.choice(["approved", "declined", "pending", "reversed", None]),
            )
        )
    return rows


def _random_reports() -> list[Row]:
    draw = random.Random(8)
    return [
        {
            "report_id": f"r{number}",
            "customer_id": draw.choice(["c1", "c2", "c3"]),
            "merchant_id": draw.choice(["m1", "m2", "m4", None]),
            "reported_at": dt.datetime.combine(draw.choice(DAYS), dt.time(draw.randrange(24))),
            # some are reported before the day on which they happen, and some name no transaction
            "transaction_id": f"t{number}" if number % 5 else None,
        }
        for number in range(30)
    ]


def _random_decisions() -> list[Row]:
    draw = random.Random(9)
    return [
        {
            "decision_id": f"d{number}",
            "case_id": "1",
            # some are reported, too, and some are decided several times
            "transaction_id": (name := f"t{draw.randrange(60)}"),
            "customer_id": next(row["customer_id"] for row in TRANSACTIONS if row["transaction_id"] == name),
            "decision": draw.choice(["fraud", "fraud", "honest", "undecided"]),
            "decided_by": "ann",
            "decided_at": (at := dt.datetime.combine(draw.choice(DAYS), dt.time(draw.randrange(24)))),
            "number": number,
            "ds": at.date().isoformat(),
        }
        for number in range(90)
    ]


TRANSACTIONS, REPORTS = _random_transactions(), _random_reports()
DECISIONS = _random_decisions()
SCORES: list[Row] = [
    {"customer_id": c, "score": s, "ds": d.isoformat()} for d in DAYS for c, s in (("c1", 499), ("c2", 500), ("c4", 300))
]


def _ds(row: Row) -> str:
    return row["event_time"].date().isoformat()


def _place(row: Row) -> str:
    city, country = row["merchant_city"], row["merchant_country"]
    return f"{city}, {country}" if city and country else country or row["merchant_id"]


def spending() -> list[Row]:
    return [
        row
        for row in TRANSACTIONS
        if row["status"] not in ("declined", "reversed")
        and row["transaction_type"] not in ("transfer_in", "transfer_out", "refund")
    ]


def python_customer_daily_activity() -> list[Row]:
    groups: dict[Any, list[Decimal]] = defaultdict(list)
    for row in spending():
        groups[row["customer_id"], row["currency"], row["merchant_country"], _ds(row)].append(row["amount"])
    return [
        {
            "customer_id": customer,
            "currency": currency,
            "merchant_country": country,
            "transactions": len(amounts),
            "amount_sum": sum(amounts),
            "amount_square_sum": sum(a * a for a in amounts),
            "amount_max": max(amounts),
            "ds": ds,
        }
        for (customer, currency, country, ds), amounts in groups.items()
    ]


def python_customer_countries() -> list[Row]:
    counts: dict[Any, int] = defaultdict(int)
    for day in DAYS:
        for row in spending():
            if _ds(row) < day.isoformat() and row["merchant_country"]:
                counts[row["customer_id"], row["merchant_country"], day.isoformat()] += 1
    return [{"customer_id": c, "merchant_country": m, "transactions": n, "ds": ds} for (c, m, ds), n in counts.items()]


def python_merchant_daily_activity() -> list[Row]:
    groups: dict[Any, list[str]] = defaultdict(list)
    for row in TRANSACTIONS:
        groups[row["merchant_id"], _place(row), _ds(row)].append(row["customer_id"])
    return [
        {"merchant_id": m, "place": place, "transactions": len(c), "customers": len(set(c)), "ds": ds}
        | {"merchant_key": m, "place_key": place.lower()}
        for (m, place, ds), c in groups.items()
    ]


def last_decisions(until: str) -> dict[str, Row]:
    """The last decision of each transaction, of those made on a day or before it."""
    made = sorted(DECISIONS, key=lambda row: (row["decided_at"], row["number"]))
    return {row["transaction_id"]: row for row in made if row["ds"] <= until}


def reports_known(day: str) -> list[tuple[str, str, str]]:
    """Customer, merchant and day of what counts as a report when a day begins: reports not cleared, frauds not reported."""
    decided = last_decisions((dt.date.fromisoformat(day) - dt.timedelta(days=1)).isoformat())
    cleared = {name for name, row in decided.items() if row["decision"] == "honest"}
    made = [r for r in REPORTS if r["reported_at"].date().isoformat() < day]
    found = [
        (r["customer_id"], r["merchant_id"], r["reported_at"].date().isoformat())
        for r in made
        if r["transaction_id"] not in cleared
    ]
    bought = {row["transaction_id"]: row for row in TRANSACTIONS}
    for name, row in decided.items():
        if row["decision"] == "fraud" and name not in {r["transaction_id"] for r in made}:
            known = _ds(bought[name]) <= row["ds"]
            found.append((row["customer_id"], bought[name]["merchant_id"] if known else None, row["ds"]))
    return found


def python_merchant_profiles() -> list[Row]:
    rows = []
    for day in map(dt.date.isoformat, DAYS):
        sales = [row for row in TRANSACTIONS if _ds(row) < day]
        known = [(merchant, ds) for _, merchant, ds in reports_known(day) if merchant]
        reports = [merchant for merchant, _ in known]
        day_before = (dt.date.fromisoformat(day) - dt.timedelta(days=1)).isoformat()
        yesterday = [merchant for merchant, ds in known if ds == day_before]
        for merchant in {row["merchant_id"] for row in sales} | set(reports):
            own = [row for row in sales if row["merchant_id"] == merchant]
            rows.append(
                {
                    "merchant_id": merchant,
                    "place": max(map(_place, own), default=None),
                    "transactions": len(own),
                    "reports": reports.count(merchant),
                    "reports_7": reports.count(merchant),
                    "reports_1": yesterday.count(merchant),
                    "merchant_key": merchant,
                    "place_key": max(map(_place, own)).lower() if own else None,
                    "ds": day,
                }
            )
    return rows


def python_high_risk_customers() -> list[Row]:
    rows = []
    for day in map(dt.date.isoformat, DAYS):
        for customer in ("c1", "c2", "c3", "c4"):
            score = next((s["score"] for s in SCORES if s["ds"] == day and s["customer_id"] == customer), None)
            reports = sum(each == customer for each, _, _ in reports_known(day))
            low, many = score is not None and score < 500, reports > 3
            if low or many:
                reason = f"Credit score {score} is under 500" if low else ""
                if many:
                    reason += (", and " if low else "") + f"{reports} fraud reports are more than 3"
                rows.append(
                    {"customer_id": customer, "credit_score": score, "fraud_reports": reports, "reason": reason, "ds": day}
                )
    return rows


def python_labels() -> list[Row]:
    known = {row["transaction_id"]: row for row in TRANSACTIONS}
    rows = []
    for report in REPORTS:
        if report["transaction_id"]:
            ds = report["reported_at"].date().isoformat()
            found = known[report["transaction_id"]] if _ds(known[report["transaction_id"]]) <= ds else {}
            rows.append(
                {
                    "transaction_id": report["transaction_id"],
                    "is_fraud": True,
                    "known_at": report["reported_at"],
                    "origin": "fraud report",
                    "customer_id": found.get("customer_id", report["customer_id"]),
                    "merchant_key": found.get("merchant_id", report["merchant_id"]),
                    "event_time": found.get("event_time"),
                    "amount": found.get("amount"),
                    "currency": found.get("currency"),
                    "ds": ds,
                }
            )
    for day in map(dt.date.isoformat, DAYS):
        before = last_decisions((dt.date.fromisoformat(day) - dt.timedelta(days=1)).isoformat())
        for name, row in last_decisions(day).items():
            was = before[name]["decision"] if name in before else "undecided"
            if row["ds"] == day and (row["decision"] != "undecided" or was != "undecided"):
                found = known[name] if _ds(known[name]) <= day else {}
                rows.append(
                    {
                        "transaction_id": name,
                        "is_fraud": {"fraud": True, "honest": False, "undecided": None}[row["decision"]],
                        "known_at": row["decided_at"],
                        "origin": "decision",
                        "customer_id": row["customer_id"],
                        "merchant_key": found.get("merchant_id"),
                        "event_time": found.get("event_time"),
                        "amount": found.get("amount"),
                        "currency": found.get("currency"),
                        "ds": day,
                    }
                )
    return rows


def python_decided_transactions() -> list[Row]:
    rows = []
    bought = {row["transaction_id"]: row for row in TRANSACTIONS}
    for day in map(dt.date.isoformat, DAYS):
        reported = {r["transaction_id"] for r in REPORTS if r["reported_at"].date().isoformat() < day}
        for name, row in last_decisions((dt.date.fromisoformat(day) - dt.timedelta(days=1)).isoformat()).items():
            if row["decision"] != "undecided":
                rows.append(
                    {
                        "transaction_id": name,
                        "customer_id": row["customer_id"],
                        "merchant_key": bought[name]["merchant_id"] if _ds(bought[name]) <= row["ds"] else None,
                        "is_fraud": row["decision"] == "fraud",
                        "is_reported": name in reported,
                        "decided_on": row["ds"],
                        "ds": day,
                    }
                )
    return rows


PYTHON = {
    "labels": python_labels,
    "decided_transactions": python_decided_transactions,
    "customer_daily_activity": python_customer_daily_activity,
    "customer_countries": python_customer_countries,
    "merchant_daily_activity": python_merchant_daily_activity,
    "merchant_profiles": python_merchant_profiles,
    "high_risk_customers": python_high_risk_customers,
}


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: sorted((name, str(value)) for name, value in row.items()))


def filled(lake: EmbeddedWarehouse) -> EmbeddedWarehouse:
    fill(lake, "transactions", TRANSACTIONS, WEEK)
    fill(lake, "fraud_reports", REPORTS, WEEK)
    fill(lake, "credit_scores", SCORES, WEEK)
    fill(lake, "decisions", DECISIONS, WEEK)
    return lake


def features(engine: Engine) -> list[str]:
    return engine.upstream_features


@pytest.fixture(scope="module")
def at_once(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Row]]:
    """All feature tables of the five days, computed as one range."""
    lake = filled(EmbeddedWarehouse(tmp_path_factory.mktemp("at_once")))
    return {name: in_order(compute(engine, lake, name, WEEK)) for name in features(engine)}


@pytest.mark.parametrize("name", PYTHON)
def test_a_feature_table_is_what_plain_python_computes(name: str, at_once: dict[str, list[Row]]) -> None:
    assert at_once[name] == in_order(PYTHON[name]())
    assert at_once[name]


def test_customer_profiles_are_what_plain_python_computes(at_once: dict[str, list[Row]]) -> None:
    amounts: dict[Any, list[Decimal]] = defaultdict(list)
    for day in map(dt.date.isoformat, DAYS):
        for row in spending():
            if _ds(row) < day:
                amounts[row["customer_id"], row["currency"], day].append(row["amount"])
    profiles = {(row["customer_id"], row["currency"], row["ds"]): row for row in at_once["customer_profiles"]}
    assert profiles.keys() == amounts.keys()
    assert len(profiles) == len(at_once["customer_profiles"])
    for key, values in amounts.items():
        row, n = profiles[key], len(values)
        assert row["transactions"] == n
        assert row["amount_sum"] == sum(values)
        assert row["amount_square_sum"] == sum(v * v for v in values)
        assert row["amount_max"] == max(values)
        mean = sum(values, D(0)) / n
        deviation = (sum(((v - mean) ** 2 for v in values), D(0)) / n).sqrt()
        # exact to the cent, apart from the last digits of a DOUBLE for amounts of 10¹²
        assert abs(row["amount_mean"] - mean) <= D("0.005") + abs(mean) * D("1e-14")
        assert abs(row["amount_deviation"] - deviation) <= D("0.005") + mean * D("1e-7")


def test_anomalies_are_what_plain_python_computes(at_once: dict[str, list[Row]]) -> None:
    profiles = {(row["customer_id"], row["currency"], row["ds"]): row for row in at_once["customer_profiles"]}
    counts: dict[Any, int] = defaultdict(int)
    for row in spending():
        key = (row["customer_id"], row["currency"], _ds(row))
        usual = profiles.get(key)
        if usual and usual["transactions"] >= LEAST_HISTORY:
            tenth = D(math.floor(float(usual["amount_mean"]) * 0.1 * 100 + 0.5)) / 100
            deviation = max(usual["amount_deviation"], tenth, D("0.01"))
            counts[key] += row["amount"] >= usual["amount_mean"] + DEVIATIONS * deviation
    by_day = {key: count for key, count in counts.items() if count}
    assert by_day
    daily = {(row["customer_id"], row["currency"], row["ds"]): row["anomalies"] for row in at_once["customer_daily_anomalies"]}
    assert daily == by_day
    before: dict[Any, int] = defaultdict(int)
    for (customer, currency, ds), count in by_day.items():
        for day in map(dt.date.isoformat, DAYS):
            if ds < day:
                before[customer, currency, day] += count
    profiled = {(row["customer_id"], row["currency"], row["ds"]): row for row in at_once["customer_anomalies"]}
    assert {key: (row["anomalies"], row["anomalies_7"]) for key, row in profiled.items()} == {
        key: (count, count) for key, count in before.items()
    }


def test_a_range_of_days_is_the_same_as_day_by_day(
    engine: Engine, at_once: dict[str, list[Row]], lake: EmbeddedWarehouse
) -> None:
    filled(lake)
    for day in DAYS:
        for name in features(engine):
            compute(engine, lake, name, Span.days(day, day))
    assert {name: in_order(lake.read(f"fintech.{name}").to_pylist()) for name in features(engine)} == at_once


def test_computing_twice_changes_nothing(engine: Engine, at_once: dict[str, list[Row]], lake: EmbeddedWarehouse) -> None:
    filled(lake)
    for name in [*features(engine), *features(engine)]:
        assert in_order(compute(engine, lake, name, WEEK)) == at_once[name]


def test_a_day_without_rows_has_profiles_and_no_activity(at_once: dict[str, list[Row]]) -> None:
    empty, after = EMPTY_DAY.isoformat(), DAYS[3].isoformat()
    # once a week, or no row where there is nothing to say
    sparse = {"customer_amounts", "customer_outliers", "merchant_reports"}
    for name, rows in at_once.items():
        if name in sparse:
            continue
        assert any(row["ds"] == empty for row in rows) == ("_daily_" not in name), name

    def profiles(ds: str) -> list[Row]:
        return [{**row, "ds": None} for row in at_once["customer_profiles"] if row["ds"] == ds]

    assert profiles(empty) == profiles(after)


def test_the_first_day_has_no_profiles(at_once: dict[str, list[Row]]) -> None:
    first = FIRST.isoformat()
    for name in ("customer_profiles", "customer_countries", "merchant_profiles"):
        assert not [row for row in at_once[name] if row["ds"] == first]


# --- bounds of the history -----------------------------------------------------------------------------------------------


def activity(number: int, amount: int, **changes: Any) -> Row:
    return {
        "customer_id": "c1",
        "currency": "EUR",
        "merchant_country": "AT",
        "transactions": 1,
        "amount_sum": D(amount),
        "amount_square_sum": D(amount * amount),
        "amount_max": D(amount),
        "ds": days_before(number),
        **changes,
    }


@pytest.mark.parametrize(("history_days", "seen"), [(90, [1, 2, 89, 90]), (2, [1, 2]), (1, [1])])
def test_a_customer_profile_sees_the_days_before_and_no_others(
    lake: EmbeddedWarehouse, tmp_path: Path, history_days: int, seen: list[int]
) -> None:
    overrides = tmp_path / "rules.yaml"
    params = f"{{params: {{history_days: {history_days}}}}}"
    overrides.write_text(f"customer_profiles: {params}\ncustomer_countries: {params}")
    (tmp_path / "none").mkdir()
    engine = Engine(read_rule_book(tmp_path / "none", overrides=overrides))
    everything = [0, 1, 2, 89, 90, 91, 365]
    rows = [activity(n, 2**i) for i, n in enumerate(everything)]
    fill(
        lake, "customer_daily_activity", [*rows, activity(-1, 10**6)], Span.days(DAY - dt.timedelta(365), DAY + dt.timedelta(1))
    )
    expected = [2**i for i, n in enumerate(everything) if n in seen]
    [row] = compute(engine, lake, "customer_profiles")
    assert (row["amount_sum"], row["transactions"]) == (sum(expected), len(expected))
    assert (row["first_day"], row["last_day"]) == (days_before(max(seen)), days_before(min(seen)))
    assert [row["transactions"] for row in compute(engine, lake, "customer_countries")] == [len(expected)]


def test_a_profile_keeps_currencies_apart_and_joins_countries(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = [
        activity(1, 10),
        activity(1, 30, merchant_country="DE"),
        activity(2, 20, merchant_country=None),
        activity(1, 5000, currency="JPY"),
        activity(1, 7, currency=None),
        activity(1, 9, customer_id="c2"),
    ]
    fill(lake, "customer_daily_activity", rows, Span.days(DAY - dt.timedelta(days=2), DAY))
    found = {(r["customer_id"], r["currency"]): r for r in compute(engine, lake, "customer_profiles")}
    assert {key: (r["transactions"], r["amount_sum"], r["amount_max"]) for key, r in found.items()} == {
        ("c1", "EUR"): (3, 60, 30),
        ("c1", "JPY"): (1, 5000, 5000),
        ("c1", None): (1, 7, 7),
        ("c2", "EUR"): (1, 9, 9),
    }
    euro = found["c1", "EUR"]
    # 10, 20, 30: √(200/3) = 8.1649…
    assert (euro["amount_mean"], euro["amount_deviation"]) == (D("20.00"), D("8.16"))
    assert found["c1", "JPY"]["amount_deviation"] == 0
    countries = {
        (r["customer_id"], r["merchant_country"]): r["transactions"] for r in compute(engine, lake, "customer_countries")
    }
    assert countries == {("c1", "AT"): 3, ("c1", "DE"): 1, ("c2", "AT"): 1}


def test_a_merchant_profile_sees_28_days_before_the_day_and_the_last_of_them(engine: Engine, lake: EmbeddedWarehouse) -> None:
    sold = [
        {"merchant_id": "m1", "place": "Graz, AT", "transactions": 10**i, "customers": 1, "ds": days_before(n)}
        for i, n in enumerate([0, 1, 28, 29])
    ]
    reports = [
        {"report_id": f"r{n}", "customer_id": "c1", "merchant_id": merchant, "reported_at": at}
        for n, (merchant, at) in enumerate(
            [
                ("m1", dt.datetime(2026, 1, 5, 0, 0)),
                ("m1", dt.datetime(2026, 1, 4, 23, 59, 59)),
                ("m1", dt.datetime(2026, 1, 4, 0, 0)),
                ("m1", dt.datetime(2026, 1, 3, 23, 59, 59)),
                ("m1", dt.datetime(2025, 12, 29, 0, 0)),
                ("m1", dt.datetime(2025, 12, 28, 23, 59, 59)),
                ("m1", dt.datetime(2025, 12, 8, 0, 0)),
                ("m1", dt.datetime(2025, 12, 7, 23, 59, 59)),
                ("m2", dt.datetime(2026, 1, 4)),
                (None, dt.datetime(2026, 1, 4)),
            ]
        )
    ]
    past = Span.days(DAY - dt.timedelta(days=40), DAY)
    fill(lake, "merchant_daily_activity", sold, past)
    fill(lake, "fraud_reports", reports, past)
    found = {
        r["merchant_id"]: (r["place"], r["transactions"], r["reports"], r["reports_7"], r["reports_1"])
        for r in compute(engine, lake, "merchant_profiles")
    }
    assert found == {"m1": ("Graz, AT", 110, 6, 4, 2), "m2": (None, 0, 1, 1, 1)}


def test_spellings_of_a_merchant_and_its_place_are_one(engine: Engine, lake: EmbeddedWarehouse) -> None:
    """Also days of earlier releases, which have no keys: there, blanks at the ends and letter case are ignored."""
    keys = {"merchant_key": "m-0042", "place_key": "são paulo, br"}
    rows = [
        transaction("a", "c1", merchant_id="M-0042", merchant_city="São Paulo", merchant_country="BR", **keys),
        transaction("b", "c2", merchant_id="m-0042 ", merchant_city="Sa\u0303o Paulo", merchant_country="BR", **keys),
        transaction("c", "c2", merchant_id="M-0042 ", merchant_city="SÃO PAULO", merchant_country="BR"),
        transaction("d", "c1", merchant_id="m-0042", merchant_city=None, merchant_country=None, merchant_key="m-0042"),
        transaction("e", "c1", merchant_id="M-0042", merchant_city=None, merchant_country=None),
    ]
    fill(lake, "transactions", rows)
    found = {
        row["place_key"]: (row["merchant_key"], row["transactions"], row["customers"], row["merchant_id"], row["place"])
        for row in compute(engine, lake, "merchant_daily_activity")
    }
    assert found == {
        "são paulo, br": ("m-0042", 3, 2, "m-0042 ", "São Paulo, BR"),
        "m-0042": ("m-0042", 2, 1, "m-0042", "m-0042"),
    }
    past = Span.days(DAY - dt.timedelta(days=2), DAY)
    sold = [
        {"merchant_id": "M-0042", "place": "Graz, AT", "transactions": 1, "customers": 1, "ds": days_before(2)},
        {"merchant_id": "m-0042 ", "place": "GRAZ, AT", "transactions": 2, "customers": 1, "ds": days_before(2)},
        {"merchant_id": "m-0042", "place": "Graz, AT", "transactions": 4, "customers": 1, "ds": days_before(1)}
        | {"merchant_key": "m-0042", "place_key": "graz, at"},
    ]
    reports = [
        {"report_id": "r1", "merchant_id": " m-0042", "reported_at": dt.datetime(2026, 1, 4, 9)},
        {"report_id": "r2", "merchant_id": "M\u20110042", "merchant_key": "m-0042", "reported_at": dt.datetime(2026, 1, 4, 9)},
    ]
    fill(lake, "merchant_daily_activity", sold, past)
    fill(lake, "fraud_reports", reports, past)
    (row,) = compute(engine, lake, "merchant_profiles")
    assert (row["merchant_key"], row["place_key"], row["transactions"], row["reports"]) == ("m-0042", "graz, at", 7, 2)


def test_a_report_counts_from_the_day_after_it_became_known(engine: Engine, lake: EmbeddedWarehouse) -> None:
    reported = dt.datetime(2026, 1, 2, 9)
    past = Span.days(DAY - dt.timedelta(days=3), DAY)
    known = {
        "old": None,
        "in time": reported,
        "on the day before": dt.datetime(2026, 1, 4, 23, 59, 59, 999_999),
        "on the day": dt.datetime(2026, 1, 5),
    }
    reports = [
        {"report_id": f"{name} {n}", "customer_id": name, "merchant_id": name, "reported_at": reported, "known_at": at}
        for name, at in known.items()
        for n in range(4)
    ]
    fill(lake, "fraud_reports", reports, past)
    fill(lake, "merchant_daily_activity", [], past)
    fill(lake, "credit_scores", [], past)
    counted = {"old": 4, "in time": 4, "on the day before": 4}
    profiles = compute(engine, lake, "merchant_profiles")
    assert {row["merchant_id"]: row["reports"] for row in profiles} == counted
    assert {row["merchant_id"]: row["reports_7"] for row in profiles} == counted, "windows go by the day of the report"
    assert {row["customer_id"]: row["fraud_reports"] for row in compute(engine, lake, "high_risk_customers")} == counted


def test_customers_at_high_risk(engine: Engine, lake: EmbeddedWarehouse) -> None:
    made = {
        "three": [1, 2, 90],
        "four": [1, 2, 89, 90],
        "too old": [1, 2, 3, 91],
        "today": [0, 1, 2, 3],
        "low and four": [1] * 4,
    }
    reports = [
        {
            "report_id": f"{customer}{n}",
            "customer_id": customer,
            "reported_at": dt.datetime(2026, 1, 5) - dt.timedelta(days=ago),
        }
        for customer, agos in made.items()
        for n, ago in enumerate(agos)
    ]
    scores = {"low": 499, "fair": 500, "three": 850, "low and four": 300, "four": 500}
    past = Span.days(DAY - dt.timedelta(days=91), DAY)
    fill(lake, "fraud_reports", reports, past)
    fill(
        lake,
        "credit_scores",
        [
            *({"customer_id": c, "score": s, "ds": DAY.isoformat()} for c, s in scores.items()),
            {"customer_id": "was low", "score": 300, "ds": days_before(1)},
        ],
        past,
    )
    found = {
        r["customer_id"]: (r["credit_score"], r["fraud_reports"], r["reason"])
        for r in compute(engine, lake, "high_risk_customers")
    }
    assert found == {
        "low": (499, 0, "Credit score 499 is under 500"),
        "four": (500, 4, "4 fraud reports are more than 3"),
        "low and four": (300, 4, "Credit score 300 is under 500, and 4 fraud reports are more than 3"),
    }


def test_a_part_of_a_day_computes_whole_days(engine: Engine) -> None:
    part = Span(SPAN.start + dt.timedelta(hours=10), SPAN.start + dt.timedelta(hours=11))
    for name in features(engine):
        assert str(engine.query(name, part)) == str(engine.query(name, SPAN))
