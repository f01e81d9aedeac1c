"""Where tasks that were deferred by version 0.1 look for their triggers; `airflow_bridge.in_airflow` has them."""

from airflow_bridge.in_airflow.triggers import PartitionsTrigger, RunTrigger

__all__ = ["PartitionsTrigger", "RunTrigger"]
