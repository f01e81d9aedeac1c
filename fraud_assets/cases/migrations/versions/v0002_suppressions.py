"""Suppressions, and the alerts that they hid."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "suppressions",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("below_score", sa.Double, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("until", sa.DateTime, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("lifted_at", sa.DateTime),
        sa.Column("lifted_by", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "hidden_alerts",
        sa.Column("transaction_id", sa.Text, primary_key=True),
        sa.Column("suppression", _NUMBER, sa.ForeignKey("suppressions.number"), nullable=False),
        sa.Column("alert", sa.JSON, nullable=False),
        sa.Column("hidden_at", sa.DateTime, nullable=False),
    )
    op.create_index("hidden_alerts_by_suppression", "hidden_alerts", ["suppression"])
