"""A budget of alerts in a run of weeks of the synthetic world, and in a run of one of the days again."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from statistics import mean

import pytest

from fraud_assets.runs.batch import run_days
from fraud_assets.schemas.detection import ALERT_THRESHOLDS, FRAUD_ALERTS
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from mock_sources import World, running
from tests.e2e.lakes import assert_same, rows_of

FIRST, LAST = dt.date(2026, 3, 2), dt.date(2026, 4, 5)
LATER = dt.datetime(2026, 4, 20, tzinfo=dt.UTC)
BUDGET = 40
SETTLED = dt.date(2026, 3, 23)
"""The first day whose 14 days before have a threshold by the budget, too."""


@pytest.mark.long
def test_five_weeks_in_one_run_and_a_day_of_them_again(tmp_path: Path) -> None:
    lake = EmbeddedWarehouse(tmp_path / "lake")
    with running(World(customers=200, merchants=80), now=lambda: LATER) as url:
        settings = read_settings(
            warehouse=str(lake.root), source_url=url, first_day=FIRST, alerts_a_day=BUDGET, alert_score=0.0001
        )
        run_days(settings, Span.days(FIRST, LAST))
        found = rows_of(lake)
        run_days(settings, Span.days(SETTLED, SETTLED))
    again = rows_of(lake)
    for table in (ALERT_THRESHOLDS.name, FRAUD_ALERTS.name):
        assert_same({table: again[table]}, {table: found[table]})
    thresholds = {row["ds"]: row for row in lake.read(ALERT_THRESHOLDS.full_name).to_pylist()}
    assert sorted(thresholds) == [str(day) for day in Span.days(FIRST, LAST).each_day()]
    settled = Span.days(SETTLED, LAST)
    alerts = lake.read(FRAUD_ALERTS.full_name, span=settled).to_pylist()
    by_score = [row for row in alerts if row["rules"] == ["scorecard"]]
    assert by_score and all(row["score"] >= thresholds[row["ds"]]["score"] for row in by_score)
    assert all(thresholds[row["ds"]]["reason"] in row["reasons"][0] for row in by_score)
    a_day = [sum(row["ds"] == str(day) for row in alerts) for day in settled.each_day()]
    assert 0.7 * BUDGET <= mean(a_day) <= 1.1 * BUDGET, a_day
