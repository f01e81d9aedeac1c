"""Tasks over Dagster's GraphQL, run by Airflow, against a real webserver."""

from __future__ import annotations

import importlib.util

import pytest
from airflow_harness import Harness

WAYS = pytest.mark.parametrize("way", ["deferred", "waiting"])


def test_dagster_is_not_installed_here() -> None:
    assert importlib.util.find_spec("dagster") is None
    assert importlib.util.find_spec("pandas") is None


@WAYS
def test_assets_are_materialized_for_the_day_of_the_airflow_run(airflow: Harness, way: str) -> None:
    ended = airflow.run(f"plain_{way}", "2026-01-05")
    assert (ended.state, ended.error) == ("success", None)
    (run,) = airflow.runs(f"plain_{way}", "2026-01-05")
    assert run.status == "SUCCESS"
    assert run.assets == {"sample/plain", "sample/other"}
    assert run.tags["airflow/task_id"] == "task"
    assert airflow.materialized("plain", "2026-01-05")
    assert not airflow.materialized("plain", "2026-01-06")


@WAYS
def test_a_failed_step_is_named_with_its_cause(airflow: Harness, way: str) -> None:
    ended = airflow.run(f"raising_{way}", "2026-01-05")
    assert ended.state == "failed"
    assert "RunFailed: " in ended.message
    assert "step sample__raising failed: ValueError: the source gave 3 rows: too few" in ended.message


@WAYS
def test_a_failed_blocking_check_fails_the_task_and_stops_what_is_downstream(airflow: Harness, way: str) -> None:
    day = {"deferred": "2026-01-05", "waiting": "2026-01-06"}[way]
    ended = airflow.run(f"checked_{way}", day)
    assert ended.state == "failed"
    assert "CheckFailed: " in ended.message
    assert "check rows_are_enough of sample/checked failed: Fewer rows than on any day of the last month" in ended.message
    assert "rows: 3" in ended.message
    assert "broken claims: amount > 0, 7" in ended.message
    assert airflow.materialized("checked", day)
    assert not airflow.materialized("behind_checked", day)
