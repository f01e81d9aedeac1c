"""Local mode in tasks that Airflow runs. tests/airflow_bridge/in_airflow/test_local.py tests its details, where Dagster is."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from airflow_harness import Harness


@pytest.fixture
def home(airflow: Harness, dagster_python: str, tmp_path: Path) -> Path:
    """The folder of a Dagster instance for local runs; the Airflow Connection names it."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    env = {"DAGSTER_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent), "TOKEN": "s3cret"}
    airflow.connect({"mode": "local", "python": dagster_python, "module": "sample_assets", "env": env})
    return tmp_path


def test_assets_are_materialized(airflow: Harness, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ended = airflow.run("plain_local", "2026-01-05")
    assert (ended.state, ended.error) == ("success", None)
    output = "".join(capfd.readouterr())
    assert "RUN_SUCCESS" in output
    assert "s3cret" not in output
    assert (home / "storage" / "sample" / "plain" / "2026-01-05").exists()
    assert airflow.runs("plain_local", "2026-01-05") == [], "the webserver's Dagster has no run"


def test_a_failed_check_is_named(airflow: Harness, home: Path) -> None:
    ended = airflow.run("checked_local", "2026-01-05")
    assert ended.state == "failed"
    assert "CheckFailed: " in ended.message
    assert "check rows_are_enough of sample/checked failed" in ended.message
    assert not (home / "storage" / "sample" / "behind_checked").exists()


def test_a_failed_step_is_named_with_its_cause(airflow: Harness, home: Path) -> None:
    ended = airflow.run("raising_local", "2026-01-05")
    assert ended.state == "failed"
    assert "step sample__raising failed: ValueError: the source gave 3 rows: too few" in ended.message


def test_a_run_is_stopped_at_the_deadline(airflow: Harness, home: Path) -> None:
    ended = airflow.run("slow_local", "2026-01-05")
    assert ended.state == "failed"
    assert "RunTimedOut: sample/slow of 2026-01-05 " in ended.message
    assert not (home / "storage" / "sample" / "slow").exists()


@pytest.mark.parametrize(("number", "day"), [(signal.SIGTERM, "2026-01-05"), (signal.SIGKILL, "2026-01-06")])
def test_a_run_ends_when_its_task_is_killed(airflow: Harness, home: Path, number: int, day: str) -> None:
    with airflow.in_a_process("killed_local", day) as process:
        children = airflow.until(lambda: dagster_processes(home))
        process.send_signal(number)
        airflow.until(lambda: not dagster_processes(home))
    assert children


def dagster_processes(home: Path) -> list[int]:
    """Process ids of the materialization in a Dagster instance and of its supervisor."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environ = (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue  # the process has ended, or belongs to another user
        if os.fsencode(f"DAGSTER_HOME={home}") in environ and b"materialize" in command:
            found.append(int(process.name))
    return found
