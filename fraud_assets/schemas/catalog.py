"""The tables that are defined in code, not by rule files."""

from __future__ import annotations

from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.features import (
    CUSTOMER_ANOMALIES,
    CUSTOMER_COUNTRIES,
    CUSTOMER_DAILY_ACTIVITY,
    CUSTOMER_DAILY_ANOMALIES,
    CUSTOMER_PROFILES,
    HIGH_RISK_CUSTOMERS,
    MERCHANT_DAILY_ACTIVITY,
    MERCHANT_PROFILES,
)
from fraud_assets.schemas.monitoring import LATENCIES, SERVICE_LEVELS
from fraud_assets.schemas.sources import API_TABLES
from hive_io import Table

FEATURE_TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        CUSTOMER_DAILY_ACTIVITY,
        CUSTOMER_PROFILES,
        CUSTOMER_DAILY_ANOMALIES,
        CUSTOMER_ANOMALIES,
        CUSTOMER_COUNTRIES,
        MERCHANT_DAILY_ACTIVITY,
        MERCHANT_PROFILES,
        HIGH_RISK_CUSTOMERS,
        SERVICE_LEVELS,
    )
}


def fixed_tables() -> dict[str, Table]:
    """All tables that are defined in code, by name."""
    sources = {table.name: table for api in API_TABLES.values() for table in (api.table, api.rejected, api.loads) if table}
    return {**sources, **FEATURE_TABLES, FRAUD_ALERTS.name: FRAUD_ALERTS, LATENCIES.name: LATENCIES}
