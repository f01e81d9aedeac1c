"""Tables of labels (what is known of transactions, and since when), and of the quality that is measured against them."""

from __future__ import annotations

from fraud_assets.schemas.names import DATABASE, MONEY
from fraud_assets.schemas.sources import MERCHANT_KEY
from hive_io import Column, Table

FRAUD_REPORT = "fraud report"
"""Origin of a label that comes from a fraud report."""

DECISION = "decision"
"""Origin of a label that comes from a decision about a case."""

LABELS = Table(
    DATABASE,
    "labels",
    (
        Column("transaction_id", "STRING"),
        Column("is_fraud", "BOOLEAN", "NULL where an earlier decision was taken back: that label does not count from then on."),
        Column("known_at", "TIMESTAMP", "When it became known, UTC. A label counts from then on."),
        Column("origin", "STRING", f"`{FRAUD_REPORT}` or `{DECISION}`."),
        Column("customer_id", "STRING", "The transaction's, or the report's if the transaction is not in the warehouse."),
        Column("merchant_key", "STRING", MERCHANT_KEY),
        Column("event_time", "TIMESTAMP", "The transaction's, UTC; NULL if none of the 90 days before has it."),
        Column("amount", MONEY, "The transaction's; NULL with `event_time`."),
        Column("currency", "STRING", "The transaction's."),
    ),
    key=("transaction_id", "origin"),
    description="What is known of transactions, on the day it became known: one row per transaction and origin.",
)


RULE_QUALITY = Table(
    DATABASE,
    "rule_quality",
    (
        Column("rule", "STRING", "A rule, or `all alerts`."),
        Column("status", "STRING", "active or shadow."),
        Column("hits", "BIGINT", "On the transactions of the last 28 days, this one included."),
        Column("matured", "BIGINT", "Hits on days of which nearly all frauds are expected to be known."),
        Column("frauds", "BIGINT", "Known frauds among the matured hits."),
        Column("precision", "DOUBLE", "frauds / matured; NULL without matured hits."),
        Column("precision_low", "DOUBLE", "Lower end of the Wilson interval, 95 %."),
        Column("precision_high", "DOUBLE", "Upper end."),
        Column("caught", "BIGINT", "Known frauds among all hits."),
        Column("known", "BIGINT", "Known frauds of the 28 days, hit or not."),
        Column("expected", "DOUBLE", "The same with those expected to become known later; NULL if too few labels are known."),
        Column("recall", "DOUBLE", "caught / known; NULL if no fraud is known."),
        Column("recall_low", "DOUBLE", "Lower end of its interval, 95 %: the frauds to come are all missed."),
        Column("recall_high", "DOUBLE", "Upper end: the frauds to come are all hit."),
        Column("only_this", "BIGINT", "Known frauds that no other active rule hit."),
    ),
    key=("rule",),
    description="Quality of each rule and of all alerts in the last 28 days, with the labels known by the end of the day.",
)
