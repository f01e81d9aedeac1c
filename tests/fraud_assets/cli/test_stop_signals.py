"""Signals end a service, however many arrive, whatever it is doing. Each test runs a real process."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import dagster as dg
import pytest

from fraud_assets.live.reconciliation import TAG
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import Settings, read_settings
from mock_sources import running
from tests.fraud_assets.ingestion.test_http_limits import HEAD, trickle
from tests.services.processes import SLOW, wait_until
from tests.services.watching import loaded, today

pytestmark = pytest.mark.slow

HANGS = 120
ENDS = 30.0 * SLOW
"""Seconds within which a watch ends in every state."""

BUSY = """
import sys, threading, time
from fraud_assets.cli.stop_signals import run_until_stopped
stop = threading.Event()
def service():
    while not stop.is_set():
        print("runs", flush=True)
        time.sleep(0.001)
run_until_stopped(service, stop.set, lambda: None)
print("ended", flush=True)
"""
HANGING = """
import threading
from fraud_assets.cli import stop_signals
stop_signals.ENDS_WITHIN = 0.5
def service():
    print("runs", flush=True)
    threading.Event().wait()
stop_signals.run_until_stopped(service, lambda: print("told", flush=True), lambda: print("given up", flush=True))
"""


def python(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def burst(process: subprocess.Popen[str], number: int) -> None:
    """Send signals within two milliseconds."""
    for count in range(number):
        process.send_signal(signal.SIGTERM if count % 3 else signal.SIGINT)
        time.sleep(0.002 / number)


@pytest.mark.parametrize("number", [1, 2, 6, 500])
def test_any_number_of_signals_ends_a_service(number: int) -> None:
    for _ in range(5):
        with python(BUSY) as process:
            assert process.stdout is not None and process.stdout.readline() == "runs\n"
            burst(process, number)
            output, _ = process.communicate(timeout=HANGS)
        assert process.returncode == 0 and output.splitlines()[-1] == "ended"


def test_a_service_that_does_not_stop_is_given_up() -> None:
    with python(HANGING) as process:
        assert process.stdout is not None and process.stdout.readline() == "runs\n"
        burst(process, 6)
        output, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0 and output == "told\ngiven up\n"


def test_an_error_of_the_service_is_raised() -> None:
    code = "from fraud_assets.cli.stop_signals import run_until_stopped\nrun_until_stopped(lambda: 1 / 0, print, print)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANGS, check=False)
    assert found.returncode == 1 and "ZeroDivisionError" in found.stderr and found.stdout == ""


# --- fraud watch --------------------------------------------------------------------------------------------------------


def watch(settings: Settings, *options: str, **env: str) -> subprocess.Popen[str]:
    """`fraud watch` as a process, with its log on a pipe."""
    variables = {
        "FRAUD_WAREHOUSE": settings.warehouse,
        "FRAUD_SOURCE_URL": settings.source_url,
        "FRAUD_FIRST_DAY": str(settings.first_day),
        **env,
    }
    command = [sys.executable, "-m", "fraud_assets", "watch", *options]
    return subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def settings_of(folder: Path, url: str) -> Settings:
    return read_settings(warehouse=str(folder / "lake"), source_url=url, first_day=today() - dt.timedelta(days=5))


def ended(process: subprocess.Popen[str], began: float) -> str:
    output, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0, output
    assert time.monotonic() - began < ENDS, output
    assert "Traceback" not in output, output
    return output


def begins(process: subprocess.Popen[str], settings: Settings) -> None:
    """Wait until the watch polls: it holds the lock from then on."""
    holder = Path(settings.warehouse) / "watching.json"
    wait_until("a watch", lambda: holder.exists() or process.poll() is not None, HANGS, every=0.05)
    assert process.poll() is None


@pytest.mark.parametrize("attempt", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 20))])
def test_six_signals_within_two_milliseconds_end_a_watch(tmp_path: Path, attempt: int) -> None:
    with running(loaded(dt.datetime.now(dt.UTC))) as url:
        settings = settings_of(tmp_path, url)
        with watch(settings, "--every", "0.1") as process:
            begins(process, settings)
            time.sleep(0.4 * attempt)
            burst(process, 6)
            ended(process, time.monotonic())


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(HEAD + b"Content-Length: 100000\r\n\r\n[", id="body"),
        pytest.param(b"", id="nothing", marks=pytest.mark.long),
        pytest.param(HEAD, id="headers", marks=pytest.mark.long),
    ],
)
def test_a_watch_ends_while_it_waits_for_a_slow_source(tmp_path: Path, first: bytes) -> None:
    part = b"X-A: b\r\n" if first == HEAD else b" " if first else b""
    asked = Event()
    with trickle(first, part, asked=asked) as url:
        settings = settings_of(tmp_path, url)
        with watch(settings, FRAUD_SOURCE_PAGE_SECONDS="3600") as process:
            assert asked.wait(HANGS)
            process.send_signal(signal.SIGTERM)
            output = ended(process, time.monotonic())
    assert "given up" not in output and "aborted" in output


def test_a_watch_ends_while_it_waits_for_retry_after(tmp_path: Path) -> None:
    busy = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 900\r\nContent-Length: 0\r\n\r\n"
    with trickle(busy, b"", every=600) as url:
        settings = settings_of(tmp_path, url)
        with watch(settings) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "retrying in 900 s" in line, "longer than the client's own limit of 60 s"
            process.send_signal(signal.SIGINT)
            ended(process, time.monotonic())


@pytest.mark.long
def test_a_run_that_takes_too_long_is_cancelled(tmp_path: Path) -> None:
    """The run's request of customers hangs; the run's record is closed."""
    from flask import request

    from mock_sources import create_app
    from mock_sources.serving import serving

    app = create_app(loaded(dt.datetime.now(dt.UTC)))
    polled: list[str] = []

    @app.before_request
    def hang() -> None:
        if "until" in request.args and request.path == "/api/transactions":
            polled.append(request.path)
            time.sleep(60)

    with serving(app, threads=8) as url:
        settings = settings_of(tmp_path, url)
        with watch(settings, "--reconcile", "1") as process:
            wait_until("a run", lambda: polled or process.poll() is not None, HANGS, every=0.1)
            process.send_signal(signal.SIGTERM)
            ended(process, time.monotonic())
    with dagster_instance(settings) as instance:
        [run] = instance.get_runs(dg.RunsFilter(tags=TAG))
        assert run.status is dg.DagsterRunStatus.CANCELED


def test_a_second_watch_ends_with_an_error(tmp_path: Path) -> None:
    with running(loaded(dt.datetime.now(dt.UTC))) as url:
        settings = settings_of(tmp_path, url)
        with watch(settings) as process:
            begins(process, settings)
            with watch(settings) as second:
                output, _ = second.communicate(timeout=HANGS)
            assert second.returncode == 1 and "Traceback" not in output
            assert f"process {process.pid}" in output and f"since {today()}" in output
            process.kill()
        with watch(settings) as third:
            wait_until("the next watch", lambda: holder(settings) == third.pid or third.poll() is not None, HANGS, every=0.1)
            third.send_signal(signal.SIGTERM)
            ended(third, time.monotonic())


def holder(settings: Settings) -> int:
    return int(json.loads((Path(settings.warehouse) / "watching.json").read_text())["pid"])
