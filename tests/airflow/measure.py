"""How long a day takes, and what Airflow adds to it: `python -m tests.airflow.measure build/airflow3`, from the repository.

For each mode and grain, one day of a small synthetic world that the scheduler began, in seconds:
  day         from the start of the DAG run to its end
  task        mean from a task's start to its end, with the time that it is deferred
  in Dagster  mean of what Dagster did for it, from the start of its run to its end
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
from tests.airflow.sites import CLOSE, Site, site, today

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
    day = today() - dt.timedelta(days=1)
    print(f"{'mode':8} {'grain':6} {'tasks':>5} {'day':>6} {'task':>6} {'in Dagster':>10}")
    for mode in ("remote", "local"):
        for grain in grains or ("step",):
            with (
                tempfile.TemporaryDirectory() as folder,
                site(Path(environment).absolute(), Path(folder) / "site", first_day=day, mode=mode, grain=grain) as made,
            ):
                row = _day(made)
                print(f"{mode:8} {grain:6} {row[0]:5} {row[1]:6.1f} {row[2]:6.1f} {row[3]:10.1f}", flush=True)
                if mode == "remote" and grain == (grains or ["step"])[0]:
                    parsed = json.loads(made.airflow.python(_PARSE, str(made.airflow.dags)).splitlines()[-1])
                    alone = time.monotonic()
                    settings = read_settings(warehouse=f"{folder}/lake", source_url=made.source_url, first_day=day)
                    report = run_days(settings, Span.days(day, day))
                    alone = time.monotonic() - alone
    print(f"Dagster alone, one run in one process: {report.seconds:.1f} s, {alone:.1f} s with loading the definitions")
    print(f"Parsing the DAG folder: {parsed[1]:.2f} s, after {parsed[0]:.2f} s of Airflow's own imports")


def _day(made: Site) -> tuple[int, float, float, float]:
    made.airflow.unpause(CLOSE)
    run = made.airflow.finished(CLOSE, made.airflow.first_run(CLOSE).run_id, 1200)
    assert run.state == "success", made.airflow.tasks(CLOSE, run.run_id)
    times = made.airflow.times(CLOSE, run.run_id)
    with dg.DagsterInstance.from_config(made.dagster.env["DAGSTER_HOME"]) as instance:
        records = instance.get_run_records()
    inside = [record.end_time - record.start_time for record in records if record.end_time and record.start_time]
    whole = dt.datetime.fromisoformat(run.ended) - dt.datetime.fromisoformat(run.started)
    return len(times), whole.total_seconds(), mean(times.values()), mean(inside)


if __name__ == "__main__":
    main()
