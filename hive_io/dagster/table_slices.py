"""Translation between Dagster and the warehouse: table slices to spans, asset metadata to tables and back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from hive_io.dagster.layers import DbClient, TablePartitionDimension, TableSlice
from hive_io.errors import HiveIOError
from hive_io.table import PARTITION, Column, Span, Table
from hive_io.warehouse import Warehouse

_NO_DAYS = Span.days(dt.date.min, dt.date.min)
"""Span for a partition mapping that selects no partition: a day that no table has."""
_PERSONAL = {"personal_data": "true"}
"""Tag of columns with personal data, in Dagster's column schema."""
_DAILY = "0 0 * * *"
_UTC = {"UTC", "Etc/UTC", "UCT", "Etc/UCT", "GMT", "Etc/GMT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal"}
"""Names of the time zone UTC."""


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


def slice_of(context: dg.OutputContext | dg.InputContext, written_by: dg.OutputContext | None) -> TableSlice:
    """Return the table of an asset, and its days that a step writes or loads.

    Args:
        written_by: context of the output that writes the table; None for an input without any.

    Raises:
        HiveIOError: there is no asset, its key names no table, or its partitions are not days in UTC.
    """
    if not context.has_asset_key:
        raise HiveIOError(
            f"{context.name} is the output of an op, which has no table; use an asset with the key [database, table]"
        )
    path = list(context.asset_key.path)
    asset = context.asset_key.to_user_string()
    metadata = written_by.definition_metadata if written_by else None
    schema = _value(metadata, "schema")
    if schema is None and len(path) < 2:
        raise HiveIOError(f"The asset key {path} names no database; use [database, table], such as ['fintech', '{path[-1]}']")
    if schema is not None and not (isinstance(schema, str) and schema):
        raise HiveIOError(f"The metadata schema of {asset}: expected the name of a database, found {schema!r}")
    if (expr := _value(metadata, "partition_expr")) not in (None, PARTITION):
        raise HiveIOError(f"The metadata partition_expr of {asset}: expected {PARTITION!r}, found {expr!r}")
    dimensions: list[TablePartitionDimension] = []
    if context.has_asset_partitions:
        check_days(asset, context.asset_partitions_def)
        dimensions.append(
            TablePartitionDimension(PARTITION, context.asset_partitions_time_window if context.asset_partition_keys else ())
        )
    columns = (context.definition_metadata or {}).get("columns") if isinstance(context, dg.InputContext) else None
    return TableSlice(path[-1], schema or path[-2], "", columns, dimensions)


def check_days(asset: str, partitions: dg.PartitionsDefinition) -> None:
    """Check that each partition is a day in UTC.

    Raises:
        HiveIOError: with the partitions that were found.
    """
    if (
        isinstance(partitions, dg.TimeWindowPartitionsDefinition)
        and partitions.cron_schedule == _DAILY
        and partitions.timezone in _UTC
    ):
        return
    found = type(partitions).__name__
    if isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        found += f" with the schedule {partitions.cron_schedule!r} in {partitions.timezone}"
    raise HiveIOError(
        f"{asset}: expected partitions that are days in UTC, found {found}; "
        "use DailyPartitionsDefinition without a time zone or an offset"
    )


def table_of(context: dg.OutputContext, table_slice: TableSlice) -> Table:
    """Return the table of an asset, from its slice and the metadata of `asset_metadata`.

    Raises:
        HiveIOError: the asset lacks the metadata.
    """
    schema = _value(context.definition_metadata, "dagster/column_schema")
    if not isinstance(schema, dg.TableSchema):
        raise HiveIOError(
            f"{context.asset_key.to_user_string()} has no metadata dagster/column_schema; "
            "use hive_io.dagster.table_slices.asset_metadata"
        )
    return Table(
        table_slice.schema,
        table_slice.table,
        tuple(
            Column(c.name, c.type, c.description or "", personal=_PERSONAL.items() <= (c.tags or {}).items())
            for c in schema.columns
            if c.name != PARTITION
        ),
        key=tuple(_value(context.definition_metadata, "key") or ()),
        time_column=_value(context.definition_metadata, "time_column") or None,
    )


def _value(metadata: Mapping[str, Any] | None, name: str) -> Any:
    """A value of an asset's metadata, which Dagster wraps in some contexts; None if the asset lacks it."""
    value = (metadata or {}).get(name)
    return value.value if isinstance(value, dg.MetadataValue) else value


def span_of(table_slice: TableSlice) -> Span | None:
    """Return the days of a slice, or None for the whole table."""
    if not table_slice.partition_dimensions:
        return None
    (dimension,) = table_slice.partition_dimensions
    if not isinstance(dimension.partitions, dg.TimeWindow):
        return _NO_DAYS
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
        connection.ensure_table(table_of(context, table_slice))

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
