"""Computes what to write for a table and a span: the one place where ingestion and detection meet. Independent of Dagster."""
