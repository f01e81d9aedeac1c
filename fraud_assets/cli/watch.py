"""`fraud watch`: the live path."""

from __future__ import annotations

import datetime as dt
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import click

from fraud_assets.cli.options import warehouse_option
from fraud_assets.live.service import watch
from fraud_assets.settings import read_settings


@click.command("watch")
@warehouse_option
@click.option("--every", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds between two looks.")
@click.option("--reconcile", type=click.FloatRange(1), default=300.0, show_default=True, help="Seconds between two full runs.")
def watch_source(warehouse: str | None, every: float, reconcile: float) -> None:
    """Bring and judge transactions as they arrive, until Ctrl-C."""
    settings = read_settings(warehouse=warehouse)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # in a thread of its own: in the main one, Dagster takes the signals of a run for itself, and cancels it
    with ThreadPoolExecutor(1) as thread:
        thread.submit(watch, settings, stop, every=every, reconcile=reconcile, say=_say_when).result()


def _say_when(sentence: str) -> None:
    click.echo(f"{dt.datetime.now(dt.UTC):%H:%M:%S} {sentence}")
    sys.stdout.flush()
