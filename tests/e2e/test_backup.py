"""A copy of a warehouse that is taken while `fraud watch` writes to it is restored, goes on, and equals an undisturbed one."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fraud_assets.checkout import CHECKOUT
from fraud_assets.runs.batch import run_days
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from mock_sources import Faults, running
from tests.e2e.lakes import assert_same, rows_of
from tests.fraud_assets.live.test_metrics import HANGS, watch
from tests.fraud_assets.live.test_service import without_latencies
from tests.services.processes import Process, wait_until
from tests.services.watching import loaded, today

pytestmark = pytest.mark.slow


def reconciled(process: Process, times: int = 1) -> bool:
    assert not process.ended, process.output()
    return process.log.read_text().count("every asset materialized") >= times


@pytest.mark.long
def test_a_copy_taken_while_it_is_written_goes_on_as_the_warehouse_would(tmp_path: Path) -> None:
    lake, restored = tmp_path / "lake", tmp_path / "restored"
    options = ["--every", "0.3", "--reconcile", "3"]
    began = dt.datetime.now(dt.UTC)
    # the source's time ends: what arrives or is corrected later would differ between the two that are compared
    ends = began + dt.timedelta(seconds=600)
    now = lambda: min(dt.datetime.now(dt.UTC), ends)  # noqa: E731
    faults = Faults(late=0.02, duplicates=0.02, corrected=0.05, malformed=0.02)
    with running(loaded(began, 600, faults, rate=5), now=now) as url:
        process = watch(lake, url, tmp_path / "first", *options)
        try:
            wait_until("a reconciliation run", lambda: reconciled(process), HANGS)
            copies = [tmp_path / f"copy{number}" for number in range(3)]
            for copy in copies:
                command = [sys.executable, CHECKOUT / "examples" / "backup.py", lake, copy]
                done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                assert not process.ended
        finally:
            process.end(signal.SIGKILL)
        for copy in copies[:-1]:
            assert rows_of(EmbeddedWarehouse(copy))["transactions"], "every table can be read"
        before = sum(EmbeddedWarehouse(copies[-1]).partitions("fintech.transactions").values())
        ends = dt.datetime.now(dt.UTC)
        shutil.copytree(copies[-1], restored)
        process = watch(restored, url, tmp_path / "second", *options)
        try:
            wait_until("a reconciliation run", lambda: reconciled(process), HANGS)
            wait_until("late days", lambda: json.loads((restored / "watch.json").read_text())["reopened"] == [], HANGS)
        finally:
            process.end()
        assert process.code == 0, process.output()
        tables = EmbeddedWarehouse(restored)
        assert sum(tables.partitions("fintech.transactions").values()) > before > 0
        undisturbed = read_settings(warehouse=str(tmp_path / "undisturbed"), source_url=url, first_day=today())
        for day in map(dt.date.fromisoformat, sorted(tables.partitions("fintech.customers"))):
            run_days(undisturbed, Span.days(day, day))
    assert_same(without_latencies(rows_of(tables)), without_latencies(rows_of(EmbeddedWarehouse(undisturbed.warehouse))))
    with dagster_instance(read_settings(warehouse=str(restored))) as instance:
        assert instance.get_runs_count() > 1 and all(run.is_finished for run in instance.get_runs())
