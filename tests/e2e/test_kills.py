"""Killed and concurrent runs: once a run completes, the tables equal those of an undisturbed run."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud_assets.runs.batch import run_days
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from mock_sources import Faults, World, running
from tests.e2e.lakes import Rows, assert_same, rows_of

pytestmark = pytest.mark.slow

FIRST = dt.date(2026, 3, 30)
DAYS = Span.days(FIRST, FIRST + dt.timedelta(days=3))
LATER = dt.datetime(2026, 4, 20, tzinfo=dt.UTC)
FAULTS = Faults(late=0.1, duplicates=0.05, corrected=0.05, malformed=0.02)


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with running(World(customers=60, merchants=60, fraud_rate=0.1, faults=FAULTS), now=lambda: LATER) as url:
        yield url


@pytest.fixture(scope="module")
def undisturbed(source: str, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    settings = read_settings(warehouse=str(tmp_path_factory.mktemp("undisturbed") / "lake"), source_url=source, first_day=FIRST)
    run_days(settings, DAYS)
    rows = rows_of(EmbeddedWarehouse(settings.warehouse))
    assert rows["fraud_alerts"] and rows["transactions_rejected"]
    return rows


def run(source: str, lake: Path) -> subprocess.Popen[str]:
    """Start `fraud run` for the days as a process."""
    env = {**os.environ, "FRAUD_SOURCE_URL": source, "FRAUD_FIRST_DAY": str(FIRST), "FRAUD_WAREHOUSE": str(lake)}
    end = DAYS.last_day + dt.timedelta(days=1)
    command = [sys.executable, "-m", "fraud_assets", "run", "--from", str(FIRST), "--to", str(end)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def succeeds(source: str, lake: Path) -> float:
    """Run to completion; returns the seconds it took."""
    began = time.monotonic()
    with run(source, lake) as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return time.monotonic() - began


@pytest.mark.parametrize("kills", [2, pytest.param(24, marks=pytest.mark.long)])
def test_a_run_killed_at_any_time_can_be_repeated(source: str, undisturbed: Rows, tmp_path: Path, kills: int) -> None:
    whole = succeeds(source, tmp_path / "another")
    lake = tmp_path / "lake"
    in_the_middle = 0
    for kill in range(kills):
        with run(source, lake) as process:
            # spread from the start of the process to its end, so that the kills hit every phase, including the writes
            time.sleep(whole * (kill + 0.5) / kills)
            in_the_middle += process.poll() is None
            process.kill()
        found = rows_of(EmbeddedWarehouse(lake)) if lake.exists() else {}
        for name, rows in found.items():
            # source tables are written in one commit each: complete or missing
            if name in {"customers", "transactions", "blacklist", "credit_scores", "fraud_reports"}:
                assert not rows or rows == undisturbed[name], f"{name}: a partial write is visible"
    assert in_the_middle >= kills - 1
    succeeds(source, lake)
    assert_same(rows_of(EmbeddedWarehouse(lake)), undisturbed)


@pytest.mark.long
def test_two_runs_of_the_same_days_at_once(source: str, undisturbed: Rows, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    succeeds(source, lake)  # creates Dagster's own tables
    with run(source, lake) as one, run(source, lake) as other:
        said = [process.communicate(timeout=300)[0] for process in (one, other)]
    ended = [one.returncode, other.returncode]
    assert 0 in ended, said
    for code, text in zip(ended, said, strict=True):
        assert code == 0 or "Another run wrote the same days" in text, text
    assert_same(rows_of(EmbeddedWarehouse(lake)), undisturbed)
