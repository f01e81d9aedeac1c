"""The check of alerts against their budget, and what the setting adds to the graph."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import dagster as dg
import pytest

from fraud_assets.definitions import advisory_checks, build_definitions, watched_tables
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.budget_check import MOST_OF_BUDGET, WITHIN_BUDGET, alerts_are_within_budget
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import ALERT_THRESHOLDS, FRAUD_ALERTS
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from hive_io.table import DAY as A_DAY
from tests.fraud_fixtures import DAY, fill

NEXT = DAY + A_DAY
BOTH = Span.days(DAY, NEXT)


def alerts(lake: EmbeddedWarehouse, by_rule: int, by_score: int) -> None:
    """Alerts of NEXT, and one of the day before."""
    time = dt.datetime.combine(NEXT, dt.time(9))
    rows = [{"transaction_id": f"t{n}", "rules": ["velocity"], "event_time": time} for n in range(by_rule)]
    rows += [{"transaction_id": f"s{n}", "rules": ["scorecard"], "event_time": time} for n in range(by_score)]
    fill(lake, FRAUD_ALERTS, [*rows, {"transaction_id": "one", "rules": ["velocity"], "event_time": time - A_DAY}], BOTH)


def test_a_day_far_over_its_budget_warns(lake: EmbeddedWarehouse) -> None:
    fill(lake, ALERT_THRESHOLDS, [{"score": 0.4, "budget": 4, "days": 14, "reason": "needs 0.4", "ds": str(NEXT)}], BOTH)
    alerts(lake, by_rule=5, by_score=MOST_OF_BUDGET * 4 - 5)
    within = alerts_are_within_budget(lake, 4, BOTH)
    assert within.passed and within.metadata["alerts a day, mean"].value == 4.5
    alerts(lake, by_rule=5, by_score=MOST_OF_BUDGET * 4 - 4)
    over = alerts_are_within_budget(lake, 4, BOTH)
    assert over.failed_days == {str(NEXT)} and over.severity is dg.AssetCheckSeverity.WARN
    assert over.description == f"The budget is 4 alerts a day. {NEXT}: 9 alerts, 4 of them without a hit."
    table = over.metadata["days"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [dict(record.data) for record in table.records] == [
        {"day": str(DAY), "alerts": 1, "without a hit": 0, "score needed": "FRAUD_ALERT_SCORE"},
        {"day": str(NEXT), "alerts": 9, "without a hit": 4, "score needed": "needs 0.4"},
    ]
    assert alerts_are_within_budget(lake, 4, Span.days(DAY - A_DAY, DAY - A_DAY)).passed


def test_the_setting_adds_a_table_between_scores_and_alerts_and_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def graph() -> dg.AssetGraph:
        return build_definitions(read_settings()).resolve_asset_graph()

    name = key(ALERT_THRESHOLDS.name)
    assert name not in graph().get_all_asset_keys()
    monkeypatch.setenv("FRAUD_ALERTS_A_DAY", "40")
    with_budget = graph()
    assert (
        key("transaction_scores") in with_budget.get(name).parent_keys and key("velocity") in with_budget.get(name).parent_keys
    )
    assert name in with_budget.get(key("fraud_alerts")).parent_keys
    book = read_rule_book()
    one, other = (Engine(each) for each in (book, replace(book, alerts_a_day=40)))
    check = dg.AssetCheckKey(key(FRAUD_ALERTS.name), WITHIN_BUDGET)
    assert {*advisory_checks(other)} - {*advisory_checks(one)} == {check} and not with_budget.get(check).blocking
    assert {*watched_tables(other)} - {*watched_tables(one)} == {ALERT_THRESHOLDS.name}
