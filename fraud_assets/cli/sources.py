"""`fraud sources`: check a source file, propose one, or serve a synthetic world or a labelled file behind the three APIs."""

from __future__ import annotations

import datetime as dt
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import click

from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.one_interrupt import unblock

SYNTHETIC_PORT = 5000
Command = TypeVar("Command", bound=Callable[..., Any])

_ROW_FAULTS = {
    "late": "Share of transactions that arrive minutes to days late.",
    "duplicates": "Share of transactions that are served again.",
    "corrected": "Share of transactions with a later, corrected version.",
    "malformed": "Share of transactions that violate a claim.",
    "odd": "Share of transactions with emoji, quotes and similar characters in the merchant's name; they violate no claim.",
    "malformed_others": "Share of customers, blacklist entries, credit scores and fraud reports that violate a claim.",
}
_REQUEST_FAULTS = {
    "errors": "Share of requests that are answered with 500.",
    "throttled": "Share of requests that are answered with 429 and a Retry-After.",
    "slow": "Share of requests that are answered late.",
    "cut": "Share of requests whose answer is truncated.",
    "repeated": "Share of pages that are served again, alone or together with rows of the next page.",
}


@click.group()
def sources() -> None:
    """Check a source file, propose one, or serve a synthetic world."""
    # a parent that ignores SIGTERM hands that on: Dagster does if SIGINT is ignored, as in a background job of a shell
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    unblock()


_port_option = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=SYNTHETIC_PORT,
    show_default=True,
    help="Port on the loopback interface; 0 picks a free one.",
)


def _share_options(faults: dict[str, str]) -> Callable[[Command], Command]:
    """Add an option for each fault, a share from 0 to 1."""

    def add(command: Command) -> Command:
        for name, text in reversed(faults.items()):
            option = click.option(f"--{name.replace('_', '-')}", type=click.FloatRange(0, 1), default=0.0, help=text)
            command = option(command)
        return command

    return add


@sources.command()
@_port_option
@click.option("--seed", type=int, default=7, show_default=True, help="Seed; the same seed and options give the same world.")
@click.option("--customers", type=click.IntRange(1), default=300, show_default=True, help="Number of customers.")
@click.option("--merchants", type=click.IntRange(60), default=200, show_default=True, help="Number of merchants.")
@click.option(
    "--fraud-rate",
    type=click.FloatRange(0, 0.5),
    default=0.004,
    show_default=True,
    help="Share of transactions that are fraudulent.",
)
@click.option(
    "--daily",
    type=click.FloatRange(0, 1000, min_open=True),
    default=4.0,
    show_default=True,
    help="Mean number of transactions of a customer per day.",
)
@_share_options(_ROW_FAULTS)
@_share_options(_REQUEST_FAULTS)
@click.option(
    "--seconds", type=click.FloatRange(0), default=2.0, show_default=True, help="With --slow: delay of an answer in seconds."
)
@click.option(
    "--retry-after",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="With --throttled: seconds to wait, as Retry-After says.",
)
@click.option("--rate", type=click.FloatRange(0, 1_000_000, min_open=True), help="Transactions per second from now on.")
@click.option("--lasts", type=click.IntRange(1), help="With --rate: seconds after which no more transactions occur.")
def serve(
    port: int,
    seed: int,
    customers: int,
    merchants: int,
    fraud_rate: float,
    daily: float,
    rate: float | None,
    lasts: int | None,
    **faults: Any,
) -> None:
    """Serve a synthetic world on the loopback interface.

    Its rows and answers have no faults unless options ask for them.
    """
    from mock_sources import Faults, HttpFaults, LoadedWorld, World, timestamps
    from mock_sources import serve as serve_source

    options: dict[str, Any] = {
        "seed": seed,
        "customers": customers,
        "merchants": merchants,
        "fraud_rate": fraud_rate,
        "daily": daily,
        "faults": Faults(**{name: faults.pop(name) for name in _ROW_FAULTS}),
    }
    now = timestamps.from_datetime(current_clock().now())
    world = World(**options) if rate is None else LoadedWorld(rate, now, lasts, **options)
    serve_source(world, port=port, http_faults=HttpFaults(**faults, seed=seed), ready=_print_address)


@sources.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
@_port_option
def serve_replay(file: Path, port: int) -> None:
    """Serve a labelled Parquet FILE on the loopback interface."""
    from mock_sources import LabelledReplay
    from mock_sources import serve as serve_source

    serve_source(LabelledReplay(file), port=port, ready=_print_address)


