"""Measures Airflow's overhead for a day. In the repository: `python -m tests.airflow.measure build/airflow3 [GRAIN …]`.

For each mode and grain, one scheduled day of a small synthetic world, in seconds:
  day         duration of the DAG run
  task        mean time from a task's start to its end, including deferrals
  in Dagster  mean duration of the tasks' Dagster runs
Then the time to parse the DAG folder.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

import dagster as dg

from fraud_assets.runs.batch import run_days
from fraud_assets.settings import read_settings
from hive_io import Span
from tests.airflow.sites import CLOSE, Site, site, yesterday

_PARSE = """
import json, sys, time
began = time.perf_counter()
try:
    from airflow.dag_processing.dagbag import DagBag
    import airflow.sdk, airflow.sdk.definitions.timetables.trigger
except ImportError:
    from airflow.models import DagBag
    import airflow.models.dag, airflow.models.baseoperator, airflow.timetables.interval, airflow.timetables.trigger
imported = time.perf_counter()
bag = DagBag(sys.argv[1])
assert bag.dags and not bag.import_errors, bag.import_errors
print("\\n" + json.dumps([imported - began, time.perf_counter() - imported]))
"""


def main() -> None:
    environment, *grains = sys.argv[1:]
    day = yesterday()
    print(f"{'mode':8} {'grain':6} {'tasks':>5} {'day':>6} {'task':>6} {'in Dagster':>10}")
    for mode in ("remote", "local"):
        for grain in grains or ("step",):
            with (
                tempfile.TemporaryDirectory() as folder,
                site(Path(environment).absolute(), Path(folder) / "site", first_day=day, mode=mode, grain=grain) as running,
            ):
                row = _day(running)
                print(f"{mode:8} {grain:6} {row[0]:5} {row[1]:6.1f} {row[2]:6.1f} {row[3]:10.1f}", flush=True)
                if mode == "remote" and grain == (grains or ["step"])[0]:
                    parsed = json.loads(running.airflow.python(_PARSE, str(running.airflow.dags)).splitlines()[-1])
                    alone = time.monotonic()
                    settings = read_settings(warehouse=f"{folder}/lake", source_url=running.source_url, first_day=day)
                    report = run_days(settings, Span.days(day, day))
                    alone = time.monotonic() - alone
    print(f"Dagster alone, one run in one process: {report.seconds:.1f} s, {alone:.1f} s including loading the definitions")
    print(f"Parsing the DAG folder: {parsed[1]:.2f} s, after {parsed[0]:.2f} s for Airflow's own imports")


def _day(running: Site) -> tuple[int, float, float, float]:
    """Number of tasks, and the day, task and Dagster durations in seconds."""
    running.airflow.unpause(CLOSE)
    run = running.airflow.finished(CLOSE, running.airflow.first_run(CLOSE).run_id, 1200)
    assert run.state == "success", running.airflow.tasks(CLOSE, run.run_id)
    times = running.airflow.times(CLOSE, run.run_id)
    with dg.DagsterInstance.from_config(running.dagster.env["DAGSTER_HOME"]) as instance:
        records = instance.get_run_records()
    inside = [record.end_time - record.start_time for record in records if record.end_time and record.start_time]
    whole = dt.datetime.fromisoformat(run.ended) - dt.datetime.fromisoformat(run.started)
    return len(times), whole.total_seconds(), mean(times.values()), mean(inside)


if __name__ == "__main__":
    main()
