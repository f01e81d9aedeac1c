"""Ten days by Airflow's backfill command: in chronological order, with the same rows as one run of Dagster."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from fraud_assets.runs.batch import run_days
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from tests.airflow.sites import CLOSE, site, yesterday
from tests.e2e.lakes import assert_same, rows_of
from tests.services.airflow import Run
from tests.services.processes import wait_until

AIRFLOW_VERSIONS = {3}
DAYS = 10
WITHIN = 2400.0
"""Seconds for ten days."""


def test_a_backfill_by_partition_range_runs_day_after_day(environment: Path, tmp_path: Path) -> None:
    """The DAG is unpaused: the scheduler starts yesterday at once, which waits until the days before it are materialized."""
    closed = yesterday()
    first, last = closed - dt.timedelta(days=DAYS), closed - dt.timedelta(days=1)

    def runs() -> Sequence[Run]:
        """Runs up to yesterday. If midnight passes meanwhile, the scheduler adds one."""
        return [run for run in airflow.runs(CLOSE) if run.partition <= closed.isoformat()]

    with site(environment, tmp_path / "site", first_day=first) as running:
        airflow = running.airflow
        airflow.unpause(CLOSE)
        airflow.command(
            *("backfill", "create", "--dag-id", CLOSE, "--from-date", first.isoformat(), "--to-date", last.isoformat()),
            *("--max-active-runs", "1"),
        )
        wait_until("every day has run", lambda: _done(runs()), WITHIN, every=5)
        done = runs()
        assert {run.state for run in done} == {"success"}
        filled = [run for run in done if run.kind == "backfill"]
        assert [run.partition for run in filled] == [(first + dt.timedelta(days=n)).isoformat() for n in range(DAYS)]
        assert all(one.ended <= other.started for one, other in pairwise(filled))
        (scheduled,) = [run for run in done if run.kind == "scheduled"]
        assert scheduled.partition == closed.isoformat()
        settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=running.source_url, first_day=first)
        run_days(settings, Span.days(first, closed))
        next_day = (closed + dt.timedelta(days=1)).isoformat()
        by_airflow = rows_of(EmbeddedWarehouse(running.warehouse), until=next_day)
        assert by_airflow["transactions"]
        assert_same(by_airflow, rows_of(EmbeddedWarehouse(tmp_path / "lake")))


def _done(runs: Sequence[Run]) -> bool:
    return len(runs) == DAYS + 1 and all(run.ended for run in runs)
