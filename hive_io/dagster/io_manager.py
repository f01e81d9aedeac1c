"""The Dagster IO manager. Asset `["fintech", "transactions"]` is table `fintech.transactions`.

The last two parts of an asset key are the database and the table. The metadata `schema` of the asset, if it has any, replaces
the database, for writing and for loading.
"""

import datetime as dt
from functools import cached_property

import dagster as dg
import pyarrow as pa
from pydantic import SecretStr

from hive_io.dagster.handlers import ArrowHandler, HiveQLHandler, PandasHandler
from hive_io.dagster.layers import DbIOManager, TableSlice
from hive_io.dagster.table_slices import TableClient, slice_of
from hive_io.locations import open_warehouse
from hive_io.warehouse import Warehouse


class HiveIOManager(DbIOManager):
    """Write the values of assets to a warehouse, and load tables, partitions, ranges of partitions, or selected columns.

    The metadata of `hive_io.dagster.table_slices.asset_metadata` describe the table of an asset. An input loads the
    partitions that Dagster maps to it, as `pyarrow.Table` (the default) or `pandas.DataFrame`; the input metadata
    `{"columns": [...]}` select columns. An asset that depends on its own earlier partitions gets no rows before it has written
    any; another input raises TableNotFound if its table does not exist.

    Partitions are days in UTC: assets with other partitions are refused, with HiveIOError, when they are written or loaded.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(
            type_handlers=[ArrowHandler(), PandasHandler(), HiveQLHandler()],
            db_client=TableClient(warehouse),
            database="",
            io_manager_name="HiveIOManager",
            default_load_type=pa.Table,
        )

    def _get_table_slice(
        self, context: dg.OutputContext | dg.InputContext, output_context: dg.OutputContext | None
    ) -> TableSlice:
        # Dagster's own raises ValueError for some keys and partitions, and takes any window of time for days
        return slice_of(context, output_context)


class WarehouseResource(dg.ConfigurableResource[Warehouse]):
    """The warehouse at a location. Opened on first use, never when definitions are loaded.

    Attributes:
        location: folder of an embedded warehouse, or `hive://user@host:10000/fintech?staging=/shared/folder`. The UI shows
            it, so a password in it is rejected.
        password: password of the user of a HiveServer2. Pass a `dagster.EnvVar`: the UI shows only its name.
        since: time in ISO 8601, for a run beside other writers of the same days; see `open_warehouse`.
    """

    location: str
    password: str | None = None
    since: str | None = None

    @cached_property
    def warehouse(self) -> Warehouse:
        """The open warehouse.

        Raises:
            NotAWarehouse: the location cannot be used; the message says why.
        """
        since = dt.datetime.fromisoformat(self.since) if self.since else None
        return open_warehouse(self.location, SecretStr(self.password) if self.password else None, since=since)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the warehouse, if it was opened."""
        if "warehouse" in vars(self):
            self.warehouse.close()


class HiveIOManagerFactory(dg.ConfigurableIOManagerFactory[HiveIOManager]):
    """The IO manager over a warehouse resource."""

    lake: dg.ResourceDependency[WarehouseResource]

    def create_io_manager(self, context: dg.InitResourceContext) -> HiveIOManager:
        return HiveIOManager(self.lake.warehouse)
