"""Why a transaction was flagged, or was not: a hit, a clean one, one that nothing could judge, one that is not there."""

from __future__ import annotations

import datetime as dt
import io
import json
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from fraud_assets.engine import Engine
from fraud_assets.errors import TransactionNotFound
from fraud_assets.explain import Explanation, Verdict, explain
from fraud_assets.rule_book import RULES_FOLDER, read_rule_book
from fraud_assets.show_explanation import explanation, explanation_json
from hive_io import EmbeddedWarehouse, HistoryGone, Span, as_of
from tests.fraud_fixtures import DAY, NOON, all_tables, book_with, compute, fill, profile, transaction


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(read_rule_book())


@pytest.fixture
def computed(engine: Engine, lake: EmbeddedWarehouse) -> EmbeddedWarehouse:
    """A day with a high value of a customer at high risk, a clean one, and one of no currency that anybody knows."""
    all_tables(lake, engine.book)
    fill(
        lake,
        "transactions",
        [
            transaction("high", "risky", "2500.00"),
            transaction("clean", "calm", "5.00"),
            transaction("o'dd \\", "calm", "5.00", currency="XXX", merchant_city=None, merchant_country=None),
        ],
    )
    fill(
        lake, "high_risk_customers", [{"customer_id": "risky", "credit_score": 400, "reason": "Credit score 400 is under 500"}]
    )
    for rule in engine.book.evaluated:
        compute(engine, lake, rule.name)
    compute(engine, lake, "fraud_alerts")
    return lake


def test_a_hit_is_explained_with_reason_evidence_and_alert(engine: Engine, computed: EmbeddedWarehouse) -> None:
    found = explain(engine, computed, "high")
    assert found.transaction["amount"] == Decimal("2500.00")
    assert found.alert is not None
    assert found.alert["rules"] == ["high_value"]
    assert found.alert["score"] == pytest.approx(1 - 0.8 * 0.7)
    assert found.customer.high_risk == "Credit score 400 is under 500"
    assert found.score is not None
    uplift, high_value = found.score.factors
    assert (uplift.rule, uplift.weight, uplift.reason) == (None, 0.2, "Credit score 400 is under 500")
    assert (high_value.rule, high_value.weight) == ("high_value", 0.3)
    assert high_value.version == high_value.in_force == engine.book.rules["high_value"].version
    assert found.score.computed == found.score.stored == found.alert["score"], "to the last digit"
    verdicts = {verdict.rule: verdict for verdict in found.verdicts}
    assert list(verdicts) == [rule.name for rule in engine.book.evaluated]
    hit = verdicts["high_value"]
    assert (hit.outcome, hit.reason, hit.weight) == ("hit", "2500.00 EUR is over the threshold of 2000.00", 0.3)
    assert hit.version == engine.book.rules["high_value"].version
    assert hit.evidence == {"amount": Decimal("2500.00"), "currency": "EUR", "threshold": Decimal("2000.00")}
    others = {name: verdict.outcome for name, verdict in verdicts.items() if name != "high_value"}
    assert others.pop("velocity") == "clean", "it needs nothing but transactions"
    assert others == dict.fromkeys(engine.book.rules.keys() - {"high_value", "velocity"}, "not judged")


def test_a_clean_transaction_has_no_alert_and_its_evidence(engine: Engine, computed: EmbeddedWarehouse) -> None:
    found = explain(engine, computed, "clean")
    assert (found.alert, found.score, found.customer.high_risk) == (None, None, None)
    verdict = next(verdict for verdict in found.verdicts if verdict.rule == "high_value")
    assert (verdict.outcome, verdict.reason, verdict.weight, verdict.version) == (
        "clean",
        None,
        None,
        engine.book.rules["high_value"].version,
    )
    assert verdict.evidence == {"amount": Decimal("5.00"), "currency": "EUR", "threshold": Decimal("2000.00")}


def test_what_a_rule_could_not_judge_is_not_clean(engine: Engine, computed: EmbeddedWarehouse) -> None:
    found = explain(engine, computed, "o'dd \\")
    assert found.transaction["currency"] == "XXX"
    verdicts = {verdict.rule: (verdict.outcome, verdict.evidence) for verdict in found.verdicts}
    assert verdicts.pop("velocity") == ("clean", {"in_10_minutes": 2, "in_an_hour": 2, "in_a_day": 2})
    assert verdicts == dict.fromkeys(engine.book.rules.keys() - {"velocity"}, ("not judged", {}))


