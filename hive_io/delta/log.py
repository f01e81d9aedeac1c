"""The log of a Delta Lake table: its commits, and what is wrong with a damaged one.

delta-rs reads an emptied commit as a commit that changes nothing, so rows would be missing without an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from deltalake.exceptions import DeltaError

from hive_io.errors import DamagedTable

Action: TypeAlias = dict[str, Any]
_HINT = "_last_checkpoint"
_COUNTS = {
    "add": ("num_added_files", "num_target_files_added", "numFilesAdded"),
    "remove": ("num_removed_files", "num_target_files_removed", "numFilesRemoved"),
}
"""Metrics of a commit that count its actions of a kind, by the operations of delta-rs."""


class _Damage(Exception):
    """A file is damaged. The text says what was expected or found."""


def log_of(folder: Path) -> Path:
    """Return the folder with the log of a table."""
    return folder / "_delta_log"


def commits(folder: Path) -> list[int]:
    """Return the versions whose commits are in the log of a table, sorted."""
    return sorted(int(file.stem) for file in log_of(folder).glob("*.json") if file.stem.isdigit())


def actions(table: str, folder: Path, version: int) -> list[Action]:
    """Return the actions of a commit.

    Raises:
        DamagedTable: the commit is damaged, or missing.
    """
    file = _commit_file(folder, version)
    try:
        return _actions(file)
    except _Damage as damage:
        raise _damaged(table, folder, file, str(damage)) from None


def check_commits(table: str, folder: Path, versions: Iterable[int]) -> None:
    """Check commits that were just read. One that was deleted in the meantime had expired.

    Raises:
        DamagedTable: with the first damaged commit.
    """
    for version in versions:
        if _commit_file(folder, version).exists():
            actions(table, folder, version)


def check_log(table: str, folder: Path, error: DeltaError | None = None) -> None:
    """Check the log of a table, from its last checkpoint on.

    Args:
        error: the error with which the table could not be opened.

    Raises:
        DamagedTable: with the damaged file, or else with the reason of the error.
    """
    versions = commits(folder)
    checkpoint = _last_checkpoint(folder)
    for file in _checkpoints(folder).get(checkpoint, []):
        if not _is_parquet(file):
            raise _damaged(table, folder, file, "expected a Parquet file")
    if not versions and checkpoint < 0:
        raise DamagedTable(f"{table}: {log_of(folder)} has no commits; {_restore(folder)}")
    needed = range(checkpoint + 1, max([*versions, checkpoint]) + 1)
    missing = [version for version in needed if not _commit_file(folder, version).exists()]
    # not one that was deleted since it was listed, after another checkpoint
    if missing and (gaps := [version for version in missing if version > _last_checkpoint(folder)]):
        _check_hint(table, folder)
        raise _damaged(table, folder, _commit_file(folder, gaps[0]), "the file is missing")
    check_commits(table, folder, needed)
    if error is not None:
        # delta-rs reads many a wrong hint without an error
        _check_hint(table, folder)
        raise DamagedTable(f"{table} cannot be opened: {str(error).partition(chr(10))[0]}; {_restore(folder)}")


def _check_hint(table: str, folder: Path) -> None:
    hint = _hinted(log_of(folder) / _HINT)
    if hint is not None and hint not in _checkpoints(folder):
        raise DamagedTable(
            f"{table}: {log_of(folder) / _HINT} names version {hint}, which has no checkpoint. If the folder has another "
            f"checkpoint or {_commit_file(folder, 0).name}, delete {_HINT}, which is only a hint; otherwise {_restore(folder)}"
        )


def check_not_emptied(table: str, folder: Path, version: int) -> None:
    """Check that a commit that was read before has not been emptied.

    Raises:
        DamagedTable: it has.
    """
    file = _commit_file(folder, version)
    with suppress(FileNotFoundError):  # it has expired
        if not file.stat().st_size:
            raise _damaged(table, folder, file, "the file is empty")


def _commit_file(folder: Path, version: int) -> Path:
    return log_of(folder) / f"{version:020}.json"


def _actions(file: Path) -> list[Action]:
    try:
        # not splitlines: a text in the statistics may have other line breaks in it
        lines = file.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise _Damage("the file is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise _Damage(f"expected lines of JSON, found {type(error).__name__}") from None
    found: list[Action] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            action = json.loads(line)
        except (ValueError, RecursionError):
            raise _Damage(f"line {number} is not complete JSON") from None
        if not isinstance(action, dict) or not all(isinstance(value, dict) for value in action.values()):
            raise _Damage(f"line {number} is no action of Delta Lake")
        found.append(action)
    info = next((action["commitInfo"] for action in found if "commitInfo" in action), None)
    if info is None or not isinstance(info.get("timestamp"), int):
        raise _Damage("the file is empty" if not found else "no line has a commitInfo with a timestamp")
    metrics = info.get("operationMetrics")
    for kind, names in _COUNTS.items():
        expected, have = _metric(metrics, names), sum(kind in action for action in found)
        if have < expected:
            raise _Damage(f"expected {expected} lines with {kind}, found {have}")
    return found


def _metric(metrics: object, names: Iterable[str]) -> int:
    values = [metrics.get(name) for name in names] if isinstance(metrics, Mapping) else []
    return max((value for value in values if isinstance(value, int)), default=0)


def _checkpoints(folder: Path) -> dict[int, list[Path]]:
    """Files of each checkpoint, by version."""
    found: dict[int, list[Path]] = {}
    for file in sorted(log_of(folder).glob("*.checkpoint.*parquet")):
        if file.name[:20].isdigit():
            found.setdefault(int(file.name[:20]), []).append(file)
    return found


def _last_checkpoint(folder: Path) -> int:
    return max(_checkpoints(folder), default=-1)


def _is_parquet(file: Path) -> bool:
    magic = b"PAR1"
    try:
        with file.open("rb") as opened:
            start = opened.read(len(magic))
            opened.seek(-len(magic), 2)
            return start == magic == opened.read()
    except FileNotFoundError:  # deleted in the meantime: it had expired
        return True
    except OSError:
        return False


def _hinted(file: Path) -> int | None:
    """The version in `_last_checkpoint`; None if the file is missing or unreadable, which delta-rs ignores."""
    try:
        version = json.loads(file.read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return version if isinstance(version, int) else None


def _damaged(table: str, folder: Path, file: Path, what: str) -> DamagedTable:
    return DamagedTable(f"{table}: {file} is damaged: {what}; {_restore(folder)}")


def _restore(folder: Path) -> str:
    return f"restore the file from a backup, or move {folder} away and compute the table again"
