"""`fraud notify`: notification targets."""

from __future__ import annotations

import click

from fraud_assets.monitoring.outbox import try_targets
from fraud_assets.settings import read_settings


@click.group()
def notify() -> None:
    """Check notifications."""


@notify.command("test")
def notify_test() -> None:
    """Send a test message to every target in FRAUD_NOTIFY.

    The command fails if a target does not accept the message.
    """
    targets = read_settings().notify_targets
    if not targets:
        raise click.ClickException("FRAUD_NOTIFY names no target; set it, for example, to 'mailto://… slack://…'")
    count = try_targets(targets)
    click.echo(f"{count} {'target' if count == 1 else 'targets'} accepted the message")
