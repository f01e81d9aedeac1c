"""`fraud run`: every asset for a range of days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.one_interrupt import interrupted
from fraud_assets.cli.options import console, from_option, source_option, span_between, to_option, warehouse_option
from fraud_assets.cli.run_progress import DAYS_PER_RUN, RunProgress
from fraud_assets.cli.run_summary import print_hits, print_row_counts
from fraud_assets.ingestion.own_data.source_file import read_source_file
from fraud_assets.settings import Settings, read_settings
from hive_io import Span

if TYPE_CHECKING:  # Dagster takes seconds to import
    from fraud_assets.runs.batch import RunReport


@click.command()
@from_option
@to_option
@source_option
@click.option(
    "--days-per-run",
    type=click.IntRange(1),
    default=DAYS_PER_RUN,
    show_default=True,
    help="With a source file: days of each Dagster run. After a kill, the same command goes on after the last completed run.",
)
@warehouse_option
def run(first: dt.date, end: dt.date, source: Path | None, days_per_run: int, warehouse: str | None) -> None:
    """Materialize every asset for a range of days.

    The range is one Dagster run, which reads the APIs at FRAUD_SOURCE_URL. With a source file, it is one or more runs.
    """
    settings = read_settings(warehouse=warehouse, source=source)
    span = span_between(first, end)
    reports = [run_with_progress(settings, span)] if settings.source is None else list(_own_data(settings, span, days_per_run))
    print_row_counts(console(), settings, span)
    print_hits(console(), settings, span)
    for report in reports:
        console().print(f"Run {report.run_id}: {report.seconds:.1f} s")


def _own_data(settings: Settings, span: Span, days_per_run: int) -> Iterator[RunReport]:
    """Run a range of own data in parts, each a Dagster run; parts that an interrupted run has completed are not repeated."""
    assert settings.source is not None
    from fraud_assets.definitions import open_source

    source = read_source_file(settings.source)
    # mistakes of expressions are found before anything is started
    open_source(settings).close()
    # own data may be older than the default first day
    settings = settings.model_copy(update={"first_day": min(span.first_day, settings.first_day)})
    progress = RunProgress(settings, source, span)
    if progress.done_until is not None:
        console().print(f"Going on at {progress.done_until}: an interrupted run has completed the days before.")
    for part in progress.left(days_per_run):
        yield run_with_progress(settings, part)
        progress.record(part)


def run_with_progress(settings: Settings, span: Span) -> RunReport:
    """Materialize every asset for a span of days; the step and the time it takes are shown on stderr."""
    columns = [SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[steps]}"), TimeElapsedColumn()]
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{span}: starting", steps="")

        def on_step(step: str, done: int, total: int) -> None:
            bar.update(task, description=f"{span}: {step}", steps=f"{done} of {total} steps done")

        # Dagster takes seconds to import: not before something is shown
        from fraud_assets.runs.batch import run_days

        report_dead_runs(settings)
        return run_days(settings, span, on_step, clock=current_clock(), cancelled=interrupted)


def report_dead_runs(settings: Settings) -> None:
    """Close the records of runs that were killed, and say which days to run again."""
    from fraud_assets.monitoring.run_history import days_of
    from fraud_assets.runs.dead_runs import close_dead_runs, has_marks
    from fraud_assets.runs.instance import dagster_instance

    if not has_marks(settings.dagster_home):
        return
    with dagster_instance(settings) as instance:
        dead = close_dead_runs(instance, settings.dagster_home)
    for run in dead:
        days = days_of(run)
        what = f"of {days[0]} to {days[-1]} " if days else ""
        click.echo(
            f"Run {run.run_id} {what}was killed before it was complete; it is closed as failed. Run its days again", err=True
        )
