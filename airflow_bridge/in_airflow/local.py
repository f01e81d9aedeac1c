"""Local mode: runs Dagster's command line in a virtual environment on this machine that has Dagster and the assets."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_bridge.errors import BadConnection, LaunchRefused, PartitionNotReady, RunFailed, RunTimedOut
from airflow_bridge.in_airflow.connection import LocalDagster
from airflow_bridge.in_airflow.failures import failure_of
from airflow_bridge.in_airflow.task_runs import Work

SCRIPT = Path(__file__).with_name("supervisor.py")
"""Script that the interpreter of the virtual environment runs."""

_RUN_ID = re.compile(r" - ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) - ")
_NOT_FOR_DAGSTER = ("AIRFLOW", "_AIRFLOW", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""Prefixes of environment variables withheld from Dagster: Airflow's settings, which hold secrets, and its package paths."""

_STOP_SECONDS = 4
"""Seconds for which `stop` waits. The child process continues to stop after that."""


class LocalRun:
    """One `dagster asset materialize` in a child process that ends when this process ends.

    Secrets are passed in the environment, never on the command line.
    """

    def __init__(self, site: LocalDagster, work: Work, log: logging.Logger) -> None:
        self.site = site
        self.work = work
        self._log = log
        self._child: subprocess.Popen[str] | None = None
        self._late = False
        self._stopped = False

    def materialize(self, waits: Sequence[tuple[str, str]], deadline: float) -> dict[str, Any]:
        """Wait for the earlier partitions, materialize the assets and return the result of the task.

        Args:
            waits: pairs of asset key and partition.
            deadline: epoch seconds.

        Raises:
            PartitionNotReady, LaunchRefused, RunFailed, CheckFailed, RunCanceled, RunTimedOut: as in remote mode.
            BadConnection: the virtual environment cannot be used.
        """
        if waits:
            self._wait(waits, deadline)
        partition = ("--partition", self.work.partition) if self.work.partition is not None else ()
        command = [
            *(self.site.python, "-m", "dagster", "asset", "materialize"),
            *("-m", self.site.module, "-a", self.site.attribute),
            *("--select", ",".join(self.work.assets), *partition),
        ]
        code, output = self._run([self.site.python, str(SCRIPT), "supervise", *command], deadline)
        found = _RUN_ID.search("\n".join(output))
        run_id = found[1] if found else None
        if code == 0:
            return {"run_id": run_id, "partition": self.work.partition, "url": None}
        if self._late:
            raise RunTimedOut(f"{self._name} did not end before the task's deadline and was stopped")
        if self._stopped:
            raise RunFailed(f"{self._name} was stopped because the task was stopped")
        if run_id is None:
            tail = "\n".join(output[-15:])
            raise LaunchRefused(f"{self._name} did not start: exit code {code} of {' '.join(command)}\n{tail}")
        raise self._failure(run_id, code, deadline)

    def stop(self) -> None:
        """Stop the child process and its descendants. They are interrupted first, so that Dagster can record the run's end."""
        self._stopped = True
        if self._child is None or self._child.stdin is None:
            return
        self._child.stdin.close()
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._log.warning("The materialization has not stopped yet")

    @property
    def _name(self) -> str:
        return f"{', '.join(self.work.assets)} of {self.work.partition}"

    def _wait(self, waits: Sequence[tuple[str, str]], deadline: float) -> None:
        request = json.dumps({"waits": waits, "deadline": deadline})
        code, output = self._run(
            [self.site.python, str(SCRIPT), "wait", self.site.module, self.site.attribute, request], deadline + 60
        )
        if code:
            awaited = ", ".join(f"{asset} of {partition}" for asset, partition in waits)
            reason = output[-1] if output else f"exit code {code}"
            raise PartitionNotReady(f"{self._name} reads {awaited}: {reason}")

    def _failure(self, run_id: str, code: int, deadline: float) -> Exception:
        """The error that the events of the run describe."""
        failed, output = self._run([self.site.python, str(SCRIPT), "why", run_id], deadline + 60, quiet=True)
        if failed:
            return RunFailed(f"{self._name} failed with exit code {code}; see Dagster's output in the log above")
        answer = json.loads(output[-1])
        return failure_of(answer["status"], f"Run {run_id}", "", answer["events"])

    def _run(self, command: Sequence[str], deadline: float, *, quiet: bool = False) -> tuple[int, list[str]]:
        """Run a command and return its exit code and output lines; unless `quiet`, each line is logged as it arrives."""
        try:
            self._child = subprocess.Popen(
                command,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        except OSError as error:
            python = self.site.python
            raise BadConnection(
                f"{python} cannot be started: {error.strerror}; correct python in the extra of the Airflow Connection"
            ) from error
        assert self._child.stdout is not None
        timer = threading.Timer(max(0.0, deadline - time.time()), self._end_late)
        timer.daemon = True
        timer.start()
        output = []
        # the child stops when its stdin is closed, at the latest at the end of this block
        with self._child:
            for line in self._child.stdout:
                output.append(line.rstrip())
                if not quiet:
                    self._log.info("%s", output[-1])
            timer.cancel()
            return self._child.wait(), output

    def _end_late(self) -> None:
        self._late = True
        self.stop()

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_FOR_DAGSTER)}
        environment = {**ours, **self.site.env}
        if "DAGSTER_HOME" not in environment:
            raise BadConnection(
                "Local mode needs DAGSTER_HOME, the folder in which Dagster records its runs; "
                'set it in "env" in the extra of the Airflow Connection, or in the worker\'s environment'
            )
        return environment
