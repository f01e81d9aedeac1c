"""Terminal output after a run, read from the warehouse: rows, hits, totals, evaluation and step times."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table as RichTable

from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.lake import read_lake
from fraud_assets.cli.rule_quality import matured_days, percent_between
from fraud_assets.configured_rules import rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.evaluation.protocol import Evaluation
from fraud_assets.evaluation.rule_quality import last_known_day, read_facts
from fraud_assets.schemas.catalog import FEATURE_TABLES
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.sources import API_TABLES
from fraud_assets.settings import Settings
from hive_io import Span, Warehouse

if TYPE_CHECKING:  # Dagster takes seconds to import
    from fraud_assets.runs.batch import RunReport


def print_row_counts(console: Console, settings: Settings, span: Span) -> None:
    """Print the number of rows of each table in the span, and of its rejected rows."""
    warehouse = read_lake(settings)
    table = RichTable("Table", title=f"Rows of {span}", title_justify="left")
    table.add_column("Loaded", justify="right")
    table.add_column("Rejected", justify="right")
    for name, api in API_TABLES.items():
        table.add_row(name, _row_count(warehouse, name, span), _row_count(warehouse, api.rejected.name, span))
    for name in [*FEATURE_TABLES, FRAUD_ALERTS.name]:
        table.add_row(name, _row_count(warehouse, name, span), "")
    console.print(table)


def _row_count(warehouse: Warehouse, table: str, span: Span) -> str:
    days = warehouse.partitions(f"fintech.{table}")
    return f"{sum(rows for day, rows in days.items() if span.first_ds <= day <= span.last_ds):,}"


def print_hits(console: Console, settings: Settings, span: Span) -> None:
    """Print, for each rule, its hits, their precision, and how many transactions it judged and could not judge."""
    warehouse = read_lake(settings)
    engine = Engine(rule_book(settings))
    as_of = last_known_day(warehouse, current_clock().today())
    measured, maturity = read_facts(warehouse, engine.book.evaluated, span, as_of).measure(span, as_of, money=False)
    quality = {each.rule: each for each in measured}
    table = RichTable(title="Hits per rule", title_justify="left")
    # on a narrow terminal, the interval of the precision goes to a line of its own
    table.add_column("Rule", no_wrap=True)
    table.add_column("Severity", no_wrap=True)
    for column in ("Hits", "Precision", "Judged", "Not judged"):
        table.add_column(column, justify="right")
    for rule in engine.book.evaluated:
        coverage = warehouse.query(engine.coverage(rule.name, span))
        hits, judged, total = (int(pc.sum(coverage.column(c)).as_py() or 0) for c in ("hits", "judged", "transactions"))
        precision = percent_between(quality[rule.name].precision, quality[rule.name].precision_interval)
        table.add_row(rule.name, rule.severity, f"{hits:,}", precision, f"{judged:,}", f"{total - judged:,}")
    console.print(table)
    console.print(matured_days(span, maturity), style="dim")
    console.print(
        "Not judged does not mean clean: the rule lacked a history, a credit score, a place or a list for these transactions.",
        style="dim",
    )


def print_totals(console: Console, settings: Settings, span: Span) -> None:
    """Print the count and sum of the loaded transactions, to compare with the file, and the flagged share."""
    warehouse = read_lake(settings)
    amounts = warehouse.read("fintech.transactions", ["amount"], span)
    flagged = warehouse.read(FRAUD_ALERTS.full_name, ["transaction_id"], span).num_rows
    count = amounts.num_rows
    console.print(f"Transactions: {count:,}   sum of amounts: {pc.sum(amounts.column('amount')).as_py() or 0:,}")
    console.print(f"Flagged: {flagged:,}, {flagged / count if count else 0:.2%} of the transactions")


def print_evaluation(console: Console, result: Evaluation) -> None:
    """Print precision and recall of each rule, and the quality of the ranking, on the test span."""
    table = RichTable("Rule", title=f"Evaluation against the labels, {result.span}", title_justify="left")
    for column in ("Hits", "Frauds among hits", "Precision", "Recall"):
        table.add_column(column, justify="right")
    for rule in result.rules:
        table.add_row(rule.rule, f"{rule.hits:,}", f"{rule.frauds_hit:,}", _percent(rule.precision), _percent(rule.recall))
    console.print(table)
    console.print(
        f"{result.transactions:,} transactions, {result.frauds:,} frauds, excluding cards known to be compromised. "
        f"Average precision {_decimals(result.average_precision)}, card precision at 100 {_decimals(result.card_precision)}"
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def print_step_times(console: Console, report: RunReport) -> None:
    """Print the seconds of each step, and the peak memory of this process."""
    table = RichTable("Step", title="Time per step", title_justify="left")
    table.add_column("Seconds", justify="right")
    table.add_column("Share", justify="right")
    for step in sorted(report.steps, key=lambda s: -s.seconds):
        table.add_row(step.step, f"{step.seconds:.1f}", f"{step.seconds / report.seconds:.0%}")
    rest = report.seconds - sum(step.seconds for step in report.steps)
    table.add_row("between steps (Dagster)", f"{rest:.1f}", f"{rest / report.seconds:.0%}")
    table.add_row("run", f"{report.seconds:.1f}", "100%")
    console.print(table)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"Peak memory of this process: {own:.2f} GiB")
