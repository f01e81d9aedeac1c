"""The clock of a command."""

from __future__ import annotations

import click

from fraud_assets.clock import SYSTEM_CLOCK, Clock


def current_clock() -> Clock:
    """The clock of the click context, which a caller may pass as its `obj`; otherwise the system clock."""
    context = click.get_current_context(silent=True)
    return (context.find_object(Clock) if context else None) or SYSTEM_CLOCK
