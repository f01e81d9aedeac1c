"""Tables of what people decided about alerts, and of the desk's days."""

from __future__ import annotations

from fraud_assets.schemas.names import DATABASE
from hive_io import Column, Table

DECISIONS = Table(
    DATABASE,
    "decisions",
    (
        Column("decision_id", "STRING"),
        Column("case_id", "STRING"),
        Column("transaction_id", "STRING"),
        Column("customer_id", "STRING"),
        Column(
            "decision", "STRING", "fraud, honest or undecided. The latest of a transaction counts; undecided takes it back."
        ),
        Column("decided_by", "STRING"),
        Column("decided_at", "TIMESTAMP", "UTC."),
        Column("note", "STRING"),
        Column("reason_code", "STRING", "Such as stolen_card or customer_confirms; NULL where a decision was taken back."),
        Column("number", "BIGINT", "Ascending in the order in which decisions were made."),
    ),
    key=("decision_id",),
    description="What people decided about transactions, on the day it was decided; rows are added, and never changed.",
)


CASES_DAILY = Table(
    DATABASE,
    "cases_daily",
    (
        Column("day", "STRING", "As `ds`."),
        Column("opened", "BIGINT", "Cases opened on the day."),
        Column(
            "frauds", "BIGINT", "Cases decided as fraud on the day; decisions that were taken back by its end do not count."
        ),
        Column("honest", "BIGINT", "Cases decided as honest."),
        Column("undecided", "BIGINT", "Cases closed without a finding."),
        Column("precision", "DOUBLE", "frauds / (frauds + honest); NULL without such decisions."),
        Column("backlog", "BIGINT", "Cases that wait for a decision at the end of the day, or now."),
        Column("backlog_over_7_days", "BIGINT", "Those among them that were opened more than 7 days before."),
        Column("oldest_days", "DOUBLE", "Age of the oldest of them in days; NULL if there are none."),
    ),
    key=("day",),
    description="The desk by day: cases opened, decided and waiting.",
)
