"""The Dagster IO manager. Asset `["fintech", "transactions"]` is table `fintech.transactions`."""

from functools import cached_property

import dagster as dg
import pyarrow as pa
from pydantic import SecretStr

from hive_io.dagster.handlers import ArrowHandler, HiveQLHandler, PandasHandler
from hive_io.dagster.layers import DbIOManager
from hive_io.dagster.table_slices import TableClient
from hive_io.locations import open_warehouse
from hive_io.warehouse import Warehouse


class HiveIOManager(DbIOManager):
    """Write the values of assets to a warehouse, and load tables, partitions, ranges of partitions, or selected columns.

    The metadata of `hive_io.dagster.table_slices.asset_metadata` describe the table of an asset. An input loads the
    partitions that Dagster maps to it, as `pyarrow.Table` (the default) or `pandas.DataFrame`; the input metadata
    `{"columns": [...]}` select columns.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(
            type_handlers=[ArrowHandler(), PandasHandler(), HiveQLHandler()],
            db_client=TableClient(warehouse),
            database="",
            io_manager_name="HiveIOManager",
            default_load_type=pa.Table,
        )


class WarehouseResource(dg.ConfigurableResource[Warehouse]):
    """The warehouse at a location. Opened on first use, never when definitions are loaded.

    Attributes:
        location: folder of an embedded warehouse, or `hive://user@host:10000/fintech?staging=/shared/folder`. The UI shows
            it, so a password in it is rejected.
        password: password of the user of a HiveServer2. Pass a `dagster.EnvVar`: the UI shows only its name.
    """

    location: str
    password: str | None = None

    @cached_property
    def warehouse(self) -> Warehouse:
        """The open warehouse.

        Raises:
            NotAWarehouse: the location cannot be used; the message says why.
        """
        return open_warehouse(self.location, SecretStr(self.password) if self.password else None)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the warehouse, if it was opened."""
        if "warehouse" in vars(self):
            self.warehouse.close()


class HiveIOManagerFactory(dg.ConfigurableIOManagerFactory[HiveIOManager]):
    """The IO manager over a warehouse resource."""

    lake: dg.ResourceDependency[WarehouseResource]

    def create_io_manager(self, context: dg.InitResourceContext) -> HiveIOManager:
        return HiveIOManager(self.lake.warehouse)
