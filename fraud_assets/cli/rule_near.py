"""`fraud rules near`: transactions that came close to a hit of a rule."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console

from fraud_assets.cli.lake import read_lake
from fraud_assets.cli.options import DAY, console, format_option, span_between, warehouse_option
from fraud_assets.cli.records import print_record
from fraud_assets.cli.rule_trial import assigned
from fraud_assets.cli.safe_text import json_text, write_csv
from fraud_assets.configured_rules import rule_book
from fraud_assets.errors import RuleError
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import read_settings
from fraud_assets.workshop.near import NearMiss, creeping, near_misses
from fraud_assets.workshop.trial import with_params
from hive_io import Reader, Span
from hive_io.table import DAY as A_DAY

DAYS = 7
"""Days that are read if none are named: the last ones with transactions."""

_COLUMNS = ("transaction_id", "customer_id", "event_time", "distance", "missed", "creeping")


@click.command("near")
@click.argument("name")
@click.option("--within", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.1, show_default=True,
              help="Largest distance: the gap between two numbers compared, as a share of the larger.")  # fmt: skip
@click.option("--set", "given", metavar="PARAM=VALUE", multiple=True, help="Value of a param. Can be repeated.")
@click.option("--from", "first", type=DAY, help=f"First day, YYYY-MM-DD. [default: {DAYS} days before --to]")
@click.option("--to", "end", type=DAY, help="Day after the last day, YYYY-MM-DD. [default: after the latest transactions]")
@click.option("--most", type=click.IntRange(1, 10_000), default=20, show_default=True,
              help="Most near misses to show in a table; JSON and CSV have all.")  # fmt: skip
@format_option
@warehouse_option
def near(
    name: str,
    within: float,
    given: Sequence[str],
    first: dt.date | None,
    end: dt.date | None,
    most: int,
    output: str,
    warehouse: str | None,
) -> None:
    """Show transactions that came close to a hit of rule NAME.

    The closest come first. Customers whose last near misses, three at least, came closer each time are named before them. Of
    conditions that must all hold, the farthest counts; of alternatives, the nearest. It reads stored transactions and features,
    and writes nothing.
    """
    settings = read_settings(warehouse=warehouse)
    lake, book = read_lake(settings), rule_book(settings)
    if name not in book.rules:
        raise RuleError(f"There is no rule {name}; the rules are {', '.join(book.rules)}")
    rule = with_params(book.rules[name], dict(assigned(text) for text in given))
    span = _days(lake, first, end)
    found = near_misses(rule, book.tables(), lake, span, within)
    closer = creeping(found)
    rows = [_row(each, closer) for each in found]
    if output == "json":
        click.echo(json_text(rows))
    elif output == "csv":
        write_csv(sys.stdout, _COLUMNS, [{**row, "missed": "; ".join(row["missed"])} for row in rows])
    else:
        _print(console(), rows[:most], closer)
        click.echo(f"{len(found):,} near misses of {name} within {within:g} in {span}; {len(closer):,} customers come closer")


def _days(lake: Reader, first: dt.date | None, end: dt.date | None) -> Span:
    stored = lake.partitions(TRANSACTIONS.table.full_name) if TRANSACTIONS.table.name in lake.tables(DATABASE) else {}
    days = [ds for ds, rows in stored.items() if rows]
    if not days:
        raise RuleError("The warehouse has no transactions yet; fill it with `fraud run`")
    end = end or dt.date.fromisoformat(max(days)) + A_DAY
    return span_between(first or end - DAYS * A_DAY, end)


def _row(each: NearMiss, closer: Mapping[str, Sequence[NearMiss]]) -> dict[str, Any]:
    return {
        "transaction_id": each.transaction_id,
        "customer_id": each.customer_id,
        "event_time": each.event_time.isoformat().replace("+00:00", "Z"),
        "distance": round(each.distance, 4),
        "missed": each.missed,
        "creeping": each in closer.get(each.customer_id, ()),
    }


def _print(screen: Console, rows: Sequence[Mapping[str, Any]], closer: Mapping[str, Sequence[NearMiss]]) -> None:
    for customer, run in closer.items():
        distances = ", ".join(f"{each.distance:.1%}" for each in run)
        print_record(screen, [customer, f"{len(run)} near misses, each closer"], [f"missed by {distances}"])
    for row in rows:
        fields = [row["transaction_id"], row["customer_id"], row["event_time"], f"missed by {row['distance']:.1%}"]
        print_record(screen, fields, row["missed"])
