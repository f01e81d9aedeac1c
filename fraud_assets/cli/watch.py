"""`fraud watch`: the live path."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Event

import click

from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.options import source_option, warehouse_option
from fraud_assets.cli.stop_signals import run_until_stopped
from fraud_assets.definitions import live_settings
from fraud_assets.live.service import give_up, watch
from fraud_assets.logs import log_to
from fraud_assets.settings import read_settings


@click.command("watch")
@source_option
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
@click.option(
    "--metrics",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Serve metrics for Prometheus at /metrics on this port of the loopback interface.",
)
@click.option(
    "--standby", is_flag=True, help="Wait while another `fraud watch` runs on the warehouse, and take over when it ends."
)
def watch_source(
    source: Path | None, warehouse: str | None, every: float, reconcile: float, metrics: int | None, standby: bool
) -> None:
    """Load and judge transactions as they arrive.

    The command polls the source until it is stopped with Ctrl-C or SIGTERM. A poll or run in progress is completed first if
    that takes less than 15 seconds, and cancelled otherwise; the next start makes up for it.
    Log lines go to stdout, in the format that FRAUD_LOG_FORMAT names.
    """
    settings = live_settings(read_settings(warehouse=warehouse, source=source))
    log_to(settings.log_format)
    stop = Event()
    clock = current_clock()

    def service() -> None:
        watch(settings, stop, every=every, reconcile=reconcile, metrics_port=metrics, standby=standby, clock=clock)

    run_until_stopped(service, stop.set, partial(give_up, settings))
