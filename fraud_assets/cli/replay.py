"""`fraud replay`: a labelled file through the APIs and every asset."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from fraud_assets.cli.lake import open_lake
from fraud_assets.cli.options import console, from_option, span_between, to_option, warehouse_option
from fraud_assets.cli.run import run_with_progress
from fraud_assets.cli.run_summary import print_evaluation, print_hits, print_row_counts, print_step_times, print_totals
from fraud_assets.configured_rules import rule_book
from fraud_assets.evaluation.protocol import evaluate
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.runs.source_process import source_process
from fraud_assets.settings import read_settings
from hive_io import Span

TEST_DAYS = 7
"""Days at the end of the range on which alerts are evaluated."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@from_option
@to_option
@warehouse_option
def replay(file: Path, first: dt.date, end: dt.date, warehouse: str | None) -> None:
    """Run the pipeline on a labelled Parquet FILE and evaluate the alerts.

    FILE is served through the same API as any source. The alerts of the last 7 days are evaluated against its labels.
    """
    settings = read_settings(warehouse=warehouse)
    span = span_between(first, end)
    settings = settings.model_copy(update={"first_day": min(first, settings.first_day)})
    with source_process(["replay", str(file)]) as url:
        settings = settings.model_copy(update={"source_url": url, "source": None})
        report = run_with_progress(settings, span)
        with SourceClient(url) as client:
            labels = client.labels(span)
    print_row_counts(console(), settings, span)
    print_hits(console(), settings, span)
    print_totals(console(), settings, span)
    rules = [rule.name for rule in rule_book(settings).evaluated]
    frauds = {row["transaction_id"] for row in labels}
    test = Span.days(max(span.first_day, span.last_day - dt.timedelta(days=TEST_DAYS - 1)), span.last_day)
    print_evaluation(console(), evaluate(open_lake(settings), rules, frauds, test))
    print_step_times(console(), report)
