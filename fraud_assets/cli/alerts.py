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

_limit = click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, highest score first.")
ALERT_COLUMNS = [c.name for c in FRAUD_ALERTS.columns]


@click.command("alerts")
@warehouse_option
@first_option
@end_option
@_limit
@format_option
def list_alerts(warehouse: str | None, first: dt.date | None, end: dt.date | None, limit: int, form: str) -> None:
    """List alerts, the highest score first."""
    settings = read_settings(warehouse=warehouse)
    rows = top_alerts(settings, span_or_all(first, end), limit)
    if form == "json":
        click.echo(json.dumps(rows, default=plain, ensure_ascii=False, indent=2))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, fieldnames=ALERT_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: json.dumps(v, ensure_ascii=False) if isinstance(v, list) else _csv(v) for k, v in row.items()})
    else:
        show_alerts(console(), rows, "Alerts")


def top_alerts(settings: Settings, span: Span | None, limit: int) -> list[dict[str, Any]]:
    """The alerts with the highest scores; equal ones by time, then id."""
    rows = open_lake(settings).read(FRAUD_ALERTS.full_name, ALERT_COLUMNS, span)
    order = [("score", "descending"), ("event_time", "ascending"), ("transaction_id", "ascending")]
    return rows.sort_by(order).slice(0, limit).to_pylist()


def show_alerts(console: Console, rows: Sequence[Mapping[str, Any]], title: str) -> None:
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


def _csv(value: object) -> object:
    return plain(value) if isinstance(value, (Decimal, dt.datetime)) else value
