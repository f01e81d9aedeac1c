"""`fraud rules`: listing, checking, documenting and creating rules."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from fraud_assets.checkout import CHECKOUT
from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.lake import read_lake
from fraud_assets.cli.options import DAY, console, format_option, source_option, warehouse_option
from fraud_assets.cli.records import print_record
from fraud_assets.cli.rule_examples import test_rules
from fraud_assets.cli.rule_near import near
from fraud_assets.cli.rule_promotion import history, lock, promote
from fraud_assets.cli.rule_quality import quality
from fraud_assets.cli.rule_trial import try_rule
from fraud_assets.cli.safe_text import json_text, visible, write_csv
from fraud_assets.configured_rules import rule_book
from fraud_assets.detection import rule_facts
from fraud_assets.detection.overrides import Status
from fraud_assets.detection.rule import SEVERITIES, Rule, readable
from fraud_assets.detection.rule_book import RuleBook, read_rule_book
from fraud_assets.detection.rule_check import READABLE, orphaned_tables, orphans_named
from fraud_assets.detection.rule_pages import lagging, pages, write_pages
from fraud_assets.detection.scaffold import ListRead, write_scaffold
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.plan_check import check_plans
from fraud_assets.errors import ListError, RuleError
from fraud_assets.lists.files import check_name, read_lists
from fraud_assets.lists.keys import COLUMNS, KEYS, ONE_AT_A_TIME
from fraud_assets.schemas.catalog import fixed_tables
from fraud_assets.settings import Settings, read_settings
from fraud_assets.workshop.history import not_held
from fraud_assets.workshop.lock import read_lock
from hive_io import PARTITION, Span
from hive_io.locations import warehouse_exists


@click.group()
def rules() -> None:
    """List, check, test, try, promote, measure, document and create rules."""


rules.add_command(quality)
rules.add_command(history)
rules.add_command(lock)
rules.add_command(near)
rules.add_command(promote)
rules.add_command(test_rules)
rules.add_command(try_rule)


@rules.command("list")
@click.option(
    "--status",
    type=click.Choice(get_args(Status)),
    multiple=True,
    help="Only rules of this status. Can be repeated.",
)
@click.option("--severity", type=click.Choice(SEVERITIES), multiple=True, help="Only rules of this severity. Can be repeated.")
@format_option
def list_rules(status: Sequence[str], severity: Sequence[str], output: str) -> None:
    """List the rules, with their params in force."""
    book = rule_book(read_settings())
    chosen = [
        rule
        for rule in book.rules.values()
        if (not status or rule.status in status) and (not severity or rule.severity in severity)
    ]
    if output == "table":
        _print_rules(console(), chosen)
        return
    rows = [
        {
            "rule": rule.name,
            "severity": rule.severity,
            "status": rule.status,
            "weight": str(rule.weight),
            "version": rule.version,
            "params": {name: _param_value(value) for name, value in rule.file.values.items()},
            "description": rule.file.meta.description,
        }
        for rule in chosen
    ]
    if output == "json":
        click.echo(json_text(rows))
    else:
        columns = ["rule", "severity", "status", "weight", "version", "params", "description"]
        write_csv(sys.stdout, columns, [{**row, "params": json.dumps(row["params"], ensure_ascii=False)} for row in rows])


def _print_rules(console: Console, rules: Sequence[Rule]) -> None:
    for rule in rules:
        params = ", ".join(f"{name}: {_param_value(value)}" for name, value in rule.file.values.items())
        fields = [rule.name, rule.severity, rule.status, f"weight {rule.weight}", f"version {rule.version}"]
        print_record(console, fields, [rule.file.meta.description, *([params] if params else [])])
    if not rules:
        console.print("No rules.")


def _param_value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{currency or 'not named'} {amount}" for currency, amount in value.items())
    return str(value)


@rules.command("show")
@click.argument("name")
@click.option("--day", type=DAY, help="Day of the HiveQL, YYYY-MM-DD. [default: today, UTC]")
def show_rule(name: str, day: dt.date | None) -> None:
    """Show rule NAME, with its params in force and its HiveQL."""
    book = rule_book(read_settings())
    _print_rule(console(), _named(book, name))
    day = day or current_clock().today()
    click.echo(f"HiveQL for {day}, as sent to the warehouse:\n")
    click.echo(visible(str(Engine(book).query(name, Span.days(day, day)))))


def _named(book: RuleBook, name: str) -> Rule:
    if name not in book.rules:
        raise RuleError(f"There is no rule {name}; the rules are {', '.join(book.rules)}")
    return book.rules[name]


def _print_rule(console: Console, rule: Rule) -> None:
    meta = rule.file.meta
    console.print(f"[bold]{escape(visible(meta.title))}[/bold] ({rule.name})", highlight=False)
    console.print(escape(visible(meta.description)), highlight=False)
    console.print(f"Blind spot: {escape(visible(meta.blind_spot))}", highlight=False)
    facts = RichTable(show_header=False, box=None)
    for label, value, default in (
        ("Status", rule.status, meta.status),
        ("Severity", rule.severity, meta.severity),
        ("Weight", rule.weight, meta.weight),
    ):
        facts.add_row(label, f"{value}" if value == default else f"{value} (set by the rules file; default: {default})")
    facts.add_row("Version", rule.version)
    facts.add_row("Source", escape(visible(meta.source)))
    facts.add_row("File", escape(visible(str(rule.file.path))))
    console.print(facts)
    for param in rule_facts.params(rule):
        set_by = "rules file" if param.is_overridden else "default"
        fields = [param.name, f"{param.value} ({set_by})", f"default {param.default}", f"bounds {param.bounds}"]
        print_record(console, fields, [param.description])
    if not rule.file.values:
        console.print("No params.")
    reads = RichTable("Reads", "Rows")
    for table, rows in rule_facts.reads(rule).items():
        reads.add_row(table, rows)
    console.print(reads)


@rules.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@source_option
@warehouse_option
def check(folder: Path | None, source: Path | None, warehouse: str | None) -> None:
    """Check every rule file of the package, or of FOLDER.

    Errors are reported by file and line. If the warehouse exists, it also plans the query of every rule, without running it.
    Rules may read the extra columns of the source file.
    """
    settings = read_settings(warehouse=warehouse, source=source)
    book = rule_book(settings, folder)
    if not warehouse_exists(settings.warehouse):
        click.echo(f"No warehouse in {settings.warehouse}: no query was planned", err=True)
    else:
        lake = read_lake(settings)
        found = check_plans(Engine(book), lake, current_clock().today())
        # another folder may hold a part of the rules
        if folder is None and (orphans := orphaned_tables(lake, book.rules)):
            click.echo(orphans_named(orphans), err=True)
        if found.wrong:
            raise RuleError("\n".join(found.wrong))
        if found.waiting:
            missing = ", ".join(sorted(found.waiting))
            click.echo(f"Rules that read {missing} were not planned: these do not exist yet", err=True)
        click.echo(f"The warehouse can run {len(found.planned)} of {len(book.evaluated)} rules", err=True)
    own = settings.rules_folder if folder is None else None
    if own is not None and not read_lock(own):
        click.echo(not_held(own), err=True)
    count = sum(rule.file.path.parent == own for rule in book.rules.values())
    of_own = f", {count} of them in {own}" if own else ""
    click.echo(f"{len(book.rules)} rules and {len(book.features)} features are valid{of_own}")


@rules.command("tables")
@click.argument("name", required=False)
def tables_read(name: str | None) -> None:
    """Show the tables that a rule may read, or one's columns.

    Extra columns of the source file that FRAUD_SOURCE names are among them.
    """
    tables = readable(fixed_tables(rule_book(read_settings()).apis))
    if name is None:
        for each in sorted(READABLE):
            print_record(console(), [each], [tables[each].description])
        return
    if name not in READABLE:
        raise RuleError(f"A rule cannot read {name}; it may read {', '.join(sorted(READABLE))}")
    for column in tables[name].columns:
        print_record(console(), [column.name, column.type], [column.description] if column.description else [])
    print_record(console(), [PARTITION, "STRING"], ["The day in UTC, such as 2026-01-31."])


@rules.command()
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the pages, for example docs/rules.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a page is out of date.")
def docs(out: Path, check: bool) -> None:
    """Write a page for each rule, and an index.

    The pages hold the front matter of the rule files.
    """
    book = read_rule_book()
    if not check:
        click.echo(f"{len(write_pages(book, out))} of {len(pages(book))} pages written to {out}")
    elif outdated := lagging(book, out):
        raise RuleError(f"{out} is out of date: {', '.join(outdated)}. Update it with `fraud rules docs --out {out}`")
    else:
        click.echo(f"{len(pages(book))} pages in {out} are up to date")


@rules.command()
@click.argument("name")
@click.option(
    "--folder",
    "checkout",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Checkout of this project to write to. [default: FRAUD_RULES_FOLDER, or the checkout that this command runs from]",
)
@click.option(
    "--list",
    "listed",
    metavar="NAME KEY",
    nargs=2,
    help="Create a rule that reads this list of `fraud lists`; KEY is what is listed, such as card.",
)
def new(name: str, checkout: Path | None, listed: tuple[str, str] | None) -> None:
    """Create rule NAME, and examples of it.

    It is a small working rule in shadow, whose examples pass.
    """
    settings = read_settings()
    own = settings.rules_folder if checkout is None else None
    rule, examples = write_scaffold(name, checkout or CHECKOUT, own, _list_read(settings, *listed) if listed else None)
    click.echo(f"{rule}\n{examples}\nEdit both, then run: fraud rules check; fraud rules test {name}")


def _list_read(settings: Settings, name: str, key: str) -> ListRead:
    if key not in ONE_AT_A_TIME:
        raise ListError(f"expected one of {', '.join(ONE_AT_A_TIME)}, found {key}")
    check_name(name, Path("--list"))
    kind = next((each.kind for each in read_lists(settings.lists) if each.name == name), "block")
    return ListRead(name, key, KEYS[key], COLUMNS[key], kind)
