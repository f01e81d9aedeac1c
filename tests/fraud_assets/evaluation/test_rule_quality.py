"""Precision and recall of rules and alerts: on mature days, with what is known on a day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from fraud_assets.detection.rule import Rule
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.evaluation.daily_quality import WINDOW_DAYS, daily_quality, recent_hits
from fraud_assets.evaluation.rule_quality import ALL_ALERTS, Quality, last_known_day, read_facts, wilson
from fraud_assets.schemas.evaluation import LABELS
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import fill, rule_folder

Row = dict[str, Any]
FIRST, LAST = dt.date(2026, 3, 1), dt.date(2026, 3, 20)
SPAN = Span.days(FIRST, LAST)
EVER = Span.days(FIRST, LAST + dt.timedelta(days=60))
DELAY = 5


@pytest.mark.parametrize(
    ("found", "of", "expected"),
    [
        # R. G. Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_the_wilson_interval(found: int, of: int, expected: tuple[float, float]) -> None:
    assert wilson(found, of) == pytest.approx(expected, abs=5e-5)


def test_no_observation_has_no_interval() -> None:
    assert wilson(0, 0) is None


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> list[Rule]:
    folder = tmp_path_factory.mktemp("rules")
    overrides = folder / "overrides.yaml"
    overrides.write_text("velocity: {status: shadow}")
    names = ("high_value", "unusual_transaction", "velocity")
    return read_rule_book(rule_folder(folder / "rules", {}, names), overrides=overrides).evaluated


def at(day: int, hour: int = 12) -> dt.datetime:
    return dt.datetime.combine(FIRST + dt.timedelta(days=day), dt.time(hour))


def label(name: str, day: int, delay: int = DELAY, **more: Any) -> Row:
    known = at(day + delay)
    row = {"transaction_id": name, "is_fraud": True, "known_at": known, "origin": "fraud report", "event_time": at(day)}
    return {**row, "amount": Decimal(10), "currency": "EUR", "ds": known.date().isoformat(), **more}


def hits(names: Iterable[str]) -> list[Row]:
    """Hits, by names that end in their day."""
    return [{"transaction_id": name, "event_time": at(int(name.rpartition(" ")[2]))} for name in names]


@pytest.fixture
def filled(lake: EmbeddedWarehouse, rules: list[Rule]) -> EmbeddedWarehouse:
    """Two frauds a day, `f` and `g`, known after five days, and hits on some."""
    days = range(20)
    labels = [label(f"f {day}", day) for day in days]
    labels += [label(f"g {day}", day, amount=Decimal("2.50"), currency="JPY" if day % 2 else None) for day in days]
    fill(lake, LABELS, labels, EVER)
    table = {rule.name: rule.table for rule in rules}
    fill(lake, table["high_value"], hits([f"f {day}" for day in days] + [f"honest {day}" for day in days]), SPAN)
    fill(lake, table["unusual_transaction"], hits(["f 3", "g 3", "g 4", "g 19"]), SPAN)
    fill(lake, table["velocity"], hits(["g 3", "g 7", "f 7"]), SPAN)
    alerts = {f"f {day}" for day in days} | {f"honest {day}" for day in days} | {"g 3", "g 4", "g 19"}
    fill(lake, "fraud_alerts", hits(sorted(alerts)), SPAN)
    return lake


def measured(lake: EmbeddedWarehouse, rules: list[Rule], as_of: dt.date) -> dict[str, Quality]:
    found, maturity = read_facts(lake, rules, SPAN, as_of).measure(SPAN, as_of)
    assert maturity.as_of == as_of
    return {each.rule: each for each in found}


def test_everything_is_known_after_the_delay(filled: EmbeddedWarehouse, rules: list[Rule]) -> None:
    found = measured(filled, rules, LAST + dt.timedelta(days=DELAY))
    assert list(found) == [ALL_ALERTS, "high_value", "unusual_transaction", "velocity"]
    high = found["high_value"]
    assert (high.hits, high.matured, high.frauds, high.caught, high.known, high.expected) == (40, 40, 20, 20, 40, 40)
    assert (high.precision, high.recall, high.hits_a_day) == (0.5, 0.5, 2.0)
    assert high.precision_interval == high.recall_interval == pytest.approx(wilson(20, 40))
    # f 3 is hit by unusual_transaction, too; velocity is in shadow and takes nothing away
    assert (high.only, found["unusual_transaction"].only, found["velocity"].only) == (19, 3, 1)
    assert (found["velocity"].status, found["velocity"].caught) == ("shadow", 3)
    every = found[ALL_ALERTS]
    assert (every.hits, every.frauds, every.known, every.precision) == (43, 23, 40, 23 / 43)
    assert every.money_caught == {"EUR": 200, "JPY": 5, "": Decimal("2.50")}
    assert every.money_missed == {"JPY": Decimal("20.00"), "": Decimal("22.50")}


def test_recent_days_are_not_judged_and_widen_the_recall(filled: EmbeddedWarehouse, rules: list[Rule]) -> None:
    """On the last day, frauds of the last five days are not known."""
    found = measured(filled, rules, LAST)
    high, every = found["high_value"], found[ALL_ALERTS]
    assert (high.hits, high.matured, high.frauds, high.precision) == (40, 30, 15, 0.5)
    assert (every.caught, every.known, every.expected) == (17, 30, pytest.approx(40))
    assert every.recall == 17 / 30
    low, highest = wilson(17, 30)
    assert every.recall_interval == pytest.approx((low * 30 / 40, 1 - (1 - highest) * 30 / 40))


def test_labels_that_become_known_later_do_not_count(filled: EmbeddedWarehouse, rules: list[Rule]) -> None:
    as_of = FIRST + dt.timedelta(days=10)
    before = measured(filled, rules, as_of)
    assert before[ALL_ALERTS].known == 12
    only_then = [row for row in filled.read(LABELS.full_name).to_pylist() if row["ds"] <= as_of.isoformat()]
    fill(filled, LABELS, only_then, EVER)
    assert measured(filled, rules, as_of) == before


def test_the_last_known_verdict_counts(filled: EmbeddedWarehouse, rules: list[Rule]) -> None:
    """A decision after a report, of another origin, takes the fraud back."""
    back = label("f 2", 2, delay=8, is_fraud=False, origin="decision")
    fill(filled, LABELS, [*filled.read(LABELS.full_name).to_pylist(), back], EVER)
    last = LAST + dt.timedelta(days=DELAY)
    assert measured(filled, rules, last)["high_value"].frauds == 19
    assert measured(filled, rules, FIRST + dt.timedelta(days=9))["high_value"].caught == 5
    assert measured(filled, rules, FIRST + dt.timedelta(days=10))["high_value"].caught == 5, "one more, one less"


def test_with_few_labels_nothing_is_judged(lake: EmbeddedWarehouse, rules: list[Rule]) -> None:
    fill(lake, LABELS, [label("f 3", 3)], EVER)
    fill(lake, "fraud_alerts", hits(["f 3", "honest 3"]), SPAN)
    found = measured(lake, rules, LAST)[ALL_ALERTS]
    assert (found.hits, found.matured, found.precision, found.recall, found.expected) == (2, 0, None, 1.0, None)
    assert found.recall_interval == (0.0, 1.0)


def test_a_warehouse_without_the_tables_has_no_hits(lake: EmbeddedWarehouse, rules: list[Rule]) -> None:
    assert {(each.hits, each.known) for each in measured(lake, rules, LAST).values()} == {(0, 0)}
    fill(lake, "fraud_alerts", hits(["honest 3"]), SPAN)
    assert measured(lake, rules, LAST)[ALL_ALERTS].hits == 1


def test_the_last_known_day(lake: EmbeddedWarehouse) -> None:
    assert last_known_day(lake, LAST) == LAST
    fill(lake, "transactions", [{"transaction_id": "t", "event_time": at(4)}], SPAN)
    assert last_known_day(lake, LAST) == FIRST + dt.timedelta(days=4)
    fill(lake, "fraud_reports_loads", [{"rows_loaded": 0, "ds": day.isoformat()} for day in SPAN.each_day()], SPAN)
    assert last_known_day(lake, LAST + dt.timedelta(days=99)) == LAST
    assert last_known_day(lake, FIRST) == FIRST


# --- the table rule_quality -----------------------------------------------------------------------------------------------


def test_a_day_is_measured_as_it_was_known(filled: EmbeddedWarehouse, rules: list[Rule]) -> None:
    """Range or day by day, with or without what came later: the same rows."""
    at_once = daily_quality(filled, rules, SPAN).rows.to_pylist()
    assert at_once == [
        row for day in SPAN.each_day() for row in daily_quality(filled, rules, Span.days(day, day)).rows.to_pylist()
    ]
    assert len(at_once) == 4 * 20
    as_of = FIRST + dt.timedelta(days=14)
    window = Span.days(as_of - dt.timedelta(days=WINDOW_DAYS - 1), as_of)
    expected, _ = read_facts(filled, rules, window, as_of).measure(window, as_of)
    rows = [row for row in at_once if row["ds"] == as_of.isoformat()]
    assert [(row["rule"], row["hits"], row["precision"]) for row in rows] == [
        (each.rule, each.hits, each.precision) for each in expected
    ]
    assert rows[0]["known"] == 20 and rows[0]["recall_low"] < rows[0]["recall"] < rows[0]["recall_high"]


def test_the_latest_hits_are_named(filled: EmbeddedWarehouse, rules: list[Rule]) -> None:
    found = recent_hits(filled, rules, SPAN)
    assert found["high_value"] == ["f 19", "honest 19", "f 18", "honest 18", "f 17"]
    assert found["velocity"] == ["f 7", "g 7", "g 3"]
    assert recent_hits(filled, rules, Span.days(LAST, LAST)).keys() == {"high_value", "unusual_transaction"}
    assert recent_hits(filled, [], SPAN) == {}
