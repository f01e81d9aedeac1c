"""Explanations of a hit, of a transaction without one, of one that no rule could judge, and of one that does not exist."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from fraud_assets.cli.explanation import explanation, explanation_json
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.errors import TransactionNotFound
from fraud_assets.explain.comparisons import said
from fraud_assets.explain.explain import LATEST, Explanation, explain
from fraud_assets.explain.rule_outcome import RuleOutcome
from fraud_assets.schemas.detection import ALERT_THRESHOLDS
from hive_io import EmbeddedWarehouse, HistoryGone, Span
from tests.fraud_fixtures import DAY, NOON, all_tables, compute, fill, profile, transaction
from tests.hive_io_fixtures import pause


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(read_rule_book())


@pytest.fixture(scope="module")
def day(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day with a high value of a high-risk customer, a transaction without a hit, and one in an unknown currency."""
    lake = EmbeddedWarehouse(tmp_path_factory.mktemp("day") / "lake")
    all_tables(lake, engine.book)
    fill(
        lake,
        "transactions",
        [
            transaction("high", "risky", "2500.00"),
            transaction("not hit", "calm", "5.00"),
            transaction("o'dd \\", "calm", "5.00", currency="XXX", merchant_city=None, merchant_country=None),
        ],
    )
    fill(
        lake, "high_risk_customers", [{"customer_id": "risky", "credit_score": 400, "reason": "Credit score 400 is under 500"}]
    )
    recompute(engine, lake)
    return lake.root


@pytest.fixture
def computed(day: Path, tmp_path: Path) -> EmbeddedWarehouse:
    """A copy of the day's warehouse."""
    shutil.copytree(day, tmp_path / "lake")
    return EmbeddedWarehouse(tmp_path / "lake")


def recompute(engine: Engine, lake: EmbeddedWarehouse) -> None:
    for table in ("high_value", "unusual_transaction", "fraud_alerts"):
        compute(engine, lake, table)


def test_a_hit_is_explained_with_reason_evidence_and_alert(engine: Engine, computed: EmbeddedWarehouse) -> None:
    found = explain(engine, computed, "high")
    assert found.transaction["amount"] == Decimal("2500.00")
    assert found.alert is not None
    assert found.alert["rules"] == ["high_value"]
    assert found.alert["score"] == pytest.approx(1 - 0.8 * 0.7)
    assert found.customer.high_risk == "Credit score 400 is under 500"
    assert found.score is not None
    uplift, high_value = found.score.factors
    assert (uplift.rule, uplift.weight, uplift.factor) == (None, 0.2, 0.8)
    assert (high_value.rule, high_value.weight, high_value.factor, high_value.note) == ("high_value", 0.3, 0.7, None)
    assert found.score.result == found.score.stored == found.alert["score"], "to the last digit"
    results = {result.rule: result for result in found.verdicts}
    assert list(results) == [rule.name for rule in engine.book.evaluated]
    hit = results["high_value"]
    assert (hit.outcome, hit.reason, hit.weight) == ("hit", "2500.00 EUR is over the threshold of 2000.00", 0.3)
    assert hit.version == engine.book.rules["high_value"].version
    assert hit.evidence == {"amount": Decimal("2500.00"), "currency": "EUR", "threshold": Decimal("2000.00")}
    assert str(hit.condition) == "amount 2500.00 > thresholds 2000.00: yes"
    assert (hit.why, hit.notes, hit.params["thresholds"]["EUR"]) == ([], [], Decimal(2000))
    others = {name: result.outcome for name, result in results.items() if name != "high_value"}
    assert others.pop("velocity") == "not hit", "it reads only transactions"
    assert others == dict.fromkeys(engine.book.rules.keys() - {"high_value", "velocity"}, "not judged")


def test_what_is_no_hit_has_no_alert_and_says_how_far_it_is_from_one(engine: Engine, computed: EmbeddedWarehouse) -> None:
    found = explain(engine, computed, "not hit")
    assert (found.alert, found.score, found.customer.high_risk) == (None, None, None)
    result = outcome_of(found, "high_value")
    version = engine.book.rules["high_value"].version
    assert (result.outcome, result.reason, result.weight, result.version) == ("not hit", None, None, version)
    assert result.evidence == {"amount": Decimal("5.00"), "currency": "EUR", "threshold": Decimal("2000.00")}
    assert str(result.condition) == "amount 5.00 > thresholds 2000.00: no, by 1995.00"


