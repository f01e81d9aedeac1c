"""`fraud demo`: a synthetic world, from the APIs to alerts."""

from __future__ import annotations

import datetime as dt

import click
from rich.console import Console

from fraud_assets.cli.alerts import show_alerts, top_alerts
from fraud_assets.cli.options import console
from fraud_assets.cli.run import run_with_progress
from fraud_assets.cli.run_summary import rules_hit, tables
from fraud_assets.runs.source_process import source_process
from fraud_assets.settings import Settings, read_settings
from hive_io import Span

DEMO_FOLDER = "demo"
"""Never the warehouse of the settings: a demo must not write over real days."""
DEMO_WORLD = ["--malformed", "0.002", "--late", "0.01", "--duplicates", "0.002", "--corrected", "0.001"]
"""Options of `fraud sources serve`."""


@click.command()
@click.option("--warehouse", metavar="DIR|URL", default=DEMO_FOLDER, show_default=True, help="The demo's own warehouse.")
@click.option("--days", type=click.IntRange(2, 366), default=35, show_default=True, help="How many days, up to today.")
def demo(warehouse: str, days: int) -> None:
    """Serve a synthetic world, bring the last weeks through every asset, and show the alerts."""
    settings = read_settings(warehouse=warehouse)
    today = dt.datetime.now(dt.UTC).date()
    span = Span.days(today - dt.timedelta(days=days - 1), today)
    with source_process(["serve", *DEMO_WORLD]) as url:
        settings = settings.model_copy(update={"source_url": url})
        run_with_progress(settings, span)
    tables(console(), settings, span)
    rules_hit(console(), settings, span)
    show_alerts(console(), top_alerts(settings, span, 10), f"The ten highest alerts of {span}")
    _next_steps(console(), settings)


def _next_steps(console: Console, settings: Settings) -> None:
    of = f" --warehouse {settings.warehouse}"
    console.print("\nWhat to open next:")
    first = next(iter(top_alerts(settings, None, 1)), None)
    if first:
        console.print(f"  .venv/bin/fraud explain {first['transaction_id']}{of}   every rule's verdict on the highest alert")
    console.print(f"  .venv/bin/fraud alerts --format json{of}   alerts for other programs")
    console.print("  make ui   the demo's assets in Dagster, http://127.0.0.1:3000")
    console.print("  fraud_assets/rules/   the rules, one HiveQL file each")
