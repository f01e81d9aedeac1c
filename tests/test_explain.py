"""Why a transaction was flagged, or was not: a hit, a clean one, one that nothing could judge, one that is not there."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from fraud_assets.engine import Engine
from fraud_assets.errors import TransactionNotFound
from fraud_assets.explain import Explanation, explain
from fraud_assets.rule_book import read_rule_book
from fraud_assets.show_explanation import explanation, explanation_json
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, NOON, all_tables, compute, fill, profile, transaction


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
    assert verdicts.pop("velocity") == ("clean", {"in_10_minutes": 2, "in_an_hour": 2})
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


def _text(found: Explanation, width: int) -> str:
    out = io.StringIO()
    explanation(Console(file=out, width=width), found)
    return out.getvalue()
