"""The embedded warehouse as it was at a moment: every table in the version that it had then, to be read only."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

import deltalake
import pyarrow as pa
from deltalake.exceptions import DeltaError

from hive_io.embedded import EmbeddedWarehouse
from hive_io.errors import HistoryGone, HiveIOError, NoHistory, TableNotFound
from hive_io.table import Span, Table
from hive_io.warehouse import Data, Footprint, Receipt, Warehouse

_MILLISECOND = dt.timedelta(milliseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def as_of(warehouse: Warehouse, moment: dt.datetime) -> Warehouse:
    """The tables as they were at a moment, each in the last version that was written until then.

    Reading a table that did not exist yet raises TableNotFound, one that is not kept as it was HistoryGone.

    Args:
        moment: aware.

    Raises:
        NoHistory: the warehouse keeps none, or the moment has not come yet.
    """
    if not isinstance(warehouse, EmbeddedWarehouse):
        raise NoHistory("A HiveServer2 keeps no history of its tables: only the embedded warehouse can be read as it was")
    if moment > dt.datetime.now(dt.UTC):
        raise NoHistory(f"{_written(moment)} has not come yet: name a moment in the past")
    return _Past(warehouse, moment)


class _Past(EmbeddedWarehouse):
    def __init__(self, now: EmbeddedWarehouse, moment: dt.datetime) -> None:
        super().__init__(now.root)
        self._moment = moment
        self._versions: dict[str, deltalake.DeltaTable] = {}

    def tables(self, database: str) -> list[str]:
        now = super()._open
        return [name for name in super().tables(database) if self._version(now(f"{database}.{name}")) is not None]

    def _open(self, table: str) -> deltalake.DeltaTable:
        if table not in self._versions:
            now = super()._open(table)
            version = self._version(now)
            if version is None:
                raise TableNotFound(f"There was no table {table} at {_written(self._moment)}")
            self._versions[table] = self._whole(table, now, version)
        return self._versions[table]

    def _version(self, now: deltalake.DeltaTable) -> int | None:
        """The last version of the moment; the first one kept where all are later; None where the table was made later."""
        commits = _commits(now)
        until = [version for version, time in commits.items() if time <= self._moment]
        first = min(commits)
        return max(until) if until else None if first == 0 else first - 1

    def _whole(self, table: str, now: deltalake.DeltaTable, version: int) -> deltalake.DeltaTable:
        delta = _complete(self._path(table), version)
        if delta is not None:
            return delta
        later = {v: time for v, time in sorted(_commits(now).items()) if v > version}
        since = next((time for v, time in later.items() if _complete(self._path(table), v)), None)
        kept = f"it is kept since {_written(since)}" if since else "no other version is, either"
        raise HistoryGone(f"{table} is no longer kept as it was at {_written(self._moment)}: {kept}")

    def ensure_table(self, table: Table) -> NoReturn:
        self._refuse(table.full_name)

    def replace(self, table: Table, data: Data, span: Span) -> Receipt:
        self._refuse(table.full_name)

    def merge(self, table: Table, rows: pa.Table) -> Receipt:
        self._refuse(table.full_name)

    def compact(self, table: str, before: dt.date) -> list[str]:
        self._refuse(table)

    def clean(self, table: str, keep: dt.timedelta) -> None:
        self._refuse(table)

    def footprint(self, table: str) -> Footprint:
        self._refuse(table)

    def _refuse(self, table: str) -> NoReturn:
        raise HiveIOError(f"{table} was opened as it was at {_written(self._moment)}, to be read only")


def _commits(delta: deltalake.DeltaTable) -> dict[int, dt.datetime]:
    """When each version that the log still tells of was written, as its commit says: a file's own time changes with a copy."""
    return {commit["version"]: _EPOCH + commit["timestamp"] * _MILLISECOND for commit in delta.history()}


def _complete(path: Path, version: int) -> deltalake.DeltaTable | None:
    """A version of a table; None where the log does not tell of it any more, or some of its files are deleted."""
    try:
        delta = deltalake.DeltaTable(str(path), version=version)
    except DeltaError:
        return None
    return delta if all(Path(unquote(uri)).exists() for uri in delta.file_uris()) else None


def _written(moment: dt.datetime) -> str:
    """In whole seconds; not before the moment, so that it can be asked for."""
    up = moment.astimezone(dt.UTC) + dt.timedelta(microseconds=999_999)
    return f"{up:%Y-%m-%dT%H:%M:%SZ}"
