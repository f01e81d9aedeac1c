"""A real Airflow for tests: a migrated SQLite database, with scheduler, DAG processor and triggerer running, on loopback.

Supports 3.3 and 2.11, each in a given virtual environment and a home of its own.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.services.processes import SLOW, Process, free_port, listening, wait_until

REPOSITORY = Path(__file__).parent.parent.parent
FINISHED = {"success", "failed", "upstream_failed", "skipped", "removed"}


_MARK_FAILED = """
import sys
from airflow.models import DagBag
from airflow.utils.state import TaskInstanceState
dag_id, run_id, task_id = sys.argv[1:]
dag = DagBag(read_dags_from_db=True).get_dag(dag_id)
dag.set_task_instance_state(task_id=task_id, run_id=run_id, state=TaskInstanceState.FAILED)
"""


@cache
def version_of(environment: Path) -> int:
    """The major version, 3 or 2, of the Airflow in a virtual environment."""
    code = "import importlib.metadata as m; print(m.version('apache-airflow'))"
    result = subprocess.run([environment / "bin" / "python", "-c", code], check=True, capture_output=True, text=True)
    return int(result.stdout.partition(".")[0])


@dataclass(frozen=True)
class Run:
    """A DAG run, as recorded in Airflow's database.

    Attributes:
        kind: `scheduled`, `manual`, `backfill`.
        partition: the partition key (3.3), or the day of the data interval's start (2.11).
    """

    run_id: str
    kind: str
    state: str
    partition: str
    started: str
    ended: str


class Airflow:
    """An Airflow that can be started and stopped.

    Attributes:
        version: major version, 3 or 2.
        home: its AIRFLOW_HOME.
        dags: its DAG folder.
    """

    def __init__(self, environment: Path, home: Path, connections: Mapping[str, Mapping[str, Any]]) -> None:
        self._bin = environment / "bin"
        self.home = home
        self.dags = home / "dags"
        self.dags.mkdir(parents=True)
        self.port = free_port()
        self.version = version_of(environment)
        self.env = self._environment(connections)
        self._processes: dict[str, Process] = {}

    def _environment(self, connections: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.port}"
        settings = {
            "core__dags_folder": str(self.dags),
            "core__load_examples": "False",
            "core__executor": "LocalExecutor",
            "core__parallelism": "2",  # with more, SQLite answers "database is locked"
            "database__sql_alchemy_conn": f"sqlite:///{self.home / 'airflow.db'}",
            "logging__base_log_folder": str(self.home / "logs"),
            "usage_data_collection__enabled": "False",
            "triggerer__default_capacity": "100",
        }
        settings |= (
            {
                "core__execution_api_server_url": f"{url}/execution/",
                "core__simple_auth_manager_all_admins": "True",
                "core__internal_api_secret_key": "tests",
                "api__host": "127.0.0.1",
                "api__port": str(self.port),
                "api__base_url": url,
                "api__secret_key": "tests",
                "api__workers": "1",
                "api_auth__jwt_secret": "tests only, and long enough for an HMAC of 512 bits, which is 64 bytes long",
                "dag_processor__refresh_interval": "5",
                "dag_processor__min_file_process_interval": "5",
            }
            if self.version == 3
            else {
                "scheduler__dag_dir_list_interval": "5",
                "scheduler__min_file_process_interval": "5",
            }
        )
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "FRAUD_", "DAGSTER"))}
        return {
            **inherited,
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW_HOME": str(self.home),
            "PYTHONPATH": str(self._installed()),
            "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",  # 2.11 allows SQLite for one task at a time only
            **{f"AIRFLOW__{name.upper()}": value for name, value in settings.items()},
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()},
        }

    def _installed(self) -> Path:
        """A folder with airflow_bridge and nothing else of the repository."""
        folder = self.home / "installed"
        folder.mkdir()
        (folder / "airflow_bridge").symlink_to(REPOSITORY / "airflow_bridge")
        return folder

    # --- start and stop -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Migrate the database and start every process that a run needs.

        Raises:
            RuntimeError: a process did not start; with the end of its log.
        """
        self.command("db", "migrate")
        if self.version == 3:
            self._start("api-server")
            self._listens("api-server", 180)
        # on 2.11 with SQLite, the scheduler starts the DAG processor, which refuses to run on its own
        self._start("scheduler", "--skip-serve-logs")
        if self.version == 3:
            self._start("dag-processor")
        self._start("triggerer", "--skip-serve-logs")

    def end(self) -> None:
        """Stop all its processes."""
        for process in reversed(self._processes.values()):
            process.end()

    def _start(self, name: str, *arguments: str) -> None:
        command = [self._bin / "airflow", name, *arguments]
        self._processes[name] = Process(command, self.home / f"{name}.log", self.env, self.home)

    def _listens(self, name: str, seconds: float) -> None:
        process = self._processes[name]
        wait_until(name, lambda: process.ended or listening(self.port), seconds)
        if process.ended:
            raise RuntimeError(f"Airflow's {name} ended:\n{process.output()}")

    def ended(self) -> Sequence[str]:
        """The processes that have ended by themselves, with their output; empty if all are running."""
        return [f"{name}: {process.output()}" for name, process in self._processes.items() if process.ended]

    # --- commands and queries ------------------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> str:
        """The output of `airflow …`.

        Raises:
            RuntimeError: it failed; with its output.
        """
        return self._output_of([self._bin / "airflow", *arguments])

    def python(self, code: str, *arguments: str) -> str:
        """The output of Python code in Airflow's environment."""
        return self._output_of([self._bin / "python", "-c", code, *arguments])

    def _output_of(self, command: Sequence[str | Path]) -> str:
        result = subprocess.run(command, env=self.env, cwd=self.home, capture_output=True, text=True, timeout=300 * SLOW)
        if result.returncode:
            raise RuntimeError(f"{' '.join(map(str, command[:4]))} failed:\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}")
        return result.stdout

    def wait_for_dag(self, dag_id: str) -> None:
        """Wait until the DAG processor has found a DAG."""
        wait_until(f"DAG {dag_id} is found", lambda: self._query("SELECT 1 FROM serialized_dag WHERE dag_id = ?", dag_id), 180)

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG, once it has been found."""
        self.wait_for_dag(dag_id)
        self.command("dags", "unpause", dag_id)

    def mark_failed(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Do what the button *Mark state as failed* does."""
        if self.version == 2:
            # the call of the button's view; the REST API of 2.11 would need a user with a password
            self.python(_MARK_FAILED, dag_id, run_id, task_id)
            return
        url = f"http://127.0.0.1:{self.port}"
        token = httpx.get(f"{url}/auth/token", timeout=60 * SLOW).json()["access_token"]
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}"
        headers = {"Authorization": f"Bearer {token}"}
        httpx.patch(url + path, json={"new_state": "failed"}, headers=headers, timeout=60 * SLOW).raise_for_status()

    def process_of(self, dag_id: str, run_id: str, task_id: str) -> int | None:
        """The process id of a running task; None if it has no process."""
        query = "SELECT pid FROM task_instance WHERE dag_id = ? AND run_id = ? AND task_id = ? AND state = 'running'"
        return next((row["pid"] for row in self._query(query, dag_id, run_id, task_id)), None)

    def tries(self, dag_id: str, run_id: str, task_id: str) -> int:
        """The number of a task's latest try."""
        query = "SELECT try_number FROM task_instance WHERE dag_id = ? AND run_id = ? AND task_id = ?"
        return int(self._query(query, dag_id, run_id, task_id)[0]["try_number"])

    def import_errors(self) -> Sequence[str]:
        """Tracebacks of DAG files that cannot be imported."""
        return [row["stacktrace"] for row in self._query("SELECT stacktrace FROM import_error")]

    def warnings(self) -> Sequence[str]:
        """Warnings of the DAG processor."""
        return [f"{row['dag_id']}: {row['message']}" for row in self._query("SELECT dag_id, message FROM dag_warning")]

    def runs(self, dag_id: str) -> Sequence[Run]:
        """The runs of a DAG, in the order in which they started."""
        day = "partition_key" if self.version == 3 else "substr(data_interval_start, 1, 10)"
        rows = self._query(
            f"SELECT run_id, run_type, state, {day} AS day, start_date, end_date FROM dag_run WHERE dag_id = ? "
            "ORDER BY start_date IS NULL, start_date",
            dag_id,
        )
        return [
            Run(row["run_id"], row["run_type"], row["state"], row["day"], row["start_date"] or "", row["end_date"] or "")
            for row in rows
        ]

    def first_run(self, dag_id: str) -> Run:
        """The first run of a DAG; waits until there is one."""
        return wait_until(f"a run of {dag_id}", lambda: self.runs(dag_id), 120)[0]

    def asset_events(self) -> Mapping[str, str | None]:
        """The names (3.3) or URIs (2.11) of assets with events from tasks, with the partition key of the last event."""
        if self.version == 3:
            query = "SELECT name, partition_key FROM asset_event JOIN asset ON asset.id = asset_id ORDER BY timestamp"
        else:
            query = "SELECT uri AS name, NULL AS partition_key FROM dataset_event JOIN dataset ON dataset.id = dataset_id"
        return {row["name"]: row["partition_key"] for row in self._query(query)}

    def tasks(self, dag_id: str, run_id: str) -> Mapping[str, str | None]:
        """The state of each task of a run."""
        rows = self._query("SELECT task_id, state FROM task_instance WHERE dag_id = ? AND run_id = ?", dag_id, run_id)
        return {row["task_id"]: row["state"] for row in rows}

    def times(self, dag_id: str, run_id: str) -> Mapping[str, float]:
        """Seconds from the start of each task's last try to its end, including the time it was deferred."""
        query = "SELECT task_id, start_date, end_date FROM task_instance WHERE dag_id = ? AND run_id = ?"
        rows = self._query(query, dag_id, run_id)
        moment = dt.datetime.fromisoformat
        return {row["task_id"]: (moment(row["end_date"]) - moment(row["start_date"])).total_seconds() for row in rows}

    def finished(self, dag_id: str, run_id: str, seconds: float) -> Run:
        """Wait until a run has ended, and return it.

        Raises:
            TimeoutError: it did not end in so many seconds; with the states of its tasks.
        """

        def found() -> Run | None:
            return next((run for run in self.runs(dag_id) if run.run_id == run_id and run.state in FINISHED), None)

        try:
            return wait_until(f"run {run_id} of {dag_id} ends", found, seconds, every=1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.tasks(dag_id, run_id)} {self.ended()}") from None

    def log(self, dag_id: str, task_id: str) -> str:
        """The log of a task, of all tries in all runs."""
        files = sorted((self.home / "logs" / f"dag_id={dag_id}").glob(f"run_id=*/task_id={task_id}/*"))
        return "\n".join(file.read_text(errors="replace") for file in files if file.is_file())

    def _query(self, query: str, *values: str) -> list[sqlite3.Row]:
        """Rows of Airflow's own database, opened read-only; an `airflow` command would take seconds."""
        with sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=30) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, values).fetchall()
