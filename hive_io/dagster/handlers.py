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
from hive_io.errors import HiveIOError, SchemaMismatch
from hive_io.warehouse import Data, Receipt, Warehouse


class ArrowHandler(DbTypeHandler[pa.Table]):
    """Write and load `pyarrow.Table`, with the types of the table."""

    def handle_output(
        self, context: dg.OutputContext, table_slice: TableSlice, obj: pa.Table, connection: Warehouse
    ) -> Mapping[str, Any]:
        return write(context, table_slice, obj, connection)

    def load_input(self, context: dg.InputContext, table_slice: TableSlice, connection: Warehouse) -> pa.Table:
        if _is_own(context):
            # the first run has nothing to read yet, and a column may have been added to the description
            connection.ensure_table(table_of(cast(dg.OutputContext, context.upstream_output), table_slice))
        return connection.read(TableClient.get_table_name(table_slice), columns=table_slice.columns, span=span_of(table_slice))

    @property
    def supported_types(self) -> Sequence[type[object]]:
        return [pa.Table]


class PandasHandler(DbTypeHandler[pd.DataFrame]):
    """Write any `pandas.DataFrame`; load it with Arrow-backed columns, which keep DECIMAL and NULL."""

    def handle_output(
        self, context: dg.OutputContext, table_slice: TableSlice, obj: pd.DataFrame, connection: Warehouse
    ) -> Mapping[str, Any]:
        return write(context, table_slice, arrow_of(f"{table_slice.schema}.{table_slice.table}", obj), connection)

    def load_input(self, context: dg.InputContext, table_slice: TableSlice, connection: Warehouse) -> pd.DataFrame:
        rows = ArrowHandler().load_input(context, table_slice, connection)
        return cast(pd.DataFrame, rows.to_pandas(types_mapper=pd.ArrowDtype))

    @property
    def supported_types(self) -> Sequence[type[object]]:
        return [pd.DataFrame]


def arrow_of(table: str, frame: pd.DataFrame) -> pa.Table:
    """Return a frame as an Arrow table, without its index.

    A column that pandas gives a type only because it has no value, of objects, text or floats, has no type in Arrow.

    Raises:
        SchemaMismatch: a column holds values of several types, or two columns have the same name.
    """
    if not frame.columns.is_unique:
        repeated = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
        raise SchemaMismatch(f"The data for {table} has {', '.join(repeated)} more than once; nothing was written")
    columns = {}
    for name in frame.columns:
        try:
            column = pa.array(frame[name], from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            # the text of the error may show values
            raise SchemaMismatch(
                f"{table}.{name}: expected values of one type, found a column of {frame[name].dtype} that Arrow cannot "
                f"convert ({type(error).__name__}); nothing was written"
            ) from None
        kind = column.type
        untyped = pa.types.is_floating(kind) or (
            not len(frame) and (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))
        )
        columns[str(name)] = pa.nulls(len(frame)) if untyped and column.null_count == len(frame) else column
    return pa.table(columns)


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
    table = table_of(context, table_slice)
    if (context.definition_metadata or {}).get("write_mode") == "upsert":
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


def _is_own(context: dg.InputContext) -> bool:
    """True if the step that loads an asset also writes it: the asset depends on its own earlier partitions."""
    written = context.step_context.assets_def
    return written is not None and context.upstream_output is not None and context.asset_key in written.keys


def _count_rows(context: dg.OutputContext, receipt: Receipt) -> None:
    # output metadata would record the same count for every partition of a range
    for key in context.asset_partition_keys if context.has_asset_partitions else ():
        days = cast(dg.TimeWindowPartitionsDefinition, context.asset_partitions_def)
        rows = receipt.partitions.get(f"{days.time_window_for_partition_key(key).start:%Y-%m-%d}")
        if rows is not None:
            context.step_context.add_asset_metadata({"dagster/partition_row_count": rows}, context.asset_key, key)
    context.log.info("%s: %d rows in %d partitions", receipt.table, receipt.rows, len(receipt.partitions))
