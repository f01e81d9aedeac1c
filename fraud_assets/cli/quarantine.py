"""`fraud rejected`: listing rejected rows, and loading them again."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.lake import open_lake, read_lake
from fraud_assets.cli.options import console, end_option, first_option, format_option, span_or_all, warehouse_option
from fraud_assets.cli.quarantine_tables import print_counts, print_retries, print_rows
from fraud_assets.cli.safe_text import json_text, shell_command, write_csv
from fraud_assets.configured_rules import rule_book
from fraud_assets.engine.corrections import remove_moved
from fraud_assets.engine.engine import Engine
from fraud_assets.ingestion.quarantine import masked, overview, refused_rows
from fraud_assets.ingestion.quarantine_retry import Retried, days_to_run
from fraud_assets.ingestion.quarantine_retry import retry as retry_rows
from fraud_assets.schemas.sources import API_TABLES, TRANSACTIONS
from fraud_assets.settings import read_settings
from hive_io import Span, Warehouse
from hive_io.table import ranges

_TABLES = click.Choice([*API_TABLES])


class _ListByDefault(click.Group):
    """`rejected transactions` is short for `rejected list transactions`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, *self.get_help_option_names(ctx)}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault, subcommand_metavar="[TABLE] | COMMAND [ARGS]...")
def rejected() -> None:
    """List rejected rows, and load them again.

    `fraud rejected [TABLE]` is short for `fraud rejected list [TABLE]`. Payloads can hold personal data. They are masked unless
    `--format json --personal` is given.
    """


@rejected.command("list")
@click.argument("table", type=_TABLES, required=False)
@warehouse_option
@first_option
@end_option
@click.option("--claim", metavar="NAME", help="Only rows that violate this claim.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="With TABLE: maximum number of rows, newest day first.",
)
@format_option
@click.option("--personal", is_flag=True, help="With TABLE and --format json: do not mask payloads.")
def list_rejected(
    table: str | None,
    warehouse: str | None,
    first: dt.date | None,
    end: dt.date | None,
    claim: str | None,
    limit: int,
    output: str,
    personal: bool,
) -> None:
    """Count rejected rows, or list those of TABLE.

    Without TABLE, rows are counted by table, day of arrival and claim.

    Payloads can hold personal data, such as names, e-mail addresses and dates of birth of customers. These fields are masked,
    and so are unknown fields of malformed rows. The table format shows the beginning of a payload; json and csv show all of it.
    `--format json --personal` shows payloads as they were served.
    """
    if personal and (output != "json" or table is None):
        raise click.UsageError("--personal requires TABLE and --format json")
    lake = read_lake(read_settings(warehouse=warehouse))
    span = span_or_all(first, end)
    if table is None:
        counts = overview(lake, API_TABLES.values(), span, claim)
        if output == "table":
            print_counts(console(), counts)
        else:
            _print_data(output, ["table", "day", "claim", "rows"], [asdict(count) for count in counts])
        return
    api = API_TABLES[table]
    rows = [asdict(row) for row in refused_rows(lake, api, span, claim, limit)]
    if not personal:
        rows = [row | {"payload": masked(api, row["payload"])} for row in rows]
    if output == "table":
        print_rows(console(), rows, f"Rejected rows of {table}, newest day first")
    else:
        _print_data(output, ["day", "row_id", "claims", "payload"], rows)


def _print_data(output: str, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    if output == "json":
        click.echo(json_text([{name: row[name] for name in columns} for row in rows]))
    else:
        write_csv(sys.stdout, columns, rows)


@rejected.command()
@click.argument("table", type=_TABLES)
@warehouse_option
@first_option
@end_option
def retry(table: str, warehouse: str | None, first: dt.date | None, end: dt.date | None) -> None:
    """Load the rejected rows of TABLE again, with the current claims.

    `--from` and `--to` are days of arrival. Rows that satisfy every claim are loaded into the table, unless it already has the
    same or a newer version of them. The others stay rejected, with the claims that they violate now. The command is idempotent.
    Run it while nothing else loads the same days.
    """
    settings = read_settings(warehouse=warehouse)
    engine = Engine(rule_book(settings))
    api = engine.apis[table]
    today = current_clock().today()
    partitions = Span.days(settings.first_day, today)
    # around midnight, the source's clock may be ahead
    allowed = Span.days(settings.first_day, today + dt.timedelta(days=1))
    lake = open_lake(settings)
    ahead = dt.timedelta(seconds=settings.ahead_seconds)
    done: list[Retried] = []
    try:
        for retried in retry_rows(lake, api, allowed, span_or_all(first, end), current_clock(), ahead):
            done.append(retried)
            if table == TRANSACTIONS.table.name:
                _remove_moved(lake, engine, settings.correction_days, retried.changed)
    finally:
        # printed even if a later day fails: these days have changed
        changed = {day for retried in done for day in retried.changed}
        commands = [_run_command(span, warehouse) for span in days_to_run(api, changed, partitions)]
        print_retries(console(), table, done, commands)


def _remove_moved(lake: Warehouse, engine: Engine, days: int, changed: Sequence[str]) -> None:
    transactions = engine.apis[TRANSACTIONS.table.name].table
    for loaded in ranges(dt.date.fromisoformat(day) for day in changed):
        remove_moved(lake, engine.per_transaction, loaded, days, transactions)


def _run_command(span: Span, warehouse: str | None) -> str:
    words = ["fraud", "run", "--from", span.first_ds, "--to", (span.last_day + dt.timedelta(days=1)).isoformat()]
    return shell_command([*words, *(["--warehouse", warehouse] if warehouse else [])])
