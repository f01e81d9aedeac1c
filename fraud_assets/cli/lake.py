"""Opening the warehouse of a command."""

from __future__ import annotations

from fraud_assets.settings import Settings
from hive_io import Warehouse
from hive_io.locations import open_warehouse


def open_lake(settings: Settings) -> Warehouse:
    """Open the warehouse that the settings name.

    Raises:
        NotAWarehouse: the location cannot be used; the message says why.
    """
    return open_warehouse(settings.warehouse, settings.warehouse_password)
