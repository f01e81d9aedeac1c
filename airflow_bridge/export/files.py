"""Writes exported DAG files to a folder, or compares them with it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from airflow_bridge.export.render import MARK


def write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Write the files, delete those of an earlier export that this one does not contain, and return the changed paths.

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
    for path in _obsolete(folder, files):
        path.unlink()
        changed.append(path)
    return changed


def difference(folder: Path, files: Mapping[str, str]) -> str:
    """Unified diff between the folder and the export; empty if the folder is up to date."""
    texts = {folder / name: text for name, text in files.items()}
    exported = {**texts, **dict.fromkeys(_obsolete(folder, files), "")}
    return "".join(_diff(path, text) for path, text in sorted(exported.items()))


def _diff(path: Path, exported: str) -> str:
    current = _text(path)
    lines = difflib.unified_diff(
        (current or "").splitlines(keepends=True),
        exported.splitlines(keepends=True),
        fromfile=str(path) if current is not None else "/dev/null",
        tofile=str(path) if exported else "/dev/null",
    )
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def _obsolete(folder: Path, files: Mapping[str, str]) -> list[Path]:
    return [path for path in sorted(folder.glob("*.py")) if path.name not in files and MARK in (_text(path) or "")]


def _text(path: Path) -> str | None:
    return path.read_bytes().decode("utf-8", errors="replace") if path.is_file() else None
