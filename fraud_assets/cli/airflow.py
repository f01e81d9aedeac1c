"""`fraud airflow`: the asset graph as DAG files."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import click

from airflow_bridge.export.files import difference, write
from airflow_bridge.export.graph import Grain, read_graph, tasks
from airflow_bridge.export.render import VERSIONS, render
from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.settings import read_settings

_URL = re.compile(r"[A-Za-z0-9:/.~_\[\]%+-]+")
"""What a base URL consists of: letters in ASCII, so that no Markdown and no Python can be hidden in it."""


def _base_url(context: click.Context, option: click.Parameter, url: str) -> str:
    """A URL that people may follow from the DAG files: no secrets, no text that is not part of a URL."""
    if "@" in url:
        # the message omits the URL, which may have a password
        raise click.BadParameter("leave out user and password: the URL is written into the DAG files", context, option)
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise click.BadParameter("this is not a URL; write it like http://127.0.0.1:3000", context, option) from None
    if not valid or parts.query or parts.fragment or not _URL.fullmatch(url):
        raise click.BadParameter(f"{url!r} is not a base URL; write it like http://127.0.0.1:3000", context, option)
    return url


@click.group()
def airflow() -> None:
    """Export the asset graph to Airflow."""


@airflow.command()
@click.option(
    "--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), required=True, help="The DAG folder of Airflow."
)
@click.option("--check", is_flag=True, help="Write nothing; print the differences and exit with 1 if there are any.")
@click.option(
    "--airflow",
    "version",
    type=click.Choice(["3", "2"]),
    default="3",
    show_default=True,
    help="Major version of Airflow that runs the DAGs.",
)
@click.option(
    "--dagster-url",
    metavar="URL",
    callback=_base_url,
    default="http://127.0.0.1:3000",
    show_default=True,
    help="Base URL of the Dagster UI, for links from tasks to assets.",
)
@click.option(
    "--grain",
    type=click.Choice(["step", "stage"]),
    default="step",
    show_default=True,
    help="What one task runs: a step of Dagster, or a whole stage, for fewer and longer tasks.",
)
def export(out: Path, check: bool, version: str, dagster_url: str, grain: str) -> None:
    """Write the DAGs that close each day and refresh today.

    Each DAG is a file. DAG files of an earlier export that are no longer needed are deleted.
    """
    graph = read_graph(build_definitions(read_settings()), JOB)
    files = render(graph, tasks(graph, Grain(grain)), VERSIONS[version], dagster_url)
    if check:
        differences = difference(out, files)
        click.echo(differences, nl=False)
        if differences:
            raise SystemExit(1)
        click.echo(f"{out} is up to date", err=True)
        return
    try:
        changed = write(out, files)
    except OSError as error:
        raise click.ClickException(f"Cannot write to {out}: {error.strerror}") from error
    for path in changed:
        click.echo(f"{'wrote' if path.exists() else 'deleted'} {path}")
    if not changed:
        click.echo(f"{out} is up to date")
