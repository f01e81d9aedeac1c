"""`fraud watch`: the live path."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import click

from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.options import warehouse_option
from fraud_assets.live.service import watch
from fraud_assets.logs import log_to
from fraud_assets.settings import read_settings


@click.command("watch")
@warehouse_option
@click.option(
    "--every", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds between the beginnings of two polls."
)
@click.option(
    "--reconcile",
    type=click.FloatRange(1),
    default=300.0,
    show_default=True,
    help="Seconds between two reconciliation runs of every asset.",
)
def watch_source(warehouse: str | None, every: float, reconcile: float) -> None:
    """Load and judge transactions as they arrive.

    The command polls the source until it is stopped with Ctrl-C or SIGTERM; a poll or run in progress is completed first.
    Log lines go to stdout, in the format that FRAUD_LOG_FORMAT names.
    """
    settings = read_settings(warehouse=warehouse)
    log_to(settings.log_format)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # in a thread of its own: in the main thread, Dagster handles the signals during a run, and cancels the run
    with ThreadPoolExecutor(1) as thread:
        thread.submit(watch, settings, stop, every=every, reconcile=reconcile, clock=current_clock()).result()
