"""A whole site for a test: a source that can be told to misbehave, Dagster over a new warehouse, and Airflow above them."""

from __future__ import annotations

import datetime as dt
import sys
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
from tests.fraud_fixtures import serving
from tests.services.airflow import Airflow
from tests.services.dagster import Dagster

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CLOSE = "fraud_close_day"
REFRESH = "fraud_refresh_today"

_WORLD: dict[str, Any] = {"seed": 7, "customers": 80, "merchants": 70}


def today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


class Source:
    """A synthetic world behind the three APIs.

    Attributes:
        broken: paths that are answered with status 500.
        malformed: whether most rows break a claim.
        held: a path that is not answered before `release` is set.
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
    """What a test needs; `airflow` and `dagster` are running."""

    airflow: Airflow
    dagster: Dagster
    source: Source
    source_url: str
    warehouse: Path
    first_day: dt.date

    def copy(self, name: str, **changes: str) -> str:
        """The closing DAG once more, so that the scheduler makes another run of the day; gives its id.

        Args:
            changes: of its default arguments: the Python to write instead.
        """
        text = (self.airflow.dags / f"{CLOSE}.py").read_text(encoding="utf-8").replace(f'dag_id="{CLOSE}"', f'dag_id="{name}"')
        for argument, value in changes.items():
            lines = [line for line in text.split("\n") if line.startswith(f'        "{argument}": ')]
            assert len(lines) == 1, argument
            text = text.replace(lines[0], f'        "{argument}": {value},')
        (self.airflow.dags / f"{name}.py").write_text(text, encoding="utf-8")
        return name


def export_dags(airflow: Airflow, *more: str, first_day: dt.date | None = None) -> None:
    """Put the DAGs into Airflow's DAG folder, as the command writes them."""
    arguments = ["airflow", "export", "--out", str(airflow.dags), "--airflow", str(airflow.version), *more]
    env = {"FRAUD_FIRST_DAY": first_day.isoformat()} if first_day else {}
    result = CliRunner().invoke(main, arguments, env=env)
    assert result.exit_code == 0, result.output


@contextmanager
def site(environment: Path, folder: Path, *, first_day: dt.date, mode: str = "remote", grain: str = "step") -> Iterator[Site]:
    """A site as long as the block lasts; its DAGs are exported, and paused.

    Args:
        environment: the virtual environment that has Airflow.
        first_day: the first partition.
        mode: of the Airflow Connection, remote or local.
        grain: of the tasks, as the export has it.
    """
    source = Source()
    app = Flask("source")
    app.wsgi_app = source  # type: ignore[method-assign]
    with ExitStack() as stack:
        url = stack.enter_context(serving(app, threads=16))  # some may be held
        stack.callback(source.release.set)
        dagster = Dagster(folder / "dagster", folder / "lake", source_url=url, first_day=first_day.isoformat())
        airflow = Airflow(environment, folder / "airflow", {"dagster_default": _connection(dagster, mode)})
        made = Site(airflow, dagster, source, url, folder / "lake", first_day)
        export_dags(airflow, "--grain", grain, first_day=first_day)
        stack.callback(dagster.end)
        if mode == "remote":
            dagster.start()
        stack.callback(airflow.end)
        airflow.start()
        yield made


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
