"""One tree of errors; each message says what to do."""


class HiveIOError(Exception):
    """Something about the lake that the caller can act on."""


class NotAWarehouse(HiveIOError):
    """The folder cannot be used as a warehouse: not writable, not a folder, or somebody else's."""


class TableNotFound(HiveIOError):
    """The table was never created in this warehouse."""


class ColumnNotFound(HiveIOError):
    """A column was asked for that the table does not have."""


class SchemaMismatch(HiveIOError):
    """The data does not have the table's columns and types; nothing was written."""


class RowsOutsideSpan(HiveIOError):
    """The data has rows that the replacement would not cover; nothing was written."""


class PartitionConflict(HiveIOError):
    """Somebody else wrote the same partitions meanwhile; nothing was written."""


class NoHistory(HiveIOError):
    """The warehouse does not keep its tables as they were, or the moment has not come yet."""


class HistoryGone(HiveIOError):
    """A table is no longer kept as it was at that moment."""


class QueryError(HiveIOError):
    """A HiveQL text was refused, before or by the engine.

    Attributes:
        line: 1-based line in the text that was given, or None where it is not known.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line
