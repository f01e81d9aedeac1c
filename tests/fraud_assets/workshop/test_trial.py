"""Trials of changed rules: the hits, alerts and frauds that they foretell, and that nothing is written."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fraud_assets.detection.rule_book import RULES_FOLDER, RuleBook, read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.errors import RuleError
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.evaluation import LABELS
from fraud_assets.workshop.trial import Workbench, sweep_values, value_of, with_params
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_assets.cli.test_main import fraud, refused
from tests.fraud_fixtures import all_tables, book_with, compute, fill, profile, transaction

FIRST = dt.date(2026, 1, 5)
SPAN = Span.days(FIRST, FIRST + dt.timedelta(days=1))
KNOWN = FIRST + dt.timedelta(days=10)
AMOUNTS = ["1500.00", "1999.99", "2000.00", "2000.01", "2500.00", "3000.00"]


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return read_rule_book()


def payments() -> list[dict[str, Any]]:
    """Payments of two days in euros, and one in yen each day."""
    noon = dt.datetime.combine(FIRST, dt.time(12))
    rows = []
    for day in range(2):
        time = {"event_time": noon + dt.timedelta(days=day)}
        rows += [transaction(f"{amount} on {day}", f"c{place}", amount, **time) for place, amount in enumerate(AMOUNTS)]
        rows.append(transaction(f"yen on {day}", "yen", "320001.00", currency="JPY", **time))
    return rows


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, book: RuleBook) -> EmbeddedWarehouse:
    """Two days with hits of two rules, their alerts, and labels: frauds of days before, and those of these two days."""
    lake = EmbeddedWarehouse(tmp_path_factory.mktemp("filled") / "lake")
    engine = Engine(book)
    all_tables(lake, book)
    fill(lake, "transactions", payments(), SPAN)
    usual = profile("c1", amount_mean=Decimal(10), amount_max=Decimal(20), amount_deviation=Decimal(1))
    fill(lake, "customer_profiles", [{**usual, "ds": FIRST.isoformat()}], SPAN)
    for rule in book.rules:
        compute(engine, lake, rule, SPAN)
    compute(engine, lake, FRAUD_ALERTS.name, SPAN)
    frauds = {"2000.01 on 0": "2000.01", "2500.00 on 1": "2500.00", "1999.99 on 0": "1999.99"}
    labels = [(name, amount, "EUR", FIRST + dt.timedelta(days=int(name[-1]))) for name, amount in frauds.items()]
    labels += [(f"old {n}", "1.00", "EUR", FIRST - dt.timedelta(days=5)) for n in range(30)]
    labels += [("yen on 1", "320001.00", "JPY", FIRST + dt.timedelta(days=1))]
    rows = [
        {"transaction_id": name, "is_fraud": True, "known_at": dt.datetime.combine(day, dt.time(13)) + dt.timedelta(days=2),
         "origin": "fraud report", "event_time": dt.datetime.combine(day, dt.time(12)), "amount": Decimal(amount),
         "currency": currency}
        for name, amount, currency, day in labels
    ]  # fmt: skip
    for row in rows:
        row["ds"] = row["known_at"].date().isoformat()
    fill(lake, LABELS, rows, Span.days(FIRST - dt.timedelta(days=10), KNOWN))
    return lake


def test_a_trial_foretells_the_run_row_for_row(filled: EmbeddedWarehouse, book: RuleBook, tmp_path: Path) -> None:
    changed = with_params(book.rules["high_value"], {"thresholds.EUR": 1800})
    bench = Workbench(book, filled, SPAN, KNOWN)
    trial, foretold = bench.try_rule(changed), bench.hits(changed)
    shutil.copytree(filled.root, tmp_path / "lake")
    lake = EmbeddedWarehouse(tmp_path / "lake")
    before = {(row["transaction_id"], row["ds"]) for row in lake.read(FRAUD_ALERTS.full_name, span=SPAN).to_pylist()}
    # the run: the same change in the rules file
    amounts = {("null" if c is None else c): str(a) for c, a in changed.file.values["thresholds"].items()}
    (tmp_path / "rules.yaml").write_text(
        f"high_value: {{params: {{thresholds: {json.dumps(amounts)}}}}}".replace('"null"', "null")
    )
    engine = Engine(read_rule_book(overrides=tmp_path / "rules.yaml"))
    assert engine.book.rules["high_value"].version == changed.version
    hits = compute(engine, lake, "high_value", SPAN)
    assert foretold == {(row["transaction_id"], row["ds"]): row["reason"] for row in hits}
    assert len(foretold) == trial.hits.after.count == 12
    after = {(row["transaction_id"], row["ds"]) for row in compute(engine, lake, FRAUD_ALERTS.name, SPAN)}
    assert (trial.alerts.before.count, trial.alerts.after.count) == (len(before), len(after))
    assert (trial.alerts.gained.count, trial.alerts.lost.count) == (len(after - before), len(before - after))
    # one of the four hits gained was an alert of another rule already
    assert (trial.hits.gained.count, trial.alerts.gained.count) == (4, 3)


def test_frauds_and_money_are_counted_by_currency(filled: EmbeddedWarehouse, book: RuleBook) -> None:
    bench = Workbench(book, filled, SPAN, KNOWN)
    trial = bench.try_rule(with_params(book.rules["high_value"], {"thresholds": {"EUR": 2400, "JPY": 400000}}))
    assert (trial.hits.before.count, trial.hits.after.count, trial.hits.gained.count) == (8, 4, 0)
    assert (trial.hits.before.frauds, trial.hits.after.frauds, trial.hits.lost.frauds) == (3, 1, 2)
    assert trial.hits.lost.money == {"EUR": Decimal("2000.01"), "JPY": Decimal("320001.00")}
    assert trial.hits.after.money == {"EUR": Decimal("2500.00")}
    assert (trial.hits.after.matured, trial.hits.after.precision) == (4, 0.25)
    # frauds come first, and one without a label is among the examples
    assert [each.is_fraud for each in trial.lost] == [True, True, None]
    assert trial.lost[0].reason == "2000.01 EUR is over the threshold of 2000.00"


def test_labels_count_from_the_day_they_are_known(filled: EmbeddedWarehouse, book: RuleBook) -> None:
    bench = Workbench(book, filled, SPAN, FIRST + dt.timedelta(days=1))
    trial = bench.try_rule(book.rules["high_value"])
    assert (trial.hits.before.frauds, trial.hits.before.matured, trial.hits.before.precision) == (0, 0, None)


def test_a_shadow_rule_is_tried_as_if_it_alerted(filled: EmbeddedWarehouse, tmp_path: Path) -> None:
    shadow = book_with(tmp_path, {}, "high_value: {status: shadow}", [path.stem for path in RULES_FOLDER.glob("*.sql")])
    trial = Workbench(shadow, filled, SPAN, KNOWN).try_rule(shadow.rules["high_value"])
    assert trial.hits.gained.count == trial.hits.lost.count == 0
    assert trial.alerts.gained.count == trial.hits.after.count == 8


def test_a_sweep_has_the_figures_of_each_trial(filled: EmbeddedWarehouse, book: RuleBook) -> None:
    rule, param = book.rules["high_value"], "thresholds.EUR"
    bench = Workbench(book, filled, SPAN, KNOWN)
    values = sweep_values(rule, param, "1500..3000..500")
    points = bench.sweep(rule, param, values, lambda value: with_params(rule, {param: value}))
    assert [(each.value, each.hits.count, each.is_in_force) for each in points] == [
        (1500, 12, False),
        (2000, 8, True),
        (2500, 4, False),
        (3000, 2, False),
    ]
    one = bench.try_rule(with_params(rule, {param: 2500}))
    assert (points[2].hits, points[2].alerts) == (one.hits.after, one.alerts.after)


def test_values_of_a_sweep(book: RuleBook) -> None:
    velocity, high_value = book.rules["velocity"], book.rules["high_value"]
    assert sweep_values(velocity, "most_in_10_minutes", "3..6") == [3, 4, 5, 6]
    assert sweep_values(high_value, "thresholds.null", "1..2..0.5") == [1, Decimal("1.5"), 2]
    for text in ("3", "6..3", "3..6..0", "1..1000..1", "a..b", "1..inf", "1..2..3..4"):
        with pytest.raises(RuleError):
            sweep_values(velocity, "most_in_10_minutes", text)
    with pytest.raises(RuleError, match=r"thresholds\.CURRENCY"):
        sweep_values(high_value, "thresholds", "1..2")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"nosuch": 1}, "nosuch"),
        ({"thresholds.EUR": 0}, "from 1 to"),
        ({"thresholds": 5}, "amount per currency"),
    ],
)
def test_values_that_a_param_cannot_have(book: RuleBook, given: dict[str, object], said: str) -> None:
    with pytest.raises(RuleError, match=said):
        with_params(book.rules["high_value"], given)


def test_one_currency_is_changed_alone(book: RuleBook) -> None:
    rule = book.rules["high_value"]
    changed = with_params(rule, {"thresholds.EUR": 1, "thresholds.null": 2})
    assert (value_of(changed, "thresholds.EUR"), value_of(changed, "thresholds.null")) == (1, 2)
    assert value_of(changed, "thresholds.JPY") == value_of(rule, "thresholds.JPY")
    with pytest.raises(RuleError, match="not one per currency"):
        value_of(book.rules["velocity"], "most_in_a_day.EUR")


def test_days_without_transactions_are_refused(filled: EmbeddedWarehouse, book: RuleBook) -> None:
    later = Span.days(KNOWN, KNOWN)
    with pytest.raises(RuleError, match="2026-01-05 to 2026-01-06"):
        Workbench(book, filled, later, KNOWN)


def test_the_command_writes_nothing(filled: EmbeddedWarehouse, tmp_path: Path) -> None:
    def files() -> set[str]:
        return {str(path) for path in filled.root.rglob("*")}

    there = files()
    draft = tmp_path / "high_value.sql"
    draft.write_text((RULES_FOLDER / "high_value.sql").read_text().replace("t.amount > th", "t.amount >= th"))
    on = ["--from", "2026-01-05", "--to", "2026-01-07", "--warehouse", filled.root, "--format", "json"]
    tried = json.loads(fraud("rules", "try", "high_value", "--file", draft, *on).stdout)
    assert tried["hits"]["gained"]["count"] == 2
    assert [each["transaction_id"] for each in tried["gained"]] == ["2000.00 on 0", "2000.00 on 1"]
    assert tried["version"] != tried["version_in_force"]
    tried = json.loads(fraud("rules", "try", "high_value", "--set", "thresholds.EUR=2400", *on).stdout)
    assert (tried["hits"]["lost"]["count"], tried["hits"]["lost"]["frauds"]) == (2, 0)
    assert tried["labels_known_by"] == "2026-01-06", "no fraud reports of later days are loaded"
    assert list(tried["changed"]) == ["thresholds"]
    swept = json.loads(fraud("rules", "try", "high_value", "--sweep", "thresholds.EUR=2000..2400..400", *on).stdout)
    assert [point["hits"]["count"] for point in swept["points"]] == [8, 6]
    shown = fraud("rules", "try", "high_value", "--set", "thresholds.EUR=2400", *on[:-2])
    assert shown.exit_code == 0 and "2000.01 on 0" in shown.stdout
    assert files() == there


def test_what_the_command_refuses(filled: EmbeddedWarehouse, tmp_path: Path) -> None:
    on = ["--warehouse", filled.root]
    assert "nosuch" in refused(fraud("rules", "try", "nosuch", *on))
    assert "param=value" in refused(fraud("rules", "try", "high_value", "--set", "thresholds", *on))
    assert "high_value" in refused(fraud("rules", "try", "velocity", "--file", RULES_FOLDER / "high_value.sql", *on))
    assert "--file" in refused(fraud("rules", "try", *on))
    EmbeddedWarehouse(tmp_path / "empty")
    assert "no transactions" in refused(fraud("rules", "try", "high_value", "--warehouse", tmp_path / "empty"))
