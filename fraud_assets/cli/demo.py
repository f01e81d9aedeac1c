"""`fraud demo`: a synthetic world, from the APIs to alerts."""

from __future__ import annotations

import datetime as dt

import click
from rich.console import Console

from fraud_assets.cli.alerts import print_alerts, top_alerts
from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.options import console
from fraud_assets.cli.run import run_with_progress
from fraud_assets.cli.run_summary import print_hits, print_row_counts
from fraud_assets.runs.source_process import source_process
from fraud_assets.settings import Settings, read_settings
from hive_io import Span

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
    with source_process(["serve", *DEMO_WORLD]) as url:
        settings = settings.model_copy(update={"source_url": url})
        run_with_progress(settings, span)
    print_row_counts(console(), settings, span)
    print_hits(console(), settings, span)
    print_alerts(console(), top_alerts(settings, span, 10), f"The ten highest alerts of {span}")
    _print_next_steps(console(), settings)


def _print_next_steps(console: Console, settings: Settings) -> None:
    option = f" --warehouse {settings.warehouse}"
    console.print("\nNext steps:")
    for alert in top_alerts(settings, None, 1):
        console.print(f"  .venv/bin/fraud explain {alert['transaction_id']}{option}   the outcome of every rule for this alert")
    console.print(f"  .venv/bin/fraud alerts --format json{option}   alerts for other programs")
    console.print("  make ui   the demo's assets in Dagster, http://127.0.0.1:3000")
    console.print("  fraud_assets/rules/   the rules, one HiveQL file each")
