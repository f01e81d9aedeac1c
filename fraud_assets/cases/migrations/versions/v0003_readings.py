"""Who read a case."""

import sqlalchemy as sa
from alembic import op

from fraud_assets.cases.migrations.append_only import refuse_changes

revision = "0003"
down_revision = "0002"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "readings",
        sa.Column("case_number", _NUMBER, sa.ForeignKey("cases.number"), primary_key=True),
        sa.Column("by", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("form", sa.Text, primary_key=True),
        sa.Column("at", sa.DateTime, nullable=False),
    )
    op.create_index("readings_by_person", "readings", ["by", "at"])
    op.create_index("readings_by_time", "readings", ["at"])
    refuse_changes("readings")
