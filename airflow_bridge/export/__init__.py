"""Reads the asset graph from Dagster and writes it as DAG files. Runs where Dagster is installed."""
