"""Checks of tables, columns and rows before a warehouse reads or writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from hive_io.errors import ColumnNotFound, HiveIOError, RowsOutsideSpan, SchemaMismatch
from hive_io.table import PARTITION, Span, Table, is_day

_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)


def gained_fields(table: Table, have: pa.Schema, advice: str, *, to_write: bool = True) -> list[pa.Field]:
    """Return the columns of the description that the table in the lake lacks.

    Args:
        have: columns in the lake.
        advice: what to do in this warehouse about a column of another type.
        to_write: False if the table is only read, so that one that `is_open` may have other columns.

    Raises:
        SchemaMismatch: the description lacks a column, or gives it another type.
    """
    for field in have:
        if field.name not in table.arrow_schema.names:
            if table.is_open and not to_write:
                continue
            raise SchemaMismatch(
                f"{table.full_name} has a column {field.name} in the lake that its description lacks; "
                f"add the column to the description, or {advice}"
            )
        if field.type != table.arrow_schema.field(field.name).type:
            raise SchemaMismatch(
                f"{table.full_name}.{field.name}: expected {table.column_types[field.name]} as described, found {field.type} "
                f"in the lake; {advice}"
            )
    return [field for field in table.arrow_schema if field.name not in have.names]


def chosen(table: str, have: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    """Return the requested columns of a table, in the requested order; all columns for None.

    Raises:
        ColumnNotFound: with the columns that exist.
    """
    if columns is None:
        return have
    for name in columns:
        if name not in have.names:
            raise ColumnNotFound(f"{table} has no column {name}; its columns are {', '.join(have.names)}")
    return pa.schema([have.field(name) for name in columns])


def conform(table: Table, rows: pa.Table) -> pa.Table:
    """Return rows with the table's columns in its order and types. Nothing is rounded or dropped.

    Layouts of Arrow that hold the same values are accepted: dictionaries (a pandas `category`), run-end encoding, views and
    large types of text and of lists, and UTF-8 bytes outside lists.

    Raises:
        SchemaMismatch: a column is missing, unknown, repeated, or cannot be converted without loss.
    """
    expected = table.arrow_schema
    if missing := [name for name in expected.names if name not in rows.column_names]:
        raise SchemaMismatch(f"{table.full_name} needs {', '.join(missing)}, which the data lacks; nothing was written")
    if unknown := [name for name in rows.column_names if name not in expected.names]:
        raise SchemaMismatch(
            f"{table.full_name} has no column {', '.join(unknown)}; its columns are {', '.join(expected.names)}"
        )
    if repeated := [name for name in expected.names if rows.column_names.count(name) > 1]:
        raise SchemaMismatch(f"The data for {table.full_name} has {', '.join(repeated)} more than once; nothing was written")
    columns = []
    for field in expected:
        column = rows.column(field.name)
        try:
            plain = _plain(column)
            if not _keeps_meaning(plain.type, field.type):
                raise pa.ArrowInvalid("another kind of value")
            columns.append(plain.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaMismatch(
                f"{table.full_name}.{field.name}: expected {table.column_types[field.name]}, found {column.type}, which cannot "
                f"be converted without loss ({type(error).__name__}); nothing was written"
            ) from None
    return pa.table(columns, schema=expected)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a column in a layout that Arrow casts without loss."""
    if pa.types.is_run_end_encoded(column.type):
        return _plain(pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], column.type.value_type))
    kind = _plain_type(column.type)
    if kind == column.type:
        return column
    if pa.types.is_dictionary(column.type):
        # Arrow 26 cannot cast a dictionary of views
        return pa.chunked_array([chunk.dictionary.cast(kind).take(chunk.indices) for chunk in column.chunks], kind)
    if pa.types.is_nested(kind):
        # Arrow 26 casts a list view to an empty list
        return pa.chunked_array([pa.array(column.to_pylist(), kind)], kind)
    return column.cast(kind)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if any(is_kind(kind) for is_kind in _LISTS):
        return pa.list_(_plain_type(kind.value_type))
    return kind


