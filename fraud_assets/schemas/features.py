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


CUSTOMER_DAILY_AMOUNTS = Table(
    DATABASE,
    "customer_daily_amounts",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING"),
        Column("amount_from", MONEY, "Smallest amount of the bin: the two leading digits, as 1.50 for 1.50 to 1.59."),
        Column("transactions", "BIGINT"),
    ),
    key=("customer_id", "currency", "amount_from"),
    description="Payments of each customer on the day by the two leading digits of the amount, per currency.",
)


CUSTOMER_AMOUNTS = Table(
    DATABASE,
    "customer_amounts",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING"),
        Column("transactions", "BIGINT", "Payments in the 90 days before."),
        Column("amount_median", MONEY, "To two leading digits."),
        Column("amount_p95", MONEY, "95th percentile, nearest rank, to two leading digits."),
    ),
    key=("customer_id", "currency"),
    description="Median and 95th percentile of each customer's payments in the 90 days before the day, per currency.",
)


CUSTOMER_DAILY_OUTLIERS = Table(
    DATABASE,
    "customer_daily_outliers",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING"),
        Column("outliers", "BIGINT", "Payments far above the customer's 95th percentile."),
    ),
    key=("customer_id", "currency"),
    description="Payments of the day far above the customer's own 95th percentile, per currency; no row if there are none.",
)


CUSTOMER_OUTLIERS = Table(
    DATABASE,
    "customer_outliers",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING"),
        Column("outliers_7", "BIGINT", "In the 7 days before."),
    ),
    key=("customer_id", "currency"),
    description="Payments far above the customer's own 95th percentile before the day, per currency; no row if there are none.",
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


MERCHANT_REPORTS = Table(
    DATABASE,
    "merchant_reports",
    (
        Column("merchant_key", "STRING", MERCHANT_KEY),
        Column("sales_14", "BIGINT", "Transactions of the 14 last days whose reports are mostly known."),
        Column("reports_14", "BIGINT", "Of those, reported and not explained by the customer's own habit."),
        Column("run", "BIGINT", "Such reports since the last day with an unreported sale."),
        Column("run_days", "INT", "Days since the first sale of the run; NULL without a run."),
    ),
    key=("merchant_key",),
    description=(
        "Fraud reports of each merchant as of the start of the day that the customers' own habits do not explain; "
        "no row if there are none."
    ),
)


DECIDED_TRANSACTIONS = Table(
    DATABASE,
    "decided_transactions",
    (
        Column("transaction_id", "STRING"),
        Column("customer_id", "STRING"),
        Column("merchant_key", "STRING", MERCHANT_KEY),
        Column("is_fraud", "BOOLEAN", "The decision that stood when the day began."),
        Column("is_reported", "BOOLEAN", "True if a fraud report of the 90 days before names it, too."),
        Column("decided_on", "STRING", "The day of that decision, for example 2026-01-31."),
    ),
    key=("transaction_id",),
    description="Transactions that people decided in the 90 days before the day, as of its start.",
)


TRANSACTION_FEATURES = Table(
    DATABASE,
    "transaction_features",
    (
        Column("transaction_id", "STRING"),
        Column("customer_id", "STRING"),
        Column("event_time", "TIMESTAMP", "UTC."),
        Column("amount", MONEY, "Amount of the transaction, in its currency."),
        Column("currency", "STRING"),
        Column("amount_to_median", "DECIMAL(18,2)", "Amount over the median of the customer's payments in 90 days."),
        Column("amount_to_p95", "DECIMAL(18,2)", "Amount over the 95th percentile of the customer's payments in 90 days."),
        Column("outliers_7d", "BIGINT", "The customer's payments far above that percentile in 7 days and earlier on the day."),
        Column("payments_90d", "BIGINT", "The customer's payments in this currency in the 90 days before the day."),
        Column("transactions_1h", "BIGINT", "The customer's transactions in the hour that ends with this one."),
        Column("transactions_24h", "BIGINT", "The customer's transactions in the 24 hours that end with this one."),
        Column(
            "seconds_since_last", "BIGINT", "Since the customer's transaction before; NULL if it is not in the last 24 hours."
        ),
        Column("new_country", "INT", "1 if the customer did not pay in this country in 90 days, else 0."),
        Column("merchant_report_share", "DECIMAL(6,4)", "Unexplained reports of 14 days over the sales of these days and one."),
        Column("merchant_report_run", "BIGINT", "Unexplained reports since the last day with an unreported sale."),
        Column("merchant_report_days", "INT", "Days since that run began; 0 without one."),
        Column(
            "small_payments_1h",
            "BIGINT",
            "The customer's online payments of a small part of their median in the hour that ends with this one; NULL for a "
            "customer without a median, a transfer and a refund.",
        ),
        Column("declined_24h", "BIGINT", "The customer's declined transactions in the 24 hours that end with this one."),
        Column("transfers_out_24h", "BIGINT", "The customer's outgoing transfers in the 24 hours that end with this one."),
        Column(
            "passed_on_share",
            "DECIMAL(6,4)",
            "Of an outgoing transfer: what the customer sent in the 24 hours that end with it over what they received in them, "
            "in this currency, at most 99; NULL if nothing was received, and for all others.",
        ),
    ),
    key=("transaction_id",),
    time_column="event_time",
    description="What is known of each transaction when it happens, one column for each feature; NULL if it is not known.",
)
