"""`fraud upkeep`: compaction and vacuum."""

from __future__ import annotations

from collections.abc import Sequence

import click
from dagster import AssetObservation
from rich.console import Console
from rich.table import Table as RichTable

from fraud_assets.cli.options import console, warehouse_option
from fraud_assets.runs.batch import run_maintenance
from fraud_assets.settings import read_settings


@click.command()
@warehouse_option
def upkeep(warehouse: str | None) -> None:
    """Compact small files and delete files of replaced rows.

    Files of past days are compacted. Files of replaced rows are deleted when their retention ends: after FRAUD_KEEP_DAYS, or
    after an hour for tables that `fraud watch` writes. No row changes.
    """
    _print_sizes(console(), run_maintenance(read_settings(warehouse=warehouse)))


def _print_sizes(console: Console, observations: Sequence[AssetObservation]) -> None:
    """Print the size of each table on disk, before and after."""
    names = list(dict.fromkeys(name for observation in observations for name in observation.metadata))
    table = RichTable("Table", title="Upkeep of the warehouse", title_justify="left")
    for name in names:
        table.add_column(name, justify="right")
    for observation in observations:
        values = [observation.metadata[name].value if name in observation.metadata else "" for name in names]
        cells = [f"{value:,}" if isinstance(value, int | float) else str(value) for value in values]
        table.add_row(observation.asset_key.path[-1], *cells)
    console.print(table)
