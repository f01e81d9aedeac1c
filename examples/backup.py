"""Copies an embedded warehouse while it is written: `python examples/backup.py WAREHOUSE COPY`. COPY must not exist.

The order makes the copy safe: what points to something is copied before what it points to. Dagster's records and the desk come
before the tables, the checkpoint of `fraud watch` before the rows that it has loaded, a table's log before its files. So a
restored `fraud watch` reads some rows twice, which changes nothing, and misses none. Files of replaced rows are kept for an
hour; the copy must take less than that. In the end, every file that a table needs is looked for.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from deltalake import DeltaTable

TABLES = "fintech.db"
DATABASES = {".db", ".sqlite"}
PASSING = {"-wal", "-shm", "-journal", ".lock"}
"""Ends of names of files that belong to a process or to an open database."""
HINT = "_last_checkpoint"
"""Names the newest checkpoint, and might name one that the copy of a log lacks. Readers do without it."""


def copy(warehouse: Path, target: Path) -> list[str]:
    """Copy a warehouse; return the files that are missing in the copy, which is of no use then."""
    target.mkdir(mode=0o700)
    tables = warehouse / TABLES
    for file in _files(warehouse / "dagster"):
        _copy(file, target / file.relative_to(warehouse))
    others = [
        file for file in _files(warehouse) if not file.is_relative_to(tables) and not file.is_relative_to(warehouse / "dagster")
    ]
    # the desk's database, then the cursor of `fraud watch`, then what it has put off
    for file in sorted(others, key=lambda file: (file.suffix not in DATABASES, file.name != "watch.json")):
        _copy(file, target / file.relative_to(warehouse))
    # lists before copies: a log is complete up to its last entry
    logs = [file for log in sorted(tables.glob("*/_delta_log")) for file in _files(log) if file.name != HINT]
    for file in logs:
        _copy(file, target / file.relative_to(warehouse))
    for file in _files(tables):
        if "_delta_log" not in file.parts:
            _copy(file, target / file.relative_to(warehouse))
    return [file for log in sorted((target / TABLES).glob("*/_delta_log")) for file in _missing(log.parent)]


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.endswith(tuple(PASSING))))


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if file.suffix in DATABASES:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as source, closing(sqlite3.connect(target)) as made:
                source.backup(made)
        else:
            shutil.copy2(file, target)
    except (FileNotFoundError, sqlite3.OperationalError):
        # deleted since it was listed; if a table needs it, `_missing` finds that
        if file.exists():
            raise


def _missing(table: Path) -> Iterator[str]:
    for uri in DeltaTable(str(table)).file_uris():
        if not Path(uri.removeprefix("file://")).exists():
            yield uri


if __name__ == "__main__":
    missing = copy(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.exit(f"The copy lacks {len(missing)} files, such as {missing[0]}: delete it and copy again" if missing else 0)
