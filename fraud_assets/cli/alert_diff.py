"""`fraud alerts diff`: why the alerts of a day are other ones than at an earlier time."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import asdict

import click

from fraud_assets.cli.lake import read_lake
from fraud_assets.cli.options import DAY, TIME, console, warehouse_option
from fraud_assets.cli.records import print_record
from fraud_assets.cli.safe_text import json_text
from fraud_assets.configured_rules import rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.explain.alert_changes import AlertChange, Change, alert_changes
from fraud_assets.settings import read_settings
from hive_io import Span


@click.command("diff")
@click.argument("day", type=DAY)
@warehouse_option
@click.option(
    "--as-of",
    "moment",
    type=TIME,
    help="Time to compare with, YYYY-MM-DDTHH:MMZ. [default: the end of DAY, 00:00 UTC of the next]",
)
@click.option(
    "--limit", type=click.IntRange(1, 2**31 - 1), default=20, show_default=True, help="Maximum number of changes shown."
)
@click.option(
    "--format", "output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output format."
)
def diff(day: dt.date, warehouse: str | None, moment: dt.datetime | None, limit: int, output: str) -> None:
    """Explain how the alerts of DAY changed since a time.

    Each alert that was gained, lost or changed is charged to its cause: the transaction arrived later or was corrected, a rule
    or the scorecard is another version, an entry of a list was added, ended or changed, or what they read of the customer and
    the merchant changed.
    """
    settings = read_settings(warehouse=warehouse)
    moment = moment or Span.days(day, day).end
    found = alert_changes(Engine(rule_book(settings)), read_lake(settings), day, moment)
    if output == "json":
        click.echo(json_text([asdict(each) for each in found]))
        return
    _print(found, day, moment, limit)


def _print(found: list[AlertChange], day: dt.date, moment: dt.datetime, limit: int) -> None:
    out = console()
    since = f"{moment:%Y-%m-%d %H:%M} UTC"
    if not found:
        out.print(f"The alerts of {day} are those of {since}.")
        return
    alerts = {each.transaction_id: each.change for each in found}
    counts = Counter(alerts.values())
    numbers = ", ".join(f"{counts[change]:,} {change.value}" for change in Change)
    out.print(f"Alerts of {day} since {since}: {numbers}", highlight=False)
    for cause, number in Counter((each.change, each.cause) for each in found).most_common():
        out.print(f"  {number:>6,} {cause[0].value}: {cause[1].value}", highlight=False)
    out.print()
    for each in found[:limit]:
        fields = [each.transaction_id, each.change.value, *([each.rule] if each.rule else ["score"]), each.cause.value]
        print_record(out, fields, [each.detail])
    if len(found) > limit:
        out.print(f"{len(found) - limit:,} more; --limit shows them, --format json all", style="dim")
