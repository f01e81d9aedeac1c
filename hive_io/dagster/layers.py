"""The layers of Dagster's own database IO managers: manager, client, type handlers, slices.

They are private parts of Dagster, of the version that `constraints.txt` pins (written for 1.13). This module and
`fraud_assets/dagster_storage.py` alone import private parts, so that an upgrade has two places to look at.
"""

from dagster._core.storage.db_io_manager import DbClient, DbIOManager, DbTypeHandler, TableSlice

__all__ = ["DbClient", "DbIOManager", "DbTypeHandler", "TableSlice"]
