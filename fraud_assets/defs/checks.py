"""Asset checks of single tables: blocking ones for every table (keys, schema), and advisory ones."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from sqlglot import exp

from fraud_assets.defs.asset_specs import key, previews
from fraud_assets.defs.daily_results import DailyResult
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.sql.windows import hiveql, table_node, within
from hive_io import PARTITION, HiveQL, Span, Table, Warehouse

HAS_HIT = "has_hit_lately"
DEAD_AFTER = 30
"""Days without a hit after which a rule counts as dead; only days with transactions count."""

KEYS = "keys_are_unique"
SCHEMA = "columns_are_as_described"


def specs(table: Table, partitions: dg.PartitionsDefinition) -> list[dg.AssetCheckSpec]:
    """Specs of the two blocking checks that every table has."""
    return [
        blocking(table, KEYS, f"Within a day, {', '.join(table.key)} is unique.", partitions),
        blocking(table, SCHEMA, "The columns and types in the warehouse match the table's schema.", partitions),
    ]


def blocking(table: Table, name: str, description: str, partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    """A check whose failure stops downstream assets, recorded for the partitions that it checked."""
    with previews():
        # without a partitions definition, Dagster does not record which partition a result belongs to
        return dg.AssetCheckSpec(name, asset=key(table.name), blocking=True, partitions_def=partitions, description=description)


def advisory(table: str, name: str, description: str, partitions: dg.PartitionsDefinition | None) -> dg.AssetCheckSpec:
    """A check whose failure stops nothing."""
    with previews():
        return dg.AssetCheckSpec(name, asset=key(table), partitions_def=partitions, description=description)


def has_hit(warehouse: Warehouse, rule: Table, hits: int, judged: int, span: Span) -> DailyResult:
    """Check that a rule has hit at least once on the last `DEAD_AFTER` days with transactions, up to each day of the span.

    Passes if the rule hit or judged nothing in the span; on a day, if there are fewer days with transactions.

    Args:
        hits, judged: how many transactions of the span the rule hit, and how many it could judge.
    """
    dead: list[str] = []
    description = f"{hits:,} hits in {span}."
    if judged and not hits:
        hits_by_day = warehouse.partitions(rule.full_name)
        days = sorted(warehouse.partitions(TRANSACTIONS.table.full_name))
        for day in span.each_day():
            recent_days = [ds for ds in days if ds <= day.isoformat()][-DEAD_AFTER:]
            recent_hits = sum(hits_by_day.get(ds, 0) for ds in recent_days)
            if len(recent_days) == DEAD_AFTER and not recent_hits:
                dead.append(day.isoformat())
        description = (
            f"{recent_hits:,} hits on the last {len(recent_days)} days with transactions; "
            f"{judged:,} transactions judged in {span}."
        )
    return DailyResult(
        check_name=HAS_HIT,
        asset_key=key(rule.name),
        failed_days=dead,
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
    )


def results(warehouse: Warehouse, table: Table, span: Span) -> Sequence[DailyResult]:
    """Results of the two blocking checks for the rows just written."""
    repeated = {row[PARTITION]: int(row["keys"]) for row in warehouse.query(repeated_keys_query(table, span)).to_pylist()}
    found, expected = warehouse.schema(table.full_name), table.arrow_schema
    different = [
        str(field.name) for field in expected if field.name not in found.names or found.field(field.name).type != field.type
    ]
    as_described = not different and found.names == expected.names
    return [
        DailyResult(
            check_name=KEYS,
            asset_key=key(table.name),
            failed_days=repeated.keys(),
            metadata={"repeated keys": sum(repeated.values()), "key": ", ".join(table.key)},
        ),
        DailyResult(
            check_name=SCHEMA,
            asset_key=key(table.name),
            failed_days=() if as_described else days_of(span),
            metadata={"columns that differ": ", ".join(different) or "none"},
        ),
    ]


def days_of(span: Span) -> list[str]:
    """The days of a span, as partition keys."""
    return [day.isoformat() for day in span.each_day()]


def repeated_keys_query(table: Table, span: Span) -> HiveQL:
    """A row for each day of the span with keys that occur more than once: `ds`, and how many (`keys`)."""
    count = exp.func("COUNT", exp.Star())
    rows = within(exp.select(PARTITION, *table.key).from_(table_node(table)), table, span.whole_days())
    repeated = rows.group_by(PARTITION, *table.key).having(count > 1)
    return hiveql(exp.select(PARTITION, count.as_("keys")).from_(repeated.subquery("repeated")).group_by(PARTITION))
