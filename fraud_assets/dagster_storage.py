"""Where a `dagster.yaml` of version 0.1 looks for the event log storage; `fraud_assets.runs.event_log` has it."""

from fraud_assets.runs.event_log import KeptSqliteEventLogStorage

__all__ = ["KeptSqliteEventLogStorage"]
