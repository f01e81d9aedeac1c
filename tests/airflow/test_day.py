"""A day that the scheduler itself began: the right partition, and row for row what Dagster makes of the same day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.runs.batch import run_days
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from tests.airflow.sites import CLOSE, REFRESH, Site, site, today
from tests.e2e.lakes import Rows, assert_same, rows_of

WITHIN = 600.0
"""Seconds for a day of sixteen tasks; 100 on two idle cores."""


# a DAG of another team, as docs/deploy-to-airflow.md has it
_FOLLOWER = {
    3: """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, PartitionedAssetTimetable

alerts = Asset("fintech.fraud_alerts", "hive://fintech/fraud_alerts")
with DAG(dag_id="follower", schedule=PartitionedAssetTimetable(assets=alerts)):
    EmptyOperator(task_id="report")
""",
    2: """
import pendulum
from airflow.datasets import Dataset
from airflow.models.dag import DAG
from airflow.operators.empty import EmptyOperator

alerts = Dataset("hive://fintech/fraud_alerts")
with DAG(dag_id="follower", schedule=[alerts], start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
    EmptyOperator(task_id="report")
""",
}


@pytest.fixture(scope="module", params=["remote", "local"])
def closed(request: pytest.FixtureRequest, environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose scheduler has closed yesterday, as soon as the DAG was switched on."""
    yesterday = today() - dt.timedelta(days=1)
    with site(environment, tmp_path_factory.mktemp("site"), first_day=yesterday, mode=request.param) as made:
        (made.airflow.dags / "follower.py").write_text(_FOLLOWER[made.airflow.version])
        made.airflow.unpause("follower")
        made.airflow.unpause(CLOSE)
        run = made.airflow.first_run(CLOSE)
        run = made.airflow.finished(CLOSE, run.run_id, WITHIN)
        assert (run.state, run.kind) == ("success", "scheduled"), made.airflow.tasks(CLOSE, run.run_id)
        assert run.partition == yesterday.isoformat()
        yield made


def test_the_day_is_the_day_that_dagster_makes(closed: Site, tmp_path: Path) -> None:
    day = today() - dt.timedelta(days=1)
    settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=closed.source_url, first_day=day)
    run_days(settings, Span.days(day, day))
    by_dagster = rows_of(EmbeddedWarehouse(tmp_path / "lake"))
    by_airflow = rows_of(EmbeddedWarehouse(closed.warehouse))
    assert by_airflow.keys() == read_rule_book().tables().keys()
    assert by_airflow["transactions"] and by_airflow["fraud_alerts"]
    assert_same(by_airflow, by_dagster)


def test_nothing_is_wrong_with_the_dags_or_with_airflow(closed: Site) -> None:
    assert (closed.airflow.import_errors(), closed.airflow.warnings(), closed.airflow.ended()) == ([], [], [])


def test_an_asset_event_says_which_day_is_complete(closed: Site) -> None:
    events = closed.airflow.asset_events()
    # how long transactions waited is written by fraud watch only: no asset
    tables = read_rule_book().tables().keys() - {"latencies"}
    name = "fintech.{}" if closed.airflow.version == 3 else "hive://fintech/{}"
    assert events.keys() == set(map(name.format, tables))
    day = (today() - dt.timedelta(days=1)).isoformat() if closed.airflow.version == 3 else None
    assert events[name.format("fraud_alerts")] == day


def test_another_teams_dag_starts_when_the_alerts_of_the_day_are_there(closed: Site) -> None:
    run = closed.airflow.finished("follower", closed.airflow.first_run("follower").run_id, 120)
    assert run.state == "success"
    if closed.airflow.version == 3:
        assert run.partition == (today() - dt.timedelta(days=1)).isoformat()
    assert len(closed.airflow.runs("follower")) == 1


def test_the_hourly_dag_makes_today_and_leaves_yesterday(closed: Site) -> None:
    yesterday = (today() - dt.timedelta(days=1)).isoformat()
    before, events = _of_day(closed, yesterday), closed.airflow.asset_events()
    hour = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=30)
    closed.airflow.unpause(REFRESH)
    run = closed.airflow.first_run(REFRESH)
    run = closed.airflow.finished(REFRESH, run.run_id, WITHIN)
    assert (run.state, run.kind, run.partition) == ("success", "scheduled", hour.date().isoformat())
    assert _of_day(closed, run.partition)["transactions"]
    assert _of_day(closed, yesterday) == before or run.partition == yesterday
    assert closed.airflow.asset_events() == events, "only a closed day is complete"
    assert len(closed.airflow.runs("follower")) == 1


def _of_day(made: Site, day: str) -> Rows:
    found = rows_of(EmbeddedWarehouse(made.warehouse))
    return {table: type(rows)({row: n for row, n in rows.items() if ("ds", day) in row}) for table, rows in found.items()}
