"""`fraud rules promote` and `fraud rules lock`: the life of a rule."""

from __future__ import annotations

import datetime as dt
import difflib
import getpass
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from fraud_assets.atomic_write import write_atomically
from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.lake import read_lake
from fraud_assets.cli.options import DAY, console, plain, warehouse_option
from fraud_assets.cli.records import print_record
from fraud_assets.cli.rule_trial import assigned, days_to_try
from fraud_assets.cli.safe_text import json_text, visible
from fraud_assets.configured_rules import rule_book, rule_folders
from fraud_assets.detection.overrides import read_overrides
from fraud_assets.detection.rule import Rule
from fraud_assets.detection.rule_book import RuleBook
from fraud_assets.errors import RuleError
from fraud_assets.evaluation.rule_quality import last_known_day
from fraud_assets.settings import Settings, read_settings
from fraud_assets.workshop.gate import NEXT, Finding, Limits, check_examples, check_life, check_trial, lost_frauds, refused
from fraud_assets.workshop.history import (
    Recorded,
    add_to_history,
    history_of_file,
    history_of_folder,
    record_of,
    records_of,
    unrecorded,
)
from fraud_assets.workshop.lock import LOCK, differences, lock_text, locked_rules, read_lock
from fraud_assets.workshop.rules_file import with_entry
from fraud_assets.workshop.trial import Workbench, with_params
from fraud_assets.workshop.versions import stored_versions, versions_of
from hive_io.locations import warehouse_exists

_LIMITS = Limits()


@click.command()
@click.argument("name")
@click.option("--to", "target", type=click.Choice(["shadow", "active", "retired"]), help="Status. [default: the next one]")
@click.option("--set", "given", metavar="PARAM=VALUE", multiple=True, help="Value of a param. Can be repeated.")
@click.option("--why", default="", help="Reason, kept in the rules file. Required to retire a rule.")
@click.option("--by", default=getpass.getuser, show_default="your user name", help="Who promotes the rule.")
@click.option("--from", "first", type=DAY, help="First day to try, YYYY-MM-DD. [default: as for `fraud rules try`]")
@click.option("--until", "end", type=DAY, help="Day after the last day to try.")
@click.option("--least-noticed", type=click.FloatRange(0, 1), default=_LIMITS.noticed, show_default=True,
              help="Share of mistakes in the rule that its examples must notice.")  # fmt: skip
@click.option("--least-days", type=click.IntRange(0), default=_LIMITS.days, show_default=True,
              help="Days tried of which nearly all frauds are known.")  # fmt: skip
@click.option("--least-frauds", type=click.IntRange(0), default=_LIMITS.frauds, show_default=True,
              help="Known frauds in the days tried.")  # fmt: skip
@click.option("--least-precision", type=click.FloatRange(0, 1), default=_LIMITS.precision, show_default=True,
              help="Precision of the rule's hits.")  # fmt: skip
@click.option("--most-alerts-a-day", type=float, default=_LIMITS.alerts_a_day, show_default=True,
              help="Alerts a day that all rules together may gain.")  # fmt: skip
@click.option("--most-frauds-lost", type=click.IntRange(0), default=_LIMITS.frauds_lost, show_default=True,
              help="Known frauds that no alert may find any more.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show the change, and write nothing.")
@warehouse_option
def promote(
    name: str,
    target: str | None,
    given: Sequence[str],
    why: str,
    by: str,
    first: dt.date | None,
    end: dt.date | None,
    least_noticed: float,
    least_days: int,
    least_frauds: int,
    least_precision: float,
    most_alerts_a_day: float,
    most_frauds_lost: int,
    dry_run: bool,
    warehouse: str | None,
) -> None:
    """Put a rule or its params into force, if it passes a gate.

    A rule is a draft, then in shadow, then active, and in the end retired. The change is written into the rules file that
    FRAUD_RULES_FILE names, for review; nothing else is changed.
    """
    settings = read_settings(warehouse=warehouse)
    if settings.rules_file is None:
        raise RuleError("Set FRAUD_RULES_FILE to the rules file that the change is written to; an empty file will do")
    limits = Limits(least_noticed, least_days, least_frauds, least_precision, most_alerts_a_day, most_frauds_lost)
    rule = _rule(settings, name)
    params = dict(assigned(text) for text in given)
    changed = with_params(rule, params)
    target = target or NEXT[rule.status]
    check_life(rule, target, bool(params), why)
    remark = f"{current_clock().today()}, {by}: {rule.status} to {target}{f': {why}' if why.strip() else ''}"
    before, after = _change(settings.rules_file, name, _entry(changed, target, params), remark)
    findings = _findings(settings, rule, changed, target, limits, (first, end))
    for finding in findings:
        click.echo(visible(f"{'passed' if finding.passed else 'FAILED'}  {finding.said}"))
    if problems := refused(findings):
        raise RuleError(f"{name} is not promoted to {target}: {'; '.join(problems)}")
    _write(settings.rules_file, before, after, dry_run)
    if not dry_run:
        record = record_of(replace(changed, status=target), current_clock().now(), by, why.strip(), findings)
        path = history_of_file(settings.rules_file)
        others = [] if path.exists() else unrecorded(rule_book(settings).rules.values(), settings.rules_file)
        earlier = [record_of(each, record.at, by, "as before the first promotion") for each in others if each.name != name]
        add_to_history(path, [*earlier, record])


