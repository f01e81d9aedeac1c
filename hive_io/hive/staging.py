"""Files of the warehouse on a HiveServer2. The folder of a table, `<staging>/<database>.db/<table>`, holds:

- `staged_<id>/ds=<day>/`: data files of a write; the location of the day's partition once the write is complete.
- `pending/<id>.json`: the folders of a write that has begun and has not ended.
- `retired/<id>.json`: folders that no partition uses any more; deleted after a grace period.
- `default/`: the location of the table itself, always empty.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import math
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hive_io.table import PARTITION

STAGED = "staged_"
"""Prefix of the names of staged folders, and of the external tables over them."""
ABANDONED = dt.timedelta(hours=48)
"""Age at which a write that has not ended counts as failed. Longer than any write takes."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Note:
    """Folders, and since when they are noted, in seconds."""

    since: float
    folders: list[Path]


@dataclass
class PendingWrite:
    """Note of the folders that a write would leave behind if it failed. Outlives the process.

    Attributes:
        folders: its stages, and the locations of the partitions that it replaces.
        switched: days whose partitions have the new rows.
        switching: days whose partitions have the old or the new rows: their statement was sent and has no answer yet.
    """

    file: Path
    folders: list[Path] = field(default_factory=list)
    switched: list[str] = field(default_factory=list)
    switching: list[str] = field(default_factory=list)

    def add(self, *folders: Path) -> None:
        """Add folders to the note."""
        self.folders += folders
        _write_note(self.file, self.folders)

    def end(self) -> None:
        """Delete the note: no folder is left behind."""
        self.file.unlink(missing_ok=True)

    def state(self) -> str:
        """Return which days have new rows, as the end of a sentence about the table."""
        if not self.switched and not self.switching:
            return "has its old rows"
        known = [f"new rows on {', '.join(self.switched)}"] if self.switched else []
        unknown = [f"old or new rows on {', '.join(self.switching)}"] if self.switching else []
        return f"has {', '.join([*known, *unknown])}, and its old rows on all other days"


class TableFolder:
    """The folder of a table.

    Args:
        path: created when it is needed.
        grace: seconds for which retired folders are kept.
    """

    def __init__(self, path: Path, grace: float) -> None:
        self.path = path
        self._grace = grace

    def new_stage(self) -> Path:
        """Return the path of a new stage. Creates nothing."""
        return self.path / f"{STAGED}{uuid4().hex}"

    def begin_write(self) -> PendingWrite:
        """Return a note for a write that begins now."""
        return PendingWrite(self.path / "pending" / f"{uuid4().hex}.json")

    def abandoned_writes(self) -> list[PendingWrite]:
        """Return the notes of writes that began longer than `ABANDONED` ago."""
        limit = _before(ABANDONED)
        return [PendingWrite(file, note.folders) for file, note in _notes(self.path / "pending") if note.since <= limit]

    def unnoted(self) -> list[Path]:
        """Return the folders of a day, older than `ABANDONED`, that no note names."""
        noted = {folder for kind in ("pending", "retired") for _, note in _notes(self.path / kind) for folder in note.folders}
        limit = _before(ABANDONED)
        return [
            part
            for part in sorted(self.path.glob(f"{STAGED}*/{PARTITION}=*"))
            if not {part, part.parent} & noted and _changed_at(part) <= limit
        ]

    def retire(self, folders: Iterable[Path]) -> None:
        """Note folders that no partition uses any more, and delete those whose grace period is over.

        Folders elsewhere are left alone: they are not the warehouse's own.
        """
        retired = self.path / "retired"
        if own := [folder for folder in folders if folder.is_relative_to(self.path)]:
            _write_note(retired / f"{uuid4().hex}.json", own)
        limit = _before(dt.timedelta(seconds=self._grace))
        for file, note in _notes(retired):
            if note.since <= limit:
                for folder in note.folders:
                    shutil.rmtree(folder, ignore_errors=True)
                    with suppress(OSError):  # other days of the same stage are in use
                        folder.parent.rmdir()
                file.unlink(missing_ok=True)


def _write_note(file: Path, folders: Iterable[Path]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    note = {"since": dt.datetime.now(dt.UTC).timestamp(), "folders": [str(folder) for folder in folders]}
    complete = file.with_suffix(".new")
    complete.write_text(json.dumps(note), encoding="utf-8")
    complete.replace(file)  # renamed, so that no other process reads a partial note


def _notes(folder: Path) -> Iterator[tuple[Path, _Note]]:
    """The notes in a folder. A damaged one is moved to `<name>.damaged`; `TableFolder.unnoted` finds its folders."""
    for file in folder.glob("*.json"):
        try:
            note = json.loads(file.read_text(encoding="utf-8"))
            yield file, _Note(float(note["since"]), [Path(each) for each in note["folders"]])
        except FileNotFoundError:  # another process was faster
            continue
        except (ValueError, TypeError, KeyError, RecursionError):
            log.warning("%s is damaged and was moved to %s.damaged; its folders are found by the next vacuum", file, file.name)
            with suppress(FileNotFoundError):
                file.rename(file.with_name(file.name + ".damaged"))


def delete_old(folder: Path) -> None:
    """Delete folders in a folder that are older than `ABANDONED`: results whose reader was killed."""
    limit = _before(ABANDONED)
    for path in folder.glob("*"):
        if _changed_at(path) <= limit:
            shutil.rmtree(path, ignore_errors=True)


def _before(age: dt.timedelta) -> float:
    return dt.datetime.now(dt.UTC).timestamp() - age.total_seconds()


def _changed_at(path: Path) -> float:
    """Time of a folder's last change, in seconds; infinite if it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def write_rows(rows: pa.Table, stage: Path) -> dict[str, Path]:
    """Write rows as Parquet files, one folder a day. Return the folder of each day."""
    folders = {day: stage / f"{PARTITION}={day}" for day in rows.column(PARTITION).unique().to_pylist()}
    for day, folder in folders.items():
        part = rows.filter(pc.equal(rows.column(PARTITION), day)).drop_columns([PARTITION])
        folder.mkdir(parents=True)
        # every Hive reads INT96 as a TIMESTAMP, whatever its time zone
        pq.write_table(part, folder / "rows.parquet", compression="zstd", use_deprecated_int96_timestamps=True)
    return folders


def data_files(folder: Path) -> list[Path]:
    """Return the data files in a folder and below it; empty if there is no folder."""
    return [file for file in sorted(folder.rglob("*")) if _is_data(file)]


def count_rows(folder: Path) -> int:
    """Return the number of rows in the data files of a partition's folder, from their footers."""
    files = folder.iterdir() if folder.is_dir() else ()
    return sum(pq.read_metadata(file).num_rows for file in files if _is_data(file))


def _is_data(file: Path) -> bool:
    return file.is_file() and file.name[0] not in "._"
