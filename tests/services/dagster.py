"""A real Dagster for tests: this project's code location behind a webserver on loopback, over an embedded warehouse."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg
import yaml

from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import read_settings
from tests.services.processes import Process, free_port, listening, wait_until

WORKSPACE = Path(__file__).parent.parent.parent / "workspace.yaml"


class Dagster:
    """Dagster's webserver, which can be started and stopped repeatedly. Runs start at once, without a daemon.

    Attributes:
        url: its address.
        env: environment in which a Dagster command uses the same instance and warehouse.
    """

    def __init__(self, folder: Path, warehouse: Path, **settings: str) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        dagster_instance(read_settings(warehouse=str(warehouse))).dispose()
        home = warehouse / "dagster"
        config = home / "dagster.yaml"
        instance_config = yaml.safe_load(config.read_text(encoding="utf-8"))
        # the default run coordinator queues runs until a daemon starts them
        instance_config["run_coordinator"] = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
        config.write_text(yaml.safe_dump(instance_config), encoding="utf-8")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "FRAUD_", "DAGSTER"))}
        self.env: Mapping[str, str] = {
            **inherited,
            "DAGSTER_HOME": str(home),
            "FRAUD_WAREHOUSE": str(warehouse),
            "FRAUD_SCHEDULER": "airflow",
            **{f"FRAUD_{name.upper()}": value for name, value in settings.items()},
        }
        self._process: Process | None = None

    def start(self) -> None:
        """Start it, always on the same port.

        Raises:
            RuntimeError: it ended; with the end of its log.
        """
        command = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(self.port), "-w", str(WORKSPACE)]
        process = Process(command, self._folder / "dagster.log", self.env, self._folder)
        self._process = process
        wait_until("Dagster's webserver", lambda: process.ended or listening(self.port), 180)
        if process.ended:
            raise RuntimeError(f"Dagster's webserver ended:\n{process.output()}")

    def runs(self, **tags: str) -> Sequence[dg.DagsterRun]:
        """The runs that an Airflow task (`dag_id`, `task_id`) has launched, oldest first."""
        airflow_tags = {f"airflow/{name}": value for name, value in tags.items()}
        with dg.DagsterInstance.from_config(self.env["DAGSTER_HOME"]) as instance:
            return [*reversed(instance.get_runs(dg.RunsFilter(tags=airflow_tags)))]

    def end(self) -> None:
        """Stop it, if it is running."""
        if self._process:
            self._process.end()
            self._process = None
