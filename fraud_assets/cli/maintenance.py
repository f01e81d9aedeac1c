"""`fraud upkeep`: compaction and vacuum."""

from __future__ import annotations

from collections.abc import Sequence

import click
from dagster import AssetObservation
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.options import console, warehouse_option
from fraud_assets.defs.maintenance import FILES, GROWTH, MIB, ROWS
from fraud_assets.runs.batch import run_maintenance
from fraud_assets.settings import read_settings


@click.command()
@warehouse_option
def upkeep(warehouse: str | None) -> None:
    """Compact small files and delete files of replaced rows.

    Files of past days are compacted. Files of replaced rows are deleted when their retention ends: after FRAUD_KEEP_DAYS, or
    after an hour for tables that `fraud watch` writes. No row changes.
    """
    _print_sizes(console(), run_maintenance(read_settings(warehouse=warehouse), current_clock()))


def _print_sizes(console: Console, observations: Sequence[AssetObservation]) -> None:
    """Print the size of each table on disk, and its growth. Names of tables are never cut."""
    table = RichTable(box=SIMPLE_HEAD, title="Upkeep of the warehouse", title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("Table", no_wrap=True)
    for name in (FILES, MIB, ROWS, "merged", f"+ {MIB}", f"+ {ROWS}"):
        table.add_column(name, justify="right", overflow="fold")
    for observation in observations:
        figures = {name: value.value for name, value in observation.metadata.items()}
        files = f"{figures[f'{FILES} before']:,} → {figures[FILES]:,}"
        size = f"{figures[MIB]:,.2f}"
        compacted = str(figures["days compacted"])
        growth = [
            f"{figures[name + GROWTH]:+,.{digits}f}" if name + GROWTH in figures else ""
            for name, digits in ((MIB, 2), (ROWS, 0))
        ]
        table.add_row(observation.asset_key.path[-1], files, size, f"{figures[ROWS]:,}", compacted, *growth)
    console.print(table)
    console.print("merged: days whose small files became one. + MiB, + rows: growth since the last upkeep.")
