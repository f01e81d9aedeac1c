"""Tables of a lake behind one small interface, and a Dagster IO manager on top. Knows nothing of fraud."""

from hive_io.dialect import HiveQL
from hive_io.embedded import EmbeddedWarehouse
from hive_io.errors import (
    ColumnNotFound,
    HistoryGone,
    HiveIOError,
    NoHistory,
    NotAWarehouse,
    PartitionConflict,
    QueryError,
    RowsOutsideSpan,
    SchemaMismatch,
    TableNotFound,
)
from hive_io.hive_connection import HiveServer
from hive_io.hiveserver2 import HiveServer2Warehouse
from hive_io.sift import Sift
from hive_io.table import PARTITION, Column, Span, Table
from hive_io.warehouse import Footprint, Reader, Receipt, Warehouse

__all__ = [
    "PARTITION",
    "Column",
    "ColumnNotFound",
    "EmbeddedWarehouse",
    "Footprint",
    "HistoryGone",
    "HiveIOError",
    "HiveQL",
    "HiveServer",
    "HiveServer2Warehouse",
    "NoHistory",
    "NotAWarehouse",
    "PartitionConflict",
    "QueryError",
    "Reader",
    "Receipt",
    "RowsOutsideSpan",
    "SchemaMismatch",
    "Sift",
    "Span",
    "Table",
    "TableNotFound",
    "Warehouse",
]
