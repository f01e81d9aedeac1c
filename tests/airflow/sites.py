"""A complete site for a test: a source with switchable faults, Dagster with a new warehouse, and Airflow."""

from __future__ import annotations

import datetime as dt
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner
from flask import Flask

from fraud_assets.cli.main import main
from mock_sources import Faults, World, create_app
from mock_sources.serving import serving
from tests.services.airflow import Airflow
from tests.services.dagster import Dagster

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CLOSE = "fraud_close_day"
REFRESH = "fraud_refresh_today"

_WORLD: dict[str, Any] = {"seed": 7, "customers": 80, "merchants": 70, "fraud_rate": 0.1}
"""Small, with enough fraud for alerts on every day."""
_BEFORE_MIDNIGHT = dt.timedelta(minutes=20)
"""Time from the start of a site to the end of its first closing run, on a busy machine."""


def yesterday() -> dt.date:
    """The day that the scheduler of a new site closes first, in UTC.

    Waits if midnight is near: a scheduler that starts a run after midnight would close another day than the test expects.
    """
    while True:
        now = dt.datetime.now(dt.UTC)
        soon = now + _BEFORE_MIDNIGHT
        if soon.date() == now.date():
            return now.date() - dt.timedelta(days=1)
        time.sleep(30)


class Source:
    """A synthetic world behind the three APIs.

    Attributes:
        broken: paths that answer with status 500.
        malformed: True if most rows violate a claim.
        held: a path that does not answer until `release` is set.
    """

    def __init__(self) -> None:
        self.broken: frozenset[str] = frozenset()
        self.malformed = False
        self.held: str | None = None
        self.release = Event()
        self._good = create_app(World(**_WORLD)).wsgi_app
        self._bad = create_app(World(**_WORLD, faults=Faults(malformed=0.7))).wsgi_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path in self.broken:
            start_response("500 Internal Server Error", [("Content-Type", "application/json")])
            return [b"{}"]
        if path == self.held:
            self.release.wait(timeout=600)
        return (self._bad if self.malformed else self._good)(environ, start_response)


@dataclass
class Site:
    """A running Airflow and Dagster, and their source and warehouse."""

    airflow: Airflow
    dagster: Dagster
    source: Source
    source_url: str
    warehouse: Path
    first_day: dt.date

    def copy(self, name: str, **changes: str) -> str:
        """Add a copy of the closing DAG whose only run is for the first day, whenever it starts, and return its id.

        Args:
            changes: default arguments to replace, as Python source.
        """
        text = (self.airflow.dags / f"{CLOSE}.py").read_text(encoding="utf-8").replace(f'dag_id="{CLOSE}"', f'dag_id="{name}"')
        (start,) = re.findall(r"^    start_date=(.+),$", text, re.MULTILINE)
        assert text.count("    catchup=False,\n") == 1
        text = text.replace("    catchup=False,\n", f"    end_date={start},\n    catchup=True,\n")
        for argument, value in changes.items():
            lines = [line for line in text.split("\n") if line.startswith(f'        "{argument}": ')]
            assert len(lines) == 1, argument
            text = text.replace(lines[0], f'        "{argument}": {value},')
        (self.airflow.dags / f"{name}.py").write_text(text, encoding="utf-8")
        return name


def export_dags(airflow: Airflow, *more: str, first_day: dt.date | None = None) -> None:
    """Export the DAGs to Airflow's DAG folder."""
    arguments = ["airflow", "export", "--out", str(airflow.dags), "--airflow", str(airflow.version), *more]
    env = {"FRAUD_FIRST_DAY": first_day.isoformat()} if first_day else {}
    result = CliRunner().invoke(main, arguments, env=env)
    assert result.exit_code == 0, result.output


@contextmanager
def site(environment: Path, folder: Path, *, first_day: dt.date, mode: str = "remote", grain: str = "step") -> Iterator[Site]:
    """Run a site for the duration of the block. Its DAGs are exported and paused.

    Args:
        environment: the virtual environment with Airflow.
        first_day: the first partition.
        mode: mode of the Airflow Connection, remote or local.
        grain: size of the exported tasks, step or stage.
    """
    source = Source()
    app = Flask("source")
    app.wsgi_app = source  # type: ignore[method-assign]
    with ExitStack() as stack:
        url = stack.enter_context(serving(app, threads=16))  # held requests occupy threads
        stack.callback(source.release.set)
        dagster = Dagster(folder / "dagster", folder / "lake", source_url=url, first_day=first_day.isoformat())
        airflow = Airflow(environment, folder / "airflow", {"dagster_default": _connection(dagster, mode)})
        running = Site(airflow, dagster, source, url, folder / "lake", first_day)
        export_dags(airflow, "--grain", grain, first_day=first_day)
        stack.callback(dagster.end)
        if mode == "remote":
            dagster.start()
        stack.callback(airflow.end)
        airflow.start()
        yield running


def _connection(dagster: Dagster, mode: str) -> Mapping[str, Any]:
    if mode == "local":
        env = {name: value for name, value in dagster.env.items() if name.startswith(("FRAUD_", "DAGSTER_"))}
        extra = {"mode": "local", "python": sys.executable, "module": "fraud_assets.definitions", "env": env}
        return {"conn_type": "http", "extra": extra}
    return {
        "conn_type": "http",
        "host": "127.0.0.1",
        "port": dagster.port,
        "schema": "http",
        "extra": {
            "mode": "remote",
            "repository_location": "fraud_assets",
            "repository": "__repository__",
            "launch_timeout": 60,
        },
    }
