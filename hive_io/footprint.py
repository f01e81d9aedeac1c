"""Files of a table's folder, counted."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hive_io.warehouse import Footprint


def footprint_of(folder: Path) -> Footprint:
    """The data files in a folder and below it, and the bytes of all files there; none where there is no folder."""
    files = total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            # one that is deleted while they are counted takes no room
            with suppress(FileNotFoundError):
                total += (Path(where) / name).stat().st_size
                files += name.endswith(".parquet") and "_delta_log" not in Path(where).parts
    return Footprint(files, total)
