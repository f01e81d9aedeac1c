"""Rules, hits and alerts as queries. Knows no source, no warehouse and no Dagster."""
