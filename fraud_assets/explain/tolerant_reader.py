"""Reads tables in the schema of this version, although the warehouse may predate a table or some of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

from sqlglot import exp

from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.windows import hiveql
from hive_io import PARTITION, Reader, Table
from hive_io.dialect import literal


class TolerantReader:
    """Reads tables by SELECT *, with NULL for columns that a table does not have yet.

    Args:
        reader: reads the tables, either current or as of a time.
        tables: the tables of this version, by name.
    """

    def __init__(self, reader: Reader, tables: Mapping[str, Table]) -> None:
        self._reader = reader
        self._tables = tables
        self._missing_columns = cache(self._find_missing_columns)

    @cached_property
    def existing(self) -> frozenset[str]:
        """Names of the tables in the warehouse."""
        return frozenset(self._reader.tables(DATABASE))

    def rows(self, query: exp.Query) -> list[dict[str, Any]]:
        """Rows of a query; none if a table that it reads does not exist.

        Raises:
            HistoryGone: the tables' history at the reader's time is no longer kept.
        """
        query = query.copy()
        for table in [each for each in query.find_all(exp.Table) if each.db == DATABASE]:
            if table.name not in self.existing:
                return []  # a rule was added, or a run stopped before it created the table
            select = table.parent_select
            if isinstance(select, exp.Select) and select.expressions == [exp.Star()]:
                select.select(*(null.copy() for null in self._missing_columns(table.name)), copy=False)
        return self._reader.query(hiveql(query)).to_pylist()

    def _find_missing_columns(self, table: str) -> list[exp.Expr]:
        return missing_columns(self._reader, self._tables[table]) if table in self._tables else []


def rows_where(table: str, **values: str) -> exp.Select:
    """All columns of a table's rows that have these values."""
    tree = exp.select("*").from_(exp.table_(table, db=DATABASE))
    return tree.where(*[exp.column(column).eq(literal(value)) for column, value in values.items()])


def in_days(first: str, last: str) -> exp.Between:
    """The condition that places a row in the days from the first to the last, both as in `ds`."""
    return exp.column(PARTITION).between(literal(first), literal(last))


def missing_columns(reader: Reader, table: Table) -> list[exp.Expr]:
    """NULLs, with their types and names, in the place of the columns that a table does not have yet."""
    existing = reader.schema(table.full_name).names
    missing = [column for column in table.columns if column.name not in existing]
    return [exp.alias_(exp.cast(exp.null(), column.type, dialect="hive"), column.name) for column in missing]
