"""Dry run of a query: the columns and types of its result, computed on empty tables in memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import duckdb
import pyarrow as pa

from hive_io.dialect import HiveQL, columns_in, to_duckdb
from hive_io.errors import QueryError
from hive_io.table import Table


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def result_schema(query: HiveQL, tables: Mapping[str, Table]) -> pa.Schema:
    """Return the columns and types of a query's result in the embedded engine.

    Args:
        tables: by `database.name`; only those that the query reads are used.

    Raises:
        QueryError: the engine rejects the query.
    """
    with _database().cursor() as connection:
        registered: set[str] = set()

        def relation(name: str) -> str:
            if name not in registered:
                if name not in tables:
                    raise QueryError(f"There is no table {name}")
                # visible to this cursor only
                connection.register(name, tables[name].arrow_schema.empty_table())
                registered.add(name)
            return name

        sql = to_duckdb(query.bound(), relation, columns_in(tables), strict=query.is_text)
        try:
            return connection.sql(sql).to_arrow_table().schema
        except duckdb.Error as error:
            raise QueryError(str(error).partition("\n")[0]) from None
