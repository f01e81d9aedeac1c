"""What a query would give, without data: its columns and their types, from empty tables in memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import duckdb
import pyarrow as pa

from hive_io.dialect import HiveQL, to_duckdb
from hive_io.errors import QueryError
from hive_io.table import Table


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def result_schema(query: HiveQL, tables: Mapping[str, Table]) -> pa.Schema:
    """The columns of the query's result, as the embedded engine gives them.

    Args:
        tables: by `database.name`; only those that the query reads are looked at.

    Raises:
        QueryError: the engine refuses the query.
    """
    with _database().cursor() as connection:
        made: set[str] = set()

        def relation(name: str) -> str:
            if name not in made:
                if name not in tables:
                    raise QueryError(f"There is no table {name}")
                # registered, so seen by this cursor only
                connection.register(name, tables[name].arrow_schema.empty_table())
                made.add(name)
            return name

        sql = to_duckdb(query.bound(), relation)
        try:
            return connection.sql(sql).to_arrow_table().schema
        except duckdb.Error as error:
            raise QueryError(str(error).partition("\n")[0]) from None
