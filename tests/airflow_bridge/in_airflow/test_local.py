"""Local mode, with Dagster's command line in this environment, which has Dagster and no Airflow."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import pytest

from airflow_bridge.errors import (
    BadConnection,
    CheckFailed,
    LaunchRefused,
    PartitionNotReady,
    RunFailed,
    RunTimedOut,
)
from airflow_bridge.in_airflow import supervisor
from airflow_bridge.in_airflow.connection import LocalDagster
from airflow_bridge.in_airflow.local import LocalRun
from airflow_bridge.in_airflow.task_runs import Work

pytestmark = pytest.mark.slow

LOG = logging.getLogger("airflow.task")
MODULE = "tests.airflow_runtime.sample_assets"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    """The folder of a Dagster instance. The tests run in the repository, where Dagster's command finds the sample assets."""
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(ROOT)
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    return tmp_path


def run(home: Path, *assets: str, day: str = "2026-01-05", env: dict[str, str] | None = None) -> LocalRun:
    site = LocalDagster(sys.executable, MODULE, env={"DAGSTER_HOME": str(home), **(env or {})})
    return LocalRun(site, Work([f"sample/{asset}" for asset in assets], day, None), LOG)


def materialized(home: Path, asset: str) -> set[str]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return set(instance.event_log_storage.get_materialized_partitions(dg.AssetKey(["sample", asset])))


def statuses(home: Path) -> list[str]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return [run.status.value for run in instance.get_runs()]


def in_time(seconds: float = 120) -> float:
    return time.time() + seconds


