"""`fraud lists`: block and watch lists, and the allow list, which is the suppressions of cases."""

from __future__ import annotations

import csv
import datetime as dt
import getpass
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import click
from rich.console import Console

from fraud_assets.cases.model import Suppression, SuppressionKind
from fraud_assets.cases.store import CaseStore
from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.lake import open_lake, read_lake
from fraud_assets.cli.options import SINCE, console, warehouse_option
from fraud_assets.cli.records import print_record
from fraud_assets.cli.safe_text import json_text
from fraud_assets.errors import ListError
from fraud_assets.lists.files import (
    ALLOW,
    BLACKLIST,
    KINDS,
    Entry,
    NamedList,
    add_entries,
    read_lists,
    remove_entry,
    written,
)
from fraud_assets.lists.keys import KEYS, Key, Kind
from fraud_assets.lists.review import ENDS_WITHIN
from fraud_assets.lists.rows import MATCH_DAYS, list_rows, matches
from fraud_assets.schemas.lists import LISTS
from fraud_assets.settings import Settings, read_settings
from hive_io import Span
from hive_io.locations import warehouse_exists

_ALLOWED = ("customer", "merchant")
"""Keys of the allow list."""


@click.group()
def lists() -> None:
    """Keep block, watch and allow lists.

    Block and watch lists are files in FRAUD_LISTS_FOLDER; rules read them as the table `lists`. The list `allow` is the
    suppressions of cases: an alert of a customer or merchant on it opens no case unless it is graver than stated, and each
    alert that it hides is counted.
    """


@lists.command()
@click.argument("name")
@click.argument("key", type=click.Choice([*KEYS]), required=False)
@click.argument("value", required=False)
@click.option("--why", required=True, help="Reason, kept with the entry.")
@click.option("--by", default=getpass.getuser, show_default="your user name", help="Who adds the entry.")
@click.option("--kind", type=click.Choice(KINDS), help="Kind of a new list.")
@click.option("--from", "start", type=SINCE, help="Time from which the entry counts. [default: now]")
@click.option("--until", type=SINCE, help="Time at which the entry ends. Required for the allow list. [default: no end]")
@click.option(
    "--file",
    "path",
    metavar="CSV",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Add the rows of this file: columns key, value and, if you like, reason.",
)
@warehouse_option
def add(
    name: str,
    key: str | None,
    value: str | None,
    why: str,
    by: str,
    kind: str | None,
    start: dt.datetime | None,
    until: dt.datetime | None,
    path: Path | None,
    warehouse: str | None,
) -> None:
    """Add VALUE to list NAME, or the rows of a file.

    KEY says what is listed; a pair is CUSTOMER+MERCHANT. An entry counts from when it was added, never for earlier
    transactions. If the warehouse exists, its rules know the entry from their next run.
    """
    if (path is None) == (value is None):
        raise click.UsageError("Give a KEY and a VALUE, or --file.")
    settings, now = read_settings(warehouse=warehouse), current_clock().now()
    start = max(now, start or now)
    rows = [(key, value, why)] if path is None else [*_rows(path, why)]
    new = [Entry(cast(Key, k), v.strip(), reason.strip(), by, now, start, until) for k, v, reason in cast(list[Any], rows)]
    if name == ALLOW:
        _allow(settings, new, now)
        return
    changed = add_entries(_folder(settings), name, cast(Kind | None, kind), new)
    click.echo(f"{changed.path}: {len(new):,} added, {sum(each.counts_at(start) for each in changed.entries):,} count")
    _store(settings, now)


