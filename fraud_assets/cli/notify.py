"""`fraud notify`: messages to people."""

from __future__ import annotations

import click

from fraud_assets.monitoring.outbox import try_targets
from fraud_assets.settings import read_settings


@click.group()
def notify() -> None:
    """Messages to people."""


@notify.command("test")
def notify_test() -> None:
    """Send a message to every target of FRAUD_NOTIFY, and say whether they took it."""
    targets = read_settings().notify_targets
    if not targets:
        raise click.ClickException("FRAUD_NOTIFY names no target; for example FRAUD_NOTIFY='mailto://… slack://…'")
    click.echo(f"{try_targets(targets)} targets took the message")
