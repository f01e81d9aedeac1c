"""Feature tables. Each is computed by one SQL file in `fraud_assets/features`."""

from __future__ import annotations

from fraud_assets.schemas.names import DATABASE, MONEY
from fraud_assets.schemas.sources import MERCHANT_KEY, NORMAL_FORM
from hive_io import Column, Table

PLACE_KEY = f"`place` {NORMAL_FORM}. Places are compared by it."

CUSTOMER_DAILY_ACTIVITY = Table(
    DATABASE,
    "customer_daily_activity",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING", "Amounts in different currencies are never added."),
        Column("merchant_country", "STRING"),
        Column("transactions", "BIGINT"),
        Column("amount_sum", "DECIMAL(38,2)"),
        Column("amount_square_sum", "DECIMAL(38,4)", "Σ amount², exact; the standard deviation is computed from it."),
        Column("amount_max", MONEY),
    ),
    key=("customer_id", "currency", "merchant_country"),
    description=(
        "Payments of each customer on the day, per currency and country; "
        "without declined and reversed ones, transfers and refunds."
    ),
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
        Column("last_day", "STRING", "The last day with a payment, for example 2026-01-31."),
        Column("first_day", "STRING", "The first day with a payment in the 90 days before."),
    ),
    key=("customer_id", "currency"),
    description="Usual payments of each customer in the 90 days before the day, per currency; without transfers and refunds.",
)


CUSTOMER_DAILY_ANOMALIES = Table(
    DATABASE,
    "customer_daily_anomalies",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING"),
        Column("anomalies", "BIGINT", "Payments far above the customer's profile of the day."),
    ),
    key=("customer_id", "currency"),
    description="Unusual payments of each customer on the day, per currency; no row if there are none.",
)


CUSTOMER_ANOMALIES = Table(
    DATABASE,
    "customer_anomalies",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING"),
        Column("anomalies", "BIGINT", "Unusual payments in the 90 days before."),
        Column("anomalies_7", "BIGINT", "Unusual payments in the 7 days before."),
    ),
    key=("customer_id", "currency"),
    description="Unusual payments of each customer before the start of the day, per currency; no row if there are none.",
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
    description="Countries in which each customer paid in the 90 days before the day.",
)


MERCHANT_DAILY_ACTIVITY = Table(
    DATABASE,
    "merchant_daily_activity",
    (
        Column("merchant_id", "STRING"),
        Column("place", "STRING", "City and country; the merchant's own id where the source names neither."),
        Column("transactions", "BIGINT"),
        Column("customers", "BIGINT", "Number of distinct customers."),
        Column("merchant_key", "STRING", MERCHANT_KEY),
        Column("place_key", "STRING", PLACE_KEY),
    ),
    key=("merchant_key", "place_key"),
    description="Transactions of each merchant on the day. Different spellings of one merchant or place are one row.",
)


MERCHANT_PROFILES = Table(
    DATABASE,
    "merchant_profiles",
    (
        Column("merchant_id", "STRING"),
        Column("place", "STRING"),
        Column("transactions", "BIGINT", "Transactions in the 28 days before."),
        Column("reports", "BIGINT", "Fraud reports in the 28 days before."),
        Column("reports_7", "BIGINT", "Fraud reports in the 7 days before."),
        Column("reports_1", "BIGINT", "Fraud reports on the day before."),
        Column("merchant_key", "STRING", MERCHANT_KEY),
        Column("place_key", "STRING", PLACE_KEY),
    ),
    key=("merchant_key",),
    description="Transactions and fraud reports of each merchant as of the start of the day.",
)


HIGH_RISK_CUSTOMERS = Table(
    DATABASE,
    "high_risk_customers",
    (
        Column("customer_id", "STRING"),
        Column("credit_score", "INT", "300 (worst) to 850 (best); NULL if none is known."),
        Column("fraud_reports", "BIGINT", "Fraud reports in the 90 days before."),
        Column("reason", "STRING"),
    ),
    key=("customer_id",),
    description="Customers at high risk as of the start of the day: a low credit score or many fraud reports.",
)
