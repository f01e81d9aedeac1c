"""Where DAG files that were exported by version 0.1 look for the operator; `airflow_bridge.in_airflow` has it."""

from airflow_bridge.in_airflow.operators import MaterializeAssets

__all__ = ["MaterializeAssets"]
