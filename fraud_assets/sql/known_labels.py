"""What the labels of some days say of each transaction, when they are taken together."""

from __future__ import annotations

import datetime as dt

from sqlglot import exp

from fraud_assets.schemas.evaluation import LABELS
from fraud_assets.sql.windows import table_node, within
from hive_io import PARTITION, Span

LAST_DAY = dt.date(9999, 12, 30)
"""End of a span of days that has none."""

_LATEST = f"ROW_NUMBER() OVER (PARTITION BY transaction_id ORDER BY known_at DESC, {PARTITION} DESC, origin) AS place"
_LATEST_OF_ORIGIN = (
    f"ROW_NUMBER() OVER (PARTITION BY transaction_id, origin ORDER BY known_at DESC, {PARTITION} DESC) AS place_of_origin"
)


def known_labels(known: Span) -> exp.Select:
    """`transaction_id` and `is_fraud` of each transaction with a label that stands.

    The latest label of each origin stands unless it was taken back; of several origins, the latest of those counts.

    Args:
        known: days whose labels count.
    """
    rows = exp.select("transaction_id", "is_fraud", "known_at", "origin", PARTITION, _LATEST_OF_ORIGIN, dialect="hive")
    rows = within(rows.from_(table_node(LABELS)), LABELS, known)
    standing = exp.select("transaction_id", "is_fraud", _LATEST, dialect="hive").from_(rows.subquery("by_origin"))
    standing = standing.where("place_of_origin = 1", "is_fraud IS NOT NULL")
    return exp.select("transaction_id", "is_fraud").from_(standing.subquery("standing")).where("place = 1")