def _keeps_meaning(found: pa.DataType, expected: pa.DataType) -> bool:
    """False for casts that Arrow allows but that change the meaning: a float to a decimal, anything but text to text."""
    if pa.types.is_list(expected) and pa.types.is_list(found):
        return not pa.types.is_binary(found.value_type) and _keeps_meaning(found.value_type, expected.value_type)
    if pa.types.is_decimal(expected) and pa.types.is_floating(found):
        return False
    # bytes are text if they are UTF-8, which the cast checks; a list of bytes is not taken for a list of texts
    text = pa.types.is_string(found) or pa.types.is_binary(found) or pa.types.is_null(found)
    return text or not pa.types.is_string(expected)


def check_inside(table: Table, rows: pa.Table, span: Span) -> None:
    """Check that the span covers the day of each row, and its time for a part of a day.

    Raises:
        RowsOutsideSpan: with the number of rows.
    """
    if not rows.num_rows:
        return
    days = pa.array([day.isoformat() for day in span.each_day()])
    outside = pc.invert(pc.is_in(rows.column(PARTITION), days))
    if not span.is_whole_days:
        time = rows.column(table.time_column)
        before = pc.less(time, pa.scalar(span.start.replace(tzinfo=None), time.type))
        after = pc.greater_equal(time, pa.scalar(span.end.replace(tzinfo=None), time.type))
        outside = pc.or_(outside, pc.or_(before, after))
    # a row without a time counts as outside
    count = rows.num_rows - (pc.sum(pc.invert(outside)).as_py() or 0)
    if count:
        raise outside_span(table, count, rows.num_rows, span)


def outside_span(table: Table, count: int, total: int, span: Span) -> RowsOutsideSpan:
    """Return the error for `count` of `total` rows outside the span."""
    return RowsOutsideSpan(f"{count} of {total} rows for {table.full_name} are outside {span}; nothing was written")


def check_replaceable(table: Table, span: Span) -> None:
    """Check that the table has a time column if the span is a part of a day.

    Raises:
        SchemaMismatch: it has none.
    """
    if not span.is_whole_days and table.time_column is None:
        raise SchemaMismatch(f"{table.full_name} has no time column, so {span} cannot be replaced; replace whole days")


def upsertable(table: Table, rows: pa.Table) -> pa.Table:
    """Return rows as `conform` does, after checking that day and key identify each row.

    Raises:
        SchemaMismatch: as for `conform`, and for a table without a key.
        RowsOutsideSpan: a `ds` is not a valid day.
        HiveIOError: a row lacks a key, or two rows have the same day and key.
    """
    if not table.key:
        raise SchemaMismatch(f"{table.full_name} has no key, so rows cannot be upserted; give it a key, or replace whole days")
    rows = conform(table, rows)
    lacks_key = any(rows.column(name).null_count for name in table.key)
    check_identified(table, rows.column(PARTITION).unique().to_pylist(), repeated_keys(table, rows), lacks_key)
    return rows


def check_identified(table: Table, days: Iterable[str | None], repeated: int, lacks_key: bool) -> None:
    """Check that day and key identify each row to upsert.

    Args:
        days: the values of `ds`.
        repeated: number of rows that repeat the day and key of another one.
        lacks_key: True if a row lacks a value of the key.

    Raises:
        RowsOutsideSpan: a `ds` is not a valid day.
        HiveIOError: a row lacks a key, or two rows have the same day and key.
    """
    if invalid := sum(day is None or not is_day(day) for day in days):
        raise RowsOutsideSpan(
            f"Rows for {table.full_name} have {invalid} values of {PARTITION} that are not valid dates; use YYYY-MM-DD; "
            "nothing was written"
        )
    if lacks_key:
        raise HiveIOError(f"Rows for {table.full_name} lack a value of the key ({', '.join(table.key)}); nothing was written")
    if repeated:
        raise HiveIOError(
            f"{repeated} rows for {table.full_name} repeat the day and key ({', '.join(table.key)}) of another row; "
            "nothing was written"
        )


def repeated_keys(table: Table, rows: pa.Table) -> int:
    """Return the number of rows that repeat the day and key of another one."""
    return rows.num_rows - rows.group_by([PARTITION, *table.key]).aggregate([]).num_rows
