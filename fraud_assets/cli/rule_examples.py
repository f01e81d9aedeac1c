"""`fraud rules test`: the examples of rules, and the mistakes that they would not notice."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from fraud_assets.cli.safe_text import json_text, visible
from fraud_assets.configured_rules import rule_book
from fraud_assets.detection.rule import Rule
from fraud_assets.errors import RuleError, SettingsError
from fraud_assets.settings import read_settings
from fraud_assets.workshop.examples import Examples, examples_file, read_examples
from fraud_assets.workshop.mutants import Mutation, mutate
from hive_io import Reader
from hive_io.locations import open_warehouse


@dataclass(frozen=True)
class Tested:
    """Result of the examples of a rule; no examples, if it has none."""

    rule: Rule
    examples: Examples | None
    failures: Sequence[str] = ()
    mutation: Mutation | None = None


@click.command("test")
@click.argument("name", required=False)
@click.option("--on", "server", metavar="URL", help="Run the queries on this HiveServer2. Nothing is created there.")
@click.option("--mutate", "mutated", is_flag=True, help="Make small mistakes in each rule, and show those no example notices.")
@click.option(
    "--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
def test_rules(name: str | None, server: str | None, mutated: bool, output: str) -> None:
    """Run the examples of rule NAME, or of every rule.

    The examples of a rule stand beside it, in NAME.examples.yaml. They hold for the params in the rule file.
    """
    if server is not None and mutated:
        raise click.UsageError("--mutate runs without a server; leave out --on.")
    if server is not None and "://" not in server:
        raise SettingsError(f"--on expects hive://user@host:port/database, found {server}")
    settings = read_settings(warehouse=server)
    book = rule_book(settings)
    if name is not None and name not in book.rules:
        raise RuleError(f"There is no rule {name}; the rules are {', '.join(book.rules)}")
    on = open_warehouse(settings.warehouse, settings.warehouse_password, read_only=True) if server is not None else None
    chosen = [book.rules[name]] if name is not None else [*book.rules.values()]
    tested = []
    for rule in chosen:
        each = tested_rule(rule, on, mutated)
        tested.append(each)
        if output == "table":
            _print(each)
    if output == "json":
        click.echo(json_text([_as_json(each) for each in tested]))
    if any(each.failures for each in tested) or (name is not None and tested[0].examples is None):
        sys.exit(1)


def tested_rule(rule: Rule, on: Reader | None = None, mutated: bool = False) -> Tested:
    """Run the examples of a rule, and on each mutant if they pass.

    Raises:
        RuleError: the file with the examples has mistakes.
    """
    examples = read_examples(rule)
    if examples is None:
        return Tested(rule, None)
    failures = examples.failures(on=on)
    return Tested(rule, examples, failures, mutate(examples) if mutated and not failures else None)


def _print(each: Tested) -> None:
    click.echo(visible(_line(each)))
    for failure in each.failures:
        click.echo(visible(f"  {failure}"))
    for mutant in each.mutation.unnoticed if each.mutation else ():
        click.echo(visible(f"  {each.rule.file.path}:{mutant.line}: nothing would notice {mutant.change}"))

    for change in each.mutation.stale if each.mutation else ():
        click.echo(visible(f"  {examples_file(each.rule)}: listed as equivalent, but noticed or not there: {change}"))


def _line(each: Tested) -> str:
    if each.examples is None:
        return f"{each.rule.name}: no examples; write them in {examples_file(each.rule)}"
    count = len(each.examples.examples)
    line = f"{each.rule.name}: {count} examples, " + (f"{len(each.failures)} failures" if each.failures else "all pass")
    if each.mutation and each.mutation.share is not None:
        noticed = each.mutation.mutants - len(each.mutation.unnoticed)
        line += f"; {noticed} of {each.mutation.mutants} mistakes noticed ({each.mutation.share:.0%})"
        if each.mutation.equivalent:
            line += f", {each.mutation.equivalent} change nothing"
    if bare := [param for param in each.rule.file.meta.params if param not in each.examples.bounded]:
        line += f"; no boundary of {', '.join(bare)}"
    return line


def _as_json(each: Tested) -> dict[str, Any]:
    row: dict[str, Any] = {
        "rule": each.rule.name,
        "examples": len(each.examples.examples) if each.examples else 0,
        "failures": [*each.failures],
        "without_boundary": [
            param for param in each.rule.file.meta.params if each.examples is None or param not in each.examples.bounded
        ],
    }
    if each.mutation:
        row["mutants"] = each.mutation.mutants
        row["equivalent"] = each.mutation.equivalent
        row["stale"] = [*each.mutation.stale]
        row["unnoticed"] = [{"line": mutant.line, "change": mutant.change} for mutant in each.mutation.unnoticed]
    return row
