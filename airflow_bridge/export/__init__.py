"""The asset graph as DAG files. Runs where Dagster is installed."""
