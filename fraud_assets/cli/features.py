"""`fraud features`: what is known of each transaction when it happens, and what its values are worth."""

from __future__ import annotations

import sys

import click
from rich.markup import escape
from rich.table import Table as RichTable
from sqlglot import exp

from fraud_assets.cli.options import console, format_option
from fraud_assets.cli.records import print_record
from fraud_assets.cli.safe_text import json_text, visible, write_csv
from fraud_assets.configured_rules import rule_book
from fraud_assets.detection.rule_book import RuleBook
from fraud_assets.errors import RuleError
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.scoring.card import Part
from fraud_assets.scoring.in_force import default_card
from fraud_assets.settings import read_settings
from hive_io import Column


@click.group()
def features() -> None:
    """List the features of transactions, and show one with its points."""


@features.command("list")
@format_option
def list_features(output: str) -> None:
    """List the features of transactions."""
    rows = [{"feature": each.name, "type": each.type, "meaning": each.description} for each in _columns(_book()).values()]
    if output == "json":
        click.echo(json_text(rows))
    elif output == "csv":
        write_csv(sys.stdout, ["feature", "type", "meaning"], rows)
    else:
        for row in rows:
            print_record(console(), [row["feature"], row["type"]], [row["meaning"]])


@features.command("show")
@click.argument("name")
def show_feature(name: str) -> None:
    """Show feature NAME: its HiveQL, and the points of its values.

    The points are those of FRAUD_SCORECARD, or of the default card. Learned cards are in the table scorecards.
    """
    book = _book()
    columns = _columns(book)
    if name not in columns:
        raise RuleError(f"There is no feature {name}; the features are {', '.join(columns)}")
    file = book.features[TRANSACTION_FEATURES.name]
    expression = _expression(file.tree(), name)
    out = console()
    print_record(out, [name, columns[name].type], [columns[name].description])
    click.echo(f"\n{file.path.name} computes it as\n\n{visible(expression.sql('hive', pretty=True))}")
    card = book.scorecard or default_card()
    for part in card.features:
        if part.feature == name:
            out.print(f"\nPoints, {escape(card.origin)}:")
            out.print(_points(part))


def _expression(tree: exp.Query, name: str) -> exp.Expr:
    """What a column of the query is computed from: the first that is more than the column of a subquery."""
    columns = [each for select in tree.find_all(exp.Select) for each in select.selects if each.alias_or_name == name]
    return next((each.unalias() for each in columns if not isinstance(each, exp.Column)), columns[0].unalias())


def _book() -> RuleBook:
    return rule_book(read_settings())


def _columns(book: RuleBook) -> dict[str, Column]:
    """The features by name: the columns of the table that have bins."""
    edges = book.features[TRANSACTION_FEATURES.name].meta.edges
    return {column.name: column for column in TRANSACTION_FEATURES.columns if column.name in edges}


def _points(part: Part) -> RichTable:
    table = RichTable()
    table.add_column("From", justify="right")
    table.add_column("Points", justify="right")
    for edge, points in zip(("", *map(str, part.edges)), part.points, strict=True):
        table.add_row(edge, str(points))
    table.add_row("not known", str(part.missing))
    return table
