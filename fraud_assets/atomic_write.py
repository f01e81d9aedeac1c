"""Atomic writes of small text files."""

from pathlib import Path


def write_atomically(file: Path, text: str, mode: int | None = None) -> None:
    """Write a file by rename: a reader finds either the old or the new text, even if the writer is killed.

    Args:
        mode: permissions of the file, such as 0o600 for one with secrets; None for those that the process gives.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(file.name + ".new")
    if mode is not None:
        new.touch(mode)
        new.chmod(mode)  # that of a killed writer may have another
    new.write_text(text, encoding="utf-8")
    new.replace(file)