def test_an_unknown_transaction_is_an_error_that_says_what_to_do(engine: Engine, computed: EmbeddedWarehouse) -> None:
    for name in ("nosuch", "", "' OR '1' = '1"):
        with pytest.raises(TransactionNotFound) as error:
            explain(engine, computed, name)
        assert str(error.value) == (
            f"There is no transaction {name} in the warehouse; `fraud alerts` lists some, `fraud run` loads days"
        )


def test_an_empty_warehouse_has_no_transaction(engine: Engine, lake: EmbeddedWarehouse) -> None:
    with pytest.raises(TransactionNotFound, match="There is no transaction t in the warehouse"):
        explain(engine, lake, "t")


def test_a_transaction_that_was_loaded_and_not_judged_yet_is_explained(engine: Engine, lake: EmbeddedWarehouse) -> None:
    fill(lake, "transactions", [transaction("t", amount="2500.00")])
    found = explain(engine, lake, "t")
    assert found.alert is None
    outcomes = {verdict.rule: verdict.outcome for verdict in found.verdicts}
    assert outcomes.pop("high_value") == "would hit now", "never called clean: the rule has not run on it"
    assert outcomes.pop("velocity") == "clean", "the table of its hits is missing: a hit would be one now"
    assert outcomes == dict.fromkeys(engine.book.rules.keys() - {"high_value", "velocity"}, "not judged")


def test_a_score_of_hits_that_are_gone_is_not_made_up(engine: Engine, computed: EmbeddedWarehouse) -> None:
    fill(computed, engine.tables["high_value"], [])
    found = explain(engine, computed, "high")
    assert found.score is not None
    assert [(factor.rule, factor.weight) for factor in found.score.factors] == [(None, 0.2), ("high_value", None)]
    assert found.score.stored == pytest.approx(0.44)
    assert found.score.computed is None
    assert "Hits of these rules are gone since the alert was made" in _text(found, 160)


def test_an_alert_of_another_version_names_both(tmp_path: Path, engine: Engine, computed: EmbeddedWarehouse) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("high_value: {weight: 0.35}\n", encoding="utf-8")
    newer = Engine(read_rule_book(overrides=rules))
    old, new = engine.book.rules["high_value"].version, newer.book.rules["high_value"].version
    found = explain(newer, computed, "high")
    verdict = next(verdict for verdict in found.verdicts if verdict.rule == "high_value")
    assert (verdict.version, verdict.in_force, verdict.weight) == (old, new, 0.3)
    assert old != new and f"high_value (version {old}; in force is {new})" in _text(found, 160)
    rules.write_text("high_value: {status: retired}\n", encoding="utf-8")
    said = _text(explain(Engine(read_rule_book(overrides=rules)), computed, "high"), 160)
    assert f"high_value (version {old}; the rule is not in force any more)" in said


def test_the_customer_is_told_without_personal_data(engine: Engine, lake: EmbeddedWarehouse) -> None:
    all_tables(lake, engine.book)
    times = [NOON - dt.timedelta(hours=hour) for hour in range(13)]
    spent = [transaction(f"t{n:02}", "c", f"{n}.50", event_time=time) for n, time in enumerate(times)]
    others = [transaction("other", "d"), transaction("same time", "c"), transaction("at once", "c")]
    fill(lake, "transactions", [*spent, *others], Span.days(DAY - dt.timedelta(days=1), DAY))
    personal = {"customer_id": "c", "name": "Zoë Zabel", "email": "z@example.org", "date_of_birth": "1990-12-31"}
    fill(lake, "customers", [personal])
    fill(lake, "credit_scores", [{"customer_id": "c", "score": 640}, {"customer_id": "d", "score": 300}])
    fill(lake, "customer_profiles", [profile("c"), profile("c", currency=None), profile("d", amount_mean=Decimal(7))])
    fill(lake, "fraud_alerts", [{"transaction_id": "t03", "customer_id": "c", "event_time": times[3]}])
    found = explain(engine, lake, "t00")
    customer = found.customer
    assert (customer.customer_id, customer.credit_score, customer.high_risk) == ("c", 640, None)
    assert [(row["currency"], row["amount_mean"]) for row in customer.profiles] == [(None, Decimal(100)), ("EUR", Decimal(100))]
    # of those at the same time, the ids before this one; of the others, the latest
    assert [row["transaction_id"] for row in customer.before] == [
        "same time", "at once", *(f"t{n:02}" for n in range(1, 9)),
    ]  # fmt: skip
    assert customer.before[4] == {
        "transaction_id": "t03",
        "event_time": times[3],
        "amount": Decimal("3.50"),
        "currency": "EUR",
        "merchant_id": "m1",
        "merchant_country": "AT",
        "status": "approved",
        "flagged": True,
    }
    assert [row["flagged"] for row in customer.before].count(True) == 1
    for said in (_text(found, 160), explanation_json(found)):
        assert not [value for value in ("Zoë", "Zabel", "example.org", "1990") if value in said]


