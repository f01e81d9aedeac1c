"""Translation between Dagster and the warehouse: table slices to spans, asset metadata to tables and back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from hive_io.dagster.layers import DbClient, TableSlice
from hive_io.errors import HiveIOError
from hive_io.table import PARTITION, Column, Span, Table
from hive_io.warehouse import Warehouse

_NO_DAYS = Span.days(dt.date.min, dt.date.min)
"""Span for a partition mapping that selects no partition: a day that no table has."""
_PERSONAL = {"personal_data": "true"}
"""Tag of columns with personal data, in Dagster's column schema."""


def asset_metadata(table: Table, *, upsert: bool = False) -> dict[str, object]:
    """Return the metadata that describe an asset's table to the IO manager."""
    columns = [
        dg.TableColumn(c.name, type=c.type, description=c.description or None, tags=_PERSONAL if c.personal else None)
        for c in table.columns
    ]
    columns.append(dg.TableColumn(PARTITION, type="STRING", description="The day, in UTC; the table's partition."))
    return {
        "dagster/column_schema": dg.TableSchema(columns),
        "dagster/table_name": table.full_name,
        "partition_expr": PARTITION,
        "key": list(table.key),
        "time_column": table.time_column or "",
        "write_mode": "upsert" if upsert else "replace",
    }


def table_of(context: dg.OutputContext) -> Table:
    """Return the table of an asset, from its key and its metadata (`asset_metadata`).

    Raises:
        HiveIOError: the asset lacks the metadata.
    """
    metadata = context.definition_metadata or {}
    schema = metadata.get("dagster/column_schema")
    schema = schema.value if isinstance(schema, dg.TableSchemaMetadataValue) else schema
    if not isinstance(schema, dg.TableSchema):
        raise HiveIOError(
            f"{context.asset_key.to_user_string()} has no metadata dagster/column_schema; "
            "use hive_io.dagster.table_slices.asset_metadata"
        )
    database, name = context.asset_key.path[-2:]
    return Table(
        database,
        name,
        tuple(
            Column(c.name, c.type, c.description or "", personal=_PERSONAL.items() <= (c.tags or {}).items())
            for c in schema.columns
            if c.name != PARTITION
        ),
        key=tuple(metadata.get("key") or ()),
        time_column=metadata.get("time_column") or None,
    )


def span_of(table_slice: TableSlice) -> Span | None:
    """Return the days of a slice, or None for the whole table.

    Raises:
        HiveIOError: the slice has another kind of partitions.
    """
    if not table_slice.partition_dimensions:
        return None
    (dimension,) = table_slice.partition_dimensions
    if dimension.partitions == []:
        return _NO_DAYS
    if not isinstance(dimension.partitions, dg.TimeWindow):
        raise HiveIOError(
            f"{table_slice.schema}.{table_slice.table} is not partitioned by days; give the asset a daily partitions definition"
        )
    return Span(dimension.partitions.start, dimension.partitions.end)


class TableClient(DbClient[Warehouse]):
    """Dagster's database client, over a warehouse.

    Dagster's layers delete a slice before they insert it. A warehouse replaces it at once, so nothing is deleted before.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    @contextmanager
    def connect(  # type: ignore[override]
        self, context: dg.OutputContext | dg.InputContext, table_slice: TableSlice
    ) -> Iterator[Warehouse]:
        yield self._warehouse

    @staticmethod
    def ensure_schema_exists(context: dg.OutputContext, table_slice: TableSlice, connection: Warehouse) -> None:
        connection.ensure_table(table_of(context))

    @staticmethod
    def delete_table_slice(context: dg.OutputContext, table_slice: TableSlice, connection: Warehouse) -> None:
        """Do nothing: the handler's write replaces the slice."""

    @staticmethod
    def get_select_statement(table_slice: TableSlice) -> str:
        span = span_of(table_slice)
        where = f" WHERE ds BETWEEN '{span.first_ds}' AND '{span.last_ds}'" if span else ""
        return f"SELECT * FROM {TableClient.get_table_name(table_slice)}{where}"

    @staticmethod
    def get_table_name(table_slice: TableSlice) -> str:
        return f"{table_slice.schema}.{table_slice.table}"
