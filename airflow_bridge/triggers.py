"""Alias of `airflow_bridge.in_airflow.triggers`, for tasks that version 0.1 deferred."""

from airflow_bridge.in_airflow.triggers import PartitionsTrigger, RunTrigger

__all__ = ["PartitionsTrigger", "RunTrigger"]
