"""The operator of the exported DAGs and all it needs. Runs inside Airflow, where Dagster is not installed."""
