"""The asset graph as Airflow DAGs: `export` writes the DAG files, `in_airflow` runs their tasks.

`export` needs Dagster, `in_airflow` needs Airflow, and no environment needs both. So this module imports only the errors.
"""

from airflow_bridge.errors import (
    AccessDenied,
    BadConnection,
    BridgeError,
    CheckFailed,
    DagsterUnreachable,
    LaunchRefused,
    NoPartition,
    NotStopped,
    PartitionNotReady,
    RunCanceled,
    RunFailed,
    RunTimedOut,
    UnexpectedAnswer,
    UnknownAsset,
)

__all__ = [
    "AccessDenied",
    "BadConnection",
    "BridgeError",
    "CheckFailed",
    "DagsterUnreachable",
    "LaunchRefused",
    "NoPartition",
    "NotStopped",
    "PartitionNotReady",
    "RunCanceled",
    "RunFailed",
    "RunTimedOut",
    "UnexpectedAnswer",
    "UnknownAsset",
]
