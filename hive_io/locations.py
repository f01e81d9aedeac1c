"""Opens the warehouse that a location names."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from hive_io.delta.warehouse import MARKER, EmbeddedWarehouse
from hive_io.warehouse import Warehouse


def open_warehouse(location: str, password: SecretStr | None = None) -> Warehouse:
    """Open the warehouse that a setting names.

    Raises:
        NotAWarehouse: the location cannot be used, and why.
    """
    if "://" in location:
        # PyHive, Thrift and pandas take half a second to import, and the embedded warehouse needs none of them
        from hive_io.hive.connection import HiveServer
        from hive_io.hive.warehouse import HiveServer2Warehouse

        return HiveServer2Warehouse(HiveServer.of(location, password))
    return EmbeddedWarehouse(location)


def warehouse_exists(location: str) -> bool:
    """True if there is a warehouse at a location. Creates nothing; a HiveServer2 counts as existing without being asked."""
    return "://" in location or (Path(location) / MARKER).exists()
