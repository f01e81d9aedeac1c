"""`fraud replay`: a labelled file through the APIs and every asset."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from fraud_assets.cli.lake import open_lake
from fraud_assets.cli.options import console, from_option, span_between, to_option, warehouse_option
from fraud_assets.cli.run import run_with_progress
from fraud_assets.cli.run_summary import evaluation, rules_hit, tables, times, totals
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.evaluation.protocol import evaluate
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.runs.source_process import source_process
from fraud_assets.settings import read_settings
from hive_io import Span


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@from_option
@to_option
@warehouse_option
def replay(file: Path, first: dt.date, end: dt.date, warehouse: str | None) -> None:
    """Bring the days of a labelled Parquet FILE through the API and every asset; hold the result against its labels."""
    settings = read_settings(warehouse=warehouse)
    span = span_between(first, end)
    settings = settings.model_copy(update={"first_day": min(first, settings.first_day)})
    with source_process(["replay", str(file)]) as url:
        settings = settings.model_copy(update={"source_url": url})
        report = run_with_progress(settings, span)
        week = Span.days(max(span.first_day, span.last_day - dt.timedelta(days=6)), span.last_day)
        with SourceClient(url) as client:
            labels = client.labels(span)
    tables(console(), settings, span)
    rules_hit(console(), settings, span)
    totals(console(), settings, span)
    rules = [rule.name for rule in read_rule_book(overrides=settings.rules_file).evaluated]
    evaluation(console(), evaluate(open_lake(settings), rules, {row["transaction_id"] for row in labels}, week))
    times(console(), report)
