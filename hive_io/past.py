"""The embedded warehouse as it was: each table in the version that it had at a moment, as far as its files are kept."""

from __future__ import annotations

import datetime as dt
import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path

import deltalake
from deltalake.exceptions import DeltaError

from hive_io.delta_reader import DeltaReader
from hive_io.errors import HistoryGone, TableNotFound
from hive_io.file_lists import Bound, files

_EVERYTHING: Sequence[Sequence[Bound]] = [[]]
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class PastReader(DeltaReader):
    """Every table in the last version that was written until a moment.

    A table of which files that a query reads are deleted, or whose log no longer tells of the moment, raises HistoryGone:
    nothing is ever read from another version.

    Args:
        moment: aware.
    """

    def __init__(self, root: Path, moment: dt.datetime, memory_limit: str | None = None) -> None:
        super().__init__(root, memory_limit)
        self._moment = moment
        self._opened: dict[str, deltalake.DeltaTable] = {}

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
        kept = _kept(delta, places)
        if kept is None:
            raise self._gone(table, places)
        return delta, kept

    def _gone(self, table: str, places: Sequence[Sequence[Bound]]) -> HistoryGone:
        path = self._path(table)
        _, later = self._versions(table)
        # a version that is kept, after one that is not: of thousands, few are opened
        first = bisect_left(later, True, key=lambda version: _kept(_at(path, version), places) is not None)
        kept = f"is kept since {said(_written(path, later[first]))}" if first < len(later) else "is gone from later ones, too"
        return HistoryGone(f"{table} is no longer kept as it was at {said(self._moment)}: what is to be read of it {kept}")


def said(moment: dt.datetime) -> str:
    """In whole seconds; not before the moment, so that it can be asked for."""
    return f"{moment.astimezone(dt.UTC) + dt.timedelta(microseconds=999_999):%Y-%m-%dT%H:%M:%SZ}"


def _written(path: Path, version: int) -> dt.datetime:
    """When a version was written, as its commit says: the file's own time changes with a copy."""
    with (path / "_delta_log" / f"{version:020}.json").open(encoding="utf-8") as commit:
        infos = (json.loads(line).get("commitInfo") for line in commit)
        return _EPOCH + dt.timedelta(milliseconds=next(info["timestamp"] for info in infos if info))


def _at(path: Path, version: int) -> deltalake.DeltaTable | None:
    """A version of a table; None where the log does not tell of it any more."""
    try:
        return deltalake.DeltaTable(str(path), version=version)
    except DeltaError:
        return None


def _kept(delta: deltalake.DeltaTable | None, places: Sequence[Sequence[Bound]]) -> list[str] | None:
    """The files that the places need; None where some are deleted."""
    if delta is None:
        return None
    paths = files(delta, places)
    return paths if all(Path(path).exists() for path in paths) else None
