"""`fraud explain`: why a transaction was flagged, or was not."""

from __future__ import annotations

import datetime as dt

import click

from fraud_assets.cli.explanation import explanation, explanation_json
from fraud_assets.cli.lake import read_lake
from fraud_assets.cli.options import TIME, console, warehouse_option
from fraud_assets.configured_rules import rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.explain.explain import explain as explain_transaction
from fraud_assets.settings import read_settings


@click.command()
@click.argument("transaction")
@warehouse_option
@click.option(
    "--as-of", "moment", type=TIME, help="Read every table as of this time, YYYY-MM-DDTHH:MMZ. [default: the latest version]"
)
@click.option(
    "--format", "output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output format."
)
def explain(transaction: str, warehouse: str | None, moment: dt.datetime | None, output: str) -> None:
    """Explain why a TRANSACTION was flagged, or why it was not.

    The explanation shows the factors of its score, the customer, and the outcome of every rule. If a rule did not hit, it shows
    by how much; if a rule could not judge the transaction, it shows why.
    """
    settings = read_settings(warehouse=warehouse)
    engine = Engine(rule_book(settings))
    found = explain_transaction(engine, read_lake(settings), transaction, as_of=moment)
    if output == "json":
        click.echo(explanation_json(found))
    else:
        explanation(console(), found)
