"""Alerts: the score against plain Python, the order of the lists, and which transactions have an alert."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fraud_assets.defs.consistency_checks import alerts_are_the_active_hits
from fraud_assets.detection.alerts_query import HIGH_RISK_UPLIFT, HIGHEST_SCORE
from fraud_assets.detection.rule import SEVERITIES
from fraud_assets.detection.rule_book import RuleBook, read_rule_book
from fraud_assets.detection.rule_check import orphaned_tables
from fraud_assets.engine.engine import Engine
from fraud_assets.explain.explain import explain
from fraud_assets.schemas.detection import TRANSACTION_SCORES, rule_table
from hive_io import Column, EmbeddedWarehouse, Span, Table
from tests.fraud_fixtures import DAY, NOON, SPAN, all_tables, compute, fill, transaction

RULES = ["blacklisted_merchants", "high_risk_activity", "high_value", "suspicious_locations", "unusual_transaction"]
TOMORROW = DAY + dt.timedelta(days=1)

Hit = tuple[str, float, str]  # rule, weight, severity


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return read_rule_book()


@pytest.fixture(scope="module")
def engine(book: RuleBook) -> Engine:
    return Engine(book)


def hit_rows(
    transaction_id: str, hits: list[Hit], time: dt.datetime = NOON, customer_id: str = "c1"
) -> dict[str, dict[str, Any]]:
    return {
        rule: {
            "transaction_id": transaction_id,
            "customer_id": customer_id,
            "event_time": time,
            "rule": rule,
            "rule_version": f"v-{rule}",
            "severity": severity,
            "weight": weight,
            "reason": f"Because of {rule}",
            "evidence": "{}",
        }
        for rule, weight, severity in hits
    }


def alerts(
    engine: Engine,
    lake: EmbeddedWarehouse,
    hits: dict[str, list[Hit]],
    risky: set[str] = frozenset(),  # type: ignore[assignment]
    span: Span = SPAN,
) -> dict[str, dict[str, Any]]:
    """Alerts by transaction; each transaction belongs to a customer `c-<transaction>`."""
    all_tables(lake, engine.book)
    fill(lake, "transactions", [transaction(t, f"c-{t}", "12.34", currency="SEK", merchant_id=f"m-{t}") for t in hits])
    fill(lake, "high_risk_customers", [{"customer_id": f"c-{t}", "credit_score": 400} for t in risky])
    for rule in RULES:
        rows = [hit_rows(t, h, customer_id=f"c-{t}").get(rule) for t, h in hits.items()]
        fill(lake, rule_table(rule), [row for row in rows if row])
    computed = compute(engine, lake, "fraud_alerts", span)
    found = {row["transaction_id"]: row for row in computed}
    assert len(found) == len(computed)
    return found


def expected_score(hits: list[Hit], risky: bool) -> float:
    clean = 1.0 - HIGH_RISK_UPLIFT if risky else 1.0
    for _, weight, _ in sorted(hits):
        clean *= 1.0 - weight
    return min(1.0 - clean, HIGHEST_SCORE)


def test_score_lists_and_severity_of_random_hits(engine: Engine, lake: EmbeddedWarehouse) -> None:
    draw = random.Random(3)
    hits: dict[str, list[Hit]] = {}
    for number in range(60):
        rules = draw.sample(RULES, draw.randint(0, 5))
        weights = [draw.choice([0.01, 0.3, 0.5, 0.99, draw.random()]) for _ in rules]
        hits[f"t{number}"] = [(r, w, draw.choice(SEVERITIES)) for r, w in zip(rules, weights, strict=True)]
    risky = {t for t in hits if draw.random() < 0.5}
    found = alerts(engine, lake, hits, risky)
    assert found.keys() == {t for t, h in hits.items() if h}
    for name, alert in found.items():
        in_order = [rule for rule, _, _ in sorted(hits[name], key=lambda hit: (-hit[1], hit[0]))]
        assert alert == {
            "transaction_id": name,
            "customer_id": f"c-{name}",
            "event_time": NOON,
            "amount": alert["amount"],
            "currency": "SEK",
            "merchant_id": f"m-{name}",
            "score": expected_score(hits[name], name in risky),
            "severity": max((severity for _, _, severity in hits[name]), key=SEVERITIES.index),
            "rules": in_order,
            "reasons": [f"Because of {rule}" for rule in in_order],
            "rule_versions": [f"v-{rule}" for rule in in_order],
            "points": None,
            "card_version": None,
            "ds": DAY.isoformat(),
        }
        assert str(alert["amount"]) == "12.34"
        assert 0 < alert["score"] < 1


def test_scores_by_hand(engine: Engine, lake: EmbeddedWarehouse) -> None:
    low, half = ("high_value", 0.3, "medium"), ("unusual_transaction", 0.5, "high")
    found = alerts(
        engine,
        lake,
        {"one": [low], "two": [low, half], "risky one": [low], "risky two": [low, half]},
        {"risky one", "risky two"},
    )
    assert {name: round(alert["score"], 12) for name, alert in found.items()} == {
        "one": 0.3,
        "two": 0.65,
        "risky one": 0.44,
        "risky two": 0.72,
    }


def test_the_score_of_the_scorecard_replaces_that_of_the_weights(engine: Engine, lake: EmbeddedWarehouse) -> None:
    all_tables(lake, engine.book)
    scored = {"transaction_id": "one", "customer_id": "c-one", "event_time": NOON, "score": 0.75, "points": 32}
    fill(lake, TRANSACTION_SCORES, [{**scored, "card_version": "v1", "contributions": "{}"}])
    hit = ("high_value", 0.3, "medium")
    found = alerts(engine, lake, {"one": [hit], "not scored": [hit]})
    assert {name: (row["score"], row["points"], row["card_version"]) for name, row in found.items()} == {
        "one": (0.75, 32, "v1"),
        "not scored": (pytest.approx(0.3), None, None),
    }


def scores(**chances: float) -> list[dict[str, Any]]:
    """Rows of `transaction_scores`, by transaction."""
    return [
        {
            "transaction_id": name,
            "customer_id": f"c-{name}",
            "event_time": NOON,
            "score": score,
            "points": 7,
            "card_version": "v1",
            "contributions": '{"base": -60, "amount EUR": 67}',
        }
        for name, score in chances.items()
    ]


def test_a_high_score_raises_an_alert_without_a_hit(book: RuleBook, lake: EmbeddedWarehouse) -> None:
    engine = Engine(replace(book, alert_score=0.3))
    all_tables(lake, engine.book)
    fill(lake, TRANSACTION_SCORES, scores(under=0.299999, at=0.3, high=0.9, hit=0.95))
    found = alerts(engine, lake, {"under": [], "at": [], "high": [], "hit": [("high_value", 0.3, "low")]})
    assert {name: (row["rules"], row["severity"], row["rule_versions"], row["score"]) for name, row in found.items()} == {
        "at": (["scorecard"], "medium", ["v1"], 0.3),
        "high": (["scorecard"], "high", ["v1"], 0.9),
        "hit": (["high_value"], "low", ["v-high_value"], 0.95),
    }
    assert found["at"]["reasons"] == ["No rule hit; the scorecard gives 7 points: base -60, amount EUR 67"]
    assert (found["at"]["amount"], found["at"]["currency"]) == (Decimal("12.34"), "SEK")
    assert not alerts_are_the_active_hits(lake, [book.rules["high_value"].table], SPAN, []).passed
    assert alerts_are_the_active_hits(lake, [book.rules["high_value"].table], SPAN, [], 0.3).passed
    assert not alerts_are_the_active_hits(lake, [book.rules["high_value"].table], SPAN, [], 0.2).passed


@pytest.mark.parametrize(("alert_score", "names"), [(1, {"hit"}), (0.5, {"hit", "t"})])
def test_without_active_rules_only_scores_alert(
    book: RuleBook, lake: EmbeddedWarehouse, alert_score: float, names: set[str]
) -> None:
    engine = Engine(replace(book, alert_score=alert_score))
    all_tables(lake, engine.book)
    fill(lake, TRANSACTION_SCORES, scores(t=0.999999))
    assert alerts(engine, lake, {"t": [], "hit": [("high_value", 0.3, "low")]}).keys() == names
    none_active = Engine(RuleBook({}, book.features, alert_score=alert_score))
    assert {row["transaction_id"] for row in compute(none_active, lake, "fraud_alerts")} == names - {"hit"}


def test_a_score_stays_under_one(engine: Engine, lake: EmbeddedWarehouse) -> None:
    all_of_them: list[Hit] = [(rule, 0.99, "low") for rule in RULES]
    found = alerts(engine, lake, {"all": all_of_them, "three": all_of_them[:3], "two": all_of_them[:2]}, {"all"})
    assert found["all"]["score"] == HIGHEST_SCORE < 1
    assert found["three"]["score"] == HIGHEST_SCORE
    assert found["two"]["score"] == pytest.approx(0.9999)


def test_equal_weights_are_listed_by_name(engine: Engine, lake: EmbeddedWarehouse) -> None:
    [alert] = alerts(engine, lake, {"t": [(rule, 0.5, "low") for rule in reversed(RULES)]}).values()
    assert alert["rules"] == RULES


def test_shadow_and_retired_rules_do_not_alert(book: RuleBook, lake: EmbeddedWarehouse) -> None:
    rules = {
        **book.rules,
        "high_value": replace(book.rules["high_value"], status="shadow"),
        "high_risk_activity": replace(book.rules["high_risk_activity"], status="retired"),
    }
    hits: dict[str, list[Hit]] = {
        "shadow": [("high_value", 0.9, "critical")],
        "retired": [("high_risk_activity", 0.9, "critical")],
        "both": [("high_value", 0.9, "critical"), ("unusual_transaction", 0.5, "low")],
    }
    found = alerts(Engine(RuleBook(rules, book.features)), lake, hits)
    assert {t: (a["rules"], a["severity"], a["score"]) for t, a in found.items()} == {
        "both": (["unusual_transaction"], "low", 0.5)
    }


def test_without_active_rules_there_are_no_alerts_and_old_ones_are_deleted(
    book: RuleBook, engine: Engine, lake: EmbeddedWarehouse
) -> None:
    assert alerts(engine, lake, {"t": [("high_value", 0.3, "low")]}).keys() == {"t"}
    for rules in ({}, {"high_value": replace(book.rules["high_value"], status="shadow")}):
        without_active = Engine(RuleBook(rules, book.features))
        assert compute(without_active, lake, "fraud_alerts") == []
    assert lake.partitions("fintech.fraud_alerts") == {}


def test_one_active_rule_is_enough(book: RuleBook, lake: EmbeddedWarehouse) -> None:
    alone = Engine(RuleBook({"high_value": book.rules["high_value"]}, book.features))
    assert alerts(alone, lake, {"t": [("high_value", 0.3, "low")]})["t"]["score"] == pytest.approx(0.3)


def test_computing_twice_gives_the_same_alerts(engine: Engine, lake: EmbeddedWarehouse) -> None:
    first = alerts(engine, lake, {"t": [(rule, 0.1, "low") for rule in RULES]})
    assert {row["transaction_id"]: row for row in compute(engine, lake, "fraud_alerts")} == first


def test_high_risk_counts_only_on_its_own_day(engine: Engine, lake: EmbeddedWarehouse) -> None:
    alerts(engine, lake, {"t": [("high_value", 0.3, "low")]})
    two_days = Span.days(DAY, TOMORROW)
    fill(lake, "high_risk_customers", [{"customer_id": "c-t", "ds": TOMORROW.isoformat()}], two_days)
    [alert] = compute(engine, lake, "fraud_alerts", two_days)
    assert alert["score"] == pytest.approx(0.3)


def test_an_id_on_two_days_has_an_alert_on_each_in_a_range_and_day_by_day(engine: Engine, lake: EmbeddedWarehouse) -> None:
    all_tables(lake, engine.book)
    two_days = Span.days(DAY, TOMORROW)
    times = [NOON, NOON + dt.timedelta(days=1)]
    fill(lake, "transactions", [transaction("t", event_time=time) for time in times], two_days)
    value: Hit = ("high_value", 0.3, "low")
    fill(lake, rule_table("high_value"), [hit_rows("t", [value], time)["high_value"] for time in times], two_days)
    fill(
        lake,
        rule_table("unusual_transaction"),
        [hit_rows("t", [("unusual_transaction", 0.5, "high")])["unusual_transaction"]],
        two_days,
    )
    one_by_one = [row for day in (DAY, TOMORROW) for row in compute(engine, lake, "fraud_alerts", Span.days(day, day))]
    assert [(row["rules"], row["severity"]) for row in one_by_one] == [
        (["unusual_transaction", "high_value"], "high"),
        (["high_value"], "low"),
    ]
    at_once = compute(engine, lake, "fraud_alerts", two_days)
    assert sorted(at_once, key=lambda row: row["ds"]) == one_by_one


def test_a_part_of_a_day_has_the_alerts_of_that_part(engine: Engine, lake: EmbeddedWarehouse) -> None:
    all_tables(lake, engine.book)
    times = {"early": NOON, "late": NOON + dt.timedelta(hours=1)}
    fill(lake, "transactions", [transaction(t, event_time=time) for t, time in times.items()])
    fill(
        lake, rule_table("high_value"), [hit_rows(t, [("high_value", 0.3, "low")], at)["high_value"] for t, at in times.items()]
    )
    noon = SPAN.start + dt.timedelta(hours=12)
    assert [
        row["transaction_id"] for row in compute(engine, lake, "fraud_alerts", Span(noon, noon + dt.timedelta(hours=1)))
    ] == ["early"]
    both = compute(engine, lake, "fraud_alerts", Span(noon + dt.timedelta(hours=1), noon + dt.timedelta(hours=2)))
    assert sorted(row["transaction_id"] for row in both) == ["early", "late"]


def test_a_hit_without_its_transaction_raises_no_alert(engine: Engine, lake: EmbeddedWarehouse) -> None:
    alerts(engine, lake, {"t": [("high_value", 0.3, "low")], "gone": [("high_value", 0.3, "low")]})
    fill(lake, "transactions", [transaction("t")])
    assert [row["transaction_id"] for row in compute(engine, lake, "fraud_alerts")] == ["t"]


def test_a_hit_that_lacks_values_is_an_alert_with_those_that_its_rule_states(
    book: RuleBook, engine: Engine, lake: EmbeddedWarehouse
) -> None:
    stated = book.rules["high_value"]
    alerts(engine, lake, {"alone": [], "both": [("unusual_transaction", 0.01, "low")]})
    bare = dict.fromkeys(("rule", "rule_version", "severity", "weight", "reason", "evidence"))
    rows = [
        {**hit_rows(t, [("high_value", 0.3, "low")], customer_id=f"c-{t}")["high_value"], **bare} for t in ("alone", "both")
    ]
    fill(lake, rule_table("high_value"), rows)
    found = {row["transaction_id"]: row for row in compute(engine, lake, "fraud_alerts")}
    assert (found["alone"]["score"], found["alone"]["severity"]) == (pytest.approx(stated.weight), stated.severity)
    assert found["both"]["score"] == expected_score(
        [("high_value", stated.weight, ""), ("unusual_transaction", 0.01, "")], False
    )
    assert found["both"]["rules"] == ["high_value", "unusual_transaction"]
    assert found["both"]["reasons"] == ["unknown", "Because of unusual_transaction"]
    assert found["both"]["rule_versions"] == ["unknown", "v-unusual_transaction"]
    shown = explain(engine, lake, "both").score
    assert shown is not None and shown.result == shown.stored == found["both"]["score"]
    assert [(f.rule, f.weight) for f in shown.factors] == [("high_value", stated.weight), ("unusual_transaction", 0.01)]


def test_the_table_of_a_rule_without_a_file_is_named_and_alerts_no_more(book: RuleBook, lake: EmbeddedWarehouse) -> None:
    before = Engine(book)
    hits: dict[str, list[Hit]] = {"old": [("high_value", 0.3, "low")], "kept": [("unusual_transaction", 0.5, "low")]}
    assert alerts(before, lake, hits).keys() == {"old", "kept"}
    rules = {name: rule for name, rule in book.rules.items() if name != "high_value"}
    rules["unusual_transaction"] = replace(book.rules["unusual_transaction"], status="shadow")
    rules["structuring"] = replace(book.rules["structuring"], status="retired")
    after = Engine(RuleBook(rules, book.features))
    assert orphaned_tables(lake, before.book.rules) == []
    # neither a table of another shape, nor a shadow or retired rule
    lake.ensure_table(Table("fintech", "notes", (Column("text", "STRING"),)))
    assert orphaned_tables(lake, after.book.rules) == ["high_value"]
    assert compute(after, lake, "fraud_alerts") == []


def test_hits_that_a_renamed_table_brought_along_count_for_its_new_rule(book: RuleBook, lake: EmbeddedWarehouse) -> None:
    engine = Engine(book)
    alerts(engine, lake, {"t": []})
    moved = hit_rows("t", [("former_name", 0.4, "high")], customer_id="c-t")["former_name"]
    fill(lake, rule_table("high_value"), [moved])
    [alert] = compute(engine, lake, "fraud_alerts")
    assert (alert["rules"], alert["score"], alert["severity"]) == (["high_value"], pytest.approx(0.4), "high")