def test_what_a_rule_could_not_judge_is_not_clean(engine: Engine, computed: EmbeddedWarehouse) -> None:
    found = explain(engine, computed, "o'dd \\")
    assert found.transaction["currency"] == "XXX"
    results = {result.rule: (result.outcome, result.evidence) for result in found.verdicts}
    assert results.pop("velocity") == ("not hit", {"in_10_minutes": 2, "in_an_hour": 2, "in_a_day": 2})
    assert results == dict.fromkeys(engine.book.rules.keys() - {"velocity"}, ("not judged", {}))


def test_an_unknown_transaction_is_an_error_that_says_what_to_do(engine: Engine, computed: EmbeddedWarehouse) -> None:
    for name in ("nosuch", "", "' OR '1' = '1"):
        with pytest.raises(TransactionNotFound) as error:
            explain(engine, computed, name)
        assert f"transaction {name} " in str(error.value)
        assert "`fraud alerts`" in str(error.value) and "`fraud run`" in str(error.value)


def test_an_empty_warehouse_has_no_transaction(engine: Engine, lake: EmbeddedWarehouse) -> None:
    with pytest.raises(TransactionNotFound, match=r"transaction t .*`fraud run`"):
        explain(engine, lake, "t")


def test_a_transaction_that_was_loaded_and_not_judged_yet_is_explained(engine: Engine, lake: EmbeddedWarehouse) -> None:
    fill(lake, "transactions", [transaction("t", amount="2500.00")])
    found = explain(engine, lake, "t")
    assert found.alert is None
    outcomes = {result.rule: result.outcome for result in found.verdicts}
    assert outcomes.pop("high_value") == "would hit now", "the rule has not run on it"
    assert outcomes.pop("velocity") == "not hit", "the table of its hits is missing, but it would not hit now"
    assert outcomes == dict.fromkeys(engine.book.rules.keys() - {"high_value", "velocity"}, "not judged")


def test_a_missing_table_is_the_reason(engine: Engine, lake: EmbeddedWarehouse) -> None:
    fill(lake, "transactions", [transaction("t", amount="2500.00")])
    [reason] = outcome_of(explain(engine, lake, "t"), "unusual_transaction").why
    assert "table customer_profiles" in reason


@pytest.mark.slow
def test_a_column_that_a_table_has_not_gained_yet_is_unknown(engine: Engine, lake: EmbeddedWarehouse) -> None:
    """A warehouse that an older version wrote, before the first run of this one."""
    older = {"merchant_profiles": "reports_", "transactions": "channel"}
    described = {name: engine.tables[name] for name in older}
    then = {
        name: replace(table, columns=tuple(each for each in table.columns if not each.name.startswith(older[name])))
        for name, table in described.items()
    }
    assert all(len(then[name].columns) < len(table.columns) for name, table in described.items())
    for table in engine.tables.values():
        lake.ensure_table(then.get(table.name, table))
    fill(lake, then["merchant_profiles"], [{"merchant_id": "m1", "place": "Graz, AT", "transactions": 100, "reports": 1}])
    fill(lake, then["transactions"], [transaction("t")])
    found = explain(engine, lake, "t")
    assert found.transaction["channel"] is None
    result = outcome_of(found, "risky_merchant")
    assert (result.outcome, result.evidence["reports_7"], result.evidence["sales"]) == ("not hit", None, 100)
    assert f"reports_7 {said(None)} ≥ least_reports 2: {said(None)}" in str(result.condition)
    moment = pause()
    all_tables(lake, engine.book)
    assert explanation_json(explain(engine, lake, "t")) == explanation_json(found), "as if the columns existed and were NULL"
    assert explanation_json(explain(engine, lake, "t", moment)) == explanation_json(found)


