"""The only place that starts Dagster runs."""
