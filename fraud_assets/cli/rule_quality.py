"""`fraud rules quality`: each rule, and all alerts together, against the labels."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.lake import read_lake
from fraud_assets.cli.options import DAY, console, format_option, from_option, span_between, to_option, warehouse_option
from fraud_assets.cli.safe_text import json_text, visible, write_csv
from fraud_assets.configured_rules import rule_book
from fraud_assets.evaluation.maturity import MATURE, Maturity
from fraud_assets.evaluation.rule_quality import Interval, Money, Quality, last_known_day, read_facts
from fraud_assets.settings import read_settings
from hive_io import Span


@click.command("quality")
@from_option
@to_option
@click.option(
    "--as-of", type=DAY, help="Use the labels known by the end of this day. [default: the last day with fraud reports]"
)
@format_option
@warehouse_option
def quality(first: dt.date, end: dt.date, as_of: dt.date | None, output: str, warehouse: str | None) -> None:
    """Measure precision and recall of each rule.

    The transactions of a range of days are compared with the labels, which come from fraud reports. Precision is measured on
    days whose frauds are nearly all known by now.
    """
    settings = read_settings(warehouse=warehouse)
    span = span_between(first, end)
    lake = read_lake(settings)
    known = last_known_day(lake, current_clock().today())
    if as_of is not None and as_of > known:
        click.echo(f"Fraud reports are loaded until {known}: quality is measured as of that day, not {as_of}", err=True)
    as_of = min(as_of or known, known)
    rules = rule_book(settings).evaluated
    measured, maturity = read_facts(lake, rules, span, as_of).measure(span, as_of)
    if output == "json":
        days = {day.isoformat(): maturity.of(day) for day in span.each_day()}
        click.echo(json_text({"as_of": as_of.isoformat(), "maturity": days, "quality": [_row(each) for each in measured]}))
    elif output == "csv":
        rows = [_row(each) for each in measured]
        flat = [{name: _cell(value) for name, value in row.items()} for row in rows]
        write_csv(sys.stdout, [*flat[0]], flat)
    else:
        print_quality(console(), span, measured, maturity)


def _row(each: Quality) -> dict[str, Any]:
    # the rate stands beside the count
    first = {"rule": each.rule, "status": each.status, "hits": each.hits, "hits_a_day": each.hits_a_day}
    return {
        **first,
        **each.row(),
        "only": each.only,
        "money_caught": {currency: str(amount) for currency, amount in each.money_caught.items()},
        "money_missed": {currency: str(amount) for currency, amount in each.money_missed.items()},
    }


def _cell(value: object) -> object:
    return "; ".join(f"{currency} {amount}".strip() for currency, amount in value.items()) if isinstance(value, dict) else value


def print_quality(console: Console, span: Span, measured: Sequence[Quality], maturity: Maturity) -> None:
    """Print a row for each rule, and the money of all alerts."""
    title = f"Quality of {span}, labels known by {maturity.as_of}"
    table = RichTable(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    names = [each.rule if each.status == "active" else f"{each.rule} ({each.status})" for each in measured]
    table.add_column("Rule", overflow="fold", min_width=min(max(map(len, names)), 32))
    for column in ("Hits", "Matured", "Frauds"):
        table.add_column(column, justify="right", no_wrap=True)
    # on a narrow terminal, the interval goes to a line of its own
    for column in ("Precision", "Recall", "Only"):
        table.add_column(column, justify="right", overflow="fold")
    for name, each in zip(names, measured, strict=True):
        table.add_row(
            name,
            f"{each.hits:,}",
            f"{each.matured:,}",
            f"{each.frauds:,}",
            percent_between(each.precision, each.precision_interval),
            percent_between(each.recall, each.recall_interval),
            f"{each.only:,}",
            end_section=each is measured[0],
        )
    console.print(table)
    every = measured[0]
    expected = "" if every.expected is None else f"; {every.expected:,.0f} are expected in all"
    console.print(f"Known frauds: {every.known:,}{expected}. Alerts a day: {every.hits_a_day:,.1f}.", highlight=False)
    console.print(visible(f"Caught: {amounts(every.money_caught)}. Missed: {amounts(every.money_missed)}."), markup=False)
    console.print(matured_days(span, maturity), style="dim")
    console.print("Intervals are 95 %. Recall's includes the frauds to come, from all missed to all caught.", style="dim")


def matured_days(span: Span, maturity: Maturity) -> str:
    """On which days of a span precision is measured, and how much of its last day's truth is known."""
    if not maturity.shares:
        return "Precision is not known: too few frauds are labelled to learn how long they take to become known."
    mature = [day for day in span.each_day() if maturity.is_mature(day)]
    days = f"{len(mature)} of {len(list(span.each_day()))} days{f', the last {mature[-1]}' if mature else ''}"
    return (
        f"Precision is measured on days with at least {MATURE:.0%} of their frauds known by {maturity.as_of}: {days}. "
        f"{maturity.of(span.last_day) or 0.0:.0%} of the frauds of {span.last_day} are known."
    )


def percent_between(share: float | None, interval: Interval | None) -> str:
    """A share with its interval, such as `12.5% (8–19)`; a dash if it is not known."""
    if share is None or interval is None:
        return "-"
    return f"{share:.1%} ({interval[0] * 100:.0f}–{interval[1] * 100:.0f})"


def amounts(money: Money) -> str:
    """Amounts per currency, such as `1,200.00 EUR, 5.00 USD`."""
    return ", ".join(f"{amount:,} {currency}".strip() for currency, amount in money.items()) or "nothing"
