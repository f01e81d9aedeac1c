"""Blocking checks that every table has: its key is unique, its partitions have the columns that were promised."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from sqlglot import exp

from fraud_assets.defs.partitions import key, previews
from fraud_assets.queries import hiveql, within
from hive_io import PARTITION, HiveQL, Span, Table, Warehouse

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
