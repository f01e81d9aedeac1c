"""Small files that are written whole or not at all."""

from pathlib import Path


def write_atomically(file: Path, text: str) -> None:
    """Write a file by rename: who reads it, or is killed meanwhile, finds the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = file.with_name(file.name + ".new")
    whole.write_text(text, encoding="utf-8")
    whole.replace(file)
