"""What the `fraud` command shows: tables for a terminal. Reads the warehouse, computes nothing that an asset does not."""

from __future__ import annotations

import resource

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table as RichTable

from fraud_assets.cli.lake import open_lake
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.evaluation.protocol import Evaluation
from fraud_assets.runs.batch import RunReport
from fraud_assets.schemas.catalog import FEATURE_TABLES
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.sources import API_TABLES
from fraud_assets.settings import Settings
from hive_io import Span, Warehouse


def tables(console: Console, settings: Settings, span: Span) -> None:
    """Rows of each table in the span, and those that were refused."""
    warehouse = open_lake(settings)
    table = RichTable("Table", title=f"Rows of {span}", title_justify="left")
    table.add_column("Loaded", justify="right")
    table.add_column("Rejected", justify="right")
    for name, api in API_TABLES.items():
        table.add_row(name, _rows(warehouse, name, span), _rows(warehouse, api.rejected.name, span))
    for name in [*FEATURE_TABLES, FRAUD_ALERTS.name]:
        table.add_row(name, _rows(warehouse, name, span), "")
    console.print(table)


def rules_hit(console: Console, settings: Settings, span: Span) -> None:
    """What each rule hit, and how many transactions it could not judge."""
    warehouse = open_lake(settings)
    engine = Engine(read_rule_book(overrides=settings.rules_file))
    table = RichTable("Rule", "Severity", title="Hits per rule", title_justify="left")
    for column in ("Hits", "Judged", "Not judged"):
        table.add_column(column, justify="right")
    for rule in engine.book.evaluated:
        counted = warehouse.query(engine.coverage(rule.name, span))
        hits, judged, all_ = (int(pc.sum(counted.column(c)).as_py() or 0) for c in ("hits", "judged", "transactions"))
        table.add_row(rule.name, rule.severity, f"{hits:,}", f"{judged:,}", f"{all_ - judged:,}")
    console.print(table)
    console.print("Not judged is not clean: the rule lacked a history, a score, a place or a list for them.", style="dim")


def totals(console: Console, settings: Settings, span: Span) -> None:
    """Count and sum of what was loaded, to hold against the file; and the share that was flagged."""
    warehouse = open_lake(settings)
    amounts = warehouse.read("fintech.transactions", ["amount"], span)
    flagged = warehouse.read(FRAUD_ALERTS.full_name, ["transaction_id"], span).num_rows
    count = amounts.num_rows
    console.print(f"Transactions: {count:,}   sum of amounts: {pc.sum(amounts.column('amount')).as_py() or 0:,}")
    console.print(f"Flagged: {flagged:,}, {flagged / count if count else 0:.2%} of the transactions")


def evaluation(console: Console, result: Evaluation) -> None:
    """Precision and recall of each rule, and of the ranking, on the test span."""
    table = RichTable("Rule", title=f"Against the labels, {result.span}", title_justify="left")
    for column in ("Hits", "Frauds among them", "Precision", "Recall"):
        table.add_column(column, justify="right")
    for rule in result.rules:
        table.add_row(rule.rule, f"{rule.hits:,}", f"{rule.frauds_hit:,}", _share(rule.precision), _share(rule.recall))
    console.print(table)
    console.print(
        f"{result.transactions:,} transactions, {result.frauds:,} frauds, cards known to be compromised left out. "
        f"Average precision {_three(result.average_precision)}, card precision at 100 {_three(result.card_precision)}"
    )


def times(console: Console, report: RunReport) -> None:
    """Where the time went, and the largest memory that a process took."""
    table = RichTable("Step", title="Where the time went", title_justify="left")
    table.add_column("Seconds", justify="right")
    table.add_column("Share", justify="right")
    for step in sorted(report.steps, key=lambda s: -s.seconds):
        table.add_row(step.step, f"{step.seconds:.1f}", f"{step.seconds / report.seconds:.0%}")
    rest = report.seconds - sum(step.seconds for step in report.steps)
    table.add_row("between the steps (Dagster)", f"{rest:.1f}", f"{rest / report.seconds:.0%}")
    table.add_row("run", f"{report.seconds:.1f}", "100%")
    console.print(table)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    source = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    console.print(f"Peak memory: {own:.2f} GiB here, {source:.2f} GiB in the source's process")


def _rows(warehouse: Warehouse, table: str, span: Span) -> str:
    days = warehouse.partitions(f"fintech.{table}")
    return f"{sum(rows for day, rows in days.items() if span.first_ds <= day <= span.last_ds):,}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
