"""Open the warehouse at a location: a folder, or the address of a HiveServer2."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from hive_io.delta.warehouse import MARKER, EmbeddedWarehouse
from hive_io.warehouse import Warehouse


def open_warehouse(location: str, password: SecretStr | None = None, *, read_only: bool = False) -> Warehouse:
    """Open the warehouse at a location.

    Args:
        location: a folder, or `hive://user@host:10000/database?staging=/shared/folder`.
        password: of the user of a HiveServer2.
        read_only: the caller only reads: a folder must be a warehouse already, and need not be writable.

    Raises:
        NotAWarehouse: the location cannot be used; the message says why.
    """
    if "://" in location:
        # PyHive, Thrift and pandas take half a second to import; the embedded warehouse needs none of them
        from hive_io.hive.connection import HiveServer
        from hive_io.hive.warehouse import HiveServer2Warehouse

        return HiveServer2Warehouse(HiveServer.of(location, password))
    return EmbeddedWarehouse(location, read_only=read_only)


def warehouse_exists(location: str) -> bool:
    """True if a warehouse exists at a location. Creates nothing, and takes a HiveServer2 to exist without asking it."""
    return "://" in location or (Path(location) / MARKER).exists()
