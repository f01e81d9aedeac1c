"""`fraud cases`: cases from alerts, decisions, suppressions, evidence."""

from __future__ import annotations

import datetime as dt
import getpass
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from fraud_assets.atomic_write import write_atomically
from fraud_assets.cases.evidence import as_html, evidence
from fraud_assets.cases.lake import write_decisions
from fraud_assets.cases.model import Case, Decision, Event, QueueFilter, ReasonCode, Status, SuppressionKind
from fraud_assets.cases.store import CaseStore
from fraud_assets.cases.sync import begin_at, sync_alerts
from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.lake import open_lake, read_lake
from fraud_assets.cli.options import DAY, SINCE, console, format_option, warehouse_option
from fraud_assets.cli.records import print_record
from fraud_assets.cli.safe_text import json_text, write_csv
from fraud_assets.configured_rules import rule_book
from fraud_assets.detection.rule import SEVERITIES
from fraud_assets.engine.engine import Engine
from fraud_assets.errors import CaseError
from fraud_assets.settings import Settings, read_settings
from hive_io import HiveIOError

_COLUMNS = (
    "case_id", "customer_id", "status", "severity", "score", "amounts", "alert_count", "rules", "headline", "opened_at",
    "updated_at", "assigned_to", "snoozed_until", "decision", "reason_code", "note", "decided_by", "decided_at", "former",
    "version",
)  # fmt: skip


@click.group()
def cases() -> None:
    """Open cases from alerts; list, decide, suppress and export them.

    A case holds the alerts of a customer that one decision settles. Cases are in the database of FRAUD_DESK_DATABASE.
    """


@cases.command()
@warehouse_option
@click.option(
    "--from",
    "first",
    type=DAY,
    help="From now on, leave out the alerts of the days before, YYYY-MM-DD. [default: as before; at first, all days]",
)
@click.option("--all", "everything", is_flag=True, help="Read also the days whose alerts did not change.")
def sync(warehouse: str | None, first: dt.date | None, everything: bool) -> None:
    """Open and raise cases by the alerts of the warehouse.

    Only days whose alerts changed since the last sync are read. Repeating it changes nothing.
    """
    settings = read_settings(warehouse=warehouse)
    lake = read_lake(settings)
    store = CaseStore.open(settings.desk_database_url)
    if first is not None:
        begin_at(store, first)
    done = sync_alerts(store, lake, current_clock().now(), everything=everything)
    waiting = store.count(QueueFilter(status=Status.OPEN))
    click.echo(
        f"{done.opened:,} cases opened, {done.raised:,} alerts raised a case, {done.merged:,} joined one, "
        f"{done.reopened:,} snoozed cases woken, {done.hidden:,} alerts hidden; {waiting:,} cases are open"
    )


@cases.command("list")
@warehouse_option
@click.option(
    "--status",
    type=click.Choice([*(each.value for each in Status), "all"]),
    default="open",
    show_default=True,
    help="Only cases with this status.",
)
@click.option("--severity", type=click.Choice(SEVERITIES), help="Only cases of this severity.")
@click.option("--rule", metavar="NAME", help="Only cases with a hit of this rule.")
@click.option("--customer", metavar="ID", help="Only cases of this customer.")
@click.option("--assigned-to", metavar="NAME", help="Only cases assigned to this person.")
@click.option("--min-score", type=click.FloatRange(0, 1), help="Only cases with at least this score.")
@click.option("--text", help="Only cases whose id, customer, merchants, transactions or reasons contain this text.")
@click.option("--limit", type=click.IntRange(1, 2**31 - 1), default=20, show_default=True, help="Maximum number of cases.")
@format_option
def list_cases(
    warehouse: str | None,
    status: str,
    severity: str | None,
    rule: str | None,
    customer: str | None,
    assigned_to: str | None,
    min_score: float | None,
    text: str | None,
    limit: int,
    output: str,
) -> None:
    """List cases, the most urgent first."""
    store = _existing(read_settings(warehouse=warehouse))
    wanted = QueueFilter(None if status == "all" else Status(status), severity, rule, customer, assigned_to, min_score, text)
    found = store.queue(wanted, limit)
    if output == "json":
        click.echo(json_text([_as_data(case) for case in found]))
    elif output == "csv":
        write_csv(sys.stdout, _COLUMNS, [_as_cells(case) for case in found])
    else:
        screen = console()
        for case in found:
            _print_case(screen, case)
        total = store.count(wanted)
        screen.print(f"{len(found):,} of {total:,} cases" if found else "No cases.", highlight=False)


