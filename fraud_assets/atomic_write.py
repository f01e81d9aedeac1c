"""Atomic writes of small text files."""

from pathlib import Path
from uuid import uuid4


def write_atomically(file: Path, text: str, mode: int | None = None) -> None:
    """Write a file by rename: a reader finds either the old or the new text, even if the writer is killed.

    Several threads and processes may write one file at once: each has a temporary file of its own, and the last one wins.

    Args:
        mode: permissions of the file, such as 0o600 for one with secrets; None for those that the process gives.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{uuid4().hex}.new")
    try:
        if mode is not None:
            new.touch(mode)
        new.write_text(text, encoding="utf-8")
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)  # of a failed write; a killed writer leaves it
