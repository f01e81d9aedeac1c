"""Alias of `fraud_assets.runs.event_log` for a `dagster.yaml` written by version 0.1."""

from fraud_assets.runs.event_log import KeptSqliteEventLogStorage

__all__ = ["KeptSqliteEventLogStorage"]
