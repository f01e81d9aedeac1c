"""A standby waits for the end of another `fraud watch`, however it ends, and nothing is lost or doubled. Real processes."""

from __future__ import annotations

import datetime as dt
import json
import signal
import time
from pathlib import Path
from threading import Event

import pytest

from fraud_assets.clock import SYSTEM_CLOCK
from fraud_assets.live.only_watch import AlreadyWatched, only_watch
from fraud_assets.runs.batch import run_days
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from mock_sources import Faults, running
from tests.e2e.lakes import assert_same, rows_of
from tests.fraud_assets.live.test_metrics import HANGS, samples, watch
from tests.fraud_assets.live.test_service import without_latencies
from tests.services.processes import SLOW, Process, free_port, wait_until
from tests.services.watching import loaded, today

TAKES_OVER = 10 * SLOW
"""Seconds from the end of a watch until a standby has the lock; it asks for it twice a second."""


def test_without_standby_a_second_watch_is_an_error_and_with_it_a_stop_ends_the_wait(tmp_path: Path) -> None:
    stop = Event()
    with only_watch(tmp_path, SYSTEM_CLOCK) as is_ours:
        assert is_ours
        with pytest.raises(AlreadyWatched, match=r"process \d+, since .*--standby"), only_watch(tmp_path, SYSTEM_CLOCK):
            pass
        stop.set()
        with only_watch(tmp_path, SYSTEM_CLOCK, stop) as is_ours:
            assert not is_ours
        assert (tmp_path / "watching.json").exists(), "still that of the holder"
    with only_watch(tmp_path, SYSTEM_CLOCK, Event()) as is_ours:
        assert is_ours


def holder(lake: Path) -> int:
    try:
        return int(json.loads((lake / "watching.json").read_text())["pid"])
    except FileNotFoundError:
        return 0


def logs(process: Process, text: str) -> bool:
    assert not process.ended, process.output()
    return text in process.log.read_text()


@pytest.mark.long
def test_a_standby_takes_over_from_a_killed_watch_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    lake, port = tmp_path / "lake", free_port()
    options = ["--every", "0.3", "--reconcile", "15", "--metrics", str(port), "--standby"]
    began = dt.datetime.now(dt.UTC)
    # the source's time ends: what arrives or is corrected later would differ between the two that are compared
    until = began + dt.timedelta(seconds=40)
    faults = Faults(late=0.02, duplicates=0.02, corrected=0.05, malformed=0.02)
    processes: list[Process] = []
    with running(loaded(began, 35, faults), now=lambda: min(dt.datetime.now(dt.UTC), until)) as url:
        try:
            for name in ("first", "second", "third"):
                processes.append(watch(lake, url, tmp_path / name, *options))
                if name == "first":
                    wait_until("the lock", lambda: holder(lake) or processes[0].ended, HANGS, every=0.1)
            first, second, third = processes
            pid = holder(lake)
            for standby in (second, third):
                wait_until("a standby", lambda standby=standby: logs(standby, f": process {pid}, since"), HANGS, every=0.1)
            # a standby ends at once
            stopped = time.monotonic()
            third.end(signal.SIGTERM)
            assert third.code == 0 and time.monotonic() - stopped < TAKES_OVER
            served = ("fraud_watch_rows_served_total", "")
            wait_until("arrivals", lambda: samples(port).get(served), HANGS, every=0.1)
            first.end(signal.SIGKILL)
            killed = time.monotonic()
            wait_until("the takeover", lambda: logs(second, "taking over") and holder(lake) not in (0, pid), HANGS, every=0.1)
            assert time.monotonic() - killed < TAKES_OVER
            wait_until("metrics of the standby", lambda: samples(port).get(served), HANGS)
            wait_until("the last arrival", lambda: dt.datetime.now(dt.UTC) > until, HANGS)
            known = second.log.read_text().count("Reconciled")
            wait_until(
                "a run after it",
                lambda: logs(second, "taking over") and second.log.read_text().count("Reconciled") > known,
                HANGS,
            )
            assert samples(port)["fraud_watch_reconciliation_seconds_count", "succeeded"] >= 1
            second.end(signal.SIGTERM)
            assert second.code == 0 and "Traceback" not in second.output(), second.output()
        finally:
            for process in processes:
                process.end(signal.SIGKILL)
        tables = EmbeddedWarehouse(lake)
        undisturbed = read_settings(warehouse=str(tmp_path / "undisturbed"), source_url=url, first_day=today())
        for day in map(dt.date.fromisoformat, sorted(tables.partitions("fintech.customers"))):
            run_days(undisturbed, Span.days(day, day))
        assert sum(tables.partitions("fintech.transactions").values()) > 300
        assert_same(without_latencies(rows_of(tables)), without_latencies(rows_of(EmbeddedWarehouse(undisturbed.warehouse))))
