"""The tables that are not those of rules."""

from __future__ import annotations

from collections.abc import Mapping

from fraud_assets.schemas.cases import CASES_DAILY, DECISIONS
from fraud_assets.schemas.detection import (
    ALERT_THRESHOLDS,
    FRAUD_ALERTS,
    NEAR_MISSES,
    RULE_VERSIONS,
    SCORECARDS,
    TRANSACTION_SCORES,
)
from fraud_assets.schemas.evaluation import LABELS, RULE_QUALITY
from fraud_assets.schemas.features import (
    CUSTOMER_AMOUNTS,
    CUSTOMER_ANOMALIES,
    CUSTOMER_COUNTRIES,
    CUSTOMER_DAILY_ACTIVITY,
    CUSTOMER_DAILY_AMOUNTS,
    CUSTOMER_DAILY_ANOMALIES,
    CUSTOMER_DAILY_OUTLIERS,
    CUSTOMER_OUTLIERS,
    CUSTOMER_PROFILES,
    DECIDED_TRANSACTIONS,
    HIGH_RISK_CUSTOMERS,
    MERCHANT_DAILY_ACTIVITY,
    MERCHANT_PROFILES,
    MERCHANT_REPORTS,
    TRANSACTION_FEATURES,
)
from fraud_assets.schemas.lists import LISTS
from fraud_assets.schemas.monitoring import LATENCIES, SERVICE_LEVELS
from fraud_assets.schemas.sources import API_TABLES, ApiTable
from hive_io import Table

FEATURE_TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        CUSTOMER_DAILY_ACTIVITY,
        CUSTOMER_PROFILES,
        CUSTOMER_DAILY_ANOMALIES,
        CUSTOMER_ANOMALIES,
        CUSTOMER_COUNTRIES,
        DECIDED_TRANSACTIONS,
        MERCHANT_DAILY_ACTIVITY,
        MERCHANT_PROFILES,
        HIGH_RISK_CUSTOMERS,
        CUSTOMER_DAILY_AMOUNTS,
        CUSTOMER_AMOUNTS,
        CUSTOMER_DAILY_OUTLIERS,
        CUSTOMER_OUTLIERS,
        MERCHANT_REPORTS,
        TRANSACTION_FEATURES,
        LABELS,
        SERVICE_LEVELS,
    )
}


def fixed_tables(apis: Mapping[str, ApiTable] = API_TABLES) -> dict[str, Table]:
    """All tables that are not those of rules, by name.

    Args:
        apis: the source tables, with the columns that a source file adds.
    """
    sources = {table.name: table for api in apis.values() for table in (api.table, api.rejected, api.loads) if table}
    others = (
        LISTS,
        RULE_VERSIONS,
        DECISIONS,
        SCORECARDS,
        TRANSACTION_SCORES,
        ALERT_THRESHOLDS,
        FRAUD_ALERTS,
        NEAR_MISSES,
        RULE_QUALITY,
        CASES_DAILY,
        LATENCIES,
    )
    return {**sources, **FEATURE_TABLES, **{table.name: table for table in others}}
