"""`fraud demo`: a synthetic world, from the APIs to alerts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console

from fraud_assets.atomic_write import write_atomically
from fraud_assets.cli.alerts import AlertFilter, print_alerts, top_alerts
from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.lake import open_lake, read_lake
from fraud_assets.cli.options import console
from fraud_assets.cli.run import run_with_progress
from fraud_assets.cli.run_summary import print_hits, print_row_counts
from fraud_assets.cli.safe_text import shell_command
from fraud_assets.runs.source_process import source_process
from fraud_assets.settings import Settings, read_settings
from hive_io import Span
from hive_io.locations import warehouse_exists

DEMO_FOLDER = "demo"
"""Default warehouse of the demo. Not the one of the settings: a demo must not overwrite real days."""
DEMO_WORLD = ["--malformed", "0.002", "--late", "0.01", "--duplicates", "0.002", "--corrected", "0.001"]
"""Options of `fraud sources serve`."""


@click.command()
@click.option(
    "--warehouse", metavar="DIR|URL", default=DEMO_FOLDER, show_default=True, help="The warehouse; FRAUD_WAREHOUSE is ignored."
)
@click.option(
    "--days", type=click.IntRange(2, 366), default=35, show_default=True, help="Number of days to run, the last being today."
)
def demo(warehouse: str, days: int) -> None:
    """Run the pipeline on a synthetic source and show the alerts."""
    settings = read_settings(warehouse=warehouse)
    today = current_clock().today()
    span = Span.days(today - dt.timedelta(days=days - 1), today)
    settings = _with_first_day(settings, span.first_day)
    click.echo(f"{days} days of a synthetic source into {settings.warehouse}", err=True)
    with source_process(["serve", *DEMO_WORLD]) as url:
        settings = settings.model_copy(update={"source_url": url, "source": None})
        run_with_progress(settings, span)
    print_row_counts(console(), settings, span)
    print_hits(console(), settings, span)
    lake = read_lake(settings)
    print_alerts(console(), top_alerts(lake, AlertFilter(span), 10), f"The ten highest alerts of {span}")
    _print_next_steps(console(), settings.warehouse, top_alerts(lake, AlertFilter(), 1))


def _with_first_day(settings: Settings, first: dt.date) -> Settings:
    """Settings whose first partition is the first day of the demo, so that Dagster's asset graph shows no days as missing.

    A new warehouse keeps it in a file, which every command reads. A warehouse without that file keeps its first day.
    """
    if "first_day" in settings.model_fields_set:
        return settings
    file = settings.first_day_file
    if not file.exists() and warehouse_exists(settings.warehouse):
        return settings
    first = min(first, settings.first_day) if file.exists() else first
    # creates the warehouse, or reports why it cannot be used
    open_lake(settings).close()
    write_atomically(file, f"{first}\n")
    return settings.model_copy(update={"first_day": first})


def _print_next_steps(console: Console, warehouse: str, alerts: Sequence[Mapping[str, Any]]) -> None:
    option = ["--warehouse", warehouse]
    steps = [
        *((["explain", alert["transaction_id"], *option], "the outcome of every rule for this alert") for alert in alerts),
        (["alerts", "--severity", "critical", *option], "the gravest alerts"),
        (["desk", "user", "add", "me", "--role", "lead", *option], "a user of the desk, with a password that it asks for"),
        (["desk", *option], "cases to decide, http://127.0.0.1:4000"),
        (["ui", *option], "the demo's assets in Dagster, http://127.0.0.1:3000"),
        (["rules", "list"], "the rules, one HiveQL file each in fraud_assets/rules/"),
    ]
    console.print("\nNext steps:")
    for words, purpose in steps:
        # one line each, to be copied, however narrow the terminal is
        console.print(f"  {shell_command(['.venv/bin/fraud', *words])}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"      {purpose}", markup=False, highlight=False)
