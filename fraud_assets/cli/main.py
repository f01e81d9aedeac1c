"""The `fraud` command."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import click

_COMMANDS = {
    "airflow": ("airflow:airflow", ""),
    "alerts": ("alerts:list_alerts", ""),
    "demo": ("demo:demo", ""),
    "explain": ("explain:explain", ""),
    "hive": ("hive:hive", ""),
    "notify": ("notify:notify", ""),
    "rejected": ("quarantine:rejected", ""),
    "replay": ("replay:replay", ""),
    "rules": ("rules:rules", ""),
    "run": ("run:run", ""),
    "sources": ("sources:sources", ""),
    "ui": ("ui:ui", ""),
    "upkeep": ("maintenance:upkeep", ""),
    "watch": ("watch:watch_source", ""),
}
"""Module and function of each command, and its summary: `fraud --help` imports none of them."""


class CommandGroup(click.Group):
    """Imports a command when it is called, and reports its errors as one sentence and an exit code."""

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
        except Exception as error:
            if isinstance(error, _user_errors()):
                raise click.ClickException(str(error)) from error
            raise


def _user_errors() -> tuple[type[Exception], ...]:
    """Errors that a user can act on; imported only once one was raised."""
    from airflow_bridge.errors import BridgeError
    from fraud_assets.errors import FraudError
    from hive_io import HiveIOError
    from mock_sources import MockSourceError

    return (FraudError, HiveIOError, MockSourceError, BridgeError)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fraud-assets")
def main() -> None:
    """Fraud detection on Dagster, Hive and Airflow: from three source APIs to alerts with reasons."""
    # Dagster logs to the console through its own handler; requests of the HTTP client are noise beside it
    logging.getLogger("httpx").setLevel(logging.WARNING)
