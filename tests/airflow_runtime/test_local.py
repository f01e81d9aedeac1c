"""Local mode, from a task in Airflow; what it does is tested where Dagster is."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from airflow_harness import Harness


@pytest.fixture
def home(airflow: Harness, dagster_python: str, tmp_path: Path) -> Path:
    """A Dagster instance for local runs, in the Airflow Connection."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    env = {"DAGSTER_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent), "TOKEN": "s3cret"}
    airflow.connect({"mode": "local", "python": dagster_python, "module": "sample_assets", "env": env})
    return tmp_path


def test_assets_are_materialized(airflow: Harness, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ended = airflow.run("plain_local", "2026-01-05")
    assert (ended.state, ended.error) == ("success", None)
    said = "".join(capfd.readouterr())
    assert "RUN_SUCCESS" in said
    assert "s3cret" not in said
    assert (home / "storage" / "sample" / "plain" / "2026-01-05").exists()
    # not in the Dagster of the webserver
    assert airflow.runs("plain_local", "2026-01-05") == []


def test_a_failed_check_is_told_of(airflow: Harness, home: Path) -> None:
    ended = airflow.run("checked_local", "2026-01-05")
    assert ended.state == "failed"
    assert "CheckFailed: " in ended.message
    assert "check rows_are_enough of sample/checked failed" in ended.message
    assert not (home / "storage" / "sample" / "behind_checked").exists()


def test_a_failed_step_is_told_of(airflow: Harness, home: Path) -> None:
    ended = airflow.run("raising_local", "2026-01-05")
    assert ended.state == "failed"
    assert "step sample__raising failed: ValueError: the source gave 3 rows: too few" in ended.message


def test_a_run_that_is_late_is_stopped(airflow: Harness, home: Path) -> None:
    ended = airflow.run("slow_local", "2026-01-05")
    assert ended.state == "failed"
    assert "RunTimedOut: " in ended.message
    assert not (home / "storage" / "sample" / "slow").exists()


@pytest.mark.parametrize(("number", "day"), [(signal.SIGTERM, "2026-01-05"), (signal.SIGKILL, "2026-01-06")])
def test_nothing_goes_on_when_the_task_is_killed(airflow: Harness, home: Path, number: int, day: str) -> None:
    with airflow.in_a_process("killed_local", day) as process:
        children = airflow.until(lambda: dagster_processes(home))
        process.send_signal(number)
        airflow.until(lambda: not dagster_processes(home))
    assert children


def dagster_processes(home: Path) -> list[int]:
    """Those that materialize into a Dagster instance; the command itself and what supervises it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environ = (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended, or is somebody else's
        if os.fsencode(f"DAGSTER_HOME={home}") in environ and b"materialize" in command:
            found.append(int(process.name))
    return found
