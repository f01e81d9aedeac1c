"""`fraud hive`: an Apache Hive server on this machine, for development."""

from __future__ import annotations

from pathlib import Path

import click

from fraud_assets.local_hive import server

_folder_option = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/hive"),
    show_default=True,
    help="Folder of the server's jars, metastore, log and staged files.",
)


@click.group()
def hive() -> None:
    """Start and stop an Apache Hive server on this machine, for development.

    The server needs Java 17 and Maven.
    """


@hive.command()
@_folder_option
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=server.PORT,
    show_default=True,
    help="Port of HiveServer2 on the loopback interface.",
)
def start(folder: Path, port: int) -> None:
    """Start HiveServer2 in the background.

    The command prints the FRAUD_WAREHOUSE of the server. The first start downloads the jars with Maven.
    """
    running = server.start(folder, folder / "jars", port=port)
    click.echo(f"FRAUD_WAREHOUSE={running.url}")


@hive.command()
@_folder_option
def stop(folder: Path) -> None:
    """Stop the server; its tables are kept."""
    click.echo("Stopped" if server.stop(folder) else f"No server is running in {folder}")


@hive.command()
@_folder_option
def status(folder: Path) -> None:
    """Print the FRAUD_WAREHOUSE of the running server.

    The exit code is 1 if no server is running.
    """
    running = server.status(folder)
    if running is None:
        raise click.ClickException(f"No server is running in {folder}; start one with `fraud hive start`")
    click.echo(f"FRAUD_WAREHOUSE={running.url}")
