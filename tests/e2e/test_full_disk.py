"""`fraud run` and `fraud watch` on a full disk: a clear error, nothing half written, and it goes on when there is room.

The disk is a tmpfs of 60 MB, which only root can mount.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fraud_assets.clock import SYSTEM_CLOCK
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse
from mock_sources import World, running
from tests.e2e.lakes import rows_of
from tests.services.processes import Process, wait_until
from tests.services.watching import loaded

pytestmark = pytest.mark.slow

FIRST, LAST = dt.date(2026, 3, 10), dt.date(2026, 3, 11)
HANGS = 240


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with running(World(customers=60, merchants=60, fraud_rate=0.1)) as url:
        yield url


def fill_up(disk: Path, left: int) -> Path:
    """Fill a disk, but for `left` MiB; return the file to delete."""
    ballast = disk / "ballast"
    found = os.statvfs(disk)
    with suppress(OSError):  # a watch writes at the same time: the disk is full before the file is
        ballast.write_bytes(b"\0" * (found.f_bavail * found.f_frsize - left * 2**20))
    return ballast


def start(command: list[str], disk: Path, source: str, log: Path, first: dt.date = FIRST) -> Process:
    env = {**os.environ, "FRAUD_SOURCE_URL": source, "FRAUD_FIRST_DAY": str(first), "FRAUD_WAREHOUSE": str(disk / "lake")}
    return Process([sys.executable, "-m", "fraud_assets", *command], log, env, Path.cwd())


def run(disk: Path, source: str, log: Path) -> tuple[int | None, str]:
    """Let `fraud run` end; return its exit code and what it printed."""
    end = str(LAST + dt.timedelta(days=1))
    process = start(["run", "--from", str(FIRST), "--to", end], disk, source, log)
    try:
        wait_until("the end", lambda: process.ended, HANGS)
    finally:
        process.end()
    return process.code, log.read_text()


def is_clear(said: str) -> bool:
    """True if it holds what people can read: no traceback, no panic of a library, no code for a terminal's colours."""
    return not any(text in said for text in ("Traceback", "panicked", "PanicException", "\x1b["))


# before the records are made, and while tables are written
@pytest.mark.parametrize("left", [1, pytest.param(8, marks=pytest.mark.long)])
def test_a_run_on_a_full_disk(left: int, disk: Path, source: str, tmp_path: Path) -> None:
    ballast = fill_up(disk, left)
    code, said = run(disk, source, tmp_path / "full.log")
    assert code == 1 and is_clear(said), said
    assert "Error: " in said and ("space" in said or "full" in said), said
    if (disk / "lake" / "fintech.db").exists():
        rows_of(EmbeddedWarehouse(disk / "lake"))  # every table can be read
    ballast.unlink()
    code, said = run(disk, source, tmp_path / "again.log")
    assert code == 0, said
    lake = EmbeddedWarehouse(read_settings(warehouse=str(disk / "lake")).warehouse)
    assert {*lake.partitions("fintech.transactions")} == {str(FIRST), str(LAST)}


def test_a_watch_goes_on_when_there_is_room(disk: Path, tmp_path: Path) -> None:
    log, lake = tmp_path / "watch.log", disk / "lake"
    now = SYSTEM_CLOCK.now()

    def has_failed() -> bool:
        return any(text in log.read_text() for text in ("No space left", "StorageFull", "disk is full"))

    with running(loaded(now, rate=2)) as source:
        process = start(["watch", "--every", "1", "--reconcile", "100000"], disk, source, log, now.date())
        try:
            wait_until("a checkpoint", lambda: process.ended or (lake / "watch.json").exists(), HANGS)
            ballast = fill_up(disk, 0)
            wait_until("a failed step", lambda: process.ended or has_failed(), HANGS)
            assert not process.ended, log.read_text()
            before = (lake / "watch.json").read_text()
            ballast.unlink()
            wait_until("an arrival", lambda: process.ended or (lake / "watch.json").read_text() != before, HANGS)
            assert not process.ended, log.read_text()
        finally:
            process.end()
    assert process.code == 0 and is_clear(log.read_text()), log.read_text()
    transactions = EmbeddedWarehouse(lake).read("fintech.transactions", ["transaction_id"]).column(0).to_pylist()
    assert transactions and len(transactions) == len({*transactions})
