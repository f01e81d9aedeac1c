"""Size of a table's folder on disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hive_io.warehouse import Footprint


def footprint_of(folder: Path) -> Footprint:
    """Count data files and the bytes of all files in a folder and below; zero if the folder does not exist."""
    files = total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            # a file that is deleted during the count takes no room
            with suppress(FileNotFoundError):
                total += (Path(where) / name).stat().st_size
                files += name.endswith(".parquet") and "_delta_log" not in Path(where).parts
    return Footprint(files, total)
