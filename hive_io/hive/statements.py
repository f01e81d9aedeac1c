"""Statements of the warehouse on a HiveServer2, as text. Names and texts are quoted by sqlglot."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from sqlglot import exp

from hive_io.errors import SchemaMismatch
from hive_io.table import PARTITION, Span, Table


def create_table(table: Table, name: str, folder: Path, *, external: bool) -> str:
    """Return the statement that creates a table like `table` in the same database, unless it exists."""
    columns = ", ".join(f"{quoted(c.name)} {c.type}" for c in table.columns)
    return (
        f"CREATE {'EXTERNAL ' if external else ''}TABLE IF NOT EXISTS {table_name(f'{table.database}.{name}')} ({columns}) "
        f"PARTITIONED BY ({quoted(PARTITION)} STRING) STORED AS PARQUET LOCATION {location(folder)}"
    )


def add_columns(table: Table, columns: Iterable[str], *, cascade: bool) -> str:
    """Return the statement that adds columns of the description. It fails if they exist."""
    types = table.column_types
    added = ", ".join(f"{quoted(name)} {types[name]}" for name in columns)
    return f"ALTER TABLE {table_name(table.full_name)} ADD COLUMNS ({added}){' CASCADE' if cascade else ''}"


def add_partitions(name: str, folders: Mapping[str, Path]) -> str:
    """Return the statement that adds partitions with their folders, unless they exist."""
    added = " ".join(f"{partition(day)} LOCATION {location(folder)}" for day, folder in folders.items())
    return f"ALTER TABLE {name} ADD IF NOT EXISTS {added}"


def set_location(name: str, day: str, folder: Path) -> str:
    """Return the statement that makes a folder the location of a partition."""
    return f"ALTER TABLE {name} {partition(day)} SET LOCATION {location(folder)}"


def drop_partitions(name: str, days: Iterable[str]) -> str:
    """Return the statement that drops partitions, if they exist."""
    return f"ALTER TABLE {name} DROP IF EXISTS {', '.join(map(partition, days))}"


def insert_overwrite(stage: str, select: str) -> str:
    """Return the statement that fills a stage with the result of a SELECT."""
    # distributed, to get one file a day; and Hive would write each part of a UNION ALL into a folder of its own
    return f"INSERT OVERWRITE TABLE {stage} PARTITION ({PARTITION}) {select} DISTRIBUTE BY {PARTITION}"


def is_inside(time_column: str, span: Span) -> str:
    """Return the condition that a time is in a span."""
    time = quoted(time_column)
    return f"{time} >= {_timestamp(span.start)} AND {time} < {_timestamp(span.end)}"


def cast_to(table: Table, found: pa.Field) -> str:
    """Return the expression that casts a column of a query's result to the type of the table's column.

    Raises:
        SchemaMismatch: an array of another type, which Hive cannot cast.
    """
    name, expected = quoted(found.name), table.arrow_schema.field(found.name).type
    if not pa.types.is_nested(expected):
        return f"CAST({name} AS {table.column_types[found.name]}) AS {name}"
    if found.type != expected:
        raise SchemaMismatch(
            f"{table.full_name}.{found.name}: expected {expected}, found {found.type}; cast its elements in the query"
        )
    # Hive 4.0 returns NULL for an ARRAY cast to its own type where rows are distributed afterwards
    return name


def location(folder: Path) -> str:
    """Return the URL of a folder as a literal."""
    # not percent-encoded: a server would read %3D as three characters of the folder's name
    return literal(f"file://{folder}")


def partition(day: str) -> str:
    """Return the PARTITION clause of a day."""
    return f"PARTITION ({PARTITION} = {literal(day)})"


def literals(values: Sequence[str]) -> str:
    """Return texts as a list of literals."""
    return ", ".join(map(literal, values))


def literal(text: str) -> str:
    """Return a text as a literal."""
    return exp.Literal.string(text).sql("hive")


def table_name(full_name: str) -> str:
    """Return `database.name` with both parts quoted."""
    database, _, name = full_name.partition(".")
    return f"{quoted(database)}.{quoted(name)}"


def quoted(name: str) -> str:
    """Return a name as a quoted identifier."""
    return exp.to_identifier(name, quoted=True).sql("hive")


def _timestamp(value: dt.datetime) -> str:
    return f"CAST('{value:%Y-%m-%d %H:%M:%S.%f}' AS TIMESTAMP)"
