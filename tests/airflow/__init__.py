"""Real Airflow schedulers over a real Dagster: `make test-airflow`. Without `--airflow DIR` nothing here is collected."""
