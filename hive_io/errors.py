"""The tree of errors. Each message says what to do."""


class HiveIOError(Exception):
    """A problem with the lake that the caller can act on."""


class NotAWarehouse(HiveIOError):
    """The location cannot be used as a warehouse: an unsuitable folder, or a server that does not answer."""


class TableNotFound(HiveIOError):
    """The warehouse has no such table."""


class DamagedTable(HiveIOError):
    """A file that describes the table is damaged or missing. Nothing was read or written."""


class ColumnNotFound(HiveIOError):
    """The table has no such column."""


class SchemaMismatch(HiveIOError):
    """The data does not have the table's columns and types. Nothing was written."""


class RowsOutsideSpan(HiveIOError):
    """Some rows are outside the span to be replaced. Nothing was written."""


class PartitionConflict(HiveIOError):
    """Concurrent write detected: another writer committed to the same partitions first. Nothing was written; on a
    HiveServer2, the message names the days of a range that were."""


class NoHistory(HiveIOError):
    """The warehouse has no time travel, or the moment lies in the future."""


class HistoryGone(HiveIOError):
    """The version of a table at that moment is no longer retained."""


class QueryError(HiveIOError):
    """A HiveQL text was rejected, by the parser or by the engine.

    Attributes:
        line: 1-based line in the given text, or None if unknown.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line
