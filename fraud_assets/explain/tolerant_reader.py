"""What tables hold, as this version describes them: a warehouse may be older than a table, or than one of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

from sqlglot import exp

from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.windows import hiveql
from hive_io import Reader, Table


class TolerantReader:
    """Rows of tables that are read by SELECT *: NULL where a table has not gained a column yet.

    Args:
        reader: of the tables as they are, or were.
        described: the tables of this version, by name.
    """

    def __init__(self, reader: Reader, described: Mapping[str, Table]) -> None:
        self._reader = reader
        self._described = described
        self._lacking = cache(self._find_lacking)

    @cached_property
    def there(self) -> frozenset[str]:
        """Names of the tables that there are."""
        return frozenset(self._reader.tables(DATABASE))

    def rows(self, query: exp.Query) -> list[dict[str, Any]]:
        """The rows of a query; none where a table that it reads is not there.

        Raises:
            HistoryGone: a past of the tables that is no longer kept.
        """
        query = query.copy()
        for table in [each for each in query.find_all(exp.Table) if each.db == DATABASE]:
            if table.name not in self.there:
                return []  # of a rule that was added, or a day that stopped half way: nothing is known yet
            select = table.parent_select
            if isinstance(select, exp.Select) and select.expressions == [exp.Star()]:
                select.select(*(null.copy() for null in self._lacking(table.name)), copy=False)
        return self._reader.query(hiveql(query)).to_pylist()

    def _find_lacking(self, table: str) -> list[exp.Expr]:
        """NULLs for the columns that a table lacks."""
        if table not in self._described:
            return []
        have = self._reader.schema(f"{DATABASE}.{table}").names
        lacking = [column for column in self._described[table].columns if column.name not in have]
        return [exp.alias_(exp.cast(exp.null(), column.type, dialect="hive"), column.name) for column in lacking]
