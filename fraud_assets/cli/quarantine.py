"""`fraud rejected`: rows that were refused, to look at and to take in again."""

from __future__ import annotations

import csv
import datetime as dt
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from fraud_assets.cli import quarantine_tables
from fraud_assets.cli.lake import open_lake
from fraud_assets.cli.options import console, end_option, first_option, format_option, span_or_all, warehouse_option
from fraud_assets.ingestion.quarantine import masked, overview, refused_rows
from fraud_assets.ingestion.quarantine_retry import Retried, days_to_run
from fraud_assets.ingestion.quarantine_retry import retry as retry_rows
from fraud_assets.schemas.sources import API_TABLES
from fraud_assets.settings import read_settings
from hive_io import Span

_TABLES = click.Choice([*API_TABLES])


class _ListByDefault(click.Group):
    """`rejected transactions` is `rejected list transactions`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, *self.get_help_option_names(ctx)}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault, subcommand_metavar="[TABLE] | COMMAND [ARGS]...")
def rejected() -> None:
    """Rows that were refused, and why.

    `fraud rejected [TABLE]` is short for `fraud rejected list [TABLE]`. Payloads can hold personal data: they are masked,
    unless `--format json --personal` asks for them whole.
    """


@rejected.command("list")
@click.argument("table", type=_TABLES, required=False)
@warehouse_option
@first_option
@end_option
@click.option("--claim", metavar="NAME", help="Only rows that broke this claim.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="With TABLE: how many, newest day first.")
@format_option
@click.option("--personal", is_flag=True, help="With TABLE and --format json: payloads whole, personal data and all.")
def list_rejected(
    table: str | None,
    warehouse: str | None,
    first: dt.date | None,
    end: dt.date | None,
    claim: str | None,
    limit: int,
    form: str,
    personal: bool,
) -> None:
    """Count refused rows by table, day of arrival and claim; with TABLE, list its rows.

    Payloads can hold personal data (names, e-mail addresses, dates of birth in customers): fields with it are masked, and so
    is what a malformed row has in unknown places. The table shows the beginning of a payload, json and csv all of it.
    `--format json --personal` gives payloads as they were served.
    """
    if personal and (form != "json" or table is None):
        raise click.UsageError("--personal goes with TABLE and --format json")
    lake = open_lake(read_settings(warehouse=warehouse))
    span = span_or_all(first, end)
    if table is None:
        refusals = overview(lake, API_TABLES.values(), span, claim)
        if form == "table":
            quarantine_tables.refusals(console(), refusals)
        else:
            _print(form, ["table", "day", "claim", "rows"], [asdict(each) for each in refusals])
        return
    api = API_TABLES[table]
    rows = [asdict(row) for row in refused_rows(lake, api, span, claim, limit)]
    if not personal:
        rows = [row | {"payload": masked(api, row["payload"])} for row in rows]
    if form == "table":
        quarantine_tables.refused_rows(console(), rows, f"Rows refused for {table}, newest day first")
    else:
        _print(form, ["day", "row_id", "claims", "payload"], rows)


@rejected.command()
@click.argument("table", type=_TABLES)
@warehouse_option
@first_option
@end_option
def retry(table: str, warehouse: str | None, first: dt.date | None, end: dt.date | None) -> None:
    """Take the refused rows of TABLE in again, with the claims as they are now; days are those of arrival.

    Rows that fulfil every claim go to the table, unless it has them in a version that is as new; the others stay, with the
    claims that they break now. Once more changes nothing. Do it while nothing loads the same days.
    """
    settings = read_settings(warehouse=warehouse)
    api = API_TABLES[table]
    today = dt.datetime.now(dt.UTC).date()
    partitions = Span.days(settings.first_day, today)
    done: list[Retried] = []
    try:
        # a source's clock may be ahead of ours at midnight
        asked = Span.days(settings.first_day, today + dt.timedelta(days=1))
        for retried in retry_rows(open_lake(settings), api, asked, span_or_all(first, end)):
            done.append(retried)
    finally:
        # also when it fails half-way: these days are changed
        changed = {day for retried in done for day in retried.changed}
        commands = [_run_command(span, warehouse) for span in days_to_run(api, changed, partitions)]
        quarantine_tables.retried(console(), table, done, commands)


def _run_command(span: Span, warehouse: str | None) -> str:
    words = ["fraud", "run", "--from", span.first_ds, "--to", (span.last_day + dt.timedelta(days=1)).isoformat()]
    return shlex.join([*words, *(["--warehouse", warehouse] if warehouse else [])])


def _print(form: str, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    if form == "json":
        click.echo(json.dumps([{name: row[name] for name in columns} for row in rows], ensure_ascii=False, indent=2))
        return
    writer = csv.DictWriter(sys.stdout, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: json.dumps(v, ensure_ascii=False) if isinstance(v, list) else v for k, v in row.items()})