def test_a_score_of_deleted_hits_is_not_recomputed(engine: Engine, computed: EmbeddedWarehouse) -> None:
    fill(computed, engine.tables["high_value"], [])
    found = explain(engine, computed, "high")
    assert found.score is not None
    assert [(factor.rule, factor.weight) for factor in found.score.factors] == [(None, 0.2), ("high_value", None)]
    assert found.score.stored == pytest.approx(0.44)
    assert found.score.result is None
    assert "0.440000" in text(found) and "0.440000 = 1" not in text(found)


def test_a_recomputed_score_is_shown_beside_the_stored_one(engine: Engine, computed: EmbeddedWarehouse) -> None:
    fill(computed, "high_risk_customers", [])
    found = explain(engine, computed, "high")
    assert found.score is not None and found.score.result == pytest.approx(0.3) and found.score.stored == pytest.approx(0.44)
    assert "0.440000" in text(found) and "0.300000 = 1 − 0.7" in text(found)


@pytest.mark.slow
def test_the_factors_multiply_to_the_stored_score(engine: Engine, lake: EmbeddedWarehouse) -> None:
    """To the last digit, for any weights, and at the bounds of the scale."""
    all_tables(lake, engine.book)
    rules = [rule.name for rule in engine.book.alerting]
    weights = {"a": [0.1, 0.2, 0.3, 0.7], "b": [0.123456789, 1 / 3, 0.99], "c": [0.99] * len(rules), "d": [0.01]}
    fill(lake, "transactions", [transaction(name, customer) for name in weights for customer in [name]])
    fill(lake, "high_risk_customers", [{"customer_id": name, "reason": "R"} for name in ("b", "c")])
    for number, rule in enumerate(rules):
        hit = {"event_time": NOON, "rule": rule, "rule_version": "v", "severity": "low", "reason": "R", "evidence": "{}"}
        hits = [
            {**hit, "transaction_id": name, "customer_id": name, "weight": each[number]}
            for name, each in weights.items()
            if number < len(each)
        ]
        fill(lake, engine.tables[rule], hits)
    compute(engine, lake, "fraud_alerts")
    for name in weights:
        score = explain(engine, lake, name).score
        assert score is not None and score.result == score.stored, name
    assert score is not None and score.stored == pytest.approx(0.01)


@pytest.mark.slow
def test_an_alert_of_another_version_names_both(tmp_path: Path, engine: Engine, computed: EmbeddedWarehouse) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("high_value: {params: {thresholds: {EUR: 3000}}}\n", encoding="utf-8")
    newer = Engine(read_rule_book(overrides=rules))
    old, new = engine.book.rules["high_value"].version, newer.book.rules["high_value"].version
    found = explain(newer, computed, "high")
    result = outcome_of(found, "high_value")
    assert (result.outcome, result.version, result.weight) == ("hit", old, 0.3)
    changed, now = result.notes
    assert old != new and old in changed and new in changed
    assert "would not hit now" in now
    assert str(result.condition) == "amount 2500.00 > thresholds 3000.00: no, by 500.00"
    assert found.score is not None and found.score.factors[1].note == changed
    assert text(found, 200).count(changed) == 2, "beside the factor and beside the hit"
    rules.write_text("high_value: {status: retired}\n", encoding="utf-8")
    retired = explain(Engine(read_rule_book(overrides=rules)), computed, "high")
    assert retired.score is not None and retired.score.result == retired.score.stored
    note = retired.score.factors[1].note
    assert note is not None and old in note and "no longer in force" in note and note in text(retired)


def test_a_rule_that_makes_no_alert_says_so(tmp_path: Path, computed: EmbeddedWarehouse) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("high_value: {status: shadow}\n", encoding="utf-8")
    shown = text(explain(Engine(read_rule_book(overrides=rules)), computed, "high"))
    assert re.search(r"^  high_value  medium, shadow, .*no alert.*, weight 0\.3", shown, re.MULTILINE)