@lists.command()
@click.argument("name")
@click.argument("key", type=click.Choice([*KEYS]))
@click.argument("value")
@click.option("--why", required=True, help="Reason, kept with the entry.")
@click.option("--by", default=getpass.getuser, show_default="your user name", help="Who removes the entry.")
@warehouse_option
def remove(name: str, key: str, value: str, why: str, by: str, warehouse: str | None) -> None:
    """End the entry of VALUE on list NAME now.

    It stays in the file, since it counts for earlier transactions. An entry of the allow list gives back what it hid.
    """
    settings, now = read_settings(warehouse=warehouse), current_clock().now()
    if name == ALLOW:
        store = CaseStore.open(settings.desk_database_url, create=False)
        found = [each for each in store.suppressions(now) if (each.kind, each.value) == (key, value)]
        if not found:
            raise ListError(f"The allow list has no {key} {value}")
        for each in found:
            done = store.lift(each.number, by, now)
            click.echo(f"{key} {value} ended: {done.opened:,} cases opened, {done.raised + done.merged:,} alerts joined one")
        return
    remove_entry(_folder(settings), name, cast(Key, key), value, now, by, why)
    click.echo(f"{key} {value} is on {name} until {written(now)}")
    _store(settings, now)


@lists.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Also entries that have ended.")
@click.option(
    "--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
@warehouse_option
def show(name: str | None, everything: bool, output: str, warehouse: str | None) -> None:
    """Show the entries of list NAME, or of every list.

    With a warehouse, it shows how many transactions of the last 90 days each entry names.
    """
    settings, now = read_settings(warehouse=warehouse), current_clock().now()
    shown = [*_entries(settings, now, everything), *_allowed(settings, now, everything), *_of_the_source(settings, now)]
    if name is not None:
        names = sorted({ALLOW, BLACKLIST, *(each.name for each in read_lists(settings.lists))})
        if name not in names:
            raise ListError(f"There is no list {name}; the lists are {', '.join(names)}")
        shown = [each for each in shown if each["list"] == name]
    if output == "json":
        click.echo(json_text(shown))
        return
    screen = console()
    for each in shown:
        _print(screen, each)
    if not shown:
        screen.print("No entries.", highlight=False)


def _folder(settings: Settings) -> Path:
    if settings.lists is None:
        raise ListError("Set FRAUD_LISTS_FOLDER, or FRAUD_RULES_FOLDER, to the folder that keeps the lists")
    return settings.lists


def _rows(path: Path, why: str) -> Iterator[tuple[str, str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            columns = {*(rows.fieldnames or ())}
            if not {"key", "value"} <= columns or columns - {"key", "value", "reason"}:
                found = ", ".join(rows.fieldnames or ()) or "none"
                raise ListError(f"{path}:1: expected the columns key, value and, if you like, reason; found {found}")
            for row in rows:
                if row["key"] not in KEYS or row["value"] is None or None in row:
                    raise ListError(
                        f"{path}:{rows.line_num}: expected one of {', '.join(KEYS)} and a value, found {row['key']}"
                    )
                yield row["key"], row["value"], row.get("reason") or why
    except (UnicodeDecodeError, csv.Error) as error:
        raise ListError(f"{path}: expected CSV in UTF-8: {error}") from None


def _allow(settings: Settings, new: Sequence[Entry], now: dt.datetime) -> None:
    if wrong := sorted({each.key for each in new} - {*_ALLOWED}):
        raise ListError(f"The allow list has customers and merchants, found {', '.join(wrong)}; a rule is narrowed by its SQL")
    if any(each.ends_at is None for each in new):
        raise ListError("An entry of the allow list ends within a year; give the time with --until")
    if any(each.starts_at > now for each in new):
        raise ListError("An entry of the allow list counts from now; leave out --from")
    store = CaseStore.open(settings.desk_database_url, create=False)
    for each in new:
        until = cast(dt.datetime, each.ends_at)
        made = store.suppress(SuppressionKind(each.key), each.value, until, each.owner, each.reason, now)
        click.echo(
            f"Alerts of {each.key} {made.value} up to {made.severity} and below {made.below_score} open no case until "
            f"{written(made.until)}; `fraud cases suppress` has other bounds"
        )


def _store(settings: Settings, now: dt.datetime) -> None:
    """Write today's rows of `lists`, so that the next run of the rules, or the next micro-batch, reads them."""
    if not warehouse_exists(settings.warehouse):
        click.echo(f"No warehouse in {settings.warehouse}: the next `fraud run` reads the list", err=True)
        return
    lake, today = open_lake(settings), Span.days(now.date(), now.date())
    lake.ensure_table(LISTS)
    lake.replace(LISTS, list_rows(read_lists(settings.lists), lake, today), today)


def _entries(settings: Settings, now: dt.datetime, everything: bool) -> Iterator[dict[str, Any]]:
    found: list[tuple[NamedList, Entry]] = [
        (each, entry)
        for each in read_lists(settings.lists)
        for entry in each.entries
        if everything or entry.counts_until is None or now < entry.counts_until
    ]
    keys = {entry.key for _, entry in found}
    known = None
    if keys and warehouse_exists(settings.warehouse):
        lake = read_lake(settings)
        days = lake.partitions(LISTS.full_name) if LISTS.name in lake.tables(LISTS.database) else {}
        known = matches(lake, dt.date.fromisoformat(max(days)), keys) if days else {}
    for each, entry in found:
        count, last = (known or {}).get((each.name, entry.key, entry.value_key), (0, None))
        soon = entry.counts_at(now) and entry.counts_until is not None and entry.counts_until <= now + ENDS_WITHIN
        yield {
            "list": each.name,
            "kind": each.kind,
            "key": entry.key,
            "value": entry.value,
            "reason": entry.reason,
            "owner": entry.owner,
            "starts_at": written(entry.starts_at),
            "ends_at": written(entry.counts_until) if entry.counts_until else None,
            "ends_soon": bool(soon),
            "transactions": None if known is None else count,
            "last_transaction": written(last) if last else None,
            "removed_because": entry.removed_why or None,
        }


def _allowed(settings: Settings, now: dt.datetime, everything: bool) -> Iterator[dict[str, Any]]:
    from fraud_assets.cases.lake import desk_at

    store = desk_at(settings.desk_database_url)
    for each in store.suppressions(None if everything else now) if store else []:
        if each.kind in _ALLOWED:
            yield _suppression(each, now)


def _suppression(each: Suppression, now: dt.datetime) -> dict[str, Any]:
    end = each.lifted_at or each.until
    return {
        "list": ALLOW,
        "kind": "allow",
        "key": str(each.kind),
        "value": each.value,
        "reason": each.why,
        "owner": each.by,
        "starts_at": written(each.at),
        "ends_at": written(end),
        "ends_soon": each.is_active(now) and end <= now + ENDS_WITHIN,
        "hides": f"up to {each.severity}, below {each.below_score}",
        "alerts_hidden": each.hidden,
    }


def _of_the_source(settings: Settings, now: dt.datetime) -> Iterator[dict[str, Any]]:
    """The blacklist on the latest stored day."""
    if not warehouse_exists(settings.warehouse):
        return
    lake = read_lake(settings)
    name = f"{LISTS.database}.{BLACKLIST}"
    days = (
        [ds for ds in lake.partitions(name) if ds <= now.date().isoformat()] if BLACKLIST in lake.tables(LISTS.database) else []
    )
    if not days:
        return
    day = dt.date.fromisoformat(max(days))
    for row in list_rows([], lake, Span.days(day, day)).to_pylist():
        yield {
            "list": BLACKLIST,
            "kind": row["kind"],
            "key": row["key_name"],
            "value": row["value"],
            "reason": row["reason"] or "",
            "owner": row["owner"],
            "starts_at": row["ds"],
            "ends_at": None,
            "ends_soon": False,
        }


def _print(screen: Console, each: dict[str, Any]) -> None:
    fields = [each["list"], each["kind"], f"{each['key']} {each['value']}", f"from {each['starts_at']}"]
    if each["ends_at"]:
        fields.append(f"until {each['ends_at']}{', soon' if each['ends_soon'] else ''}")
    if each.get("transactions") is not None:
        count = each["transactions"]
        last = f", last {each['last_transaction']}" if count else ""
        fields.append(f"{count:,} transactions in {MATCH_DAYS} days{last}")
    if "hides" in each:
        fields += [each["hides"], f"{each['alerts_hidden']:,} alerts hidden"]
    texts = [f"{each['owner']}: {each['reason']}"]
    if each.get("removed_because"):
        texts.append(f"removed: {each['removed_because']}")
    print_record(screen, fields, texts)
