"""`fraud rules try`: what a changed rule would do on stored days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.lake import read_lake
from fraud_assets.cli.options import DAY, console, span_between, warehouse_option
from fraud_assets.cli.records import print_record
from fraud_assets.cli.rule_quality import amounts, matured_days, percent_between
from fraud_assets.cli.safe_text import json_text, visible
from fraud_assets.configured_rules import rule_book
from fraud_assets.detection.overrides import Overrides
from fraud_assets.detection.rule import Rule
from fraud_assets.detection.rule_book import RuleBook, read_rule
from fraud_assets.detection.rule_facts import written
from fraud_assets.errors import RuleError
from fraud_assets.evaluation.maturity import learn
from fraud_assets.evaluation.rule_quality import last_known_day, read_delays
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import read_settings
from fraud_assets.sql import bounded_yaml
from fraud_assets.workshop.trial import Compared, Example, Point, Tally, Trial, Workbench, sweep_values, with_params
from hive_io import Reader, Span
from hive_io.table import DAY as A_DAY

DEFAULT_DAYS = 28
"""Days that are tried if none are named: the last ones whose frauds are nearly all known."""


@click.command("try")
@click.argument("name", required=False)
@click.option("--set", "given", metavar="PARAM=VALUE", multiple=True, help="Value of a param. Can be repeated.")
@click.option("--sweep", metavar="PARAM=A..B[..STEP]", help="Try each value from A to B, at most 50. [default: in ten steps]")
@click.option(
    "--file",
    "path",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Try this rule file, in place of the rule of its name if there is one.",
)
@click.option("--from", "first", type=DAY, help=f"First day, YYYY-MM-DD. [default: {DEFAULT_DAYS} days before --to]")
@click.option("--to", "end", type=DAY, help="Day after the last day, YYYY-MM-DD. [default: until frauds are nearly all known]")
@click.option(
    "--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
@warehouse_option
def try_rule(
    name: str | None,
    given: Sequence[str],
    sweep: str | None,
    path: Path | None,
    first: dt.date | None,
    end: dt.date | None,
    output: str,
    warehouse: str | None,
) -> None:
    """Try other params of a rule, or another file, on stored days.

    It reads stored transactions and features, asks no source and writes nothing. The hits of the rule in force and of the
    changed one are both computed anew; the hits of other rules are those stored. The changed rule counts as active.
    """
    settings = read_settings(warehouse=warehouse)
    lake = read_lake(settings)
    book = rule_book(settings)
    changed = with_params(_rule(book, name, path), dict(assigned(text) for text in given))
    as_of = last_known_day(lake, current_clock().today())
    bench = Workbench(book, lake, days_to_try(lake, first, end, as_of), as_of)
    if sweep is not None:
        param, values = _split(sweep)
        points = bench.sweep(
            changed, param, sweep_values(changed, param, values), lambda value: with_params(changed, {param: value})
        )
        if output == "json":
            click.echo(json_text({**_facts(bench, changed), "param": param, "points": [_point(each) for each in points]}))
        else:
            _print_sweep(console(), bench, changed, param, points)
        return
    trial = bench.try_rule(changed)
    if output == "json":
        click.echo(json_text(as_json(trial)))
    else:
        print_trial(console(), trial)


def days_to_try(lake: Reader, first: dt.date | None, end: dt.date | None, as_of: dt.date) -> Span:
    """The days that are named, or else the last 28 mature ones; without enough labels, the last 28 with transactions."""
    name = TRANSACTIONS.table.full_name
    stored = (
        [ds for ds, rows in lake.partitions(name).items() if rows] if TRANSACTIONS.table.name in lake.tables(DATABASE) else []
    )
    if not stored and (first is None or end is None):
        raise RuleError("The warehouse has no transactions yet; fill it with `fraud run`")
    if end is None:
        last = min(dt.date.fromisoformat(max(stored)), as_of)
        maturity = learn(read_delays(lake, last - (DEFAULT_DAYS - 1) * A_DAY, as_of), as_of)
        days = [last - number * A_DAY for number in range(DEFAULT_DAYS * 3)]
        end = next((day for day in days if maturity.is_mature(day)), last) + A_DAY
    if first is None:
        first = max(end - DEFAULT_DAYS * A_DAY, min(dt.date.fromisoformat(min(stored)), end - A_DAY))
    return span_between(first, end)


def _rule(book: RuleBook, name: str | None, path: Path | None) -> Rule:
    if path is not None:
        rule = read_rule(path, Overrides(), book.apis)
        if name not in (None, rule.name):
            raise RuleError(f"{path} is rule {rule.name}; a rule has the name of its file. Rename it, or leave out {name}")
        return rule
    if name is None:
        raise click.UsageError("Name a rule, or a file with --file.")
    if name not in book.rules:
        raise RuleError(f"There is no rule {name}; the rules are {', '.join(book.rules)}")
    return book.rules[name]


def _split(text: str) -> tuple[str, str]:
    param, equals, value = text.partition("=")
    if not equals or not param or not value:
        raise click.BadParameter(f"expected param=value, found {text!r}")
    return param.strip(), value.strip()


def assigned(text: str) -> tuple[str, Any]:
    """A param and its value, written as in a rules file: `name=value`."""
    param, value = _split(text)
    try:
        return param, bounded_yaml.load(value)
    except yaml.YAMLError as error:
        raise click.BadParameter(f"{param}: {value!r} is not a value: {bounded_yaml.problem(error)}") from None


# --- output -------------------------------------------------------------------------------------------------------------


def as_json(trial: Trial) -> dict[str, Any]:
    """A trial as JSON."""
    return {
        "rule": trial.rule.name,
        "version": trial.rule.version,
        "version_in_force": trial.in_force.version if trial.in_force else None,
        "status_in_force": trial.in_force.status if trial.in_force else None,
        "params": {name: written(value) for name, value in trial.rule.file.values.items()},
        "changed": {name: {"before": before, "after": after} for name, (before, after) in changes(trial).items()},
        "from": trial.span.first_day.isoformat(),
        "to": trial.span.end.date().isoformat(),
        "labels_known_by": trial.maturity.as_of.isoformat(),
        "transactions": trial.transactions,
        "hits": _compared(trial.hits, trial.days),
        "alerts": _compared(trial.alerts, trial.days),
        "gained": [_example(each) for each in trial.gained],
        "lost": [_example(each) for each in trial.lost],
    }


def changes(trial: Trial) -> dict[str, tuple[str | None, str | None]]:
    """Params whose values differ from those in force, as written in a rules file."""
    old = {name: written(value) for name, value in trial.in_force.file.values.items()} if trial.in_force else {}
    new = {name: written(value) for name, value in trial.rule.file.values.items()}
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}


def _facts(bench: Workbench, rule: Rule) -> dict[str, Any]:
    span = bench.span
    return {"rule": rule.name, "from": span.first_day.isoformat(), "to": span.end.date().isoformat(),
            "labels_known_by": bench.as_of.isoformat()}  # fmt: skip


def _compared(each: Compared, days: int) -> dict[str, Any]:
    return {side: _tally(getattr(each, side), days) for side in ("before", "after", "gained", "lost")}


def _tally(each: Tally, days: int) -> dict[str, Any]:
    return {
        "count": each.count,
        "a_day": round(each.count / days, 3),
        "frauds": each.frauds,
        "money": {currency: str(amount) for currency, amount in each.money.items()},
        "matured": each.matured,
        "matured_frauds": each.matured_frauds,
        "precision": each.precision,
    }


def _point(each: Point) -> dict[str, Any]:
    return {
        "value": str(each.value),
        "in_force": each.is_in_force,
        "hits": _tally(each.hits, each.days),
        "alerts": _tally(each.alerts, each.days),
    }


def _example(each: Example) -> dict[str, Any]:
    return {"transaction_id": each.transaction_id, "ds": each.ds, "reason": each.reason, "is_fraud": each.is_fraud}


def print_trial(console: Console, trial: Trial) -> None:
    """Print the hits and alerts gained and lost, with examples."""
    in_force = trial.in_force
    against = f"version {in_force.version}, {in_force.status}" if in_force else "no rule of this name is evaluated"
    console.print(
        visible(f"{trial.rule.name}, version {trial.rule.version}, tried on {trial.span}; in force: {against}."), markup=False
    )
    for name, (before, after) in changes(trial).items():
        console.print(visible(f"  {name}: {before or '(none)'} -> {after or '(none)'}"), markup=False, highlight=False)
    table = RichTable(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in ("Count", "A day", "Frauds", "Money of frauds", "Precision"):
        table.add_column(column, justify="right", overflow="fold")
    for what, compared in (("Hits", trial.hits), ("Alerts", trial.alerts)):
        for side, sign in (("before", ""), ("after", ""), ("gained", "+"), ("lost", "-")):
            tally: Tally = getattr(compared, side)
            table.add_row(f"{what} {side}", *_cells(tally, trial.days, sign), end_section=side == "lost")
    console.print(table)
    for title, examples in (("Gained", trial.gained), ("Lost", trial.lost)):
        for each in examples:
            label = {True: "fraud", False: "honest", None: "no label"}[each.is_fraud]
            print_record(console, [title, each.transaction_id, each.ds, label], [each.reason])
    console.print(matured_days(trial.span, trial.maturity), style="dim")
    console.print("Both versions were computed anew; hits of other rules are those stored. Nothing was written.", style="dim")


def _cells(tally: Tally, days: int, sign: str = "") -> list[str]:
    return [
        f"{sign if tally.count else ''}{tally.count:,}",
        f"{tally.count / days:,.1f}",
        f"{tally.frauds:,}",
        amounts(tally.money),
        percent_between(tally.precision, tally.precision_interval),
    ]


def _print_sweep(console: Console, bench: Workbench, rule: Rule, param: str, points: Sequence[Point]) -> None:
    title = f"{rule.name} on {bench.span}, labels known by {bench.as_of}; * is in force"
    table = RichTable(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in (param, "Hits", "A day", "Frauds", "Money of frauds", "Precision", "Alerts a day", "Frauds in alerts"):
        table.add_column(column, justify="right", overflow="fold")
    for each in points:
        mark = " *" if each.is_in_force else ""
        found = [f"{each.alerts.count / each.days:,.1f}", f"{each.alerts.frauds:,}"]
        table.add_row(f"{each.value}{mark}", *_cells(each.hits, each.days), *found)
    console.print(table)
    console.print("Alerts are those of all active rules, with this one. Nothing was written.", style="dim")
