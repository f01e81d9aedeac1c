"""Tests with real Airflow schedulers and a real Dagster: `make test-airflow`. Collected only with `--airflow DIR`."""
