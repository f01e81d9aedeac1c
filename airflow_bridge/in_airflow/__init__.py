"""What the exported DAGs import. Runs inside Airflow, where Dagster is not installed."""
