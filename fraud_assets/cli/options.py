"""Options that several commands share, and how values are printed."""

from __future__ import annotations

import datetime as dt
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from fraud_assets.cli.safe_text import SafeConsole
from hive_io import Span

_FIRST_DAY, _LAST_DAY = dt.date(1900, 1, 1), dt.date(9999, 12, 30)
"""Days that a command takes: rules look back years before a day, and its end is the day after it."""


class _Day(click.ParamType[dt.date]):
    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.date:
        if isinstance(value, dt.date):
            return value
        try:
            day = dt.date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a valid date; use YYYY-MM-DD", param, ctx)
        if not _FIRST_DAY <= day <= _LAST_DAY:
            self.fail(f"{day} is not from {_FIRST_DAY} to {_LAST_DAY}", param, ctx)
        return day


class _Time(click.ParamType[dt.datetime]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        if isinstance(value, dt.datetime):
            return value
        try:
            time = dt.datetime.fromisoformat(str(value))
        except ValueError:
            time = None
        if time is None or time.tzinfo is None:
            self.fail(f"{value!r} is not a valid time with a time zone; use YYYY-MM-DDTHH:MMZ", param, ctx)
        try:
            return time.astimezone(dt.UTC)
        except OverflowError:
            self.fail(f"{value!r} is, in UTC, not within the years 1 to 9999", param, ctx)


class _Since(click.ParamType[dt.datetime]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        try:
            dt.date.fromisoformat(str(value))
        except ValueError:
            return TIME.convert(value, param, ctx)
        day = DAY.convert(value, param, ctx)
        return dt.datetime.combine(day, dt.time(), dt.UTC)


DAY = _Day()
TIME = _Time()
SINCE = _Since()
from_option = click.option("--from", "first", type=DAY, required=True, help="First day, YYYY-MM-DD.")
to_option = click.option("--to", "end", type=DAY, required=True, help="Day after the last day, YYYY-MM-DD.")
warehouse_option = click.option(
    "--warehouse", metavar="DIR|URL", help="The warehouse. [default: FRAUD_WAREHOUSE, or ./warehouse]"
)
source_option = click.option(
    "--source",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Source file that says where each table comes from. [default: FRAUD_SOURCE, or the APIs at FRAUD_SOURCE_URL]",
)
first_option = click.option("--from", "first", type=DAY, help="First day, YYYY-MM-DD. [default: the earliest]")
end_option = click.option("--to", "end", type=DAY, help="Day after the last day, YYYY-MM-DD. [default: after the latest]")
format_option = click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Output format.",
)


def span_between(first: dt.date, end: dt.date) -> Span:
    """The days from `--from` to the day before `--to`.

    Raises:
        click.BadParameter: there are none.
    """
    if end <= first:
        raise click.BadParameter(f"--to ({end}) is exclusive and must be after --from ({first})")
    return Span.days(first, end - dt.timedelta(days=1))


def span_or_all(first: dt.date | None, end: dt.date | None) -> Span | None:
    """As `span_between`, unbounded on a side that is not given; None if neither is."""
    return span_between(first or dt.date(1970, 1, 1), end or dt.date(9999, 1, 1)) if first or end else None


def console() -> Console:
    """A console on stdout, as wide as the terminal. When piped, it is as wide as COLUMNS says, or else 160 characters."""
    return SafeConsole() if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit() else SafeConsole(width=160)


def plain(value: object) -> object:
    """A DECIMAL or TIMESTAMP as text, for JSON and CSV.

    Raises:
        TypeError: any other type.
    """
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(type(value).__name__)
