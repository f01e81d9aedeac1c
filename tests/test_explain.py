"""Why a transaction was flagged, or was not: a hit, a clean one, one that nothing could judge, one that is not there."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fraud_assets.engine import Engine
from fraud_assets.errors import TransactionNotFound
from fraud_assets.explain import explain
from fraud_assets.rule_book import read_rule_book
from hive_io import EmbeddedWarehouse
from tests.fraud_fixtures import all_tables, compute, fill, transaction


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
    assert found.high_risk == "Credit score 400 is under 500"
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
    assert (found.alert, found.high_risk) == (None, None)
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
