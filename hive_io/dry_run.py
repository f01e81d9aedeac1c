"""Dry run of a query, on tables in memory: the columns and types of its result, or its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import duckdb
import pyarrow as pa
from sqlglot import exp

from hive_io.dialect import HiveQL, columns_in, to_duckdb
from hive_io.errors import QueryError
from hive_io.table import Table


@cache
def _database() -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    # GLOBAL, because a new cursor takes the machine's zone
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    return database


def result_schema(query: HiveQL, tables: Mapping[str, Table]) -> pa.Schema:
    """Return the columns and types of a query's result in the embedded engine.

    Args:
        tables: by `database.name`; only those that the query reads are used.

    Raises:
        QueryError: the engine rejects the query.
    """
    tree = query.bound()
    names = sorted({f"{table.db}.{table.name}" for table in tree.find_all(exp.Table) if table.db})
    read = tuple((name, tables[name]) for name in names if name in tables)
    # not as HiveQL, where a CAST and a TRY_CAST read the same
    key = (tree.sql(), query.is_text, read)
    if key not in _schemas:
        schema = _result_schema(query, tables)
        if len(_schemas) >= _MOST:
            _schemas.clear()
        _schemas[key] = schema
    return _schemas[key]


_schemas: dict[object, pa.Schema] = {}
"""Schemas by query and tables. A process reads the same rule files again and again, and translating takes the longest."""
_MOST = 512


def _result_schema(query: HiveQL, tables: Mapping[str, Table]) -> pa.Schema:
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


def results_on(query: HiveQL, tables: Mapping[str, Table], each: Iterable[Mapping[str, pa.Table]]) -> list[pa.Table]:
    """Return a query's results in the embedded engine, one for each of several sets of rows. It is translated once.

    Args:
        tables: descriptions by `database.name`, of all that the query reads.
        each: rows of these tables, by `database.name`; a table without rows is empty.

    Raises:
        QueryError: the engine rejects the query, or cannot compute a value.
    """
    read: set[str] = set()

    def relation(name: str) -> str:
        if name not in tables:
            raise QueryError(f"There is no table {name}")
        read.add(name)
        return name

    sql = to_duckdb(query.bound(), relation, columns_in(tables), strict=query.is_text)
    found = []
    for rows in each:
        with _database().cursor() as connection:
            for name in read:
                connection.register(name, rows[name] if name in rows else tables[name].arrow_schema.empty_table())
            try:
                found.append(connection.sql(sql).to_arrow_table())
            except duckdb.Error as error:
                raise QueryError(str(error).partition("\n")[0]) from None
    return found
