"""Open the warehouse at a location: a folder, or the address of a HiveServer2."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pydantic import SecretStr

from hive_io.delta.reconciling import ReconcilingWarehouse
from hive_io.delta.warehouse import MARKER, EmbeddedWarehouse
from hive_io.warehouse import Warehouse


def open_warehouse(
    location: str, password: SecretStr | None = None, *, read_only: bool = False, since: dt.datetime | None = None
) -> Warehouse:
    """Open the warehouse at a location.

    Args:
        location: a folder, or `hive://user@host:10000/database?staging=/shared/folder`.
        password: of the user of a HiveServer2.
        read_only: the caller only reads: a folder must be a warehouse already, and need not be writable.
        since: the caller writes days that others write at the same time: what they have written since this moment stays, as
            in `ReconcilingWarehouse`. For a folder only; on a HiveServer2, whole days are replaced.

    Raises:
        NotAWarehouse: the location cannot be used; the message says why.
    """
    if "://" in location:
        # PyHive, Thrift and pandas take half a second to import; the embedded warehouse needs none of them
        from hive_io.hive.connection import HiveServer
        from hive_io.hive.warehouse import HiveServer2Warehouse

        return HiveServer2Warehouse(HiveServer.of(location, password))
    if since is not None:
        return ReconcilingWarehouse(location, since=since)
    return EmbeddedWarehouse(location, read_only=read_only)


def warehouse_exists(location: str) -> bool:
    """True if a warehouse exists at a location. Creates nothing, and takes a HiveServer2 to exist without asking it."""
    return "://" in location or (Path(location) / MARKER).exists()