def test_the_customer_is_described_without_personal_data(engine: Engine, lake: EmbeddedWarehouse) -> None:
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
    assert (customer.credit_score, customer.high_risk) == (640, None)
    assert [(row["currency"], row["amount_mean"]) for row in customer.profiles] == [(None, Decimal(100)), ("EUR", Decimal(100))]
    # of those at the same time, the ids before this one; of the others, the latest
    assert [row["transaction_id"] for row in customer.before] == [
        "same time", "at once", *(f"t{n:02}" for n in range(1, 9)),
    ]  # fmt: skip
    fourth = customer.before[4]
    assert (fourth["transaction_id"], fourth["amount"], fourth["merchant_country"], fourth["status"], fourth["flagged"]) == (
        "t03", Decimal("3.50"), "AT", "approved", True,
    )  # fmt: skip
    assert [row["flagged"] for row in customer.before].count(True) == 1
    for output in (text(found), explanation_json(found)):
        assert not [value for value in ("Zoë", "Zabel", "example.org", "1990") if value in output]


def test_the_transactions_before_it_may_be_long_ago(engine: Engine, lake: EmbeddedWarehouse) -> None:
    ages = [0, 1, 8, 89, 200]
    rows = [transaction(f"{age} days", event_time=NOON - dt.timedelta(days=age)) for age in ages]
    fill(lake, "transactions", rows, Span.days(DAY - dt.timedelta(days=200), DAY))
    before = explain(engine, lake, "0 days").customer.before
    assert [row["transaction_id"] for row in before] == [f"{age} days" for age in ages[1:]]
    assert [row["flagged"] for row in before] == [False] * 4
    assert explain(engine, lake, "200 days").customer.before == []


def test_json_has_the_same_facts_as_the_text(engine: Engine, computed: EmbeddedWarehouse) -> None:
    found = json.loads(explanation_json(explain(engine, computed, "high")))
    assert found["transaction"]["amount"] == "2500.00"
    assert found["transaction"]["event_time"] == "2026-01-05T12:00:00Z"
    assert found["score"]["result"] == found["score"]["stored"] == found["alert"]["score"]
    assert [result["rule"] for result in found["verdicts"]] == list(engine.book.rules)
    result = next(result for result in found["verdicts"] if result["rule"] == "high_value")
    assert result["params"]["thresholds"]["(currency not named)"] == "2000"
    assert result["condition"] == {
        "text": "amount 2500.00 > thresholds 2000.00", "holds": True, "off": None, "how": None, "parts": [],
    }  # fmt: skip


def test_a_day_with_a_budget_of_alerts_says_what_score_it_needed(engine: Engine, computed: EmbeddedWarehouse) -> None:
    assert explain(engine, computed, "not hit").threshold is None
    fill(computed, ALERT_THRESHOLDS, [{"score": 0.4, "budget": 10, "days": 14, "reason": "An alert needs a score of 0.400000"}])
    found = explain(engine, computed, "not hit")
    assert found.threshold and found.threshold["score"] == 0.4
    assert "An alert needs a score of 0.400000" in text(found, 160)
    assert json.loads(explanation_json(found))["threshold"]["budget"] == 10


@pytest.mark.parametrize("width", [80, 160])
def test_the_text_fits_a_terminal(engine: Engine, computed: EmbeddedWarehouse, width: int) -> None:
    lines = [line.rstrip() for line in text(explain(engine, computed, "high"), width).splitlines()]
    assert max(map(len, lines)) <= width
    whole = "2,500.00 EUR at m1, Graz, AT; purchase, channel not given, approved; customer risky"
    assert lines[0] == "Transaction high, 2026-01-05 12:00:00 UTC"
    assert lines[1:-1][: 2 if width == 80 else 1] == (whole.rsplit(" ", 1) if width == 80 else [whole])
    flagged = lines.index("Flagged: score 0.440000, severity medium")
    assert lines[flagged + 1 : flagged + 4] == [
        "  0.440000 = 1 − 0.8 × 0.7",
        "    0.8 = 1 − 0.2, customer at high risk",
        "    0.7 = 1 − 0.3, high_value",
    ]
    hit = lines.index("Hit (1)")
    version = engine.book.rules["high_value"].version
    assert lines[hit + 1 : hit + 5] == [
        f"  high_value  medium, weight 0.3, version {version}",
        "    2500.00 EUR is over the threshold of 2000.00",
        "    amount 2500.00 > thresholds 2000.00: yes",
        "    params in force: thresholds 2000 EUR",
    ]


