"""Entries of the blacklist without a transaction: the list may spell their ids in another way than the source."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.schemas.features import MERCHANT_DAILY_ACTIVITY
from fraud_assets.schemas.sources import TRANSACTIONS
from hive_io import PARTITION, HiveQL, Span, Warehouse
from hive_io.table import DAY

DAYS = 90
"""Days before the load in which an entry may have had a transaction."""
NAMED = 50
"""Entries that the metadata name at most."""

_KNOWN = """
SELECT DISTINCT m.merchant_key
FROM (
  SELECT COALESCE(a.merchant_key, LOWER(TRIM(a.merchant_id))) AS merchant_key
  FROM fintech.merchant_daily_activity a
  WHERE a.ds BETWEEN :before AND :last
  UNION ALL
  -- the activity of these days may be computed later
  SELECT COALESCE(t.merchant_key, LOWER(TRIM(t.merchant_id))) AS merchant_key
  FROM fintech.transactions t
  WHERE t.ds BETWEEN :first AND :last
) m
"""


def unmatched_metadata(warehouse: Warehouse, blacklist: pa.Table, span: Span) -> dict[str, Any]:
    """The number of entries on the last day of the span without a transaction up to then, and the first of them by id."""
    latest = blacklist.filter(pc.equal(blacklist.column(PARTITION), span.last_ds)).to_pylist()
    known = _known_merchants(warehouse, span) if latest else set()
    unmatched = sorted((row["merchant_id"], row["merchant_name"]) for row in latest if row["merchant_key"] not in known)
    records = [dg.TableRecord({"merchant_id": merchant, "merchant_name": name or ""}) for merchant, name in unmatched[:NAMED]]
    columns = dg.TableSchema([dg.TableColumn("merchant_id"), dg.TableColumn("merchant_name")])
    return {
        f"entries without a transaction in {DAYS} days": len(unmatched),
        "without a transaction": dg.MetadataValue.table(records, schema=columns),
    }


def _known_merchants(warehouse: Warehouse, span: Span) -> set[str]:
    for table in (MERCHANT_DAILY_ACTIVITY, TRANSACTIONS.table):
        warehouse.ensure_table(table)
    before = (span.first_day - DAYS * DAY).isoformat()
    query = HiveQL(_KNOWN, {"before": before, "first": span.first_ds, "last": span.last_ds})
    return set(warehouse.query(query).column(0).to_pylist())
