"""The layers of Dagster's own database IO managers: manager, client, type handlers, slices.

They are private parts of Dagster, in the version that `constraints.txt` pins (written for 1.13). Only this module and
`fraud_assets/runs/event_log.py` import private parts, so an upgrade has two places to check.
"""

from dagster._core.storage.db_io_manager import DbClient, DbIOManager, DbTypeHandler, TableSlice

__all__ = ["DbClient", "DbIOManager", "DbTypeHandler", "TableSlice"]
