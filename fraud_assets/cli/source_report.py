"""Prints what `fraud sources check` found."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from fraud_assets.cli.source_rules import Outlook
from fraud_assets.ingestion.own_data.source_check import TableReport
from fraud_assets.ingestion.own_data.source_file import TableSource
from hive_io import PARTITION

SHOWN_ROWS = 3
"""Rows that are shown as they would land."""
_PLACES = 3


def print_table(console: Console, report: TableReport, source: TableSource, limit: float) -> None:
    """Print what a sample of a table becomes."""
    console.rule(f"[bold]{report.table}", align="left")
    places = ", ".join(report.places[:_PLACES]) + (
        f" and {len(report.places) - _PLACES} more" if len(report.places) > _PLACES else ""
    )
    how_many = "all" if report.complete else "a sample of"
    console.print(f"Read: {how_many} {report.sampled:,} rows of {escape(places)}")
    days = report.days
    span = f", of {days[0]} to {days[1]}" if days and source.api.day_column else ""
    console.print(
        f"Would be loaded: {report.rows.num_rows if report.rows else 0:,} rows{span}. Rejected: {report.rejected:,} "
        f"({report.rejected_share:.1%}, the limit is {limit:.0%})."
        + (f" Left out by `where`: {report.left_out:,}." if source.where else "")
    )
    _print_columns(console, report, source)
    if report.refusals:
        table = RichTable("Broken claim", "Rows", "Raw values", title="Rejected rows", title_justify="left")
        for refusal in report.refusals:
            shown = "\n".join(f"{place}: {value}" for place, value in refusal.examples)
            table.add_row(refusal.claim, f"{refusal.rows:,}", escape(shown))
        console.print(table)
    if report.unmapped:
        names = ", ".join(report.unmapped)
        console.print(
            f"[yellow]Not mapped:[/] {escape(names)}. Make a column from each, or name it under `unused` (or `personal`)."
        )
    for warning in report.warnings:
        console.print(f"[yellow]Warning:[/] {escape(warning)}")


def _print_columns(console: Console, report: TableReport, source: TableSource) -> None:
    """Print how each column lands: where it comes from, its share of NULL, and its first values."""
    table = RichTable("Column", "Made from", "NULL", title="Rows as they would land", title_justify="left")
    rows = report.rows.slice(0, SHOWN_ROWS).to_pylist() if report.rows else []
    for number, _ in enumerate(rows, start=1):
        table.add_column(f"Row {number}", overflow="fold")
    personal = {column.name for column in source.api.table.columns if column.personal}
    for column in source.api.read_columns:
        spec = source.columns.get(column.name)
        if spec is None:
            continue
        origin = spec.field or (f"'{spec.constant}'" if spec.constant is not None else spec.expression) or ""
        values = ["***" if column.name in personal and row[column.name] else _shown(row[column.name]) for row in rows]
        share = f"{report.null_shares[column.name]:.1%}"
        table.add_row(column.name, escape(origin), share, *(escape(value) for value in values))
    missing = [column.name for column in source.api.read_columns if column.name not in source.columns]
    if source.api.day_column is not None:
        table.add_row(PARTITION, str(source.api.day_column), "", *(row[PARTITION] for row in rows))
    console.print(table)
    if missing:
        console.print(f"Always NULL, since the source file does not name them: {', '.join(missing)}", style="dim")


def _shown(value: object) -> str:
    return "NULL" if value is None else value.isoformat(" ") if isinstance(value, dt.datetime) else str(value)


def print_outlooks(console: Console, outlooks: Sequence[Outlook]) -> None:
    """Print which rules will be able to judge."""
    table = RichTable("Rule", "Judges", "Why", title="Rules", title_justify="left")
    for outlook in outlooks:
        table.add_row(outlook.rule, outlook.judges, escape(outlook.why))
    console.print(table)
