"""Thresholds by hand, over a synthetic month, and from the past alone."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from fraud_assets.defs.consistency_checks import alerts_are_the_active_hits
from fraud_assets.detection.rule_book import RuleBook, read_rule_book
from fraud_assets.detection.thresholds_query import BUDGET_MEMORY, ENOUGH_DAYS, LOWEST, thresholds_query
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import ALERT_THRESHOLDS, TRANSACTION_SCORES
from hive_io import EmbeddedWarehouse, Span, Warehouse
from hive_io.dialect import check
from hive_io.table import DAY as A_DAY
from tests.fraud_fixtures import DAY, all_tables, compute, fill, transaction

MEMORY = BUDGET_MEMORY.days
RULES = ("high_value", "velocity")


@pytest.fixture(scope="module")
def book() -> RuleBook:
    read = read_rule_book()
    return replace(read, rules={name: read.rules[name] for name in RULES}, alerts_a_day=3)


def before(days: int) -> dt.date:
    return DAY - days * A_DAY


def store(
    lake: Warehouse,
    book: RuleBook,
    scores: Mapping[dt.date, Sequence[float]],
    hits: Iterable[tuple[str, dt.date, int]] = (),
) -> None:
    """Store transactions with these scores, by day; a hit names the rule, the day, and the place of its transaction."""
    all_tables(lake, book)
    whole = Span.days(min(scores), max(scores))

    def keys(day: dt.date, number: int) -> dict[str, Any]:
        time = dt.datetime.combine(day, dt.time(0, 0)) + dt.timedelta(seconds=number)
        return {"transaction_id": f"{day}-{number}", "customer_id": "c1", "event_time": time}

    each = [(day, number, score) for day, of in scores.items() for number, score in enumerate(of)]
    fill(lake, "transactions", [transaction(**{**keys(day, number), "amount": "10.00"}) for day, number, _ in each], whole)
    known = {"points": 7, "card_version": "v1", "contributions": '{"base": 7}'}
    fill(lake, TRANSACTION_SCORES, [{**keys(day, n), "score": score, **known} for day, n, score in each], whole)
    for rule in book.rules.values():
        rows = [keys(day, number) for name, day, number in hits if name == rule.name]
        fill(lake, rule.table, [{**row, "rule": rule.name, "weight": 0.5, "severity": "low"} for row in rows], whole)


def threshold(lake: EmbeddedWarehouse, book: RuleBook, day: dt.date = DAY) -> dict[str, Any]:
    [row] = compute(Engine(book), lake, ALERT_THRESHOLDS.name, Span.days(day, day))
    return row


def test_the_query_has_the_dialect_of_rules(book: RuleBook) -> None:
    query = Engine(book).query(ALERT_THRESHOLDS.name, Span.days(DAY, DAY))
    assert check(query.bound(), {table.full_name: table for table in book.tables().values()}) == []


def test_a_threshold_by_hand(lake: EmbeddedWarehouse, book: RuleBook) -> None:
    # 3 alerts a day on 10 days are 30: 20 of rules leave 10 for scores
    days = [before(number) for number in range(1, ENOUGH_DAYS + 1)]
    scores = {day: [0.9, 0.8, 0.5, 0.4, 0.3] for day in days}
    hits = [("high_value", day, 0) for day in days] + [("velocity", day, 1) for day in days]
    # one transaction that two rules hit is one alert
    store(lake, book, scores, [*hits, ("velocity", days[0], 0)])
    assert threshold(lake, book) == {
        "score": 0.5,
        "budget": 3,
        "days": 10,
        "rule_alerts": 20,
        "score_alerts": 10,
        "reason": (
            "An alert without a hit needs a score of 0.500000 on this day: on 10 days before, rules raised 20 alerts, and 10 "
            "other transactions had it; the budget is 3 alerts a day"
        ),
        "ds": str(DAY),
    }
    # one more hit leaves room for 9; it is one of those with a score of 0.5, so the other nine remain
    store(lake, book, scores, [*hits, ("velocity", days[0], 2)])
    assert (threshold(lake, book)["score"], threshold(lake, book)["score_alerts"]) == (0.5, 9)
    # here it is another, and of ten with the same score none is chosen
    store(lake, book, scores, [*hits, ("velocity", days[0], 4)])
    found = threshold(lake, book)
    assert (found["score"], found["rule_alerts"], found["score_alerts"]) == (1.0, 21, 0)
    assert found["reason"].startswith("No score makes an alert without a hit on this day: on 10 days before, rules raised 21")


def test_without_room_no_score_is_enough_and_with_room_for_all_the_lowest_is(lake: EmbeddedWarehouse, book: RuleBook) -> None:
    scores = {before(number): [0.9, 0.5, 0.02, 0.005] for number in range(1, 11)}
    store(lake, book, scores, [("velocity", day, place) for day in scores for place in (0, 1, 2)])
    assert threshold(lake, book)["score"] == 1.0
    store(lake, book, scores)
    found = threshold(lake, book)
    assert (found["score"], found["score_alerts"]) == (LOWEST, 30)
    # a lower FRAUD_ALERT_SCORE lowers it
    roomy = replace(book, alerts_a_day=4, alert_score=0.001)
    assert (threshold(lake, roomy)["score"], threshold(lake, roomy)["score_alerts"]) == (0.001, 40)


def test_a_new_warehouse_begins_with_the_score_of_the_setting(lake: EmbeddedWarehouse, book: RuleBook) -> None:
    all_tables(lake, book)
    first = threshold(lake, book)
    assert (first["score"], first["days"], first["rule_alerts"], first["score_alerts"]) == (0.2, 0, 0, 0)
    assert "FRAUD_ALERT_SCORE, since 0 of the 10 days" in first["reason"]
    # a few days of low scores do not lower it
    few = {before(number): [0.3, 0.1] for number in range(1, ENOUGH_DAYS)}
    store(lake, book, few)
    found = threshold(lake, book)
    assert (found["score"], found["days"], found["score_alerts"]) == (0.2, 9, 9)
    # those of many alerts raise it
    store(lake, book, {day: [0.9, 0.8, 0.7, 0.6, 0.5] for day in few})
    found = threshold(lake, book)
    assert (found["score"], found["days"], found["score_alerts"]) == (0.7, 9, 27)
    store(lake, book, {**few, before(ENOUGH_DAYS): [0.3, 0.1]})
    assert threshold(lake, book)["score"] == LOWEST


def test_days_that_an_earlier_release_computed_do_not_count(lake: EmbeddedWarehouse, book: RuleBook) -> None:
    scores = {before(number): [0.6, 0.5, 0.4, 0.3] for number in range(1, 8)}
    store(lake, book, {**scores, before(10): []}, [("velocity", before(10), place) for place in range(30)])
    found = threshold(lake, book)
    assert (found["score"], found["days"], found["rule_alerts"]) == (0.4, 7, 0)


def world(seed: int, days: int) -> tuple[dict[dt.date, list[float]], list[tuple[str, dt.date, int]]]:
    """Days of about 400 transactions, fewer on Sundays, of which rules hit about 10 a day, with any score."""
    draw = random.Random(seed)
    scores, hits = {}, []
    for day in (DAY + number * A_DAY for number in range(days)):
        count = draw.randrange(350, 450) // (2 if day.weekday() == 6 else 1)
        points = [round(draw.gauss(-150, 40)) for _ in range(count)]
        scores[day] = [math.floor(1e6 / (1 + 2 ** (-each / 20)) + 0.5) / 1e6 for each in points]
        hits += [(draw.choice(RULES), day, place) for place in range(count) if draw.random() < 0.025]
    return scores, hits


@pytest.mark.parametrize("budget", [20, 40])
def test_the_budget_is_kept_on_average(lake: EmbeddedWarehouse, book: RuleBook, budget: int) -> None:
    book = replace(book, alerts_a_day=budget, alert_score=0.000001)
    engine = Engine(book)
    span = Span.days(DAY, DAY + 41 * A_DAY)
    store(lake, book, *world(budget, 42))
    rows = compute(engine, lake, ALERT_THRESHOLDS.name, span)
    assert len(rows) == 42
    alerts = compute(engine, lake, "fraud_alerts", span)
    settled = [str(day) for day in span.each_day()][MEMORY:]
    a_day = [sum(alert["ds"] == day for alert in alerts) for day in settled]
    # at most the budget, and nine tenths of it: scores are steps, and none is split
    assert 0.9 * budget <= mean(a_day) <= 1.05 * budget, a_day
    assert {"scorecard"} < {rule for alert in alerts for rule in alert["rules"]}
    alerting = [rule.table for rule in book.alerting]
    assert alerts_are_the_active_hits(lake, alerting, span, [], book.alert_score, by_day=True).passed
    assert not alerts_are_the_active_hits(lake, alerting, span, [], book.alert_score).passed


def test_a_threshold_depends_on_the_days_before_alone(lake: EmbeddedWarehouse, book: RuleBook, tmp_path: Path) -> None:
    book = replace(book, alerts_a_day=20)
    scores, hits = world(7, 30)
    span = Span.days(DAY, DAY + 29 * A_DAY)
    store(lake, book, scores, hits)
    at_once = {row["ds"]: row for row in compute(Engine(book), lake, ALERT_THRESHOLDS.name, span)}
    assert len({row["score"] for row in at_once.values()}) > 5
    for day in [*scores][5::6]:
        # as it began: without its own rows and those after it
        then = EmbeddedWarehouse(tmp_path / str(day))
        store(then, book, {each: of for each, of in scores.items() if each < day}, [hit for hit in hits if hit[1] < day])
        assert threshold(then, book, day) == at_once[str(day)]


def test_an_alert_names_the_score_that_the_day_needed(lake: EmbeddedWarehouse, book: RuleBook) -> None:
    scores = {before(number): [0.6, 0.5, 0.4, 0.3] for number in range(1, 9)}
    store(lake, book, {**scores, DAY: [0.4, 0.399999, 0.1], DAY + A_DAY: [0.3, 0.19]}, [("velocity", DAY, 2)])
    engine = Engine(book)
    row = threshold(lake, book)
    assert row["score"] == 0.4
    found = {alert["transaction_id"]: alert for alert in compute(engine, lake, "fraud_alerts", Span.days(DAY, DAY + A_DAY))}
    # a day without a row needs the score of the setting
    assert {name: alert["rules"] for name, alert in found.items()} == {
        f"{DAY}-0": ["scorecard"],
        f"{DAY}-2": ["velocity"],
        f"{DAY + A_DAY}-0": ["scorecard"],
    }
    assert found[f"{DAY}-0"]["reasons"] == [f"No rule hit; the scorecard gives 7 points: base 7. {row['reason']}"]
    assert found[f"{DAY + A_DAY}-0"]["reasons"] == ["No rule hit; the scorecard gives 7 points: base 7"]
    assert lake.query(thresholds_query([], Span.days(DAY, DAY), 3, 0.2)).column("rule_alerts").to_pylist() == [0]
