"""Rules, and the queries for hits and alerts. Independent of sources, warehouses and Dagster."""
