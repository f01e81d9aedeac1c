"""Tables of hits (one per rule) and of alerts."""

from __future__ import annotations

from fraud_assets.schemas.names import DATABASE, MONEY
from hive_io import Column, Table

_HIT_COLUMNS = (
    Column("transaction_id", "STRING", "The transaction that completes the pattern."),
    Column("customer_id", "STRING"),
    Column("event_time", "TIMESTAMP", "UTC."),
    Column("rule", "STRING"),
    Column("rule_version", "STRING", "Hash of the rule's SQL, params in force, lookback, weight, severity and reason."),
    Column("severity", "STRING", "low, medium, high or critical."),
    Column("weight", "DOUBLE", "In (0, 1): how strongly the hit suggests fraud."),
    Column("reason", "STRING", "A sentence with the values that the rule used."),
    Column("evidence", "STRING", "The values that the rule used, as a JSON object."),
)


def rule_table(name: str, description: str = "") -> Table:
    """The table of a rule: one row per hit."""
    return Table(DATABASE, name, _HIT_COLUMNS, key=("transaction_id",), time_column="event_time", description=description)


FRAUD_ALERTS = Table(
    DATABASE,
    "fraud_alerts",
    (
        Column("transaction_id", "STRING"),
        Column("customer_id", "STRING"),
        Column("event_time", "TIMESTAMP", "UTC."),
        Column("amount", MONEY),
        Column("currency", "STRING"),
        Column("merchant_id", "STRING"),
        Column("score", "DOUBLE", "In (0, 1): 1 − Π(1 − weight), raised for high-risk customers."),
        Column("severity", "STRING", "The highest severity among its hits."),
        Column("rules", "ARRAY<STRING>", "The rules that hit, by descending weight, then by name."),
        Column("reasons", "ARRAY<STRING>", "In the order of `rules`."),
        Column("rule_versions", "ARRAY<STRING>", "In the order of `rules`."),
    ),
    key=("transaction_id",),
    time_column="event_time",
    description="One row per flagged transaction: its score, the rules that hit, and their reasons.",
)