@sources.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--rows", type=click.IntRange(1), default=20_000, show_default=True, help="Size of the sample, spread over the files."
)
def check(file: Path, rows: int) -> None:
    """Check a source FILE before anything is loaded.

    Prints a sample of the rows as they would land, the rows that are rejected and why, the fields that are not mapped, and
    which rules will be able to judge. The exit code is 1 if a run would fail.
    """
    from fraud_assets.cli.options import console
    from fraud_assets.cli.source_report import print_outlooks, print_table
    from fraud_assets.cli.source_rules import filled_columns, outlooks, scale_warnings
    from fraud_assets.configured_rules import rule_book
    from fraud_assets.configured_source import connector_context
    from fraud_assets.ingestion.own_data.mapped_source import MappedSource
    from fraud_assets.ingestion.own_data.source_check import check_table
    from fraud_assets.schemas.sources import API_TABLES, TRANSACTIONS
    from fraud_assets.settings import read_settings
    from hive_io.locations import open_warehouse

    settings = read_settings(source=file)
    out = console()
    key = settings.mask_key.get_secret_value() if settings.mask_key else None
    faults: list[str] = []
    with ExitStack() as stack:
        opened = cache(lambda: stack.enter_context(closing(open_warehouse(settings.warehouse, settings.warehouse_password))))
        source = stack.enter_context(MappedSource.of(file, key, replace(connector_context(settings), warehouse=opened)))
        reports = {}
        for name, table in source.file.tables.items():
            report = reports[name] = check_table(source, name, rows, current_clock().now())
            print_table(out, report, table, settings.rejected_limit)
            if report.rejected_share > settings.rejected_limit:
                faults.append(
                    f"{name}: {report.rejected_share:.0%} of the rows are rejected; the limit is {settings.rejected_limit:.0%}"
                )
            elif not report.valid and name == TRANSACTIONS.table.name:
                faults.append(f"{name}: no row would be loaded")
        transactions = reports.get(TRANSACTIONS.table.name)
        if transactions is not None and transactions.rows is not None and transactions.valid:
            absent = {name for name in API_TABLES if name not in source.file.tables} if source.apis is None else set()
            api = source.file.tables[TRANSACTIONS.table.name].api
            empty = set(api.paths) - filled_columns(transactions.null_shares)
            currencies = transactions.rows.column("currency").unique().to_pylist()
            book = rule_book(settings)
            print_outlooks(out, outlooks(book, absent, empty, currencies))
            for warning in scale_warnings(book, transactions.rows):
                out.print(f"[yellow]Warning:[/] {warning}")
        if faults:
            raise click.ClickException(f"{file} would not run: " + "; ".join(faults))
        # of all rows: the sample may not reach the last day
        is_counted = transactions is not None and source.file.tables[TRANSACTIONS.table.name].origin.is_local
        counts = source.row_counts(TRANSACTIONS) if is_counted else {}
    if transactions is not None and transactions.days is not None and not is_counted:
        first, last = transactions.days
        end = dt.date.fromisoformat(last) + dt.timedelta(days=1)
        out.print("Days of the sample; the source may have more:")
        out.print(f"Next: fraud run --source {file} --from {first} --to {end}", soft_wrap=True)
    if counts:
        today = current_clock().today().isoformat()
        days = [day for day in sorted(counts) if day <= today]
        later = sum(rows for day, rows in counts.items() if day > today)
        out.print(f"Transactions: {sum(counts.values()):,} rows of {min(counts)} to {max(counts)}, on {len(counts):,} days.")
        if later:
            out.print(f"[yellow]Warning:[/] {later:,} of them are of days after today, which no run can load.")
        if days:
            end = dt.date.fromisoformat(days[-1]) + dt.timedelta(days=1)
            out.print(f"Next: fraud run --source {file} --from {days[0]} --to {end}", soft_wrap=True)


@sources.command()
@click.argument("data")
def guess(data: str) -> None:
    """Propose a source file for DATA, a file or a glob pattern in quotes.

    The proposal is printed; CHOOSE marks what only you can know. Save it, edit it, then `fraud sources check` it.
    """
    from fraud_assets.ingestion.own_data.source_guess import guess_source

    click.echo(guess_source(data), nl=False)


def _print_address(url: str) -> None:
    click.echo(f"Serving on {url}")
    sys.stdout.flush()
