"""Reconciliation runs beside the live path, each in a process of its own."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import multiprocessing.process
from pathlib import Path

import dagster as dg
import pytest

from fraud_assets.live import service
from fraud_assets.live.reconciliation import TAG
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse
from mock_sources import Faults, running
from tests.services.processes import wait_until
from tests.services.watching import Watching, loaded, today

pytestmark = pytest.mark.slow

HANGS = 600
"""Seconds after which a test is given up."""


def own_process() -> multiprocessing.process.BaseProcess | None:
    """The process of the reconciliation that a watch of this process has started."""
    return next((child for child in multiprocessing.active_children() if child.name == "reconciliation"), None)


def test_detection_goes_on_during_a_run_and_survives_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SHARE_BESIDE", 1.0)
    source = loaded(dt.datetime.now(dt.UTC), faults=Faults(late=0.02, duplicates=0.02, corrected=0.05, malformed=0.02))
    with running(source) as url:
        settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=url, first_day=today())
        watching = Watching(settings, ends_within=HANGS, every=0.5, reconcile=1)

        def scored() -> int:
            lake = EmbeddedWarehouse(settings.warehouse)
            known = "transaction_scores" in lake.tables("fintech")
            return sum(lake.partitions("fintech.transaction_scores").values()) if known else 0

        with watching.running(), dagster_instance(settings) as instance:
            process = wait_until("a run", own_process, HANGS, every=0.05)
            before = scored()
            wait_until("more transactions", lambda: scored() > before, HANGS, every=0.05)
            assert process.is_alive() and not watching.logs("Reconciled")()
            wait_until("the end of the run", watching.logs("Reconciled"), HANGS)
            assert not [message for message in watching.messages if "Concurrent write" in message]

            wait_until("another run", lambda: instance.get_runs_count(dg.RunsFilter(tags=TAG)) == 2, HANGS, every=0.05)
            process = own_process()
            assert process is not None
            process.kill()
            wait_until("a message", watching.logs("reconciliation ended with exit code -9"), HANGS)
            before = scored()
            wait_until("more transactions", lambda: scored() > before, HANGS)
            statuses = [run.status for run in instance.get_runs(dg.RunsFilter(tags=TAG))]
            assert statuses[-2:] == [dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.SUCCESS]
    assert own_process() is None
