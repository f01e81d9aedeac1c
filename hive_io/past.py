"""The embedded warehouse as it was: each table in the version that it had at a moment, read from Delta's history."""

from __future__ import annotations

import datetime as dt
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import deltalake
import pyarrow as pa
from deltalake.exceptions import DeltaError, TableNotFoundError
from sqlglot import exp

from hive_io.dialect import HiveQL
from hive_io.errors import HistoryGone, TableNotFound
from hive_io.rows import chosen
from hive_io.table import PARTITION, Span
from hive_io.warehouse import Reader

_MILLISECOND = dt.timedelta(milliseconds=1)
_ALL_DAYS = ("", "~")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Files:
    """A version of a table, and those of its data files that are to be read."""

    delta: deltalake.DeltaTable
    uris: Sequence[str]


Run = Callable[[exp.Query, Callable[[str], Files]], pa.Table]
"""Computes a query, given what each table that it names is."""


class PastReader(Reader):
    """Every table as it was at a moment.

    A table whose files of the days that a query reads are deleted, or whose log no longer says what it was, raises
    HistoryGone: nothing is ever read from another version.

    Args:
        folder: gives the folder of a table.
        names: gives the tables of a database as it is.
        run: the engine.
        moment: aware.
    """

    def __init__(self, folder: Callable[[str], Path], names: Callable[[str], list[str]], run: Run, moment: dt.datetime) -> None:
        self._folder = folder
        self._names = names
        self._run = run
        self._moment = (moment - _EPOCH) // _MILLISECOND
        self._opened: dict[str, tuple[deltalake.DeltaTable, dict[str, str]]] = {}

    def tables(self, database: str) -> list[str]:
        return [name for name in self._names(database) if self._version(f"{database}.{name}") is not None]

    def schema(self, table: str) -> pa.Schema:
        return pa.schema(self._open(table)[0].schema().to_arrow())

    def partitions(self, table: str) -> dict[str, int]:
        return rows_by_day(self._open(table)[0])

    def read(self, table: str, columns: Sequence[str] | None = None, span: Span | None = None) -> pa.Table:
        wanted = chosen(table, self.schema(table), columns)
        database, _, name = table.partition(".")
        select = exp.select(*[exp.column(each, quoted=True) for each in wanted.names]).from_(exp.table_(name, db=database))
        if span is not None:
            low, high = map(exp.Literal.string, (span.first_ds, span.last_ds))
            select = select.where(exp.Between(this=exp.column(PARTITION), low=low, high=high))
        return self.query(HiveQL.of(select)).cast(wanted)

    def query(self, query: HiveQL) -> pa.Table:
        tree = query.bound()
        files: dict[str, Files] = {}
        for table in tree.find_all(exp.Table):
            if table.db:
                name = f"{table.db}.{table.name}"
                files[name] = self._files(name, _days_of(table))
        return self._run(tree, files.__getitem__)

    def _open(self, table: str) -> tuple[deltalake.DeltaTable, dict[str, str]]:
        """The table at its version, and those of its files that are deleted, with their days."""
        if table not in self._opened:
            version = self._version(table)
            if version is None:
                raise TableNotFound(f"There was no table {table} then")
            try:
                delta = deltalake.DeltaTable(str(self._folder(table)), version=version)
            except (DeltaError, TableNotFoundError):
                raise self._gone(table, _ALL_DAYS) from None
            self._opened[table] = delta, _deleted(delta)
        return self._opened[table]

    def _version(self, table: str) -> int | None:
        """The table's version at the moment; None where there was no table yet."""
        folder = self._folder(table)
        log = _log(folder)
        if not log:
            return None
        found = bisect_right(log, self._moment, key=lambda version: _written(folder, version))
        if found:
            return log[found - 1]
        if log[0] == 0:
            return None
        raise self._gone(table, _ALL_DAYS)

    def _files(self, table: str, days: tuple[str, str]) -> Files:
        """The files that are still there; those of the days must be."""
        delta, deleted = self._open(table)
        if any(days[0] <= day <= days[1] for day in deleted.values()):
            raise self._gone(table, days)
        return Files(delta, [uri for uri in delta.file_uris() if uri not in deleted])

    def _gone(self, table: str, days: tuple[str, str]) -> HistoryGone:
        folder = self._folder(table)
        log = _log(folder)
        # of the versions since, once the files of one are all there, so are those of later ones
        then = bisect_right(log, self._moment, key=lambda version: _written(folder, version))
        whole = bisect_left(log, True, lo=then, key=lambda version: _is_whole(folder, version, days))
        since = _written(folder, log[min(whole, len(log) - 1)])
        return HistoryGone(
            f"{table} can no longer be read as it was at {_said(self._moment)}: "
            f"files of rows replaced since are deleted. What is kept goes back to {_said(since)}"
        )