def _rule(settings: Settings, name: str) -> Rule:
    book = rule_book(settings)
    if name not in book.rules:
        raise RuleError(f"There is no rule {name}; the rules are {', '.join(book.rules)}")
    return book.rules[name]


def _findings(
    settings: Settings, rule: Rule, changed: Rule, target: str, limits: Limits, days: tuple[dt.date | None, dt.date | None]
) -> list[Finding]:
    findings = [] if target == "retired" else check_examples(rule, limits)
    alerts = target == "active" or rule.status == "active"
    if alerts:
        lake = read_lake(settings)
        as_of = last_known_day(lake, current_clock().today())
        bench = Workbench(rule_book(settings), lake, days_to_try(lake, *days, as_of), as_of)
        trial = bench.try_rule(changed, alerting=target == "active")
        findings += check_trial(trial, limits) if target == "active" else [lost_frauds(trial, limits)]
    return findings


def _entry(changed: Rule, target: str, params: dict[str, Any]) -> dict[str, Any]:
    names = dict.fromkeys(param.partition(".")[0] for param in params)
    entry: dict[str, Any] = {"status": target}
    if names:
        entry["params"] = {name: changed.file.values[name] for name in names}
    return entry


def _change(path: Path, name: str, entry: dict[str, Any], remark: str) -> tuple[str, str]:
    """The text of a rules file before and after a change."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    return before, with_entry(before, name, entry, remark)


def _write(path: Path, before: str, after: str, dry_run: bool) -> None:
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), str(path), lineterm=""):
        click.echo(visible(line))
    if dry_run:
        return
    write_atomically(path, after)
    read_overrides(path)
    click.echo(f"{path} is changed. Review and commit it; the next run uses it", err=True)


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a rule changed or vanished without the lock file.")
@click.option("--why", default="", help="Reason, kept in the history of each rule that changed.")
@click.option("--by", default=getpass.getuser, show_default="your user name", help="Who reviewed the change.")
def lock(check: bool, why: str, by: str) -> None:
    """Write the versions of the rule files into rules.lock.

    The file stands beside them, and rules.history keeps who locked each version, when and why. A version changes with the SQL,
    params, weight, severity, reason and lookback. If a rules file has a history, versions that it makes are recorded there.
    """
    settings = read_settings()
    book = rule_book(settings)
    now = current_clock().now()
    for folder in rule_folders(settings):
        rules, path = locked_rules(folder, book.apis), folder / LOCK
        found = differences(read_lock(folder), rules)
        if check and found:
            listed = "\n".join(f"  {each}" for each in found)
            raise RuleError(f"{path} does not fit the rules:\n{listed}\nReview the change, then run `fraud rules lock`")
        if not check:
            new = rules.items() - read_lock(folder).items()
            write_atomically(path, lock_text(rules))
            changed = [book.rules[name].as_written for name, _ in sorted(new)]
            if changed:
                add_to_history(history_of_folder(folder), [record_of(rule, now, by, why.strip()) for rule in changed])
        click.echo(f"{path}: {len(rules)} rules" + ("" if check else "".join(f"\n  {each}" for each in found)))
    if settings.rules_file is not None:
        _lock_rules_file(settings.rules_file, book, check, record=lambda rule: record_of(rule, now, by, why.strip()))


def _lock_rules_file(path: Path, book: RuleBook, check: bool, record: Callable[[Rule], Recorded]) -> None:
    history = history_of_file(path)
    if not history.exists():
        return
    found = unrecorded(book.rules.values(), path)
    named = ", ".join(rule.name for rule in found)
    if check and found:
        raise RuleError(f"{path} changes {named} otherwise than {history} says. Review it, then run `fraud rules lock --why …`")
    if found:
        add_to_history(history, [record(rule) for rule in found])
    click.echo(f"{history}: {f'{named} recorded' if found else 'nothing changed'}")


@click.command("history")
@click.argument("name")
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="Output format; JSON has the SQL, too.")  # fmt: skip
@warehouse_option
def history(name: str, output: str, warehouse: str | None) -> None:
    """Show the versions of rule NAME, with who, when and why.

    It also shows the days that each computed. The versions are those of rules.history, of the rules file's history, and of the
    table rule_versions, if the warehouse exists.
    """
    settings = read_settings(warehouse=warehouse)
    rule = _rule(settings, name)
    stored = stored_versions(read_lake(settings), name) if warehouse_exists(settings.warehouse) else []
    versions = versions_of(rule, records_of(rule, settings.rules_file), stored)
    if output == "json":
        click.echo(json_text([asdict(each) for each in versions], plain))
        return
    screen = console()
    for each in versions:
        fields = [each.version, each.status, f"{each.at:%Y-%m-%d %H:%M} UTC, {each.by}" if each.at else "not recorded"]
        fields += [f"computed {each.first_day} to {each.last_day}"] if each.first_day else []
        fields += ["in force"] if each.in_force else []
        texts = [f"why: {each.why}"] if each.why else []
        texts += [", ".join(f"{param} {value}" for param, value in each.params.items())] if each.params else []
        print_record(screen, fields, [*texts, *each.findings])
