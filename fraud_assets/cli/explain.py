"""`fraud explain`: why a transaction was flagged, or was not."""

from __future__ import annotations

import datetime as dt

import click

from fraud_assets.cli.explanation import explanation, explanation_json
from fraud_assets.cli.lake import open_lake
from fraud_assets.cli.options import MOMENT, console, warehouse_option
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.explain.explain import explain as explain_transaction
from fraud_assets.settings import read_settings


@click.command()
@click.argument("transaction")
@warehouse_option
@click.option("--as-of", "moment", type=MOMENT, help="Read every table as it was then, like 2026-01-31T10:00Z.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain(transaction: str, warehouse: str | None, moment: dt.datetime | None, form: str) -> None:
    """Say why a TRANSACTION was flagged, or was not: its score, its customer, and every rule, with how far from a hit."""
    settings = read_settings(warehouse=warehouse)
    engine = Engine(read_rule_book(overrides=settings.rules_file))
    found = explain_transaction(engine, open_lake(settings), transaction, as_of=moment)
    if form == "json":
        click.echo(explanation_json(found))
    else:
        explanation(console(), found)
