"""The tables that say how well the pipeline works."""

from __future__ import annotations

from fraud_assets.schemas.names import DATABASE
from hive_io import Column, Table

SECONDS = "DECIMAL(12,1)"


LATENCIES = Table(
    DATABASE,
    "latencies",
    (
        Column("hour", "TIMESTAMP", "The beginning of the hour in which they were judged, UTC."),
        Column("seconds", SECONDS, "Rounded up to two digits: 0.1, 0.2 … 9.9, 10, 11 … 99, 100, 110 …"),
        Column("transactions", "BIGINT", "How many took so long, from their arrival at the API to the row in fraud_alerts."),
    ),
    key=("hour", "seconds"),
    time_column="hour",
    description="How long transactions waited until they were judged, counted by `fraud watch`; empty where it does not run.",
)


SERVICE_LEVELS = Table(
    DATABASE,
    "service_levels",
    (
        Column("hour", "STRING", "UTC, like 2026-01-31 07; one without transactions has no row."),
        Column("transactions", "BIGINT", "That happened in the hour."),
        Column("alerts", "BIGINT", "Of those."),
        Column("arrival_p50", SECONDS, "Seconds until half had arrived at the API; NULL where the source does not say."),
        Column("arrival_p95", SECONDS, "Seconds until 95 % had arrived."),
        Column("judged", "BIGINT", "Transactions that `fraud watch` judged in the hour."),
        Column("latency_p50", SECONDS, "Seconds from arrival to the row in fraud_alerts, of half of those it judged."),
        Column("latency_p95", SECONDS, "Seconds within which 95 % of them were judged."),
        Column("latency_max", SECONDS, "The longest that one had waited: how far behind it was."),
        Column("rejected_share", "DOUBLE", "Of all transactions that the source served, on the whole day."),
    ),
    key=("hour",),
    description="How fast, how much and how clean, hour by hour.",
)
