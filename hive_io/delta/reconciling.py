"""The embedded warehouse for a writer that works beside others, such as a run of the day that a live path writes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa

from hive_io.delta.file_pruning import Bound
from hive_io.delta.reader import quoted
from hive_io.delta.time_travel import PastReader
from hive_io.delta.warehouse import EmbeddedWarehouse, errors_of, merge, rows_of
from hive_io.dialect import HiveQL
from hive_io.errors import TableNotFound
from hive_io.rows import check_inside, conform, repeated_keys
from hive_io.table import PARTITION, Span, Table
from hive_io.warehouse import Data, Receipt


class ReconcilingWarehouse(EmbeddedWarehouse):
    """Replaces whole days row by row: it writes the rows that differ, and nothing if none does.

    Rows that another writer has inserted, changed or removed since `since` stay as that writer left them. So writers need not
    wait for each other, and conflict only where they commit at the same instant. Parts of a day, tables without a key, and
    rows that their keys do not identify are replaced as usual.

    Args:
        since: when the caller began to read what it computes from; None for now.
    """

    def __init__(self, root: str | Path, *, since: dt.datetime | None = None, memory_limit: str | None = None) -> None:
        super().__init__(root, memory_limit=memory_limit)
        self._past = PastReader(self.root, since or dt.datetime.now(dt.UTC), memory_limit)

    def replace(self, table: Table, data: Data, span: Span) -> Receipt:
        if not table.key or not span.is_whole_days:
            return super().replace(table, data, span)
        query = data if isinstance(data, HiveQL) else None
        rows = conform(table, self.query(data) if isinstance(data, HiveQL) else data)
        check_inside(table, rows, span)
        if repeated_keys(table, rows):
            return super().replace(table, rows, span)
        before = self._before(table, span)
        with self._cursor() as cursor:
            cursor.register("computed", rows)
            cursor.register("before", before)
            changed = cursor.sql("FROM computed EXCEPT FROM before").to_arrow_table()
            gone = cursor.sql(f"FROM before ANTI JOIN computed USING ({_keys(table)})").to_arrow_table()
        return self._retried_on_conflict(self._reconcile_once, table, span, changed, gone, before, query)

    def _before(self, table: Table, span: Span) -> pa.Table:
        """The rows of the span as they were at `since`; NULL in columns that the table has gained."""
        schema = table.arrow_schema
        try:
            had = [name for name in schema.names if name in self._past.schema(table.full_name).names]
            rows = self._past.read(table.full_name, had, span)
        except TableNotFound:
            return schema.empty_table()
        columns = [rows.column(f.name) if f.name in had else pa.nulls(rows.num_rows, f.type) for f in schema]
        return pa.table(columns, schema=schema)

    def _reconcile_once(
        self, table: Table, span: Span, changed: pa.Table, gone: pa.Table, before: pa.Table, query: HiveQL | None
    ) -> Receipt:
        delta = self._ensured(table)
        days = [day.isoformat() for day in span.each_day()]
        if changed.num_rows or gone.num_rows:
            # reads the version that the commit is based on
            changed, gone = self._untouched(table, span, changed, gone, before)
        counts = rows_of(delta, days)
        if changed.num_rows or gone.num_rows:
            with errors_of(table.full_name):
                merge(delta, table, changed, days, gone=gone)
        return Receipt(table.full_name, rows_of(delta, days), counts, query)

    def _untouched(
        self, table: Table, span: Span, changed: pa.Table, gone: pa.Table, before: pa.Table
    ) -> tuple[pa.Table, pa.Table]:
        """The changed and the gone rows whose keys have the same row now as before, or none now as before."""
        keys, columns = _keys(table), ", ".join(map(quoted, table.arrow_schema.names))
        of_days = [Bound(PARTITION, True, span.first_ds), Bound(PARTITION, False, span.last_ds)]
        with self._cursor_for({table.full_name: [of_days]}) as (cursor, relation):
            cursor.register("before", before)
            cursor.register("differing", pa.concat_tables([rows.select([PARTITION, *table.key]) for rows in (changed, gone)]))
            for name, source in (("now", quoted(relation(table.full_name))), ("formerly", "before")):
                cursor.execute(f"CREATE TEMP TABLE {name} AS SELECT {columns} FROM {source} SEMI JOIN differing USING ({keys})")
            one, other = (f"(FROM {a} EXCEPT FROM {b})" for a, b in (("now", "formerly"), ("formerly", "now")))
            cursor.execute(f"CREATE TEMP TABLE touched AS SELECT {keys} FROM ({one} UNION ALL {other})")
            left = []
            for rows in (changed, gone):
                cursor.register("rows", rows)
                left.append(cursor.sql(f"FROM rows ANTI JOIN touched USING ({keys})").to_arrow_table())
                cursor.unregister("rows")
        return left[0], left[1]


def _keys(table: Table) -> str:
    return ", ".join(map(quoted, (PARTITION, *table.key)))
