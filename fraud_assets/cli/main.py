"""The `fraud` command."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import click

_COMMANDS = {
    "airflow": ("airflow:airflow", "Export the asset graph to Airflow."),
    "alerts": ("alerts:list_alerts", "List alerts, highest score first."),
    "demo": ("demo:demo", "Run the pipeline on a synthetic source and show the alerts."),
    "explain": ("explain:explain", "Explain why a TRANSACTION was flagged, or why it was not."),
    "hive": ("hive:hive", "Start and stop an Apache Hive server on this machine, for development."),
    "notify": ("notify:notify", "Check notifications."),
    "rejected": ("quarantine:rejected", "List rejected rows, and load them again."),
    "replay": ("replay:replay", "Run the pipeline on a labelled Parquet FILE and evaluate the alerts."),
    "rules": ("rules:rules", "List, check, document and create rules."),
    "run": ("run:run", "Materialize every asset for a range of days."),
    "sources": ("sources:sources", "Serve a synthetic world, or a labelled file, as a source."),
    "ui": ("ui:ui", "Open the Dagster UI."),
    "upkeep": ("maintenance:upkeep", "Compact small files and delete files of replaced rows."),
    "watch": ("watch:watch_source", "Load and judge transactions as they arrive."),
}
"""Module and function of each command, and its summary, so that `fraud --help` imports none of them."""


class CommandGroup(click.Group):
    """Imports a command when it is called, and reports an error that a user can act on as one sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, _, function = _COMMANDS[name][0].partition(":")
        command: click.Command = getattr(import_module(f"fraud_assets.cli.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in sorted(_COMMANDS.items())])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if isinstance(error, _user_errors()):
                raise click.ClickException(str(error)) from error
            raise


def _user_errors() -> tuple[type[Exception], ...]:
    """Errors that a user can act on; imported only after one was raised."""
    from airflow_bridge.errors import BridgeError
    from fraud_assets.errors import FraudError
    from hive_io import HiveIOError
    from mock_sources import MockSourceError

    return (FraudError, HiveIOError, MockSourceError, BridgeError)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fraud-assets")
def main() -> None:
    """Fraud detection on Dagster, Hive and Airflow: from three source APIs to alerts with reasons."""
    # the HTTP client logs every request at INFO
    logging.getLogger("httpx").setLevel(logging.WARNING)
