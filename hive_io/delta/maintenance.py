"""What keeps a Delta Lake table small: few large files instead of many small ones, and none that no row is in any more."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from pathlib import Path

import deltalake
import pyarrow as pa

from hive_io.table import DAY, PARTITION

UNNAMED_HOURS = 48
"""How old a file is that no commit names when it is taken for left behind; no write takes so long."""
MOST_COMMITS = 1000
"""In a log that is kept for longer than it must be: to commit takes 10 µs for each that is there."""

_COMMITS, _REMOVED = "delta.logRetentionDuration", "delta.deletedFileRetentionDuration"
_AN_HOUR = dt.timedelta(hours=1)


def crowded_days(delta: deltalake.DeltaTable, before: dt.date) -> list[str]:
    """The days before one that have more than one file, sorted."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    if not actions.num_rows:
        return []
    files = Counter(actions.column(f"partition.{PARTITION}").to_pylist())
    return sorted(day for day, count in files.items() if count > 1 and day < before.isoformat())


def compact_day(delta: deltalake.DeltaTable, day: str, writer: deltalake.WriterProperties) -> bool:
    """Write the small files of a day into large ones, in one commit; whether there was something to do.

    Raises:
        CommitFailedError: another writer was first, and nothing has changed.
    """
    done = delta.optimize.compact(partition_filters=[(PARTITION, "=", day)], writer_properties=writer)
    return bool(done["numFilesRemoved"])


def vacuum(delta: deltalake.DeltaTable, log: Path, keep: dt.timedelta) -> None:
    """Delete files of replaced rows, files that died with their writers, and commits of longer ago.

    Args:
        log: the folder with the table's commits.
        keep: how long files are kept after their rows were replaced. Commits are kept so long, too, and a day at least, for
            what is kept can be read only as long as the log says that it was there; of more than `MOST_COMMITS`, none is
            kept for longer than files.

    Raises:
        CommitFailedError: another writer was first; what is deleted was to be.
    """
    crowded = sum(1 for _ in log.glob("*.json")) > MOST_COMMITS
    commits = max(keep, _AN_HOUR if crowded else DAY)
    # replaced files are named for longer than they are kept: those that the log has forgotten are deleted much later
    wanted = {
        _COMMITS: f"interval {math.ceil(commits / _AN_HOUR)} hours",
        _REMOVED: f"interval {math.ceil(keep / DAY) + 1} days",
    }
    if not wanted.items() <= delta.metadata().configuration.items():
        delta.alter.set_table_properties(wanted)
    hours = int(keep / _AN_HOUR)
    delta.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False)
    # of files that no commit names, some are about to be committed: so only old ones go
    delta.vacuum(retention_hours=max(hours, UNNAMED_HOURS), dry_run=False, enforce_retention_duration=False, full=True)
    # commits go once a checkpoint says what they said, and they are old enough
    delta.create_checkpoint()
    delta.cleanup_metadata()
