"""Time travel in the embedded warehouse: each table in its version at a moment, as far as its files are retained."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

import deltalake
from deltalake.exceptions import DeltaError

from hive_io.delta.file_pruning import Bound, files
from hive_io.delta.log import actions, check_log, commits, log_of
from hive_io.delta.reader import DeltaReader
from hive_io.errors import HistoryGone, TableNotFound

_EVERYTHING: Sequence[Sequence[Bound]] = [[]]
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class PastReader(DeltaReader):
    """Reader of every table in its last version committed by a moment.

    A query raises HistoryGone if a file that it needs was deleted, or if the log no longer covers the moment: rows of another
    version are never read. Files compacted since then hold the same rows and are read instead.

    Args:
        moment: aware.
    """

    def __init__(self, root: Path, moment: dt.datetime, memory_limit: str | None = None) -> None:
        super().__init__(root, memory_limit)
        self._moment = moment
        self._opened: dict[str, deltalake.DeltaTable] = {}
        self._compacted: dict[str, list[tuple[int, set[str], set[str]]]] = {}

    def tables(self, database: str) -> list[str]:
        return [name for name in super().tables(database) if self._existed(f"{database}.{name}")]

    def _existed(self, table: str) -> bool:
        until, later = self._versions(table)
        # the table is older than its log if the log lacks version 0
        return bool(until or (later and later[0]))

    def _versions(self, table: str) -> tuple[list[int], list[int]]:
        """Versions in the log: those committed by the moment, and those after it."""
        path = self._path(table)
        log = commits(path)
        if not log and log_of(path).is_dir():
            check_log(table, path)
        count = bisect_right(log, self._moment, key=lambda version: _written(table, path, version))
        return log[:count], log[count:]

    def _open(self, table: str) -> deltalake.DeltaTable:
        if table not in self._opened:
            if not self._existed(table):
                raise TableNotFound(f"There was no table {table} at {in_seconds(self._moment)}; name a later moment")
            until, _ = self._versions(table)
            delta = _at(self._path(table), until[-1]) if until else None
            if delta is None:
                # a damaged log is no reason to name another moment
                check_log(table, self._path(table))
                raise self._gone(table, _EVERYTHING)
            self._opened[table] = delta
        return self._opened[table]

    def _files(self, table: str, places: Sequence[Sequence[Bound]]) -> tuple[deltalake.DeltaTable, list[str]]:
        delta = self._open(table)
        kept = self._kept(table, delta, places)
        if kept is None:
            raise self._gone(table, places)
        return delta, kept

    def _kept(self, table: str, delta: deltalake.DeltaTable, places: Sequence[Sequence[Bound]]) -> list[str] | None:
        """The files that the places need, or the files that they were compacted into since; None if some are deleted."""
        needed = set(files(delta, places))
        if _all_there(needed):
            return sorted(needed)
        of_the_version = {unquote(uri) for uri in delta.file_uris()}
        for version, removed, added in self._compactions(table):
            # a compaction that also took in later rows cannot be used
            if version > delta.version() and removed <= of_the_version:
                of_the_version = of_the_version - removed | added
                needed = needed - removed | added if needed & removed else needed
        return sorted(needed) if _all_there(needed) else None

    def _compactions(self, table: str) -> list[tuple[int, set[str], set[str]]]:
        """Commits since the moment that changed no row: version, removed files, added files."""
        if table not in self._compacted:
            # delta-rs resolves links in the paths of files
            path = self._path(table).resolve()
            read = [(version, *_compacted_files(table, path, version)) for version in self._versions(table)[1]]
            self._compacted[table] = [each for each in read if each[1]]
        return self._compacted[table]

    def _gone(self, table: str, places: Sequence[Sequence[Bound]]) -> HistoryGone:
        path = self._path(table)
        later = self._versions(table)[1]

        def is_kept(version: int) -> bool:
            delta = _at(path, version)
            return delta is not None and self._kept(table, delta, places) is not None

        # versions are retained from some version on, so bisection opens few of thousands
        first = bisect_left(later, True, key=is_kept)
        kept = (
            f"these days are retained since {in_seconds(_written(table, path, later[first]))}; name that moment or a later one"
            if first < len(later)
            else "later versions of these days are gone too"
        )
        return HistoryGone(f"The version of {table} at {in_seconds(self._moment)} is no longer retained; {kept}")


_ALMOST_A_SECOND = dt.timedelta(microseconds=999_999)


def in_seconds(moment: dt.datetime) -> str:
    """Return a moment as text, rounded up to a whole second: a version at the moment can also be read at that second."""
    last = dt.datetime.max.replace(tzinfo=dt.UTC) - _ALMOST_A_SECOND
    return f"{min(moment.astimezone(dt.UTC), last) + _ALMOST_A_SECOND:%Y-%m-%dT%H:%M:%SZ}"


def _written(table: str, path: Path, version: int) -> dt.datetime:
    """Time of a version, from its commit: the time of the file changes when it is copied."""
    milliseconds = next(action["commitInfo"]["timestamp"] for action in actions(table, path, version) if "commitInfo" in action)
    return _EPOCH + dt.timedelta(milliseconds=milliseconds)


def _compacted_files(table: str, path: Path, version: int) -> tuple[set[str], set[str]]:
    """Files that a version removed and added, if it changed no row; else empty sets."""
    removed, added = (
        [action[kind] for action in actions(table, path, version) if kind in action] for kind in ("remove", "add")
    )
    if any(file["dataChange"] for file in (*removed, *added)):
        return set(), set()
    return {str(path / unquote(file["path"])) for file in removed}, {str(path / unquote(file["path"])) for file in added}


def _at(path: Path, version: int) -> deltalake.DeltaTable | None:
    """A version of a table, or None if the log no longer covers it."""
    try:
        return deltalake.DeltaTable(str(path), version=version)
    except DeltaError:
        return None


def _all_there(paths: Iterable[str]) -> bool:
    return all(Path(path).exists() for path in paths)
