"""Cases, their alerts, history and decisions; how far the lake was read and written."""

import sqlalchemy as sa
from alembic import op

from fraud_assets.cases.migrations.append_only import refuse_changes

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "cases",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("gravity", sa.Integer, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("amounts", sa.JSON, nullable=False),
        sa.Column("largest", sa.BigInteger, nullable=False),
        sa.Column("alert_count", sa.Integer, nullable=False),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("headline", sa.Text, nullable=False),
        sa.Column("opened_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime, nullable=False),
        sa.Column("assigned_to", sa.Text),
        sa.Column("snoozed_until", sa.DateTime),
        sa.Column("decision", sa.Text),
        sa.Column("reason_code", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_at", sa.DateTime),
        sa.Column("former", _NUMBER, sa.ForeignKey("cases.number")),
        sa.Column("version", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    waiting = sa.text("status IN ('open', 'snoozed')")
    op.create_index(
        "one_waiting_case_per_customer",
        "cases",
        ["customer_id"],
        unique=True,
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    priority = ["score DESC", "gravity DESC", "largest DESC"]
    op.create_index("cases_by_priority", "cases", ["status", *map(sa.text, priority), "opened_at", "number"])
    op.create_index("cases_by_severity", "cases", ["status", "severity"])
    op.create_index("cases_by_customer", "cases", ["customer_id"])
    op.create_table(
        "alerts",
        sa.Column("transaction_id", sa.Text, primary_key=True),
        sa.Column("case_number", _NUMBER, sa.ForeignKey("cases.number"), nullable=False),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("event_time", sa.DateTime, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text),
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("rules", sa.JSON, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("rule_versions", sa.JSON, nullable=False),
        sa.Column("card_version", sa.Text),
        sa.Column("search", sa.Text, nullable=False),
        sa.Column("seen_at", sa.DateTime, nullable=False),
    )
    op.create_index("alerts_by_case", "alerts", ["case_number"])
    op.create_table(
        "events",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("case_number", _NUMBER, sa.ForeignKey("cases.number"), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_by_case", "events", ["case_number", "number"])
    op.create_index("events_by_time", "events", ["at"])
    op.create_table(
        "decisions",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("decision_id", sa.Text, nullable=False, unique=True),
        sa.Column("case_number", _NUMBER, sa.ForeignKey("cases.number"), nullable=False),
        sa.Column("transaction_id", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("reason_code", sa.Text),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("decided_at", sa.DateTime, nullable=False),
        sa.Column("note", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("decisions_by_case", "decisions", ["case_number"])
    op.create_index("decisions_by_time", "decisions", ["decided_at"])
    op.create_table(
        "marks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    refuse_changes("events")
    refuse_changes("decisions")