def test_json_says_the_same_as_the_text(engine: Engine, computed: EmbeddedWarehouse) -> None:
    said = json.loads(explanation_json(explain(engine, computed, "high")))
    assert said["transaction"]["amount"] == "2500.00"
    assert said["transaction"]["event_time"] == "2026-01-05T12:00:00Z"
    assert said["score"]["computed"] == said["score"]["stored"] == said["alert"]["score"]
    assert [verdict["rule"] for verdict in said["verdicts"]] == list(engine.book.rules)


@pytest.mark.parametrize("width", [80, 160])
def test_the_text_fits_a_terminal(engine: Engine, computed: EmbeddedWarehouse, width: int) -> None:
    said = _text(explain(engine, computed, "high"), width)
    assert max(map(len, said.splitlines())) <= width
    assert "score 0.440" in said
    assert "0.440 = 1 − 0.800 × 0.700" in said


# --- how far from a hit, and why not judged ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Explanation]:
    """A day on which every rule can judge one of two transactions, and hits neither; both explained."""
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


@pytest.mark.parametrize("rule", [path.stem for path in sorted(RULES_FOLDER.glob("*.sql"))])
def test_every_rule_says_how_far_from_it_or_why_it_did_not_judge(full: Mapping[str, Explanation], rule: str) -> None:
    found = [_verdict_of(each, rule) for each in full.values()]
    assert "clean" in {verdict.outcome for verdict in found}
    for verdict in found:
        if verdict.outcome == "clean":
            assert verdict.condition is not None and verdict.condition.holds is False
            assert not verdict.left_out
        else:
            assert verdict.outcome == "not judged"
            assert verdict.condition is None
            assert verdict.left_out and all(verdict.left_out)


@pytest.mark.parametrize(
    ("rule", "name", "said"),
    [
        ("high_value", "paid", "amount 120.00 > thresholds 2000.00: no (by 1880.00)"),
        ("blacklisted_merchants", "paid", "blacklist has a row on 2026-01-05 with merchant_id m1: no"),
        (
            "unusual_transaction",
            "paid",
            "((amount_deviation 25.00 ≤ amount_mean 100.00 × steady_spread 0.75 = 75.00: yes "
            "and deviations_above 0.80 ≥ far 3: no (by 2.20)) "
            "or (deviations_above 0.80 ≥ deviations 7: no (by 6.20) and share_of_maximum 0.63 > 1: no (by 0.37)) "
            "or share_of_maximum 0.63 ≥ times_maximum 2: no (by 1.37))",
        ),
        (
            "new_account_activity",
            "paid",
            "(days_open 10 < new_for_days 7: no (by 3) and together 510.00 > thresholds 400.00: yes)",
        ),
        (
            "dormant_account",
            "paid",
            "(quiet 4 ≥ quiet_days 45: no (by 41) and amount 120.00 ≥ mean 100.00 × times_mean 2 = 200.00: no (by 80.00))",
        ),
        (
            "structuring",
            "sent",
            "((amount 300.00 < limits 10000.00: yes and amount 300.00 ≥ limits 10000.00 × least_share 0.8 = 8000.00: no "
            "(by 7700.00)) and transfers 0 ≥ least_transfers 3: no (by 3))",
        ),
    ],
)
def test_each_comparison_has_the_values_of_both_sides(full: Mapping[str, Explanation], rule: str, name: str, said: str) -> None:
    assert str(_verdict_of(full[name], rule).condition) == said


