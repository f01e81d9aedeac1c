"""Terminal output of `fraud rejected`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from fraud_assets.cli.records import print_record
from fraud_assets.cli.safe_text import visible
from fraud_assets.ingestion.quarantine import Refusals
from fraud_assets.ingestion.quarantine_retry import Retried
from hive_io.table import ranges

_PAYLOAD_LENGTH = 300
"""Characters of a payload that a table shows."""


def print_counts(console: Console, counts: Sequence[Refusals]) -> None:
    """Print the number of rejected rows by table, day of arrival and claim."""
    table = RichTable("Table", "Day", "Claim", title="Rejected rows by day of arrival", title_justify="left")
    table.add_column("Rows", justify="right")
    for count in counts:
        table.add_row(count.table, count.day, escape(visible(count.claim)), f"{count.rows:,}")
    console.print(table if counts else "No rejected rows.")


def print_rows(console: Console, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print rejected rows with the beginning of their payloads, which the caller has masked."""
    if not rows:
        console.print("No rejected rows.")
        return
    console.print(title, style="italic", markup=False, highlight=False)
    for row in rows:
        print_record(console, [row["day"], row["row_id"][:12], ", ".join(row["claims"])], [_shortened(row["payload"])])


def print_retries(console: Console, table: str, done: Sequence[Retried], commands: Sequence[str]) -> None:
    """Print the outcome of a retry, the days that changed, and the commands that backfill downstream tables."""
    taken, known, refused = (sum(getattr(day, count) for day in done) for count in ("taken", "known", "refused"))
    console.print(
        f"{table}: {taken:,} rows loaded, {known:,} removed as already loaded, {refused:,} still rejected", highlight=False
    )
    known_on = _ranges(day for each in done for day in each.known_on)
    if known_on:
        console.print(
            f"Already loaded on {known_on}. If an earlier retry was interrupted, run these days as well.", highlight=False
        )
    changed = _ranges(day for each in done for day in each.changed)
    console.print(f"Changed days: {changed or 'none'}", highlight=False)
    if commands:
        console.print("Downstream tables are unchanged. Backfill them with:")
    for command in commands:
        console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def _ranges(days: Iterable[str]) -> str:
    return ", ".join(map(str, ranges(map(dt.date.fromisoformat, days))))


def _shortened(text: str) -> str:
    return text if len(text) <= _PAYLOAD_LENGTH else f"{text[:_PAYLOAD_LENGTH]}… ({len(text):,} characters)"
