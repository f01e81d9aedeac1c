"""Alias of `airflow_bridge.in_airflow.operators`, for DAG files that version 0.1 exported."""

from airflow_bridge.in_airflow.operators import MaterializeAssets

__all__ = ["MaterializeAssets"]