# --- as of an earlier time ----------------------------------------------------------------------------------------------


@pytest.fixture
def earlier_output(engine: Engine, computed: EmbeddedWarehouse) -> dict[str, str]:
    """The explanation of the high value with a profile, before all of its inputs changed."""
    fill(computed, "customer_profiles", [profile("risky")])
    recompute(engine, computed)
    found = explain(engine, computed, "high")
    return {"text": text(found), "json": explanation_json(found)}


def test_a_past_alert_is_explained_as_of_its_time(
    engine: Engine, computed: EmbeddedWarehouse, earlier_output: dict[str, str]
) -> None:
    moment = pause()
    fill(computed, "customer_profiles", [profile("risky", amount_mean=Decimal(2400), amount_max=Decimal(3000))])
    fill(computed, "high_risk_customers", [])
    fill(computed, "credit_scores", [{"customer_id": "risky", "score": 700}])
    earlier = transaction("earlier", "risky", event_time=NOON - dt.timedelta(hours=1))
    fill(computed, "transactions", [transaction("high", "risky", "2600.00"), earlier])
    recompute(engine, computed)
    now = text(explain(engine, computed, "high"))
    assert "2,600.00" in now and "earlier" not in earlier_output["text"] and now != earlier_output["text"]
    then = explain(engine, computed, "high", moment)
    assert text(then) == earlier_output["text"]
    assert explanation_json(then) == earlier_output["json"]
    assert "unusual_transaction  high, weight" in earlier_output["text"], "a hit that depends on the profile"


def test_a_table_whose_history_is_gone_is_named(
    engine: Engine, computed: EmbeddedWarehouse, earlier_output: dict[str, str]
) -> None:
    moment = pause()
    fill(computed, "customer_profiles", [profile("risky", amount_mean=Decimal(2400))])
    computed.vacuum("fintech.customer_profiles", dt.timedelta(0))
    with pytest.raises(HistoryGone, match=r"fintech\.customer_profiles .*20\d\d-.*20\d\d-"):
        explain(engine, computed, "high", moment)
    assert text(explain(engine, computed, "high", pause())) == text(explain(engine, computed, "high"))


def test_days_that_are_not_read_need_no_history(
    engine: Engine, computed: EmbeddedWarehouse, earlier_output: dict[str, str]
) -> None:
    earlier = [transaction(f"{n}", "risky", event_time=NOON - dt.timedelta(hours=n)) for n in range(1, LATEST + 1)]
    next_day = DAY + dt.timedelta(days=1)
    later = [transaction("later", "risky", event_time=NOON + dt.timedelta(days=1))]
    rows = [*computed.read("fintech.transactions").to_pylist(), *earlier, *later]
    fill(computed, "transactions", rows, Span.days(DAY, next_day))
    then = text(explain(engine, computed, "high"))
    moment = pause()
    fill(computed, "transactions", [], Span.days(next_day, next_day))
    computed.vacuum("fintech.transactions", dt.timedelta(0))
    assert text(explain(engine, computed, "high", moment)) == then
    for name in ("later", "nosuch"):  # it may have existed
        with pytest.raises(HistoryGone, match=r"fintech\.transactions .*20\d\d-"):
            explain(engine, computed, name, moment)
    fill(computed, "transactions", [], Span.days(DAY, DAY))
    computed.vacuum("fintech.transactions", dt.timedelta(0))
    with pytest.raises(HistoryGone):
        explain(engine, computed, "high", moment)


def test_before_the_first_load_there_was_no_transaction(engine: Engine, computed: EmbeddedWarehouse) -> None:
    with pytest.raises(TransactionNotFound):
        explain(engine, computed, "high", dt.datetime(2026, 1, 1, tzinfo=dt.UTC))


def outcome_of(found: Explanation, rule: str) -> RuleOutcome:
    return next(result for result in found.verdicts if result.rule == rule)


def text(found: Explanation, width: int = 160) -> str:
    out = io.StringIO()
    explanation(Console(file=out, width=width), found)
    return out.getvalue()
