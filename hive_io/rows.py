"""What must hold for a table and for rows before any warehouse writes or reads them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from hive_io.errors import ColumnNotFound, HiveIOError, RowsOutsideSpan, SchemaMismatch
from hive_io.table import PARTITION, Span, Table, is_day


def gained_fields(table: Table, have: pa.Schema, advice: str) -> list[pa.Field]:
    """Columns that the description has and the table in the lake has not.

    Args:
        advice: what to do in this warehouse about a column of another type.

    Raises:
        SchemaMismatch: the description lost a column, or gives it another type.
    """
    for field in have:
        if field.name not in table.arrow_schema.names:
            raise SchemaMismatch(f"{table.full_name} has a column {field.name} in the lake that its description lost")
        if field.type != table.arrow_schema.field(field.name).type:
            raise SchemaMismatch(
                f"{table.full_name}.{field.name} is {field.type} in the lake, {table.column_types[field.name]} in its "
                f"description; {advice}"
            )
    return [field for field in table.arrow_schema if field.name not in have.names]


def chosen(table: str, have: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    """The columns of a table that a reader asks for, in the order asked; all for None. Or ColumnNotFound."""
    if columns is None:
        return have
    for name in columns:
        if name not in have.names:
            raise ColumnNotFound(f"{table} has no column {name}; it has {', '.join(have.names)}")
    return pa.schema([have.field(name) for name in columns])


def conform(table: Table, rows: pa.Table) -> pa.Table:
    """Rows with the table's columns in its order and types, or SchemaMismatch: nothing is rounded or dropped."""
    wanted = table.arrow_schema
    if missing := [name for name in wanted.names if name not in rows.column_names]:
        raise SchemaMismatch(f"{table.full_name} needs {', '.join(missing)}, which the data does not have")
    if unknown := [name for name in rows.column_names if name not in wanted.names]:
        raise SchemaMismatch(f"{table.full_name} has no column {', '.join(unknown)}")
    if twice := [name for name in wanted.names if rows.column_names.count(name) > 1]:
        raise SchemaMismatch(f"The data for {table.full_name} has {', '.join(twice)} more than once")
    columns = []
    for field in wanted:
        column = rows.column(field.name)
        try:
            if not _keeps_meaning(column.type, field.type):
                raise pa.ArrowInvalid("another kind of value")
            columns.append(column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaMismatch(
                f"{table.full_name}.{field.name} is {table.column_types[field.name]}; {column.type} cannot be written "
                f"to it without loss ({type(error).__name__})"
            ) from None
    return pa.table(columns, schema=wanted)


def _keeps_meaning(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Arrow casts a float to a decimal, and anything to text; neither is what a table means by its type."""
    if pa.types.is_list(wanted) and (pa.types.is_list(given) or pa.types.is_large_list(given)):
        return _keeps_meaning(given.value_type, wanted.value_type)
    if pa.types.is_decimal(wanted) and pa.types.is_floating(given):
        return False
    text = pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_null(given)
    return text or not pa.types.is_string(wanted)


def check_inside(table: Table, rows: pa.Table, span: Span) -> None:
    """Raise RowsOutsideSpan for rows whose day, or time for a part of a day, the span does not cover."""
    if not rows.num_rows:
        return
    days = pa.array([day.isoformat() for day in span.each_day()])
    outside = pc.invert(pc.is_in(rows.column(PARTITION), days))
    if not span.is_whole_days:
        time = rows.column(table.time_column)
        before = pc.less(time, pa.scalar(span.start.replace(tzinfo=None), time.type))
        after = pc.greater_equal(time, pa.scalar(span.end.replace(tzinfo=None), time.type))
        outside = pc.or_(outside, pc.or_(before, after))
    # a row without a time is outside, too
    count = rows.num_rows - (pc.sum(pc.invert(outside)).as_py() or 0)
    if count:
        raise RowsOutsideSpan(f"{count} of {rows.num_rows} rows for {table.full_name} are outside {span}; nothing was written")


def check_replaceable(table: Table, span: Span) -> None:
    """Raise SchemaMismatch for a part of a day of a table that has only days."""
    if not span.is_whole_days and table.time_column is None:
        raise SchemaMismatch(f"{table.full_name} has no time column, so only whole days of it can be replaced")


def upsertable(table: Table, rows: pa.Table) -> pa.Table:
    """Rows as `conform` gives them, or an error for those that a merge could not tell apart.

    Raises:
        SchemaMismatch: as `conform`, and for a table without a key.
        RowsOutsideSpan: a `ds` that is no day.
        HiveIOError: a row without a key, or with the day and key of another.
    """
    if not table.key:
        raise SchemaMismatch(f"{table.full_name} has no key to merge by")
    rows = conform(table, rows)
    days = rows.column(PARTITION).unique().to_pylist()
    if bad := sum(day is None or not is_day(day) for day in days):
        raise RowsOutsideSpan(f"Rows for {table.full_name} have {bad} ds that are no day like 2026-01-31; nothing was written")
    names = [PARTITION, *table.key]
    if any(rows.column(name).null_count for name in names):
        raise HiveIOError(f"Rows for {table.full_name} lack a value of its key ({', '.join(table.key)}); nothing was written")
    twice = rows.num_rows - rows.group_by(names).aggregate([]).num_rows
    if twice:
        raise HiveIOError(
            f"{twice} rows for {table.full_name} repeat day and key ({', '.join(table.key)}) of another; nothing was written"
        )
    return rows
