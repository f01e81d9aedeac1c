"""The embedded warehouse: Delta Lake tables in a folder, queried by DuckDB."""
