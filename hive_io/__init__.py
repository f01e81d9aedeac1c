"""Tables of a lake behind one small interface, and a Dagster IO manager on top. Contains nothing about fraud."""

from __future__ import annotations

import typing as _typing
from importlib import import_module as _import_module

from hive_io.errors import (
    ColumnNotFound,
    DamagedTable,
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
from hive_io.table import PARTITION, Column, Span, Table

if _typing.TYPE_CHECKING:
    from hive_io.counted_filter import CountedFilter
    from hive_io.delta.warehouse import EmbeddedWarehouse
    from hive_io.dialect import HiveQL
    from hive_io.hive.connection import HiveServer
    from hive_io.hive.warehouse import HiveServer2Warehouse
    from hive_io.warehouse import Capability, Footprint, Reader, Receipt, Warehouse

__all__ = [
    "PARTITION",
    "Capability",
    "Column",
    "ColumnNotFound",
    "CountedFilter",
    "DamagedTable",
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
    "Span",
    "Table",
    "TableNotFound",
    "Warehouse",
]

_LAZY = {
    "Capability": "hive_io.warehouse",
    "CountedFilter": "hive_io.counted_filter",
    "EmbeddedWarehouse": "hive_io.delta.warehouse",
    "Footprint": "hive_io.warehouse",
    "HiveQL": "hive_io.dialect",
    "HiveServer": "hive_io.hive.connection",
    "HiveServer2Warehouse": "hive_io.hive.warehouse",
    "Reader": "hive_io.warehouse",
    "Receipt": "hive_io.warehouse",
    "Warehouse": "hive_io.warehouse",
}
"""Names whose modules import an engine (DuckDB, Delta Lake, PyHive); imported on first use (PEP 562)."""


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import_module(_LAZY[name]), name)
