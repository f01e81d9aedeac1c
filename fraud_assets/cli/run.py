"""`fraud run`: every asset for a range of days."""

from __future__ import annotations

import datetime as dt

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fraud_assets.cli.options import console, from_option, span_between, to_option, warehouse_option
from fraud_assets.cli.run_summary import print_hits, print_row_counts
from fraud_assets.runs.batch import RunReport, run_days
from fraud_assets.settings import Settings, read_settings
from hive_io import Span


@click.command()
@from_option
@to_option
@warehouse_option
def run(first: dt.date, end: dt.date, warehouse: str | None) -> None:
    """Materialize every asset for a range of days.

    The range is one Dagster run, which reads the source at FRAUD_SOURCE_URL.
    """
    settings = read_settings(warehouse=warehouse)
    span = span_between(first, end)
    report = run_with_progress(settings, span)
    print_row_counts(console(), settings, span)
    print_hits(console(), settings, span)
    console().print(f"Run {report.run_id}: {report.seconds:.1f} s")


def run_with_progress(settings: Settings, span: Span) -> RunReport:
    """Materialize every asset for a span of days, with a progress bar on stderr."""
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{span}", total=None)

        def on_step(step: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=f"{span}: {step}")

        return run_days(settings, span, on_step)
