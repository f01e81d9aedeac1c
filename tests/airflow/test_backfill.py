"""Ten days by Airflow's own backfill command, in the order of time, row for row what Dagster makes of them in one run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from fraud_assets.runs.batch import run_days
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from tests.airflow.sites import CLOSE, site, today
from tests.e2e.lakes import assert_same, rows_of
from tests.services.airflow import Run
from tests.services.processes import wait_until

AIRFLOW_VERSIONS = {3}
DAYS = 10
WITHIN = 2400.0
"""Seconds for ten days."""


def test_a_backfill_by_partition_range_runs_day_after_day(environment: Path, tmp_path: Path) -> None:
    """With the DAG switched on, too: the scheduler begins yesterday at once, which waits until the days before it are there."""
    first, yesterday = today() - dt.timedelta(days=DAYS + 1), today() - dt.timedelta(days=1)
    last = yesterday - dt.timedelta(days=1)
    with site(environment, tmp_path / "site", first_day=first) as made:
        airflow = made.airflow
        airflow.unpause(CLOSE)
        airflow.command(
            *("backfill", "create", "--dag-id", CLOSE, "--from-date", first.isoformat(), "--to-date", last.isoformat()),
            *("--max-active-runs", "1"),
        )
        wait_until("every day has run", lambda: _done(airflow.runs(CLOSE)), WITHIN, every=5)
        runs = airflow.runs(CLOSE)
        assert {run.state for run in runs} == {"success"}
        filled = [run for run in runs if run.kind == "backfill"]
        assert [run.partition for run in filled] == [(first + dt.timedelta(days=n)).isoformat() for n in range(DAYS)]
        assert all(one.ended <= other.started for one, other in pairwise(filled))
        (scheduled,) = [run for run in runs if run.kind == "scheduled"]
        assert scheduled.partition == yesterday.isoformat()
        settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=made.source_url, first_day=first)
        run_days(settings, Span.days(first, yesterday))
        assert_same(rows_of(EmbeddedWarehouse(made.warehouse)), rows_of(EmbeddedWarehouse(tmp_path / "lake")))


def _done(runs: Sequence[Run]) -> bool:
    return len(runs) == DAYS + 1 and all(run.ended for run in runs)
