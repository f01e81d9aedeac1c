"""DAG files in a folder: written, or compared with what is there."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from airflow_bridge.export.render import MARK


def write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Write the files and delete those that an earlier export wrote and this one does not; gives what was changed.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    changed = []
    for name, text in sorted(files.items()):
        path = folder / name
        if _text(path) != text:
            path.write_text(text, encoding="utf-8", newline="\n")
            changed.append(path)
    for path in _left_over(folder, files):
        path.unlink()
        changed.append(path)
    return changed


def difference(folder: Path, files: Mapping[str, str]) -> str:
    """What an export would change in the folder, as a unified diff; empty if nothing."""
    texts = {folder / name: text for name, text in files.items()}
    wanted = {**texts, **dict.fromkeys(_left_over(folder, files), "")}
    return "".join(_diff(path, text) for path, text in sorted(wanted.items()))


def _diff(path: Path, wanted: str) -> str:
    have = _text(path)
    lines = difflib.unified_diff(
        (have or "").splitlines(keepends=True),
        wanted.splitlines(keepends=True),
        fromfile=str(path) if have is not None else "/dev/null",
        tofile=str(path) if wanted else "/dev/null",
    )
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def _left_over(folder: Path, files: Mapping[str, str]) -> list[Path]:
    return [path for path in sorted(folder.glob("*.py")) if path.name not in files and MARK in (_text(path) or "")]


def _text(path: Path) -> str | None:
    return path.read_bytes().decode("utf-8", errors="replace") if path.is_file() else None
