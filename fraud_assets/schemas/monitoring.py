"""Tables that measure the pipeline itself."""

from __future__ import annotations

from fraud_assets.schemas.names import DATABASE
from hive_io import Column, Table

SECONDS = "DECIMAL(12,1)"

LATENCIES = Table(
    DATABASE,
    "latencies",
    (
        Column("hour", "TIMESTAMP", "Start of the hour in which the transactions were judged, UTC."),
        Column(
            "seconds",
            SECONDS,
            "From arrival at the API to the row in fraud_alerts; rounded up to two digits: 0.1 … 9.9, 10, 11 … 99, 100, 110 …",
        ),
        Column("transactions", "BIGINT", "Number of transactions with this latency."),
    ),
    key=("hour", "seconds"),
    time_column="hour",
    description="Histogram of the live path's latency, written by `fraud watch`; empty if it does not run.",
)


SERVICE_LEVELS = Table(
    DATABASE,
    "service_levels",
    (
        Column("hour", "STRING", "UTC, for example 2026-01-31 07; no row for an hour without activity."),
        Column("transactions", "BIGINT", "Transactions whose event time is in the hour."),
        Column("alerts", "BIGINT", "Alerts on those transactions."),
        Column(
            "arrival_p50",
            SECONDS,
            "Median seconds from event time to arrival at the API; NULL if the source does not report it.",
        ),
        Column("arrival_p95", SECONDS, "95th percentile of the seconds from event time to arrival."),
        Column("judged", "BIGINT", "Transactions that `fraud watch` judged in the hour."),
        Column("latency_p50", SECONDS, "Median seconds from arrival to the row in fraud_alerts."),
        Column("latency_p95", SECONDS, "95th percentile of the seconds from arrival to the row in fraud_alerts."),
        Column("latency_max", SECONDS, "Largest of those: how far the live path lagged behind."),
        Column("rejected_share", "DOUBLE", "Share of rejected rows among all transactions served, over the whole day."),
    ),
    key=("hour",),
    description="Volume, latency and quality of the pipeline, hour by hour.",
)
