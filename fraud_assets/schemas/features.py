"""The tables that queries compute from activity: one SQL file each in `fraud_assets/features`."""

from __future__ import annotations

from fraud_assets.schemas.names import DATABASE, MONEY
from hive_io import Column, Table

CUSTOMER_DAILY_ACTIVITY = Table(
    DATABASE,
    "customer_daily_activity",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING", "Amounts in different currencies are never added."),
        Column("merchant_country", "STRING"),
        Column("transactions", "BIGINT"),
        Column("amount_sum", "DECIMAL(38,2)"),
        Column("amount_square_sum", "DECIMAL(38,4)", "Σ amount², exact: deviations are made from it."),
        Column("amount_max", MONEY),
    ),
    key=("customer_id", "currency", "merchant_country"),
    description="What each customer paid on the day, per currency and country; declined payments and transfers left out.",
)


CUSTOMER_PROFILES = Table(
    DATABASE,
    "customer_profiles",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING"),
        Column("transactions", "BIGINT", "n"),
        Column("amount_sum", "DECIMAL(38,2)", "Σ amount"),
        Column("amount_square_sum", "DECIMAL(38,4)", "Σ amount²"),
        Column("amount_max", MONEY),
        Column("amount_mean", MONEY, "Σ amount / n, to the cent."),
        Column("amount_deviation", MONEY, "Population standard deviation, to the cent."),
        Column("last_day", "STRING", "The last day with a payment, like 2026-01-31."),
    ),
    key=("customer_id", "currency"),
    description="What each customer usually paid when the day began: the 90 days before it, per currency; transfers left out.",
)


CUSTOMER_DAILY_ANOMALIES = Table(
    DATABASE,
    "customer_daily_anomalies",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING"),
        Column("anomalies", "BIGINT", "Payments far above what was usual for the customer when the day began."),
    ),
    key=("customer_id", "currency"),
    description="How often each customer was unusual on the day, per currency; who was not has no row.",
)


CUSTOMER_ANOMALIES = Table(
    DATABASE,
    "customer_anomalies",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING"),
        Column("anomalies", "BIGINT", "In the 90 days before."),
        Column("anomalies_7", "BIGINT", "In the 7 days before."),
    ),
    key=("customer_id", "currency"),
    description="How often each customer had been unusual when the day began, per currency; who had not has no row.",
)


CUSTOMER_COUNTRIES = Table(
    DATABASE,
    "customer_countries",
    (
        Column("customer_id", "STRING"),
        Column("merchant_country", "STRING"),
        Column("transactions", "BIGINT"),
    ),
    key=("customer_id", "merchant_country"),
    description="Where each customer had paid when the day began: the 90 days before it, per country.",
)


MERCHANT_DAILY_ACTIVITY = Table(
    DATABASE,
    "merchant_daily_activity",
    (
        Column("merchant_id", "STRING"),
        Column("place", "STRING", "City and country; the merchant itself where the source names neither."),
        Column("transactions", "BIGINT"),
        Column("customers", "BIGINT", "Different ones."),
    ),
    key=("merchant_id", "place"),
    description="What each merchant sold on the day.",
)


MERCHANT_PROFILES = Table(
    DATABASE,
    "merchant_profiles",
    (
        Column("merchant_id", "STRING"),
        Column("place", "STRING"),
        Column("transactions", "BIGINT", "In the 28 days before."),
        Column("reports", "BIGINT", "Fraud reports made in the 28 days before."),
        Column("reports_7", "BIGINT", "In the 7 days before."),
        Column("reports_1", "BIGINT", "On the day before."),
    ),
    key=("merchant_id",),
    description="How busy each merchant was, and how often reported for fraud, when the day began.",
)


HIGH_RISK_CUSTOMERS = Table(
    DATABASE,
    "high_risk_customers",
    (
        Column("customer_id", "STRING"),
        Column("credit_score", "INT", "NULL where none is known."),
        Column("fraud_reports", "BIGINT", "In the 90 days before."),
        Column("reason", "STRING"),
    ),
    key=("customer_id",),
    description="Customers at high risk when the day began: a low credit score, or many fraud reports.",
)
