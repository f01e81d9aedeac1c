"""`fraud upkeep`: compaction and vacuum."""

from __future__ import annotations

from collections.abc import Sequence

import click
from dagster import AssetObservation
from rich.console import Console
from rich.table import Table as RichTable

from fraud_assets.cli.options import console, warehouse_option
from fraud_assets.runs.batch import run_upkeep
from fraud_assets.settings import read_settings


@click.command()
@warehouse_option
def upkeep(warehouse: str | None) -> None:
    """Put small files of past days together, and delete those of rows replaced long ago; no row changes."""
    _show(console(), run_upkeep(read_settings(warehouse=warehouse)))


def _show(console: Console, observed: Sequence[AssetObservation]) -> None:
    """What the tables take on disk, before and after."""
    names = list(dict.fromkeys(name for each in observed for name in each.metadata))
    table = RichTable("Table", title="Upkeep of the lake", title_justify="left")
    for name in names:
        table.add_column(name, justify="right")
    for each in observed:
        values = [each.metadata[name].value if name in each.metadata else "" for name in names]
        table.add_row(each.asset_key.path[-1], *(f"{v:,}" if isinstance(v, int | float) else str(v) for v in values))
    console.print(table)
