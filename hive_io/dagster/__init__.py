"""The Dagster IO manager over a warehouse."""
