"""Near misses of all rules as rows of `near_misses`, and customers who come closer to a rule from one to the next."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from fraud_assets.detection.rule import Rule
from fraud_assets.explain.comparisons import Condition
from fraud_assets.schemas.detection import NEAR_MISSES
from fraud_assets.workshop.near import NearMiss, NoDistance, creeping, near_misses
from hive_io import PARTITION, Reader, Span, Table
from hive_io.table import DAY

CREEP_DAYS = 30
"""Days in which the near misses of a customer are compared."""


def near_miss_rows(rules: Iterable[Rule], tables: Mapping[str, Table], reader: Reader, span: Span, within: float) -> pa.Table:
    """Rows of `near_misses` for a span; rules that compare no numbers have none.

    Args:
        tables: described, by name.
        within: the largest distance, in (0, 1).

    Raises:
        RuleError: a rule reads a table that does not exist.
    """
    rows = []
    for rule in rules:
        try:
            found = near_misses(rule, tables, reader, span, within)
        except NoDistance:
            continue
        rows += [
            {
                "rule": rule.name,
                "rule_version": rule.version,
                "transaction_id": each.transaction_id,
                "customer_id": each.customer_id,
                "event_time": each.event_time.replace(tzinfo=None),
                "distance": each.distance,
                "missed": "; ".join(each.missed),
                PARTITION: each.event_time.date().isoformat(),
            }
            for each in found
        ]
    return pa.Table.from_pylist(rows, NEAR_MISSES.arrow_schema)


def stored_creeping(reader: Reader, last: dt.date) -> Mapping[tuple[str, str], Sequence[NearMiss]]:
    """Customers whose last near misses of a rule, three at least within 30 days, came closer each time, by rule and customer.

    Near misses of an earlier version of a rule do not count: its threshold was another one.
    """
    rows = reader.read(NEAR_MISSES.full_name, span=Span.days(last - (CREEP_DAYS - 1) * DAY, last)).to_pylist()
    latest = {row["rule"]: row["rule_version"] for row in sorted(rows, key=lambda row: row["event_time"])}
    of_rules: dict[str, list[NearMiss]] = {}
    for row in rows:
        if row["rule_version"] == latest[row["rule"]]:
            time, missed = row["event_time"].replace(tzinfo=dt.UTC), Condition(row["missed"], False)
            miss = NearMiss(row["transaction_id"], row["customer_id"], time, row["distance"], missed)
            of_rules.setdefault(row["rule"], []).append(miss)
    return {(rule, customer): run for rule, misses in sorted(of_rules.items()) for customer, run in creeping(misses).items()}
