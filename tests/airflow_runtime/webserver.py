"""A real Dagster webserver with the sample assets, which can be stopped and restarted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import requests

SAMPLE = Path(__file__).with_name("sample_assets.py")
START_SECONDS = 180
"""Seconds for a start, on a busy machine."""


class Webserver:
    """`dagster-webserver` with an instance in a folder.

    Args:
        home: folder of the Dagster instance, created with DefaultRunCoordinator, so that runs start without a daemon.
        more: further arguments, `--read-only`.
        module: file with the definitions.
        python: interpreter of an environment with dagster-webserver.
    """

    def __init__(self, home: Path, more: Sequence[str] = (), module: Path = SAMPLE, python: str = sys.executable) -> None:
        home.mkdir(parents=True, exist_ok=True)
        (home / "dagster.yaml").write_text(
            "telemetry: {enabled: false}\n"
            "nux: {enabled: false}\n"
            "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}\n",
            encoding="utf-8",
        )
        self.home = home
        self.python = python
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [
            *(python, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(self.port)),
            *("-f", str(module), *more),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the webserver and wait until it answers."""
        with (self.home / "webserver.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, "DAGSTER_HOME": str(self.home)},
                cwd=self.home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                requests.get(f"{self.url}/server_info", timeout=5).raise_for_status()
            except requests.RequestException:
                if time.monotonic() > until or self._process.poll() is not None:
                    output = (self.home / "webserver.log").read_text(encoding="utf-8")
                    self.stop()
                    raise RuntimeError(f"The webserver did not start: {output}") from None
                time.sleep(0.5)
            else:
                return

    def stop(self) -> None:
        """Kill the webserver and the runs that it has started."""
        if self._process is not None:
            # the process group may outlive the webserver
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=60)
            self._process = None

    def kill_only_itself(self) -> None:
        """Kill the webserver without the runs that it has started."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=60)

    def create_run_without_launching_it(self) -> str:
        """Leave a run as a webserver does that stops between creating and launching it; return the run's id."""
        code = (
            "import dagster as dg\n"
            "instance = dg.DagsterInstance.get()\n"
            "job = dg.job(name='empty')(lambda: None)\n"
            "print(instance.create_run_for_job(job).run_id)\n"
        )
        environment = {**os.environ, "DAGSTER_HOME": str(self.home)}
        result = subprocess.run([self.python, "-c", code], env=environment, check=True, capture_output=True, text=True)
        return result.stdout.split()[-1]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
