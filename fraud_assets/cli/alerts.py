"""`fraud alerts`: the alerts with the highest scores."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from sqlglot import exp

from fraud_assets.cli.alert_diff import diff
from fraud_assets.cli.lake import read_lake
from fraud_assets.cli.options import (
    SINCE,
    console,
    end_option,
    first_option,
    format_option,
    plain,
    span_or_all,
    warehouse_option,
)
from fraud_assets.cli.records import print_record
from fraud_assets.cli.safe_text import json_text, write_csv
from fraud_assets.configured_rules import rule_book
from fraud_assets.detection.rule import SCORECARD, SEVERITIES
from fraud_assets.errors import RuleError
from fraud_assets.explain.tolerant_reader import missing_columns
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.settings import Settings, read_settings
from fraud_assets.sql.windows import hiveql, table_node
from hive_io import PARTITION, HiveQL, Span, Warehouse
from hive_io.dialect import literal

ALERT_COLUMNS = [column.name for column in FRAUD_ALERTS.columns]


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts to list; the default lists all.

    Attributes:
        severities: any of them; empty for all.
        since: time of the earliest transaction, aware.
    """

    span: Span | None = None
    rule: str | None = None
    severities: Sequence[str] = ()
    customer: str | None = None
    min_score: float | None = None
    since: dt.datetime | None = None


@click.group("alerts", invoke_without_command=True)
@warehouse_option
@first_option
@end_option
@click.option("--since", type=SINCE, help="Only transactions since this time, YYYY-MM-DDTHH:MMZ, or since a day (UTC).")
@click.option("--rule", metavar="NAME", help="Only alerts with a hit of this rule; scorecard: those that no rule hit.")
@click.option("--severity", type=click.Choice(SEVERITIES), multiple=True, help="Only alerts of this severity. Can be repeated.")
@click.option("--customer", metavar="ID", help="Only alerts of this customer.")
@click.option("--min-score", type=click.FloatRange(0, 1), help="Only alerts with at least this score.")
@click.option("--limit", type=click.IntRange(1, 2**31 - 1), default=20, show_default=True, help="Maximum number of alerts.")
@format_option
@click.pass_context
def list_alerts(
    ctx: click.Context,
    warehouse: str | None,
    first: dt.date | None,
    end: dt.date | None,
    since: dt.datetime | None,
    rule: str | None,
    severity: Sequence[str],
    customer: str | None,
    min_score: float | None,
    limit: int,
    output: str,
) -> None:
    """List alerts, highest score first, or explain how those of a day changed."""
    if ctx.invoked_subcommand is not None:
        return
    settings = read_settings(warehouse=warehouse)
    wanted = AlertFilter(span_or_all(first, end), rule, severity, customer, min_score, since)
    rows = top_alerts(read_lake(settings), wanted, limit)
    if not rows and rule is not None:
        _check_rule(settings, rule)
    if output == "json":
        click.echo(json_text(rows, plain))
    elif output == "csv":
        write_csv(sys.stdout, ALERT_COLUMNS, [{name: _csv_value(value) for name, value in row.items()} for row in rows])
    else:
        print_alerts(console(), rows, "Alerts")


list_alerts.add_command(diff)


def _check_rule(settings: Settings, name: str) -> None:
    rules = rule_book(settings).rules
    if name not in (*rules, SCORECARD):
        raise RuleError(f"There is no rule {name}; the rules are {', '.join(rules)}")


def top_alerts(lake: Warehouse, wanted: AlertFilter, limit: int) -> list[dict[str, Any]]:
    """The alerts with the highest scores; ties are ordered by time, then by transaction."""
    schema = FRAUD_ALERTS.arrow_schema.empty_table().select(ALERT_COLUMNS).schema
    missing = missing_columns(lake, FRAUD_ALERTS)
    return lake.query(alerts_query(wanted, limit, missing)).select(ALERT_COLUMNS).cast(schema).to_pylist()


def alerts_query(wanted: AlertFilter, limit: int, missing: Sequence[exp.Expr]) -> HiveQL:
    """The query of `top_alerts`: the warehouse filters, orders and cuts.

    Args:
        missing: NULLs in the place of columns that a warehouse of an earlier release lacks.
    """
    conditions: list[exp.Expr] = []
    if wanted.span is not None:
        conditions.append(exp.column(PARTITION).between(literal(wanted.span.first_ds), literal(wanted.span.last_ds)))
    if wanted.since is not None:
        since = wanted.since.astimezone(dt.UTC)
        # the day is the partition: earlier ones are not read
        conditions.append(exp.column(PARTITION) >= literal(since.date().isoformat()))
        conditions.append(exp.column("event_time") >= literal(since))
    if wanted.rule is not None:
        conditions.append(exp.func("ARRAY_CONTAINS", exp.column("rules"), literal(wanted.rule)))
    if wanted.severities:
        conditions.append(exp.column("severity").isin(*map(literal, wanted.severities)))
    if wanted.customer is not None:
        conditions.append(exp.column("customer_id").eq(literal(wanted.customer)))
    if wanted.min_score is not None:
        conditions.append(exp.column("score") >= exp.cast(literal(repr(wanted.min_score)), "double"))
    stored = [name for name in ALERT_COLUMNS if name not in {null.alias for null in missing}]
    rows = exp.select(*map(exp.column, stored), *missing).from_(table_node(FRAUD_ALERTS))
    order = [exp.column("score").desc(), exp.column("event_time").asc(), exp.column("transaction_id").asc()]
    return hiveql(rows.where(*conditions).order_by(*order).limit(limit))


def print_alerts(console: Console, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print alerts, each with the reasons of its hits. A key is never cut, however narrow the terminal is."""
    if not rows:
        console.print("No alerts.")
        return
    console.print(title, style="italic", highlight=False)
    for row in rows:
        fields = [
            f"{row['score']:.3f}",
            row["severity"],
            row["transaction_id"],
            f"{row['event_time']:%Y-%m-%d %H:%M:%S}",
            f"{row['amount']:,} {row['currency'] or ''}".strip(),
            row["customer_id"],
        ]
        reasons = [f"{rule}: {reason}" for rule, reason in zip(row["rules"], row["reasons"], strict=True)]
        print_record(console, fields, reasons)
    if any((row["card_version"] or "").startswith("default-") for row in rows):
        console.print(
            "Scores by a default scorecard are learned on synthetic data, not on this bank's: docs/scorecard.md",
            highlight=False,
        )


def _csv_value(value: object) -> object:
    return plain(value) if isinstance(value, dt.datetime) else value
