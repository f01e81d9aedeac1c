"""Paths of folders that hold tables: characters that no engine misreads."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from hive_io.errors import NotAWarehouse

_UNWRITABLE = {"Cc": "a control character", "Cs": "a byte that is not UTF-8"}
"""Unicode categories that a path cannot have, with their names in messages."""


def check_path(folder: Path, special: str) -> None:
    """Check that engines read a path as it is written, and the path that it links to.

    Args:
        special: characters that the engines of the warehouse read as a pattern or an escape.

    Raises:
        NotAWarehouse: with the first such path and its characters.
    """
    _check(folder, str(folder), special)
    _check(folder, str(folder.resolve()), special)


def _check(folder: Path, path: str, special: str) -> None:
    # escaped, so that the message is one line of valid text
    shown = ascii(path)[1:-1] if not path.isprintable() else path
    where = shown if path == str(folder) else f"{folder}, a link to {shown},"
    for character in path:
        if name := _UNWRITABLE.get(unicodedata.category(character)):
            raise NotAWarehouse(f"{where} has {name} ({ascii(character)[1:-1]}) in its path; use another folder")
    if odd := sorted(set(special).intersection(path)):
        raise NotAWarehouse(
            f"{where} has {' '.join(odd)} in its path, which engines cannot read as a part of a name; use another folder"
        )
