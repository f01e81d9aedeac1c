"""Column lineage of features and rules, read from their queries and attached to their materializations."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

import dagster as dg
from sqlglot import exp
from sqlglot.lineage import Node, lineage

from fraud_assets.defs.asset_specs import key
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.names import DATABASE
from hive_io import Span

_ANY_DAY = Span.days(dt.date(2026, 1, 1), dt.date(2026, 1, 1))


def lineage_metadata(engine: Engine, table: str) -> dict[str, dg.TableColumnLineage]:
    """Materialization metadata under the key where Dagster expects column lineage."""
    return {"dagster/column_lineage": column_lineage(engine, table)}


# a query has the same columns on every day, and parsing it takes up to a tenth of a second
@lru_cache(maxsize=256)
def column_lineage(engine: Engine, table: str) -> dg.TableColumnLineage:
    """The source columns of each column's values; a row count or a constant has none.

    Columns that only select rows (in joins and filters) are not included.
    """
    tables = {name: dict(schema.column_types) for name, schema in engine.tables.items()}
    query = engine.query(table, _ANY_DAY).bound()
    nodes = lineage(None, query, {DATABASE: tables}, dialect="hive", trim_selects=False)
    assert isinstance(nodes, dict)
    return dg.TableColumnLineage({column: _sources(node) for column, node in nodes.items()})


def _sources(node: Node) -> list[dg.TableColumnDep]:
    # leaves are columns of tables; those of a param's relation belong to no table and are skipped
    leaves = {
        (leaf.expression.name, exp.to_column(leaf.name).name)
        for leaf in node.walk()
        if isinstance(leaf.expression, exp.Table) and leaf.expression.db == DATABASE
    }
    return [dg.TableColumnDep(key(table), column) for table, column in sorted(leaves)]
