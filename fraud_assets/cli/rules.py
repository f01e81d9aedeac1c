"""`fraud rules`: which rules there are, what they are, whether they are right, and a new one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from fraud_assets.checkout import CHECKOUT
from fraud_assets.cli.lake import open_lake
from fraud_assets.cli.options import DAY, console, warehouse_option
from fraud_assets.detection import rule_facts
from fraud_assets.detection.rule import Rule
from fraud_assets.detection.rule_book import RULES_FOLDER, RuleBook, read_rule_book
from fraud_assets.detection.rule_pages import lagging, pages, write_pages
from fraud_assets.detection.scaffold import write_scaffold
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.plan_check import check_plans
from fraud_assets.errors import RuleError
from fraud_assets.settings import read_settings
from hive_io import Span
from hive_io.locations import warehouse_exists


@click.group()
def rules() -> None:
    """The rules in force, and new ones."""


@rules.command("list")
def list_rules() -> None:
    """List rules with severity, weight, state, version and params in force."""
    _print_rules(console(), read_rule_book(overrides=read_settings().rules_file))


@rules.command("show")
@click.argument("name")
@click.option("--day", type=DAY, help="The day of the HiveQL; else today.")
def show_rule(name: str, day: dt.date | None) -> None:
    """Say what rule NAME is, with params in force, what it reads, and its HiveQL as it runs for a day."""
    book = read_rule_book(overrides=read_settings().rules_file)
    rule = _named(book, name)
    _print_facts(console(), rule)
    day = day or dt.datetime.now(dt.UTC).date()
    click.echo(f"HiveQL for {day}, as the warehouse is given it:\n")
    click.echo(str(Engine(book).query(name, Span.days(day, day))))


def _named(book: RuleBook, name: str) -> Rule:
    if name not in book.rules:
        raise RuleError(f"There is no rule {name}; there are {', '.join(book.rules)}")
    return book.rules[name]


def _print_facts(console: Console, rule: Rule) -> None:
    meta = rule.file.meta
    console.print(f"[bold]{escape(meta.title)}[/bold] ({rule.name})", highlight=False)
    console.print(escape(meta.description), highlight=False)
    console.print(f"It cannot see: {escape(meta.blind_spot)}", highlight=False)
    facts = RichTable(show_header=False, box=None)
    for label, value, stated in (
        ("Status", rule.status, meta.status),
        ("Severity", rule.severity, meta.severity),
        ("Weight", rule.weight, meta.weight),
    ):
        facts.add_row(label, f"{value}" if value == stated else f"{value} (by the rules file; its own is {stated})")
    facts.add_row("Version", rule.version)
    facts.add_row("Source", escape(meta.source))
    facts.add_row("File", escape(str(rule.file.path)))
    console.print(facts)
    params = RichTable("Param", "In force", "Set by", "Default", "Bounds", "Meaning")
    for param in rule_facts.params(rule):
        set_by = "rules file" if param.is_overridden else "default"
        params.add_row(param.name, escape(param.value), set_by, escape(param.default), param.bounds, escape(param.description))
    console.print(params if params.rows else "No params.")
    reads = RichTable("Reads", "Rows")
    for table, rows in rule_facts.reads(rule).items():
        reads.add_row(table, rows)
    console.print(reads)


@rules.command()
@click.argument("name")
@click.option(
    "--folder",
    "checkout",
    type=click.Path(file_okay=False, path_type=Path),
    default=CHECKOUT,
    help="The checkout of this project to write to; else the one that this command is of.",
)
def new(name: str, checkout: Path) -> None:
    """Begin rule NAME: a small rule that works, as a shadow rule, and a test of it that passes."""
    rule, test = write_scaffold(name, checkout)
    click.echo(f"{rule}\n{test}\nChange both, then: fraud rules check; python -m pytest {test}")


@rules.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@warehouse_option
def check(folder: Path | None, warehouse: str | None) -> None:
    """Check every rule file, of the package or of FOLDER; what is wrong is said with file and line.

    Where there is a warehouse, it check_plans the query of every rule, too, and runs none.
    """
    settings = read_settings(warehouse=warehouse)
    book = read_rule_book(folder or RULES_FOLDER, overrides=settings.rules_file)
    if not warehouse_exists(settings.warehouse):
        click.echo(f"No warehouse in {settings.warehouse}: no query was planned by one", err=True)
    else:
        found = check_plans(Engine(book), open_lake(settings), dt.datetime.now(dt.UTC).date())
        if found.wrong:
            raise RuleError("\n".join(found.wrong))
        if found.waiting:
            click.echo(f"Rules that read {', '.join(sorted(found.waiting))} were not planned: no such table yet", err=True)
        click.echo(f"The warehouse can run {len(found.planned)} of {len(book.evaluated)} rules", err=True)
    click.echo(f"{len(book.rules)} rules and {len(book.features)} features are fine")


@rules.command()
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="The folder, for example docs/rules."
)
@click.option("--check", is_flag=True, help="Write nothing; fail where pages lag behind the rule files.")
def docs(out: Path, check: bool) -> None:
    """Write a page for each rule, and an index, from the front matter of the rule files."""
    book = read_rule_book()
    if not check:
        click.echo(f"{len(write_pages(book, out))} of {len(pages(book))} pages written to {out}")
    elif differing := lagging(book, out):
        raise RuleError(f"{out} lags behind the rule files: {', '.join(differing)}; `fraud rules docs --out {out}` writes them")
    else:
        click.echo(f"{len(pages(book))} pages in {out} are as the rule files say")


def _print_rules(console: Console, book: RuleBook) -> None:
    table = RichTable("Rule", "Severity", "Status", "Weight", "Version", "Params in force", "What it finds")
    for rule in book.rules.values():
        params = "\n".join(f"{name}: {_value(value)}" for name, value in rule.file.values.items())
        table.add_row(
            rule.name,
            rule.severity,
            rule.status,
            f"{rule.weight}",
            rule.version,
            escape(params),
            escape(rule.file.meta.description),
        )
    console.print(table)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{currency or 'not named'} {amount}" for currency, amount in value.items())
    return str(value)
