"""The embedded warehouse as it was: each table in the version that it had at a moment, as far as its files are kept."""

from __future__ import annotations

import datetime as dt
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import deltalake
from deltalake.exceptions import DeltaError

from hive_io.delta.file_pruning import Bound, files
from hive_io.delta.reader import DeltaReader
from hive_io.errors import HistoryGone, TableNotFound

_EVERYTHING: Sequence[Sequence[Bound]] = [[]]
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class PastReader(DeltaReader):
    """Every table in the last version that was written until a moment.

    A table of which files that a query reads are deleted, or whose log no longer tells of the moment, raises HistoryGone:
    no row of another version is ever read. Files that were put together since have the same rows, and are as good.

    Args:
        moment: aware.
    """

    def __init__(self, root: Path, moment: dt.datetime, memory_limit: str | None = None) -> None:
        super().__init__(root, memory_limit)
        self._moment = moment
        self._opened: dict[str, deltalake.DeltaTable] = {}
        self._compacted: dict[str, list[tuple[int, set[str], set[str]]]] = {}

    def tables(self, database: str) -> list[str]:
        return [name for name in super().tables(database) if self._was_there(f"{database}.{name}")]

    def _was_there(self, table: str) -> bool:
        until, later = self._versions(table)
        return bool(until or (later and later[0]))  # a log that has lost its beginning is of a table older than that

    def _versions(self, table: str) -> tuple[list[int], list[int]]:
        """The versions that the log still tells of: those until the moment, and those after it."""
        path = self._path(table)
        log = sorted(int(file.stem) for file in (path / "_delta_log").glob("*.json") if file.stem.isdigit())
        count = bisect_right(log, self._moment, key=lambda version: _written(path, version))
        return log[:count], log[count:]

    def _open(self, table: str) -> deltalake.DeltaTable:
        if table not in self._opened:
            if not self._was_there(table):
                raise TableNotFound(f"There was no table {table} at {said(self._moment)}")
            until, _ = self._versions(table)
            delta = _at(self._path(table), until[-1]) if until else None
            if delta is None:
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
        """The files that the places need, or what they were put together into since; None where some are deleted."""
        needed = set(files(delta, places))
        if _all_there(needed):
            return sorted(needed)
        of_the_version = {unquote(uri) for uri in delta.file_uris()}
        for version, removed, added in self._compactions(table):
            # one that took in rows of later, too, is of no use
            if version > delta.version() and removed <= of_the_version:
                of_the_version = of_the_version - removed | added
                needed = needed - removed | added if needed & removed else needed
        return sorted(needed) if _all_there(needed) else None

    def _compactions(self, table: str) -> list[tuple[int, set[str], set[str]]]:
        """The commits since the moment that changed no row: version, files that it removed, files that it added."""
        if table not in self._compacted:
            path = self._path(table)
            read = [(version, *_unchanging(path, version)) for version in self._versions(table)[1]]
            self._compacted[table] = [each for each in read if each[1]]
        return self._compacted[table]

    def _gone(self, table: str, places: Sequence[Sequence[Bound]]) -> HistoryGone:
        path = self._path(table)
        later = self._versions(table)[1]

        def is_kept(version: int) -> bool:
            delta = _at(path, version)
            return delta is not None and self._kept(table, delta, places) is not None

        # a version that is kept, after one that is not: of thousands, few are opened
        first = bisect_left(later, True, key=is_kept)
        kept = f"is kept since {said(_written(path, later[first]))}" if first < len(later) else "is gone from later ones, too"
        return HistoryGone(f"{table} is no longer kept as it was at {said(self._moment)}: what is to be read of it {kept}")


def said(moment: dt.datetime) -> str:
    """In whole seconds; not before the moment, so that it can be asked for."""
    return f"{moment.astimezone(dt.UTC) + dt.timedelta(microseconds=999_999):%Y-%m-%dT%H:%M:%SZ}"


def _commit(path: Path, version: int) -> list[dict[str, Any]]:
    """What the log says of a version, an action each."""
    lines = (path / "_delta_log" / f"{version:020}.json").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _written(path: Path, version: int) -> dt.datetime:
    """When a version was written, as its commit says: the file's own time changes with a copy."""
    milliseconds = next(action["commitInfo"]["timestamp"] for action in _commit(path, version) if "commitInfo" in action)
    return _EPOCH + dt.timedelta(milliseconds=milliseconds)


def _unchanging(path: Path, version: int) -> tuple[set[str], set[str]]:
    """The files that a version removed, and those that it added, if its rows are those of the version before."""
    removed, added = ([action[kind] for action in _commit(path, version) if kind in action] for kind in ("remove", "add"))
    if any(file["dataChange"] for file in (*removed, *added)):
        return set(), set()
    return {str(path / unquote(file["path"])) for file in removed}, {str(path / unquote(file["path"])) for file in added}


def _at(path: Path, version: int) -> deltalake.DeltaTable | None:
    """A version of a table; None where the log does not tell of it any more."""
    try:
        return deltalake.DeltaTable(str(path), version=version)
    except DeltaError:
        return None


def _all_there(paths: Iterable[str]) -> bool:
    return all(Path(path).exists() for path in paths)
