"""Types that an asset may return and load: pandas, pyarrow, and HiveQL that runs in place. One handler for each type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import dagster as dg
import pandas as pd
import pyarrow as pa

from hive_io.counted_filter import CountedFilter
from hive_io.dagster.layers import DbTypeHandler, TableSlice
from hive_io.dagster.table_slices import TableClient, span_of, table_of
from hive_io.dialect import HiveQL
from hive_io.errors import HiveIOError
from hive_io.warehouse import Data, Receipt, Warehouse


class ArrowHandler(DbTypeHandler[pa.Table]):
    """Write and load `pyarrow.Table`, with the types of the table."""

    def handle_output(
        self, context: dg.OutputContext, table_slice: TableSlice, obj: pa.Table, connection: Warehouse
    ) -> Mapping[str, Any]:
        return write(context, table_slice, obj, connection)

    def load_input(self, context: dg.InputContext, table_slice: TableSlice, connection: Warehouse) -> pa.Table:
        return connection.read(TableClient.get_table_name(table_slice), columns=table_slice.columns, span=span_of(table_slice))

    @property
    def supported_types(self) -> Sequence[type[object]]:
        return [pa.Table]


class PandasHandler(DbTypeHandler[pd.DataFrame]):
    """Write any `pandas.DataFrame`; load it with Arrow-backed columns, which keep DECIMAL and NULL."""

    def handle_output(
        self, context: dg.OutputContext, table_slice: TableSlice, obj: pd.DataFrame, connection: Warehouse
    ) -> Mapping[str, Any]:
        return write(context, table_slice, pa.Table.from_pandas(obj, preserve_index=False), connection)

    def load_input(self, context: dg.InputContext, table_slice: TableSlice, connection: Warehouse) -> pd.DataFrame:
        rows = ArrowHandler().load_input(context, table_slice, connection)
        return cast(pd.DataFrame, rows.to_pandas(types_mapper=pd.ArrowDtype))

    @property
    def supported_types(self) -> Sequence[type[object]]:
        return [pd.DataFrame]


class HiveQLHandler(DbTypeHandler[HiveQL]):
    """Write the result of a query that the warehouse runs in place. No row passes through Python."""

    def handle_output(
        self, context: dg.OutputContext, table_slice: TableSlice, obj: HiveQL, connection: Warehouse
    ) -> Mapping[str, Any]:
        return write(context, table_slice, obj, connection)

    def load_input(self, context: dg.InputContext, table_slice: TableSlice, connection: Warehouse) -> HiveQL:
        raise HiveIOError(
            f"{table_slice.table} cannot be loaded as HiveQL; annotate the input as pyarrow.Table or pandas.DataFrame"
        )

    @property
    def supported_types(self) -> Sequence[type[object]]:
        return [HiveQL, CountedFilter]


def write(context: dg.OutputContext, table_slice: TableSlice, data: Data, warehouse: Warehouse) -> Mapping[str, Any]:
    """Write the value that an asset returned, and record the row count of each partition on its materialization."""
    table = table_of(context)
    if (context.definition_metadata or {}).get("write_mode") == "upsert":
        if not isinstance(data, pa.Table):
            raise HiveIOError(
                f"{table.full_name} is upserted by key, which takes rows; return a table of rows instead of a query"
            )
        receipt = warehouse.upsert(table, data)
    else:
        span = span_of(table_slice)
        if span is None:
            raise HiveIOError(
                f"The asset of {table.full_name} is not partitioned; give the asset a daily partitions definition"
            )
        receipt = warehouse.replace(table, data, span)
    if receipt.query is not None:
        context.log.info("%s is the result of:\n%s", table.full_name, receipt.query)
    _count_rows(context, receipt)
    if isinstance(data, CountedFilter):
        data.then(receipt.partitions, data.counted)
    return {}


def _count_rows(context: dg.OutputContext, receipt: Receipt) -> None:
    # output metadata would record the same count for every partition of a range
    for key in context.asset_partition_keys:
        rows = receipt.partitions.get(key)
        if rows is not None:
            context.step_context.add_asset_metadata({"dagster/partition_row_count": rows}, context.asset_key, key)
    context.log.info("%s: %d rows in %d partitions", receipt.table, receipt.rows, len(receipt.partitions))
