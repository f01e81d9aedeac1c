"""What the commands share: days and the warehouse as options, and how values are written."""

from __future__ import annotations

import datetime as dt
import sys
from decimal import Decimal
from typing import Any

import click
from rich.console import Console

from hive_io import Span


class _Day(click.ParamType[dt.date]):
    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.date:
        if isinstance(value, dt.date):
            return value
        try:
            return dt.date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no day; write it like 2026-01-31", param, ctx)


class _Moment(click.ParamType[dt.datetime]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        if isinstance(value, dt.datetime):
            return value
        try:
            moment = dt.datetime.fromisoformat(str(value))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fail(f"{value!r} is no moment; write it like 2026-01-31T10:00Z", param, ctx)
        return moment


DAY = _Day()
MOMENT = _Moment()
from_option = click.option("--from", "first", type=DAY, required=True, help="First day.")
to_option = click.option("--to", "end", type=DAY, required=True, help="The day after the last one.")
warehouse_option = click.option("--warehouse", metavar="DIR|URL", help="The warehouse; else FRAUD_WAREHOUSE, else ./warehouse.")
first_option = click.option("--from", "first", type=DAY, help="First day; else all.")
end_option = click.option("--to", "end", type=DAY, help="The day after the last one; else all.")
format_option = click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)


def span_between(first: dt.date, end: dt.date) -> Span:
    """The days from `--from` to the day before `--to`.

    Raises:
        click.BadParameter: there is none.
    """
    if end <= first:
        raise click.BadParameter(f"--to ({end}) is the day after the last one, so it comes after --from ({first})")
    return Span.days(first, end - dt.timedelta(days=1))


def span_or_all(first: dt.date | None, end: dt.date | None) -> Span | None:
    """As `span_between`; a side that is not given is open, and both open are None."""
    return span_between(first or dt.date(1970, 1, 1), end or dt.date(9999, 1, 1)) if first or end else None


def console() -> Console:
    # piped, a table is as wide as it needs to be
    return Console() if sys.stdout.isatty() else Console(width=160)


def plain(value: object) -> object:
    """A value that JSON has no type for, as text.

    Raises:
        TypeError: it is none of those that tables have.
    """
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(type(value).__name__)
