"""`fraud alerts`: the alerts with the highest scores."""

from __future__ import annotations

import csv
import datetime as dt
import json
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from fraud_assets.cli.lake import open_lake
from fraud_assets.cli.options import console, end_option, first_option, format_option, plain, span_or_all, warehouse_option
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.settings import Settings, read_settings
from hive_io import Span

ALERT_COLUMNS = [column.name for column in FRAUD_ALERTS.columns]


@click.command("alerts")
@warehouse_option
@first_option
@end_option
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Maximum number of alerts.")
@format_option
def list_alerts(warehouse: str | None, first: dt.date | None, end: dt.date | None, limit: int, output: str) -> None:
    """List alerts, highest score first."""
    settings = read_settings(warehouse=warehouse)
    rows = top_alerts(settings, span_or_all(first, end), limit)
    if output == "json":
        click.echo(json.dumps(rows, default=plain, ensure_ascii=False, indent=2))
    elif output == "csv":
        writer = csv.DictWriter(sys.stdout, fieldnames=ALERT_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _csv_value(value) for name, value in row.items()})
    else:
        print_alerts(console(), rows, "Alerts")


def top_alerts(settings: Settings, span: Span | None, limit: int) -> list[dict[str, Any]]:
    """The alerts with the highest scores; ties are ordered by time, then by transaction."""
    rows = open_lake(settings).read(FRAUD_ALERTS.full_name, ALERT_COLUMNS, span)
    order = [("score", "descending"), ("event_time", "ascending"), ("transaction_id", "ascending")]
    return rows.sort_by(order).slice(0, limit).to_pylist()


def print_alerts(console: Console, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print alerts as a table, each with the reasons of its hits."""
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


def _csv_value(value: object) -> object:
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return plain(value) if isinstance(value, (Decimal, dt.datetime)) else value