@cases.command()
@click.argument("case_id", metavar="[CASE]", required=False)
@warehouse_option
@click.option("--transaction", metavar="ID", help="The case with the alert of this transaction, in place of CASE.")
@click.option(
    "--format", "output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output format."
)
def show(case_id: str | None, warehouse: str | None, transaction: str | None, output: str) -> None:
    """Show a CASE with its alerts and its history."""
    store = _existing(read_settings(warehouse=warehouse))
    case = _find(store, case_id, transaction)
    alerts, events = store.alerts(case.case_id), store.history(case.case_id)
    if output == "json":
        data = {**_as_data(case), "alerts": [_plain(asdict(a)) for a in alerts], "history": [_plain(asdict(e)) for e in events]}
        click.echo(json_text(data))
        return
    screen = console()
    _print_case(screen, case)
    screen.print("Alerts", style="italic")
    for alert in alerts:
        fields = [
            f"{alert.score:.3f}",
            alert.severity,
            alert.transaction_id,
            f"{alert.event_time:%Y-%m-%d %H:%M:%S}",
            f"{alert.amount:,} {alert.currency or ''}".strip(),
            alert.merchant_id,
        ]
        print_record(screen, fields, [f"{rule}: {why}" for rule, why in zip(alert.rules, alert.reasons, strict=True)])
    screen.print("History", style="italic")
    for event in events:
        print_record(screen, [f"{event.at:%Y-%m-%d %H:%M:%S}", event.by, event.kind], _told(event))


@cases.command()
@click.argument("case_id", metavar="[CASE]", required=False)
@click.option("--as", "decision", type=click.Choice([each.value for each in Decision]), required=True, help="The decision.")
@click.option("--reason", type=click.Choice([each.value for each in ReasonCode]), required=True, help="Why.")
@click.option("--note", help="A text for colleagues and auditors.")
@click.option("--by", metavar="NAME", help="Who decides. [default: the user of this machine]")
@click.option("--transaction", metavar="ID", help="The case with the alert of this transaction, in place of CASE.")
@click.option("--seen", type=click.IntRange(1), metavar="VERSION", help="Refuse if the case has changed since this version.")
@warehouse_option
def decide(
    case_id: str | None,
    decision: str,
    reason: str,
    note: str | None,
    by: str | None,
    transaction: str | None,
    seen: int | None,
    warehouse: str | None,
) -> None:
    """Decide a CASE, and with it the transactions of its alerts."""
    settings = read_settings(warehouse=warehouse)
    store = _existing(settings)
    case = _find(store, case_id, transaction)
    code = ReasonCode(reason)
    by = by or getpass.getuser()
    now = current_clock().now()
    decided = store.decide(case.case_id, Decision(decision), code, note, by, seen or case.version, now)
    click.echo(
        f"Case {decided.case_id} of customer {decided.customer_id} is decided as {decision} ({code}) by {by}, "
        f"with {decided.alert_count:,} transactions"
    )
    try:
        write_decisions(store, open_lake(settings))
    except HiveIOError as error:
        raise CaseError(
            f"The decision is stored, but not in the warehouse yet; the next decision or run adds it. {error}"
        ) from None


@cases.command()
@click.argument("case_id", metavar="CASE")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    required=True,
    help="The file to write: HTML with its JSON inside, or JSON if the name ends in .json.",
)
@warehouse_option
def export(case_id: str, out: Path, warehouse: str | None) -> None:
    """Write a CASE as one file for an auditor.

    It has the alerts as the case took them, the rows behind them with the versions of their tables, history and decisions, and
    the SHA-256 of each part. Columns with personal data are left out.
    """
    settings = read_settings(warehouse=warehouse)
    tables = Engine(rule_book(settings)).tables
    data = evidence(_existing(settings), case_id, read_lake(settings), tables, current_clock().now())
    try:
        write_atomically(out, json_text(data) + "\n" if out.suffix.lower() == ".json" else as_html(data))
    except OSError as error:
        raise CaseError(f"{out} cannot be written: {error.strerror}") from None
    click.echo(f"Case {case_id} is in {out}, SHA-256 of its parts {data['sha256']['all']}")


