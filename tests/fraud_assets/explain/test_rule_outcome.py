"""The outcome of each rule: a hit, no hit and how far from one, or not judged and the filter that dropped the transaction."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fraud_assets.cli.explanation import explanation
from fraud_assets.detection.rule_book import RULES_FOLDER, read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.explain.comparisons import Condition
from fraud_assets.explain.explain import Explanation, explain
from fraud_assets.explain.rule_outcome import RuleOutcome
from hive_io import EmbeddedWarehouse
from tests.fraud_fixtures import NOON, all_tables, book_with, compute, fill, profile, transaction

RULES = [path.stem for path in sorted(RULES_FOLDER.glob("*.sql"))]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(read_rule_book())


@pytest.fixture(scope="module")
def full(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Explanation]:
    """Explanations of two transactions; every rule judges at least one of them, and hits neither."""
    lake = all_tables(EmbeddedWarehouse(tmp_path_factory.mktemp("full") / "lake"), engine.book)
    place = {"merchant_latitude": 47.07, "merchant_longitude": 15.44, "channel": "pos"}
    before = NOON - dt.timedelta(hours=1)
    rows = [
        transaction("before", "c", "90.00", event_time=before, **place),
        transaction("paid", "c", "120.00", **place),
        transaction("sent", "c", "300.00", transaction_type="transfer_out"),
    ]
    fill(lake, "transactions", rows)
    fill(lake, "customers", [{"customer_id": "c", "opened_at": dt.datetime(2025, 12, 26)}])
    fill(lake, "blacklist", [{"merchant_id": "m2"}])
    fill(lake, "customer_profiles", [profile("c", last_day="2026-01-01")])
    fill(lake, "customer_countries", [{"customer_id": "c", "merchant_country": "AT", "transactions": 10}])
    profiles = [{"merchant_id": "m1", "place": "Graz, AT", "transactions": 100, "reports": 1, "reports_7": 1, "reports_1": 0}]
    fill(lake, "merchant_profiles", profiles)
    for rule in engine.book.evaluated:
        compute(engine, lake, rule.name)
    compute(engine, lake, "fraud_alerts")
    return {name: explain(engine, lake, name) for name in ("paid", "sent")}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_condition_or_a_reason_for_not_judging(full: Mapping[str, Explanation], rule: str) -> None:
    results = [outcome_of(each, rule) for each in full.values()]
    assert "not hit" in {result.outcome for result in results}
    for result in results:
        if result.outcome == "not hit":
            assert result.condition is not None and result.condition.holds is False
            assert not result.why
        else:
            assert result.outcome == "not judged"
            assert result.condition is None
            assert result.why and all(result.why)


@pytest.mark.parametrize(
    ("rule", "name", "condition"),
    [
        ("high_value", "paid", "amount 120.00 > thresholds 2000.00: no, by 1880.00"),
        ("blacklisted_merchants", "paid", "blacklist has a row on 2026-01-05 with merchant_id m1: no"),
        (
            "unusual_transaction",
            "paid",
            "((amount_deviation 25.00 ≤ amount_mean 100.00 × steady_spread 0.75 = 75.00: yes and "
            "deviations_above 0.80 ≥ far 3: no, by 2.20) or (deviations_above 0.80 ≥ deviations 7: no, by 6.20 and "
            "share_of_maximum 0.63 > 1: no, by 0.37) "
            "or share_of_maximum 0.63 ≥ times_maximum 2: no, by 1.37)",
        ),
        (
            "new_account_activity",
            "paid",
            "(days_open 10 < new_for_days 7: no, by 3 and together 510.00 > thresholds 400.00: yes)",
        ),
        (
            "dormant_account",
            "paid",
            "(quiet 4 ≥ quiet_days 45: no, by 41 and (amount 120.00 ≥ mean 100.00 × times_mean 2 = 200.00: no, by 80.00 "
            "or (mean is not given: no and amount 120.00 ≥ least_amounts 200.00: no, by 80.00)))",
        ),
        (
            "structuring",
            "sent",
            "(amount 300.00 < limits 10000.00: yes and amount 300.00 ≥ limits 10000.00 × least_share 0.8 = 8000.00: no, "
            "by 7700.00 and transfers 0 ≥ least_transfers 3: no, by 3)",
        ),
    ],
)
def test_each_comparison_has_the_values_of_both_sides(
    full: Mapping[str, Explanation], rule: str, name: str, condition: str
) -> None:
    assert str(outcome_of(full[name], rule).condition) == condition


def test_a_rule_that_did_not_judge_names_what_it_lacked(engine: Engine, lake: EmbeddedWarehouse) -> None:
    all_tables(lake, engine.book)
    fill(lake, "transactions", [transaction("t", "calm", currency="XXX"), transaction("euro", "calm")])
    fill(lake, "customer_profiles", [profile("else")])
    found = explain(engine, lake, "t")
    described = engine.tables["customer_profiles"].description.partition(":")[0].partition(";")[0].rstrip(".")[1:]
    for rule, facts in {
        "high_value": ["thresholds has no amount for currency XXX"],
        "blacklisted_merchants": ["blacklist_loads and blacklist have no row on 2026-01-05", "have no rows at all"],
        "rapid_follow_up": ["customer_profiles has no row on 2026-01-05 with customer_id calm, currency XXX", described],
        "pass_through": ["transaction_type purchase among transfer_in, transfer_out"],
        "impossible_travel": ["merchant_latitude is given"],
    }.items():
        reason = outcome_of(found, rule).why[0]
        assert not [fact for fact in facts if fact not in reason], reason
    assert "at all" not in outcome_of(found, "rapid_follow_up").why[0], "another customer has a profile for that day"


def test_a_condition_that_dropped_the_transaction_is_named_with_its_value(full: Mapping[str, Explanation]) -> None:
    [reason] = outcome_of(full["sent"], "unusual_transaction").why
    assert "transaction_type transfer_out not among transfer_in, transfer_out, refund" in reason


def test_a_rule_that_cannot_be_probed_shows_its_evidence(tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    select = (
        "SELECT DISTINCT t.transaction_id, t.customer_id, t.event_time, t.amount > 100 AS hit, t.amount FROM transactions t"
    )
    text = (
        "-- title: N\n-- description: N\n-- blind_spot: N\n-- severity: low\n-- weight: 0.1\n"
        f"-- reason: '{{amount}}'\n-- source: N\n{select}\n"
    )
    engine = Engine(book_with(tmp_path, {"odd.sql": text}))
    all_tables(lake, engine.book)
    fill(lake, "transactions", [transaction("t", amount="12.00")])
    found = explain(engine, lake, "t")
    [result] = found.verdicts
    assert (result.outcome, result.condition, result.evidence) == ("not hit", None, {"amount": Decimal("12.00")})
    out = io.StringIO()
    explanation(Console(file=out, width=80), found)
    assert "    amount 12.00" in out.getvalue()


# --- hits ---------------------------------------------------------------------------------------------------------------


def _patterns() -> list[dict[str, Any]]:
    """For each rule, a customer with its name, whose last transaction has the same name and completes the pattern."""
    graz = {"merchant_latitude": 47.07, "merchant_longitude": 15.44, "channel": "pos"}
    lima = {"merchant_latitude": -12.05, "merchant_longitude": -77.04, "channel": "pos"}
    out: dict[str, Any] = {"transaction_type": "transfer_out"}
    steps: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "blacklisted_merchants": [("10.00", {"merchant_id": "m2"})],
        "card_testing": [("1.00", {})] * 3 + [("350.00", {})],
        "dormant_account": [("250.00", {})],
        "high_risk_activity": [("450.00", {})],
        "high_value": [("2500.00", {})],
        "impossible_travel": [("10.00", graz), ("10.00", lima)],
        "new_account_activity": [("500.00", {})],
        "pass_through": [("600.00", {"transaction_type": "transfer_in"}), ("600.00", out)],
        "rapid_follow_up": [("350.00", {}), ("350.00", {})],
        "repeated_anomalies": [("180.00", {})] * 3,
        "risky_merchant": [("10.00", {"merchant_id": "m3"})],
        "structuring": [("9000.00", out)] * 3,
        "suspicious_locations": [("10.00", {"merchant_city": "Riskville"})],
        "unusual_transaction": [("400.00", {})],
        "velocity": [("10.00", {})] * 9,
    }
    rows = []
    for rule, made in steps.items():
        for number, (amount, more) in enumerate(reversed(made)):
            time = NOON - dt.timedelta(minutes=number)
            rows.append(transaction(f"{rule} {number}" if number else rule, rule, amount, event_time=time, **more))
    return rows


@pytest.fixture(scope="module")
def hits(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedWarehouse:
    """A day on which each rule hits the transaction with its name."""
    lake = all_tables(EmbeddedWarehouse(tmp_path_factory.mktemp("hits") / "lake"), engine.book)
    fill(lake, "transactions", _patterns())
    opened = {"new_account_activity": dt.datetime(2026, 1, 3)}
    fill(lake, "customers", [{"customer_id": rule, "opened_at": opened.get(rule, dt.datetime(2020, 1, 1))} for rule in RULES])
    fill(lake, "blacklist", [{"merchant_id": "m2", "listed_because": "B", "listed_at": dt.datetime(2026, 1, 1)}])
    used = {"dormant_account": "2025-11-01"}
    fill(lake, "customer_profiles", [profile(rule, last_day=used.get(rule, "2026-01-04")) for rule in RULES])
    fill(lake, "high_risk_customers", [{"customer_id": "high_risk_activity", "reason": "R"}])
    risky = [
        {"merchant_id": "m3", "place": "Linz, AT", "transactions": 100, "reports": 30, "reports_7": 20, "reports_1": 5},
        {"merchant_id": "m4", "place": "Riskville, AT", "transactions": 100, "reports": 40, "reports_7": 20, "reports_1": 5},
    ]
    fill(lake, "merchant_profiles", risky)
    for rule in engine.book.evaluated:
        compute(engine, lake, rule.name)
    compute(engine, lake, "fraud_alerts")
    return lake


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_a_hit_of_each_rule_has_reason_condition_and_params(engine: Engine, hits: EmbeddedWarehouse, rule: str) -> None:
    found = explain(engine, hits, rule)
    result = outcome_of(found, rule)
    assert (result.outcome, result.notes, result.why) == ("hit", [], [])
    assert result.reason and result.weight and result.version == engine.book.rules[rule].version
    assert result.params == engine.book.rules[rule].file.values
    assert result.condition is not None and result.condition.holds is True
    assert found.score is not None and rule in {factor.rule for factor in found.score.factors}
    assert found.score.result == found.score.stored
    for each in found.verdicts:
        assert (each.condition is None) == (each.outcome == "not judged") == bool(each.why), each.rule
        if each.condition:
            assert _evaluated(each.condition) is (each.outcome == "hit"), each.rule


def _evaluated(condition: Condition) -> bool:
    """The condition evaluated here from its comparisons; an unknown comparison is no hit."""
    if condition.how is None:
        return condition.holds is True
    parts = [_evaluated(part) for part in condition.parts]
    return all(parts) if condition.how == "all" else any(parts)


def outcome_of(found: Explanation, rule: str) -> RuleOutcome:
    return next(result for result in found.verdicts if result.rule == rule)
