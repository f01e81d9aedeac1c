"""Checks: blocking ones that every table has (unique keys, the columns that were promised), and some that only tell."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from sqlglot import exp

from fraud_assets.defs.asset_specs import key, previews
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.sql.windows import hiveql, within
from hive_io import PARTITION, HiveQL, Span, Table, Warehouse

HAS_HIT = "has_hit_lately"
DEAD_AFTER = 30
"""Days with transactions, without a hit."""

KEYS = "keys_are_unique"
SCHEMA = "columns_are_as_described"


def specs(table: Table, partitions: dg.PartitionsDefinition) -> list[dg.AssetCheckSpec]:
    """The two checks, as specs for the asset of the table."""
    return [
        blocking(table, KEYS, f"No two rows of a day have the same {', '.join(table.key)}.", partitions),
        blocking(table, SCHEMA, "The table in the lake has the columns and types of its description.", partitions),
    ]


def blocking(table: Table, name: str, description: str, partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    """A check whose failure stops what is downstream, recorded for the partitions it looked at."""
    with previews():
        # without a partitions definition, a result says nothing about which partition it is of
        return dg.AssetCheckSpec(name, asset=key(table.name), blocking=True, partitions_def=partitions, description=description)


def advisory(table: str, name: str, description: str, partitions: dg.PartitionsDefinition | None) -> dg.AssetCheckSpec:
    """A check whose failure stops nothing."""
    with previews():
        return dg.AssetCheckSpec(name, asset=key(table), partitions_def=partitions, description=description)


def has_hit(warehouse: Warehouse, rule: Table, hits: int, judged: int, span: Span) -> dg.AssetCheckResult:
    """Whether a rule has hit anything in its last days with transactions; one that had nothing to judge may not.

    Args:
        hits, judged: how many transactions of the span it hit, and could judge.
    """
    dead, said = False, f"{hits:,} hits in {span}."
    if judged and not hits:
        by_day = warehouse.partitions(rule.full_name)
        days = warehouse.partitions(TRANSACTIONS.table.full_name)
        lately = [day for day in sorted(days) if day <= span.last_ds][-DEAD_AFTER:]
        earlier = sum(by_day.get(day, 0) for day in lately)
        dead = len(lately) == DEAD_AFTER and not earlier
        said = f"{earlier:,} hits in the last {len(lately)} days with transactions; it judged {judged:,} of {span}."
    return dg.AssetCheckResult(
        check_name=HAS_HIT, asset_key=key(rule.name), passed=not dead, severity=dg.AssetCheckSeverity.WARN, description=said
    )


def results(warehouse: Warehouse, table: Table, span: Span) -> Sequence[dg.AssetCheckResult]:
    """Look at what was just written."""
    repeated = warehouse.query(repeated_keys_query(table, span)).to_pylist()
    have = warehouse.schema(table.full_name)
    wanted = table.arrow_schema
    different = [str(f.name) for f in wanted if f.name not in have.names or have.field(f.name).type != f.type]
    return [
        dg.AssetCheckResult(
            check_name=KEYS,
            asset_key=key(table.name),
            passed=repeated[0]["keys"] == 0,
            metadata={"repeated keys": repeated[0]["keys"], "key": ", ".join(table.key)},
        ),
        dg.AssetCheckResult(
            check_name=SCHEMA,
            asset_key=key(table.name),
            passed=not different and have.names == wanted.names,
            metadata={"columns that differ": ", ".join(different) or "none"},
        ),
    ]


def repeated_keys_query(table: Table, span: Span) -> HiveQL:
    """One row, `keys`: how many keys stand more than once on a day of the span."""
    rows = within(exp.select(PARTITION, *table.key).from_(exp.table_(table.name, db=table.database)), table, span.whole_days())
    groups = rows.group_by(PARTITION, *table.key).having(
        exp.GT(this=exp.func("COUNT", exp.Star()), expression=exp.Literal.number(1))
    )
    return hiveql(exp.select(exp.alias_(exp.func("COUNT", exp.Star()), "keys")).from_(groups.subquery("repeated")))
