"""A day that the scheduler starts: the right partition, and the same rows as a run of Dagster alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.runs.batch import run_days
from fraud_assets.schemas.detection import ALERT_THRESHOLDS, NEAR_MISSES
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from tests.airflow.sites import CLOSE, REFRESH, Site, site, yesterday
from tests.e2e.lakes import Rows, assert_same, rows_of

WITHIN = 600.0
"""Seconds for a day of 31 tasks, which takes 200 s on two idle cores."""
TABLES = {name for name in read_rule_book().tables() if name not in (NEAR_MISSES.name, ALERT_THRESHOLDS.name)}
"""The tables of a day, without those that only a setting asks for."""


# a DAG of another team, as in docs/deploy-to-airflow.md
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
    """A site whose scheduler has closed yesterday, its first day. The closing DAG is paused again, so no other day follows."""
    with site(environment, tmp_path_factory.mktemp("site"), first_day=yesterday(), mode=request.param) as running:
        airflow = running.airflow
        (airflow.dags / "follower.py").write_text(_FOLLOWER[airflow.version])
        airflow.unpause("follower")
        airflow.unpause(CLOSE)
        run = airflow.first_run(CLOSE)
        run = airflow.finished(CLOSE, run.run_id, WITHIN)
        airflow.command("dags", "pause", CLOSE)
        assert (run.state, run.kind) == ("success", "scheduled"), airflow.tasks(CLOSE, run.run_id)
        assert run.partition == running.first_day.isoformat()
        assert len(airflow.runs(CLOSE)) == 1
        yield running


def test_the_rows_of_the_day_are_those_of_dagster_alone(closed: Site, tmp_path: Path) -> None:
    day = closed.first_day
    settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=closed.source_url, first_day=day)
    run_days(settings, Span.days(day, day))
    by_dagster = rows_of(EmbeddedWarehouse(tmp_path / "lake"))
    by_airflow = rows_of(EmbeddedWarehouse(closed.warehouse))
    assert by_airflow.keys() == TABLES
    assert by_airflow["transactions"] and by_airflow["fraud_alerts"]
    assert_same(by_airflow, by_dagster)


def test_airflow_has_no_errors_and_no_warnings(closed: Site) -> None:
    assert (closed.airflow.import_errors(), closed.airflow.warnings(), closed.airflow.ended()) == ([], [], [])


def test_an_asset_event_has_the_day_that_is_complete(closed: Site) -> None:
    events = closed.airflow.asset_events()
    # only fraud watch writes latencies, and the asset of a table writes its record of loads
    tables = {name for name in TABLES if name != "latencies" and not name.endswith("_loads")}
    name = "fintech.{}" if closed.airflow.version == 3 else "hive://fintech/{}"
    assert events.keys() == set(map(name.format, tables))
    assert events[name.format("fraud_alerts")] == (closed.first_day.isoformat() if closed.airflow.version == 3 else None)


def test_the_dag_of_another_team_starts_when_the_alerts_of_the_day_are_complete(closed: Site) -> None:
    run = closed.airflow.finished("follower", closed.airflow.first_run("follower").run_id, 120)
    assert run.state == "success"
    if closed.airflow.version == 3:
        assert run.partition == closed.first_day.isoformat()
    assert len(closed.airflow.runs("follower")) == 1


def test_the_hourly_dag_materializes_today_and_does_not_change_yesterday(closed: Site) -> None:
    closed_day = closed.first_day.isoformat()
    before, events = _of_day(closed, closed_day), closed.airflow.asset_events()
    assert before["transactions"] and before["fraud_alerts"]
    possible = {_hourly_day()}
    closed.airflow.unpause(REFRESH)
    run = closed.airflow.first_run(REFRESH)
    possible.add(_hourly_day())  # differs only if minute 30 after midnight has passed meanwhile
    run = closed.airflow.finished(REFRESH, run.run_id, WITHIN)
    closed.airflow.command("dags", "pause", REFRESH)
    assert (run.state, run.kind) == ("success", "scheduled")
    assert run.partition in possible
    assert _of_day(closed, run.partition)["transactions"]
    # holds even in the first half hour of a day, when the hourly run is for yesterday: a rerun changes nothing
    assert _of_day(closed, closed_day) == before
    assert closed.airflow.asset_events() == events, "only a closed day is complete"
    assert len(closed.airflow.runs("follower")) == 1


def _hourly_day() -> str:
    """The partition of the hourly DAG's latest run: the day of the last minute 30."""
    return (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=30)).date().isoformat()


def _of_day(running: Site, day: str) -> Rows:
    """The rows of one day, by table."""
    found = rows_of(EmbeddedWarehouse(running.warehouse))
    return {table: type(rows)({row: n for row, n in rows.items() if ("ds", day) in row}) for table, rows in found.items()}
