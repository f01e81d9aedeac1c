"""The `fraud` command."""

from __future__ import annotations

import errno
import logging
import sqlite3
from importlib import import_module
from typing import IO, Any

import click

from fraud_assets.cli.one_interrupt import interrupted, one_interrupt

_COMMANDS = {
    "airflow": ("airflow:airflow", "Export the asset graph to Airflow."),
    "alerts": ("alerts:list_alerts", "List alerts, highest score first, or explain how those of a day changed."),
    "cases": ("cases:cases", "Open cases from alerts; list, decide, suppress and export them."),
    "demo": ("demo:demo", "Run the pipeline on a synthetic source and show the alerts."),
    "desk": ("desk:desk", "Serve the pages on which investigators decide cases."),
    "evaluate": ("evaluate:evaluate", "Measure the ranking of transactions against labels."),
    "explain": ("explain:explain", "Explain why a TRANSACTION was flagged, or why it was not."),
    "features": ("features:features", "List the features of transactions, and show one with its points."),
    "hive": ("hive:hive", "Start and stop an Apache Hive server on this machine, for development."),
    "lists": ("lists:lists", "Keep block, watch and allow lists."),
    "notify": ("notify:notify", "Check notifications."),
    "rejected": ("quarantine:rejected", "List rejected rows, and load them again."),
    "replay": ("replay:replay", "Run the pipeline on a labelled Parquet FILE and evaluate the alerts."),
    "rules": ("rules:rules", "List, check, test, try, promote, measure, document and create rules."),
    "run": ("run:run", "Materialize every asset for a range of days."),
    "sources": ("sources:sources", "Check a source file, propose one, or serve a synthetic world."),
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

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        # now, since importing the command takes seconds, in which a signal may arrive
        ctx.meta[_NAME] = args[0]
        if args[0] in _CHANGING:
            ctx.with_resource(one_interrupt())
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Cancelled(ctx.meta.get(_NAME)) from None
        except Exception as error:
            if interrupted() and ctx.meta.get(_NAME) in _CHANGING and not isinstance(error, click.exceptions.Exit):
                raise Cancelled(ctx.meta.get(_NAME)) from None
            if isinstance(error, (click.ClickException, click.exceptions.Exit, click.Abort)):
                raise
            if not isinstance(error, _user_errors()):
                if (storage := _storage_problem(error)) is not None:
                    raise click.ClickException(storage) from error
                raise
            from fraud_assets.cli.safe_text import visible
            from fraud_assets.errors import RunCancelled

            if isinstance(error, RunCancelled):
                raise Cancelled(ctx.meta.get(_NAME)) from None
            raise click.ClickException(visible(str(error))) from error


_NAME = "fraud_assets.command"
"""Key of the command's name in the context; click knows it only when the command has been imported, which takes seconds."""
_CHANGING = {"demo", "rejected", "replay", "run", "upkeep"}
"""Commands that write and can be repeated."""


class Cancelled(click.ClickException):
    """Ctrl-C or SIGTERM ended a command, with exit code 130, as shells report an interrupted command."""

    exit_code = 130

    def __init__(self, command: str | None) -> None:
        again = " The same command, run again, completes it." if command in _CHANGING else ""
        super().__init__(f"Cancelled.{again}")

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.format_message(), file=file, err=file is None)


def _user_errors() -> tuple[type[Exception], ...]:
    """Errors that a user can act on; imported only after one was raised."""
    from airflow_bridge.errors import BridgeError
    from fraud_assets.errors import FraudError
    from hive_io import HiveIOError
    from mock_sources import MockSourceError

    return (FraudError, HiveIOError, MockSourceError, BridgeError)


def _storage_problem(error: BaseException | None) -> str | None:
    """What a full disk or a locked database means to a user; None for other errors. Libraries wrap it in their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" for {error.filename}" if error.filename else ""
            return f"There is no space left on the disk{where}. Free some, then run the command again; nothing is half written"
        if isinstance(error, sqlite3.OperationalError):
            return (
                f"Dagster's records cannot be written: {error}. Free some space on the disk, or wait until no other command "
                "uses them; then run the same command again"
            )
        error = error.__cause__ or error.__context__
    return None


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fraud-assets")
def main() -> None:
    """Fraud detection on Dagster, Hive and Airflow: from three source APIs to alerts with reasons."""
    # the HTTP client logs every request at INFO
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # an interruption while a connection is closed is logged with a traceback
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