def test_what_was_not_judged_says_what_left_it_out(engine: Engine, computed: EmbeddedWarehouse) -> None:
    found = explain(engine, computed, "o'dd \\")
    profiles = "(what each customer usually paid when the day began)"
    for rule, said in {
        "high_value": "thresholds has no amount for currency XXX",
        "blacklisted_merchants": "blacklist has no row on 2026-01-05 (blacklisted merchants as known when the day began)",
        "rapid_follow_up": f"customer_profiles has no row on 2026-01-05 with customer_id calm, currency XXX {profiles}",
        "pass_through": "least_amounts has no amount for currency XXX",
        "impossible_travel": "left out by: merchant_latitude is given: no",
    }.items():
        assert _verdict_of(found, rule).left_out[0] == said


def test_a_condition_that_left_a_transaction_out_is_named_with_its_value(full: Mapping[str, Explanation]) -> None:
    wanted = "left out by: transaction_type transfer_out not among transfer_in, transfer_out, refund: no"
    found = full["sent"]
    assert _verdict_of(found, "unusual_transaction").left_out == [wanted]
    assert wanted in " ".join(_text(found, 160).split())


def test_a_table_that_is_not_there_is_named(engine: Engine, lake: EmbeddedWarehouse) -> None:
    fill(lake, "transactions", [transaction("t")])
    found = explain(engine, lake, "t")
    assert _verdict_of(found, "blacklisted_merchants").left_out == ["there is no table blacklist yet"]


def test_a_rule_that_cannot_be_taken_apart_shows_what_it_looked_at(tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    select = (
        "SELECT DISTINCT t.transaction_id, t.customer_id, t.event_time, t.amount > 100 AS hit, t.amount FROM transactions t"
    )
    told = "-- title: N\n-- description: N\n-- blind_spot: N\n-- severity: low\n-- weight: 0.1\n-- source: N\n"
    text = f"{told}-- reason: '{{amount}}'\n{select}\n"
    engine = Engine(book_with(tmp_path, {"odd.sql": text}))
    all_tables(lake, engine.book)
    fill(lake, "transactions", [transaction("t", amount="12.00")])
    found = explain(engine, lake, "t")
    [verdict] = found.verdicts
    assert (verdict.outcome, verdict.condition, verdict.evidence) == ("clean", None, {"amount": Decimal("12.00")})
    assert "amount 12.00" in _text(found, 80)


# --- as it was --------------------------------------------------------------------------------------------------------


def test_an_explanation_as_of_a_moment_is_the_one_of_that_moment(engine: Engine, computed: EmbeddedWarehouse) -> None:
    then = _text(explain(engine, computed, "high"), 160)
    time.sleep(0.005)
    moment = dt.datetime.now(dt.UTC)
    time.sleep(0.005)
    fill(computed, "high_risk_customers", [])
    fill(computed, "credit_scores", [{"customer_id": "risky", "score": 820}])
    fill(computed, "transactions", [transaction("high", "risky", "2600.00"), transaction("new", "risky")])
    compute(engine, computed, "high_value")
    compute(engine, computed, "fraud_alerts")
    today = _text(explain(engine, computed, "high"), 160)
    assert "2,600.00 EUR" in today and "credit score 820, not at high risk" in today
    assert _text(explain(engine, as_of(computed, moment), "high"), 160) == then
    with pytest.raises(TransactionNotFound):
        explain(engine, as_of(computed, moment), "new")


def test_what_is_not_kept_is_never_explained_with_todays_rows(engine: Engine, computed: EmbeddedWarehouse) -> None:
    time.sleep(0.005)
    moment = dt.datetime.now(dt.UTC)
    time.sleep(0.005)
    fill(computed, "high_risk_customers", [])
    computed.clean("fintech.high_risk_customers", dt.timedelta(0))
    with pytest.raises(HistoryGone, match=r"fintech\.high_risk_customers is no longer kept .*: it is kept since 20"):
        explain(engine, as_of(computed, moment), "high")


def _verdict_of(found: Explanation, rule: str) -> Verdict:
    return next(verdict for verdict in found.verdicts if verdict.rule == rule)


def _text(found: Explanation, width: int) -> str:
    out = io.StringIO()
    explanation(Console(file=out, width=width), found)
    return out.getvalue()
