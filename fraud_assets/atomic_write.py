"""Atomic writes of small text files."""

from pathlib import Path


def write_atomically(file: Path, text: str) -> None:
    """Write a file by rename: a reader finds either the old or the new text, even if the writer is killed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(file.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
