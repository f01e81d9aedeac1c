"""Every table that does not come from a rule file."""

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
    """Every table that does not come from a rule file, by name."""
    api = {t.name: t for a in API_TABLES.values() for t in (a.table, a.rejected)}
    return {**api, **FEATURE_TABLES, FRAUD_ALERTS.name: FRAUD_ALERTS, LATENCIES.name: LATENCIES}
