"""Commands that are interrupted or killed: their output, the record of the run, and the next run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from fraud_assets.runs.dead_runs import close_dead_runs, marked_alive
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import Settings, read_settings
from hive_io import EmbeddedWarehouse
from mock_sources import World, running

RUN = ["run", "--from", "2026-01-05", "--to", "2026-01-12"]
DAYS = {f"2026-01-{day:02}" for day in range(5, 12)}


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with running(World(customers=100, merchants=60)) as url:
        yield url


def start(lake: Path, source: str, arguments: list[str] = RUN) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fraud_assets", *arguments, "--warehouse", str(lake)]
    env = {**os.environ, "FRAUD_SOURCE_URL": source}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, preexec_fn=_accept_interrupts
    )


def _accept_interrupts() -> None:
    """Undo what a child of a background job inherits: a shell starts such a job with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_run(lake: Path) -> None:
    deadline = time.monotonic() + 120
    while not list(lake.glob("dagster/running/*.lock")):
        assert time.monotonic() < deadline, "no run began"
        time.sleep(0.05)


def statuses(lake: Path) -> list[str]:
    """Statuses of all runs, the newest first."""
    with dagster_instance(read_settings(warehouse=str(lake))) as instance:
        return [run.status.value for run in instance.get_runs()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "number"),
    [
        pytest.param(seconds, number, marks=[] if (seconds, number) == (1.0, signal.SIGTERM) else pytest.mark.long)
        for seconds in (None, 0.0, 1.0, 4.0)
        for number in (signal.SIGINT, signal.SIGTERM)
    ],
)
def test_an_interrupted_run_is_cancelled_and_completed_by_the_next(
    seconds: float | None, number: signal.Signals, source: str, tmp_path: Path
) -> None:
    """`seconds` after the run began; None is before it, while Dagster is imported."""
    lake = tmp_path / "lake"
    process = start(lake, source)
    if seconds is None:
        time.sleep(1.5)
    else:
        wait_for_run(lake)
        time.sleep(seconds)
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.02)
    out, err = process.communicate(timeout=120)
    # Python ends by SIGINT itself if it came while code from a string was executed; shells report 130 for both
    assert process.returncode in (130, -signal.SIGINT), (out, err)
    assert "Traceback" not in err and out == ""
    (said,) = [line for line in err.splitlines() if "Cancelled" in line]
    assert "completes it" in said and err.rstrip().endswith(said)
    again = start(lake, source)
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    # a step that did not end in time is closed by the next start, as failed
    last, *before = statuses(lake)
    assert last == "SUCCESS" and set(before) <= {"CANCELED", "FAILURE"}
    assert set(EmbeddedWarehouse(lake).partitions("fintech.transactions")) == DAYS


@pytest.mark.slow
def test_a_killed_run_is_reported_and_closed_at_the_next_start(source: str, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    process = start(lake, source)
    wait_for_run(lake)
    deadline = time.monotonic() + 60
    while statuses(lake) != ["STARTED"]:
        assert time.monotonic() < deadline, "the run has not started"
        time.sleep(0.2)
    process.kill()
    process.communicate()
    assert statuses(lake) == ["STARTED"]
    again = start(lake, source)
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0
    assert "2026-01-05 to 2026-01-11" in err and "killed" in err
    assert statuses(lake) == ["SUCCESS", "FAILURE"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(warehouse=str(tmp_path / "lake"))


def test_runs_that_are_alive_or_of_other_processes_stay_open(settings: Settings) -> None:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def job() -> None:
        nothing()

    home = settings.dagster_home
    with dagster_instance(settings) as instance:
        alive, dead, foreign = (instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED).run_id for _ in range(3))
        with marked_alive(home, alive):
            # a process that was killed leaves its lock behind, unlocked
            (home / "running" / f"{dead}.lock").touch()
            assert [run.run_id for run in close_dead_runs(instance, home)] == [dead]
            found = {run.run_id: run.status.value for run in instance.get_runs()}
            assert found == {alive: "STARTED", dead: "FAILURE", foreign: "STARTED"}
            assert close_dead_runs(instance, home) == []
        assert list((home / "running").iterdir()) == []


def test_ui_on_a_taken_port_ends_with_an_error(tmp_path: Path, source: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(tmp_path / "lake", source, ["ui", "--port", str(port)])
        out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and out == ""
    assert str(port) in err and "--port" in err and "Traceback" not in err
