"""Tables of rejected rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from fraud_assets.ingestion.quarantine import Refusals
from fraud_assets.ingestion.quarantine_retry import Retried
from hive_io.table import ranges


def refusals(console: Console, found: Sequence[Refusals]) -> None:
    table = RichTable("Table", "Day", "Claim", title="Refused rows, by the day they arrived", title_justify="left")
    table.add_column("Rows", justify="right")
    for each in found:
        table.add_row(each.table, each.day, escape(each.claim), f"{each.rows:,}")
    console.print(table if found else "No refused rows.")


def refused_rows(console: Console, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Refused rows, with the beginning of payloads that may be shown."""
    table = RichTable("Day", "Row", "Claims", title=title, title_justify="left", show_lines=True)
    table.add_column("Payload", overflow="fold", ratio=1)
    for row in rows:
        table.add_row(row["day"], row["row_id"][:12], escape("\n".join(row["claims"])), escape(_beginning(row["payload"])))
    console.print(table if rows else "No refused rows.")


def retried(console: Console, name: str, done: Sequence[Retried], commands: Sequence[str]) -> None:
    """What became of refused rows, which days changed, and how to compute what is made of them."""
    taken, known, refused = (sum(getattr(day, count) for day in done) for count in ("taken", "known", "refused"))
    console.print(f"{name}: {taken:,} rows taken in, {known:,} removed that it had, {refused:,} still refused", highlight=False)
    known_on = _days(day for each in done for day in each.known_on)
    if known_on:
        console.print(f"It had rows of {known_on}. Where an earlier retry was cut off, run those days, too.", highlight=False)
    changed = _days(day for each in done for day in each.changed)
    console.print(f"Days that changed: {changed or 'none'}", highlight=False)
    if commands:
        console.print("What is made of them (activity, rules, alerts) is as it was. This asks the source, and computes it:")
    for command in commands:
        console.print(f"  {escape(command)}", highlight=False, soft_wrap=True)


def _days(days: Iterable[str]) -> str:
    return ", ".join(map(str, ranges(map(dt.date.fromisoformat, days))))


def _beginning(text: str, length: int = 300) -> str:
    return text if len(text) <= length else f"{text[:length]}… ({len(text):,} characters)"
