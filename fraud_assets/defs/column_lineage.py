"""Of which columns each column of a feature or a rule is made: read from its query, shown on its materializations."""

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
    """The metadata of a materialization in which Dagster looks for the lineage of columns."""
    return {"dagster/column_lineage": column_lineage(engine, table)}


# a query's columns are the same for every day, and reading them takes up to a tenth of a second
@lru_cache(maxsize=256)
def column_lineage(engine: Engine, table: str) -> dg.TableColumnLineage:
    """What the values of each column are computed from; a column that only counts rows, or is a constant, has none.

    Which rows there are (joins, filters) is no value of a column, and is not told.
    """
    tables = {name: dict(described.column_types) for name, described in engine.tables.items()}
    query = engine.query(table, _ANY_DAY).bound()
    nodes = lineage(None, query, {DATABASE: tables}, dialect="hive", trim_selects=False)
    assert isinstance(nodes, dict)
    return dg.TableColumnLineage({column: _sources(node) for column, node in nodes.items()})


def _sources(node: Node) -> list[dg.TableColumnDep]:
    # the leaves are columns of tables; those of a param's relation have no table, and are left out
    leaves = {
        (found.expression.name, exp.to_column(found.name).name)
        for found in node.walk()
        if isinstance(found.expression, exp.Table) and found.expression.db == DATABASE
    }
    return [dg.TableColumnDep(key(table), column) for table, column in sorted(leaves)]
