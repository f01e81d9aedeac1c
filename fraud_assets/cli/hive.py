"""`fraud hive`: an Apache Hive on this machine, for development."""

from __future__ import annotations

from pathlib import Path

import click

from fraud_assets.local_hive import server

_folder = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/hive"),
    show_default=True,
    help="Where its jars, its metastore, its log and the staged files are.",
)


@click.group()
def hive() -> None:
    """An Apache Hive server on this machine, for development; needs Java 17 and Maven."""


@hive.command()
@_folder
@click.option("--port", type=click.IntRange(1, 65535), default=server.PORT, show_default=True)
def start(folder: Path, port: int) -> None:
    """Start HiveServer2 on loopback, in the background; the first time, Maven brings its jars."""
    running = server.start(folder, folder / "jars", port=port)
    click.echo(f"FRAUD_WAREHOUSE={running.url}")


@hive.command()
@_folder
def stop(folder: Path) -> None:
    """Stop it; its tables stay."""
    click.echo("stopped" if server.stop(folder) else f"no server runs in {folder}")


@hive.command()
@_folder
def status(folder: Path) -> None:
    """Say where it runs; exit code 1 if it does not."""
    running = server.status(folder)
    if running is None:
        raise click.ClickException(f"No server runs in {folder}; `fraud hive start` starts one")
    click.echo(f"FRAUD_WAREHOUSE={running.url}")