@cases.command()
@click.argument("kind", type=click.Choice([each.value for each in SuppressionKind]))
@click.argument("value")
@click.option("--until", type=SINCE, required=True, help="End: a day (UTC), or a time, YYYY-MM-DDTHH:MMZ.")
@click.option("--why", required=True, help="The reason, for colleagues and auditors.")
@click.option("--by", metavar="NAME", help="Who suppresses. [default: the user of this machine]")
@click.option(
    "--up-to", type=click.Choice(SEVERITIES), default="medium", show_default=True, help="The gravest severity to hide."
)
@click.option(
    "--below-score", type=click.FloatRange(0, 1, min_open=True), default=0.9, show_default=True, help="Hide scores below this."
)
@warehouse_option
def suppress(
    kind: str,
    value: str,
    until: dt.datetime,
    why: str,
    by: str | None,
    up_to: str,
    below_score: float,
    warehouse: str | None,
) -> None:
    """Hide alerts of a customer, rule or merchant for a time.

    Until then, new alerts open no case. Only those up to a severity and below a score are hidden, and each is counted. A rule
    hides an alert if no other rule hit. The alerts stay in fraud_alerts.
    """
    store = _existing(read_settings(warehouse=warehouse))
    now = current_clock().now()
    made = store.suppress(SuppressionKind(kind), value, until, by or getpass.getuser(), why, now, up_to, below_score)
    click.echo(
        f"Suppression {made.number}: alerts of {kind} {made.value} up to {made.severity} and below {made.below_score} "
        f"open no case until {made.until:%Y-%m-%d %H:%M} UTC"
    )


@cases.command()
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@click.option(
    "--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
@warehouse_option
def suppressions(everything: bool, output: str, warehouse: str | None) -> None:
    """List suppressions, and how many alerts each hid."""
    store = _existing(read_settings(warehouse=warehouse))
    now = current_clock().now()
    found = store.suppressions(None if everything else now)
    if output == "json":
        click.echo(json_text([{**_plain(asdict(each)), "active": each.is_active(now)} for each in found]))
        return
    screen = console()
    for each in found:
        ended = f"lifted by {each.lifted_by}" if each.lifted_by else "ended" if not each.is_active(now) else "active"
        fields = [
            f"suppression {each.number}",
            f"{each.kind} {each.value}",
            f"up to {each.severity}, below {each.below_score}",
            f"until {each.until:%Y-%m-%d %H:%M}",
            ended,
            f"{each.hidden:,} alerts hidden",
        ]
        print_record(screen, fields, [f"{each.by}: {each.why}"])
    if not found:
        screen.print("No suppressions.", highlight=False)


@cases.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--by", metavar="NAME", help="Who lifts it. [default: the user of this machine]")
@warehouse_option
def lift(number: int, by: str | None, warehouse: str | None) -> None:
    """End a suppression, and take the alerts that it hid."""
    store = _existing(read_settings(warehouse=warehouse))
    done = store.lift(number, by or getpass.getuser(), current_clock().now())
    click.echo(f"Suppression {number} is lifted: {done.opened:,} cases opened, {done.raised + done.merged:,} alerts joined one")


def _existing(settings: Settings) -> CaseStore:
    return CaseStore.open(settings.desk_database_url, create=False)


def _find(store: CaseStore, case_id: str | None, transaction: str | None) -> Case:
    if (case_id is None) == (transaction is None):
        raise CaseError("Give a CASE or --transaction, one of them")
    return store.case(case_id) if case_id is not None else store.case_of_transaction(str(transaction))


def _print_case(screen: Console, case: Case) -> None:
    amounts = ", ".join(f"{amount:,} {currency}".strip() for currency, amount in sorted(case.amounts.items()))
    fields = [
        f"case {case.case_id}",
        f"{case.score:.3f}",
        case.severity,
        case.customer_id,
        amounts,
        f"{case.alert_count:,} alert{'' if case.alert_count == 1 else 's'}",
        case.status if case.decision is None else f"{case.decision} ({case.reason_code}) by {case.decided_by}",
    ]
    if case.assigned_to:
        fields.append(f"assigned to {case.assigned_to}")
    if case.snoozed_until:
        fields.append(f"until {case.snoozed_until:%Y-%m-%d %H:%M}")
    print_record(screen, fields, [text for text in (case.headline, case.note) if text])


def _told(event: Event) -> list[str]:
    detail = {name: value for name, value in event.detail.items() if value not in (None, {}, []) and name != "before"}
    return [", ".join(f"{name} {_word(value)}" for name, value in detail.items())] if detail else []


def _word(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _as_data(case: Case) -> dict[str, Any]:
    data = asdict(case)
    return _plain({name: data[name] for name in _COLUMNS})


def _as_cells(case: Case) -> dict[str, Any]:
    data = _as_data(case)
    amounts = " ".join(f"{amount} {currency}".strip() for currency, amount in data["amounts"].items())
    return {**data, "amounts": amounts, "rules": list(case.rules)}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return _plain(value)
    if isinstance(value, (list, tuple)):
        return [_plain_value(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