def test_assets_are_materialized_and_the_output_is_logged(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = run(home, "plain", "other").materialize([], in_time())
    assert materialized(home, "plain") == {"2026-01-05"}
    assert materialized(home, "other") == {"2026-01-05"}
    assert materialized(home, "ten_seconds") == set()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert [found.run_id for found in instance.get_runs()] == [result["run_id"]]
    assert result["partition"] == "2026-01-05"
    assert "RUN_SUCCESS" in caplog.text


def test_a_failed_step_is_named_with_its_cause(home: Path) -> None:
    with pytest.raises(RunFailed, match="step sample__raising failed: ValueError: the source gave 3 rows: too few"):
        run(home, "raising").materialize([], in_time())


def test_a_failed_blocking_check_is_named_with_its_metadata(home: Path) -> None:
    with pytest.raises(CheckFailed) as raised:
        run(home, "checked", "behind_checked").materialize([], in_time())
    message = str(raised.value)
    assert "check rows_are_enough of sample/checked failed: Fewer rows than on any day of the last month" in message
    for value in ("rows: 3", "share: 0.25", "broken claims: amount > 0, 7"):
        assert value in message
    assert materialized(home, "behind_checked") == set()


@pytest.mark.parametrize(("asset", "day"), [("no_such_asset", "2026-01-05"), ("plain", "2025-01-05")])
def test_a_refused_launch_has_dagsters_message(home: Path, asset: str, day: str) -> None:
    with pytest.raises(LaunchRefused) as raised:
        run(home, asset, day=day).materialize([], in_time())
    message, _, output = str(raised.value).partition("\n")
    assert message.startswith(f"sample/{asset} of {day} did not start: exit code ")
    assert ("no_such_asset" if asset == "no_such_asset" else "2025-01-05") in output


def test_a_run_is_stopped_at_the_deadline(home: Path) -> None:
    began = time.monotonic()
    with pytest.raises(RunTimedOut, match="sample/slow of 2026-01-05 did not end before the task's deadline"):
        run(home, "slow").materialize([], in_time(12))
    assert time.monotonic() - began < 120
    assert statuses(home) == ["FAILURE"]


def test_a_run_is_stopped_with_its_task(home: Path) -> None:
    local_run = run(home, "slow")
    threading.Timer(10, local_run.stop).start()
    with pytest.raises(RunFailed, match="sample/slow of 2026-01-05 was stopped because the task was stopped"):
        local_run.materialize([], in_time())
    assert statuses(home) == ["FAILURE"]


def test_a_run_ends_when_its_task_is_killed(home: Path) -> None:
    """SIGKILL leaves the task no time to stop the run."""
    code = (
        "import sys, time, logging; from pathlib import Path; sys.path.insert(0, '.')\n"
        "from tests.airflow_bridge.in_airflow.test_local import run\n"
        "run(Path(sys.argv[1]), 'slow').materialize([], time.time() + 200)\n"
    )
    task = subprocess.Popen([sys.executable, "-c", code, str(home)], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while "STARTED" not in statuses(home):
        assert time.monotonic() < until
        time.sleep(0.5)
    task.kill()
    task.wait(timeout=30)
    while "STARTED" in statuses(home):
        assert time.monotonic() < until
        time.sleep(0.5)
    assert statuses(home) == ["FAILURE"]


def test_the_run_waits_for_earlier_days(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    earlier = threading.Timer(8, lambda: run(home, "plain", day="2026-01-09").materialize([], in_time()))
    earlier.start()
    run(home, "other", day="2026-01-10").materialize(
        [("sample/plain", "2026-01-09"), ("sample/plain", "2025-12-31")], in_time()
    )
    earlier.join()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        other, plain = instance.get_run_records()
        assert plain.dagster_run.asset_selection == {dg.AssetKey(["sample", "plain"])}
        assert plain.end_time < other.start_time
    assert "Waiting for sample/plain of 2026-01-09" in caplog.text
    assert "Waiting for sample/plain of 2025-12-31" not in caplog.text


def test_an_earlier_day_that_is_not_materialized_is_named(home: Path) -> None:
    with pytest.raises(
        PartitionNotReady, match=r"sample/other of 2026-01-10 reads sample/plain of 2026-01-09.*run that day first"
    ):
        run(home, "other", day="2026-01-10").materialize([("sample/plain", "2026-01-09")], in_time(8))
    assert statuses(home) == []


def test_a_missing_dagster_home_is_an_error(home: Path) -> None:
    site = LocalDagster(sys.executable, MODULE)
    with pytest.raises(BadConnection, match="DAGSTER_HOME"):
        LocalRun(site, Work(["sample/plain"], "2026-01-05", None), LOG).materialize([], in_time())


def test_a_missing_python_is_an_error(home: Path) -> None:
    site = LocalDagster("/nowhere/bin/python", MODULE, env={"DAGSTER_HOME": str(home)})
    with pytest.raises(BadConnection, match="/nowhere/bin/python cannot be started: No such file or directory"):
        LocalRun(site, Work(["sample/plain"], "2026-01-05", None), LOG).materialize([], in_time())


def test_dagster_does_not_get_airflows_settings_and_the_command_line_has_no_secrets(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/proc` has the environment and the command line of the child process."""
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "s3cret-fernet")
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", "s3cret-connection")
    monkeypatch.setenv("PYTHONPATH", "/airflows/own/modules")
    local_run = run(home, "slow", env={"SOURCE_TOKEN": "t0ken"})
    seen = {}

    def inspect_and_stop() -> None:
        child = local_run._child
        assert child is not None
        seen["environ"] = Path(f"/proc/{child.pid}/environ").read_text(encoding="utf-8")
        seen["cmdline"] = Path(f"/proc/{child.pid}/cmdline").read_text(encoding="utf-8")
        local_run.stop()

    threading.Timer(6, inspect_and_stop).start()
    with pytest.raises((RunFailed, LaunchRefused)):
        local_run.materialize([], in_time())
    assert "SOURCE_TOKEN=t0ken" in seen["environ"]
    assert "s3cret" not in seen["environ"]
    assert "/airflows/own/modules" not in seen["environ"]
    assert "t0ken" not in seen["cmdline"]


def test_the_supervisor_returns_the_exit_code_of_the_command() -> None:
    script = str(Path(supervisor.__file__))
    for code, expected in (("import sys; sys.exit(3)", 3), (f"import os; os.kill(os.getpid(), {signal.SIGKILL:d})", 137)):
        process = subprocess.Popen([sys.executable, script, "supervise", sys.executable, "-c", code], stdin=subprocess.PIPE)
        assert process.wait(60) == expected
        assert process.stdin is not None
        process.stdin.close()


def test_the_supervisor_ends_children_of_the_command_too(tmp_path: Path) -> None:
    script = str(Path(supervisor.__file__))
    code = (
        "import json, os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        f"open({json.dumps(str(tmp_path / 'pids'))}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(300)\n"
    )
    process = subprocess.Popen([sys.executable, script, "supervise", sys.executable, "-c", code], stdin=subprocess.PIPE)
    until = time.monotonic() + 60
    while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text(encoding="utf-8"):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(60)
    for pid in (tmp_path / "pids").read_text(encoding="utf-8").split():
        while _alive(int(pid)):
            assert time.monotonic() < until
            time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