def _said(moment: int) -> str:
    return f"{_EPOCH + moment * _MILLISECOND:%Y-%m-%dT%H:%M:%S}.{moment % 1000:03}Z"


def _log(folder: Path) -> list[int]:
    """The versions of a table whose commits are kept."""
    return sorted(int(file.stem) for file in (folder / "_delta_log").glob("[0-9]*.json") if file.stem.isdigit())


def _written(folder: Path, version: int) -> int:
    """When a version was written, as its commit says: milliseconds since 1970. The file's own time changes with a copy."""
    with (folder / "_delta_log" / f"{version:020}.json").open(encoding="utf-8") as commit:
        infos = (json.loads(line).get("commitInfo") for line in commit)
        return int(next(info["timestamp"] for info in infos if info))


def _is_whole(folder: Path, version: int, days: tuple[str, str]) -> bool:
    try:
        delta = deltalake.DeltaTable(str(folder), version=version)
    except (DeltaError, TableNotFoundError):
        return False
    return not any(days[0] <= day <= days[1] for day in _deleted(delta).values())


def _deleted(delta: deltalake.DeltaTable) -> dict[str, str]:
    """The data files that are no longer there, and the day of each."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    if not actions.num_rows:
        return {}
    days: list[str] = actions.column(f"partition.{PARTITION}").to_pylist()
    return {uri: day for uri, day in zip(delta.file_uris(), days, strict=True) if not Path(unquote(uri)).exists()}


def rows_by_day(delta: deltalake.DeltaTable) -> dict[str, int]:
    """Rows of each day that has some, sorted."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    counts: dict[str, int] = {}
    if actions.num_rows:
        days: list[str] = actions.column(f"partition.{PARTITION}").to_pylist()
        for day, rows in zip(days, actions.column("num_records").to_pylist(), strict=True):
            counts[day] = counts.get(day, 0) + rows
    return dict(sorted((day, rows) for day, rows in counts.items() if rows))


def _days_of(table: exp.Table) -> tuple[str, str]:
    """The first and last day that a query can read of a table: what the SELECT that names it says of `ds`, or all days."""
    first, last = _ALL_DAYS
    select = table.parent_select
    if not isinstance(select, exp.Select) or select.args.get("joins") or not isinstance(table.parent, exp.From):
        return first, last
    where = select.args.get("where")
    parts = [where.this.unnest()] if where else []
    while parts:
        part = parts.pop()
        if isinstance(part, exp.And):
            parts += [part.this.unnest(), part.expression.unnest()]
        elif isinstance(part, exp.Between) and _is_ds(part.this) and not part.args.get("symmetric"):
            first, last = max(first, _text(part.args["low"], "")), min(last, _text(part.args["high"], "~"))
        elif isinstance(part, (exp.EQ, exp.GTE, exp.LTE)) and _is_ds(part.this):
            if not isinstance(part, exp.LTE):
                first = max(first, _text(part.expression, ""))
            if not isinstance(part, exp.GTE):
                last = min(last, _text(part.expression, "~"))
    return first, last


def _is_ds(side: exp.Expr) -> bool:
    return isinstance(side, exp.Column) and side.name == PARTITION


def _text(side: exp.Expr, otherwise: str) -> str:
    return side.name if isinstance(side, exp.Literal) and side.is_string else otherwise
