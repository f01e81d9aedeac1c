"""What the `fraud` command shows: tables for a terminal. Reads the warehouse, computes nothing that an asset does not."""

from __future__ import annotations

import datetime as dt
import resource
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow.compute as pc
from dagster import AssetObservation
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from fraud_assets.engine import Engine
from fraud_assets.evaluation import Evaluation
from fraud_assets.rejected import Refusals, Retried
from fraud_assets.rule_book import RuleBook, read_rule_book
from fraud_assets.runs import RunReport
from fraud_assets.schemas import API_TABLES, FEATURE_TABLES, FRAUD_ALERTS
from fraud_assets.settings import Settings
from hive_io import Span, Warehouse
from hive_io.io_manager import open_warehouse
from hive_io.table import ranges

ALERT_COLUMNS = [c.name for c in FRAUD_ALERTS.columns]


def lake(settings: Settings) -> Warehouse:
    return open_warehouse(settings.warehouse, settings.warehouse_password)


def rule_names(settings: Settings) -> list[str]:
    return [rule.name for rule in read_rule_book(overrides=settings.rules_file).evaluated]


def tables(console: Console, settings: Settings, span: Span) -> None:
    """Rows of each table in the span, and those that were refused."""
    warehouse = lake(settings)
    table = RichTable("Table", title=f"Rows of {span}", title_justify="left")
    table.add_column("Loaded", justify="right")
    table.add_column("Rejected", justify="right")
    for name, api in API_TABLES.items():
        table.add_row(name, _rows(warehouse, name, span), _rows(warehouse, api.rejected.name, span))
    for name in [*FEATURE_TABLES, FRAUD_ALERTS.name]:
        table.add_row(name, _rows(warehouse, name, span), "")
    console.print(table)


def upkeep(console: Console, observed: Sequence[AssetObservation]) -> None:
    """What the tables take on disk, before and after."""
    names = list(dict.fromkeys(name for each in observed for name in each.metadata))
    table = RichTable("Table", title="Upkeep of the lake", title_justify="left")
    for name in names:
        table.add_column(name, justify="right")
    for each in observed:
        values = [each.metadata[name].value if name in each.metadata else "" for name in names]
        table.add_row(each.asset_key.path[-1], *(f"{v:,}" if isinstance(v, int | float) else str(v) for v in values))
    console.print(table)


def rules_hit(console: Console, settings: Settings, span: Span) -> None:
    """What each rule hit, and how many transactions it could not judge."""
    warehouse = lake(settings)
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


def top_alerts(settings: Settings, span: Span | None, limit: int) -> list[dict[str, Any]]:
    """The alerts with the highest scores; equal ones by time, then id."""
    rows = lake(settings).read(FRAUD_ALERTS.full_name, ALERT_COLUMNS, span)
    order = [("score", "descending"), ("event_time", "ascending"), ("transaction_id", "ascending")]
    return rows.sort_by(order).slice(0, limit).to_pylist()


def alerts(console: Console, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    table = RichTable("Score", "Severity", "Transaction", "Time (UTC)", title=title, title_justify="left", show_lines=True)
    table.add_column("Amount", justify="right")
    table.add_column("Customer")
    table.add_column("Reasons", overflow="fold", ratio=1)
    for row in rows:
        reasons = [f"{rule}: {reason}" for rule, reason in zip(row["rules"], row["reasons"], strict=True)]
        table.add_row(
            f"{row['score']:.3f}",
            row["severity"],
            escape(row["transaction_id"]),
            f"{row['event_time']:%Y-%m-%d %H:%M:%S}",
            f"{row['amount']:,} {row['currency'] or ''}".strip(),
            escape(row["customer_id"]),
            escape("\n".join(reasons)),
        )
    console.print(table if rows else "No alerts.")


def totals(console: Console, settings: Settings, span: Span) -> None:
    """Count and sum of what was loaded, to hold against the file; and the share that was flagged."""
    warehouse = lake(settings)
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


def rules(console: Console, book: RuleBook) -> None:
    table = RichTable("Rule", "Severity", "Status", "Weight", "Version", "Params in force", "What it finds")
    for rule in book.rules.values():
        params = "\n".join(f"{name}: {_value(value)}" for name, value in rule.file.values.items())
        table.add_row(
            rule.name,
            rule.severity,
            rule.status,
            f"{rule.weight}",
            rule.version,
            escape(params),
            escape(rule.file.meta.description),
        )
    console.print(table)


def refusals(console: Console, found: Sequence[Refusals]) -> None:
    table = RichTable("Table", "Day", "Claim", title="Refused rows, by the day they arrived", title_justify="left")
    table.add_column("Rows", justify="right")
    for each in found:
        table.add_row(each.table, each.day, escape(each.claim), f"{each.rows:,}")
    console.print(table if found else "No refused rows.")


def refused_rows(console: Console, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Refused rows, with the beginning of payloads that may be shown."""
    table = RichTable("Day", "Row", "Claims", title=title, title_justify="left", show_lines=True)
    table.add_column("Payload", overflow="fold", ratio=1)
    for row in rows:
        table.add_row(row["day"], row["row_id"][:12], escape("\n".join(row["claims"])), escape(_beginning(row["payload"])))
    console.print(table if rows else "No refused rows.")


def retried(console: Console, name: str, done: Sequence[Retried], commands: Sequence[str]) -> None:
    """What became of refused rows, which days changed, and how to compute what is made of them."""
    taken, known, refused = (sum(getattr(day, count) for day in done) for count in ("taken", "known", "refused"))
    console.print(f"{name}: {taken:,} rows taken in, {known:,} removed that it had, {refused:,} still refused", highlight=False)
    known_on = _days(day for each in done for day in each.known_on)
    if known_on:
        console.print(f"It had rows of {known_on}. Where an earlier retry was cut off, run those days, too.", highlight=False)
    changed = _days(day for each in done for day in each.changed)
    console.print(f"Days that changed: {changed or 'none'}", highlight=False)
    if commands:
        console.print("What is made of them (activity, rules, alerts) is as it was. This asks the source, and computes it:")
    for command in commands:
        console.print(f"  {escape(command)}", highlight=False, soft_wrap=True)


def next_steps(console: Console, settings: Settings) -> None:
    of = f" --warehouse {settings.warehouse}"
    console.print("\nWhat to open next:")
    first = next(iter(top_alerts(settings, None, 1)), None)
    if first:
        console.print(f"  .venv/bin/fraud explain {first['transaction_id']}{of}   every rule's verdict on the highest alert")
    console.print(f"  .venv/bin/fraud alerts --format json{of}   alerts for other programs")
    console.print("  make ui   the demo's assets in Dagster, http://127.0.0.1:3000")
    console.print("  fraud_assets/rules/   the rules, one HiveQL file each")


def _rows(warehouse: Warehouse, table: str, span: Span) -> str:
    days = warehouse.partitions(f"fintech.{table}")
    return f"{sum(rows for day, rows in days.items() if span.first_ds <= day <= span.last_ds):,}"


def _days(days: Iterable[str]) -> str:
    return ", ".join(map(str, ranges(map(dt.date.fromisoformat, days))))


def _beginning(text: str, length: int = 300) -> str:
    return text if len(text) <= length else f"{text[:length]}… ({len(text):,} characters)"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{currency or 'not named'} {amount}" for currency, amount in value.items())
    return str(value)
