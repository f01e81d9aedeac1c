"""Maintenance of a Delta Lake table: compaction of small files, and vacuum of files without current rows."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from pathlib import Path

import deltalake
import pyarrow as pa
import pyarrow.compute as pc

from hive_io.delta.file_pruning import statistics
from hive_io.delta.reader import arrow_schema
from hive_io.table import DAY, PARTITION

UNNAMED_HOURS = 48
"""Hours after which an unreferenced file counts as orphaned. Longer than any write takes."""
MOST_COMMITS = 1000
"""Number of commits above which the log is retained no longer than files: each commit in the log adds 10 µs to a write."""

MOST_SMALL_FILES = 100
"""Number of small files of a day above which they are merged: each costs every read of the day, and each write of the table."""
SMALL = 2**24
"""Bytes below which a file is small."""

_COMMITS, _REMOVED = "delta.logRetentionDuration", "delta.deletedFileRetentionDuration"
_AN_HOUR = dt.timedelta(hours=1)


def crowded_days(delta: deltalake.DeltaTable, before: dt.date) -> list[str]:
    """Return the days before `before` that have more than one file, sorted."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    if not actions.num_rows:
        return []
    files = Counter(actions.column(f"partition.{PARTITION}").to_pylist())
    return sorted(day for day, count in files.items() if count > 1 and day < before.isoformat())


def compact_day(delta: deltalake.DeltaTable, day: str, writer: deltalake.WriterProperties) -> bool:
    """Compact the small files of a day in one commit. Return True if any file was rewritten.

    Raises:
        CommitFailedError: another writer was first; nothing has changed.
    """
    done = delta.optimize.compact(partition_filters=[(PARTITION, "=", day)], writer_properties=writer)
    return bool(done["numFilesRemoved"])


def small_files(delta: deltalake.DeltaTable, day: dt.date) -> int:
    """Return the number of a day's small files."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    if not actions.num_rows:
        return 0
    of_day = actions.filter(pc.equal(actions.column(f"partition.{PARTITION}"), day.isoformat()))
    return sum(size < SMALL for size in of_day.column("size_bytes").to_pylist())


def merge_small_files(delta: deltalake.DeltaTable, day: dt.date, writer: deltalake.WriterProperties) -> bool:
    """Merge the small files of a day in one commit, up to the size from which they are no longer small.

    Raises:
        CommitFailedError: another writer was first; nothing has changed.
    """
    done = delta.optimize.compact(
        partition_filters=[(PARTITION, "=", day.isoformat())], target_size=SMALL, writer_properties=writer
    )
    return bool(done["numFilesRemoved"])


def vacuum(delta: deltalake.DeltaTable, log: Path, keep: dt.timedelta) -> None:
    """Delete expired files of replaced rows, orphaned files of failed writes, and expired commits.

    Args:
        log: folder with the table's commits.
        keep: retention of files after their rows were replaced. Commits are retained as long, and for a day at least, since
            a retained version can be read only while its commit exists. A log of more than `MOST_COMMITS` commits is
            retained no longer than files, and for an hour at least.

    Raises:
        CommitFailedError: another writer was first; the files deleted so far had expired.
    """
    crowded = sum(1 for _ in log.glob("*.json")) > MOST_COMMITS
    commits = max(keep, _AN_HOUR if crowded else DAY)
    # the log names replaced files for longer than they are retained: files that it forgets are deleted much later
    properties = {
        _COMMITS: f"interval {math.ceil(commits / _AN_HOUR)} hours",
        _REMOVED: f"interval {math.ceil(keep / DAY) + 1} days",
        # tables of earlier releases have statistics of every column
        **statistics(arrow_schema(delta)),
    }
    if not properties.items() <= delta.metadata().configuration.items():
        delta.alter.set_table_properties(properties)
    hours = int(keep / _AN_HOUR)
    delta.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False)
    # some unreferenced files are about to be committed, so only old ones are deleted
    delta.vacuum(retention_hours=max(hours, UNNAMED_HOURS), dry_run=False, enforce_retention_duration=False, full=True)
    # a commit is deleted only if it has expired and a checkpoint covers it
    delta.create_checkpoint()
    delta.cleanup_metadata()
