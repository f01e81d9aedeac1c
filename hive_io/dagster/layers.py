"""The layers of Dagster's own database IO managers (manager, client, type handlers, slices), and the target of a check.

They are private parts of Dagster, in the version that `constraints.txt` pins (written for 1.13). Only this module and
`fraud_assets/runs/event_log.py` import private parts, so an upgrade has two places to check.
"""

from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.storage.db_io_manager import DbClient, DbIOManager, DbTypeHandler, TablePartitionDimension, TableSlice

__all__ = [
    "AssetCheckEvaluationTargetMaterializationData",
    "DbClient",
    "DbIOManager",
    "DbTypeHandler",
    "TablePartitionDimension",
    "TableSlice",
]
