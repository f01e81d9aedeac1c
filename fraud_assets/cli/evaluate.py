"""`fraud evaluate`: the ranking of transactions against labels."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table as RichTable

from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.lake import read_lake
from fraud_assets.cli.options import DAY, console, span_between, warehouse_option
from fraud_assets.cli.safe_text import json_text
from fraud_assets.evaluation.labels_file import read_frauds
from fraud_assets.evaluation.maturity import MATURE, Maturity, learn
from fraud_assets.evaluation.protocol import (
    DELAY_DAYS,
    TEST_DAYS,
    TRAINING_DAYS,
    RankingQuality,
    evaluate_ranking,
    known_frauds,
)
from fraud_assets.evaluation.rule_quality import last_known_day, read_delays
from fraud_assets.settings import read_settings
from hive_io import Span, Warehouse

BEFORE_TEST = dt.timedelta(days=TRAINING_DAYS + DELAY_DAYS)


@click.command("evaluate")
@click.option("--from", "first", type=DAY, required=True, help="First day; with --protocol handbook, the first training day.")
@click.option("--to", "end", type=DAY, help="Day after the last day, YYYY-MM-DD. The handbook's protocol sets its own.")
@click.option(
    "--protocol",
    type=click.Choice(["handbook"]),
    help=f"{TRAINING_DAYS} training days, {DELAY_DAYS} days of delay, {TEST_DAYS} test days; cards known to be compromised are "
    "excluded. [default: every transaction from --from to --to]",
)
@click.option(
    "--k",
    "ks",
    type=click.IntRange(1, 10**6),
    multiple=True,
    default=[100],
    show_default=True,
    help="Cards, or transactions, that are checked a day. Can be repeated.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Parquet or CSV file with transaction_id and is_fraud or tx_fraud. [default: the table labels]",
)
@click.option(
    "--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
@warehouse_option
def evaluate(
    first: dt.date,
    end: dt.date | None,
    protocol: str | None,
    ks: Sequence[int],
    labels: Path | None,
    output: str,
    warehouse: str | None,
) -> None:
    """Measure the ranking of transactions against labels.

    Average precision, and what a team finds that checks the k highest a day. Scores are those of transaction_scores, or else
    of fraud_alerts, with 0 for transactions without an alert.
    """
    settings = read_settings(warehouse=warehouse)
    span = _span(first, end, handbook=protocol is not None)
    lake = read_lake(settings)
    frauds = read_frauds(labels) if labels else known_frauds(lake, first)
    maturity = None if labels else _maturity(lake, first)
    result = evaluate_ranking(lake, frauds, span, sorted(set(ks)), handbook=protocol is not None)
    if output == "json":
        share = maturity.of(span.last_day) if maturity else None
        click.echo(json_text({**_row(result), "labels": str(labels) if labels else "table", "known_share_of_last_day": share}))
    else:
        _print(console(), result, maturity)


def _span(first: dt.date, end: dt.date | None, *, handbook: bool) -> Span:
    if handbook:
        if end is not None:
            raise click.UsageError("--protocol handbook sets the days itself; leave --to out")
        start = first + BEFORE_TEST
        return Span.days(start, start + dt.timedelta(days=TEST_DAYS - 1))
    if end is None:
        raise click.UsageError("Missing option '--to', the day after the last day; only --protocol handbook does without it")
    return span_between(first, end)


def _maturity(lake: Warehouse, first: dt.date) -> Maturity:
    as_of = last_known_day(lake, current_clock().today())
    return learn(read_delays(lake, first, as_of), as_of)


def _row(result: RankingQuality) -> dict[str, object]:
    return {
        "from": result.span.first_ds,
        "last_day": result.span.last_ds,
        "scored_by": result.scored_by,
        "transactions": result.transactions,
        "frauds": result.frauds,
        "average_precision": result.average_precision,
        "card_precision": {str(k): value for k, value in result.card_precision.items()},
        "daily_precision": {str(k): value for k, value in result.daily_precision.items()},
    }


def _print(console: Console, result: RankingQuality, maturity: Maturity | None) -> None:
    console.print(
        f"{result.span}: {result.transactions:,} transactions, {result.frauds:,} known frauds, scores of {result.scored_by}",
        highlight=False,
    )
    table = RichTable("Metric", show_header=False)
    table.add_column("", justify="right")
    table.add_row("average precision", _decimals(result.average_precision))
    for k, value in result.card_precision.items():
        table.add_row(f"card precision at {k} a day", _decimals(value))
    for k, value in result.daily_precision.items():
        table.add_row(f"precision of the {k} highest a day", _decimals(value))
    console.print(table)
    if maturity is None:
        return
    share = maturity.of(result.span.last_day)
    if share is None:
        console.print("Too few labels are known to say which share of the frauds they are.", style="dim")
    elif share < MATURE:
        console.print(
            f"Labels known by {maturity.as_of}: {share:.0%} of the frauds of {result.span.last_day} are expected among them. "
            "Every value is lower than it will be.",
            style="dim",
        )


def _decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
