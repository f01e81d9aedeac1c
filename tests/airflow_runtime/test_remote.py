"""Remote mode: tasks that Airflow runs, against a real webserver of Dagster."""

from __future__ import annotations

import importlib.util

import pytest
from airflow_harness import Harness
from webserver import free_port

from airflow_bridge.in_airflow import triggers
from airflow_bridge.in_airflow.compat import AIRFLOW_3
from airflow_bridge.in_airflow.operators import MaterializeAssets

WAYS = pytest.mark.parametrize("way", ["deferred", "waiting"])


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll at once: no scheduler runs here, and the tests wait only for seconds."""
    monkeypatch.setattr(triggers, "FIRST_POLL", 0.0)


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
    # 3.3 also stores the button's link as an XCom
    links = {"dagster_run_url", "_link_DagsterRunLink"} if AIRFLOW_3 else {"dagster_run_url"}
    assert {key for key, value in ended.xcoms.items() if key != "return_value" and run.run_id in value} == links


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


@WAYS
def test_an_unknown_asset_is_not_tried_again(airflow: Harness, way: str) -> None:
    ended = airflow.run(f"unknown_{way}", "2026-01-05")
    assert (ended.state, ended.tries) == ("failed", 1)
    assert "UnknownAsset: " in ended.message
    assert "sample/no_such_asset" in ended.message


def test_a_partition_that_dagster_does_not_have_is_an_error(airflow: Harness) -> None:
    ended = airflow.run("plain_deferred", "2025-12-30")
    assert ended.state == "failed"
    assert "NoPartition: sample/plain has no partition 2025-12-30" in ended.message
    assert airflow.runs("plain_deferred", "2025-12-30") == []


def test_a_task_with_a_short_run_is_not_deferred(airflow: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    deferred: list[object] = []
    monkeypatch.setattr(MaterializeAssets, "defer", lambda _, **how: deferred.append(how))
    ended = airflow.run("given_day", "2026-01-27", conf={"day": "2026-01-19"})
    assert (ended.state, deferred) == ("success", [])


def test_the_partition_can_be_given(airflow: Harness) -> None:
    ended = airflow.run("given_day", "2026-01-20", conf={"day": "2026-01-21"})
    assert ended.state == "success"
    assert airflow.materialized("plain", "2026-01-21")
    assert not airflow.materialized("plain", "2026-01-20")


@WAYS
def test_a_run_is_stopped_at_the_deadline(airflow: Harness, way: str) -> None:
    ended = airflow.run(f"slow_{way}", "2026-01-05")
    assert ended.state == "failed"
    (run,) = airflow.runs(f"slow_{way}", "2026-01-05")
    assert f"RunTimedOut: Run {run.run_id} was " in ended.message
    assert f"/runs/{run.run_id}" in ended.message
    assert airflow.status_within(run, 60, "CANCELED") == "CANCELED"


def test_a_retry_after_a_failure_starts_a_new_run(airflow: Harness) -> None:
    ended = airflow.run("retried", "2026-01-05")
    assert (ended.state, ended.tries) == ("failed", 2)
    tries = [run.tags["airflow/try_number"] for run in airflow.runs("retried", "2026-01-05")]
    assert tries == ["2", "1"]


@WAYS
def test_the_task_waits_for_an_earlier_day(airflow: Harness, way: str) -> None:
    day, before = {"deferred": ("2026-01-11", "2026-01-10"), "waiting": ("2026-01-13", "2026-01-12")}[way]
    with airflow.later(5, lambda: airflow.launch("plain", before)):
        ended = airflow.run(f"after_{way}", day)
    assert ended.state == "success"
    (run,) = airflow.runs(f"after_{way}", day)
    (earlier,) = [run for run in airflow.all_runs(before) if run.assets == {"sample/plain"}]
    assert earlier.status == "SUCCESS"
    assert earlier.created < run.created


def test_the_task_does_not_wait_for_a_day_before_the_first(airflow: Harness) -> None:
    assert airflow.run("after_deferred", "2026-01-01").state == "success"


@WAYS
def test_an_earlier_day_that_is_not_materialized_is_named(airflow: Harness, way: str) -> None:
    ended = airflow.run(f"too_early_{way}", "2026-01-26")
    assert ended.state == "failed"
    assert "PartitionNotReady: sample/other of 2026-01-26 reads sample/plain of 2026-01-25" in ended.message
    assert "run that day first" in ended.message
    assert airflow.runs(f"too_early_{way}", "2026-01-26") == []


@WAYS
def test_a_killed_task_stops_its_run(airflow: Harness, way: str) -> None:
    day = {"deferred": "2026-01-07", "waiting": "2026-01-08"}[way]
    with airflow.in_a_process(f"killed_{way}", day) as process:
        run = airflow.started(f"killed_{way}", day)
        process.terminate()
        assert airflow.status_within(run, 60, "CANCELED") == "CANCELED"
    assert [found.run_id for found in airflow.runs(f"killed_{way}", day)] == [run.run_id]


@WAYS
def test_a_retry_takes_over_the_run_of_a_try_that_lost_the_connection(airflow: Harness, way: str) -> None:
    day = {"deferred": "2026-01-15", "waiting": "2026-01-16"}[way]
    airflow.connect({"patience": 0.5})
    with airflow.later(0, lambda: airflow.restart(f"retried_{way}", day, away=6)):
        ended = airflow.run(f"retried_{way}", day)
    assert ended.state == "success"
    assert ended.tries > 1
    assert len(airflow.runs(f"retried_{way}", day)) == 1


@WAYS
def test_a_task_survives_a_restart_of_dagster(airflow: Harness, way: str) -> None:
    day = {"deferred": "2026-01-17", "waiting": "2026-01-18"}[way]
    with airflow.later(0, lambda: airflow.restart(f"ten_seconds_{way}", day, away=4)):
        ended = airflow.run(f"ten_seconds_{way}", day)
    assert ended.state == "success"
    (run,) = airflow.runs(f"ten_seconds_{way}", day)
    assert run.status == "SUCCESS"


def test_an_unreachable_dagster_is_an_error(airflow: Harness) -> None:
    port = free_port()
    airflow.connect({"patience": 2}, port=port)
    ended = airflow.run("plain_deferred", "2026-01-22")
    assert ended.state == "failed"
    assert f"DagsterUnreachable: Dagster at http://127.0.0.1:{port} does not answer: Connection refused" in ended.message


def test_logs_and_tags_have_no_secrets(
    airflow: Harness, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    secrets = {"password": "s3cret-password", "extra": {"headers": {"Dagster-Token": "s3cret-token"}}}
    airflow.connect(secrets["extra"], login="someone", password=secrets["password"])
    assert airflow.run("raising_deferred", "2026-01-23").state == "failed"
    (run,) = airflow.runs("raising_deferred", "2026-01-23")
    output = "".join([*capfd.readouterr(), caplog.text, str(run)])
    assert "sample__raising" in output
    assert "s3cret" not in output
