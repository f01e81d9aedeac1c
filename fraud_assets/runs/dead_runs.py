"""Runs whose process was killed. Dagster would show them as running for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def has_marks(home: Path) -> bool:
    """True if runs of this home were `marked_alive`: without marks there is nothing to close, and nothing to open."""
    return _marks(home).is_dir()


@contextmanager
def marked_alive(home: Path, run_id: str) -> Iterator[None]:
    """Hold the run's lock, which the system releases when this process ends, however it ends."""
    lock = _lock(home, run_id)
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        with lock:
            yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)


def close_dead_runs(instance: dg.DagsterInstance, home: Path) -> list[dg.DagsterRun]:
    """Close the records of unfinished runs that were `marked_alive` and are not any more, as failed, and return these runs.

    Runs without a mark are those of Dagster's own processes, or of earlier versions; nothing says whether they are alive.
    """
    dead = [run for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)) if _is_dead(home, run.run_id)]
    for run in dead:
        instance.report_run_failed(run, "Its process ended before the run was complete. Run its days again.")
        Path(_lock(home, run.run_id).lock_file).unlink(missing_ok=True)
    return dead


def _is_dead(home: Path, run_id: str) -> bool:
    lock = _lock(home, run_id)
    if not Path(lock.lock_file).exists():
        return False
    try:
        with lock.acquire(blocking=False):
            return True
    except Timeout:
        return False


def _lock(home: Path, run_id: str) -> FileLock:
    return FileLock(_marks(home) / f"{run_id}.lock")


def _marks(home: Path) -> Path:
    return home / "running"
