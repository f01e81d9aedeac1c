"""`fraud ui`: Dagster with the same assets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import nullcontext

import click

from fraud_assets.addresses import public
from fraud_assets.checkout import CHECKOUT
from fraud_assets.cli.demo import DEMO_WORLD
from fraud_assets.cli.options import console, warehouse_option
from fraud_assets.cli.run import report_dead_runs
from fraud_assets.runs.source_process import source_process
from fraud_assets.settings import read_settings


@click.command(context_settings={"ignore_unknown_options": True})
@warehouse_option
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=3000,
    show_default=True,
    help="Port of the UI on the loopback interface.",
)
def ui(warehouse: str | None, port: int) -> None:
    """Open the Dagster UI.

    It shows the same assets as `fraud run`, for the same warehouse. Unless FRAUD_SOURCE or FRAUD_SOURCE_URL is set, a synthetic
    source is served while the UI runs.
    """
    settings = read_settings(warehouse=warehouse)
    _check_port(port)
    report_dead_runs(settings)
    env = {
        **os.environ,
        "DAGSTER_HOME": str(settings.dagster_home),
        "FRAUD_WAREHOUSE": settings.warehouse,
        "FRAUD_FIRST_DAY": str(settings.first_day),
        "FRAUD_SCHEDULES": os.environ.get("FRAUD_SCHEDULES", "on"),
    }
    has_source = {"FRAUD_SOURCE", "FRAUD_SOURCE_URL"} & {*os.environ}
    with nullcontext() if has_source else source_process(["serve", *DEMO_WORLD]) as url:
        env["FRAUD_SOURCE_URL"] = url or settings.source_url
        source = settings.source or public(env["FRAUD_SOURCE_URL"])
        console().print(f"Dagster: http://127.0.0.1:{port}   source: {source}   stop with Ctrl-C")
        raise SystemExit(_serve_dagster(port, env))


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        # as the webserver does: a port whose last connections are closing is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise click.ClickException(
                f"Port {port} of 127.0.0.1 cannot be used: {error.strerror}. Name another with --port, for example {port + 1}"
            ) from None


def _serve_dagster(port: int, env: dict[str, str]) -> int:
    """Run Dagster's webserver and daemon until they end or this process is stopped; return the exit code."""
    workspace = CHECKOUT / "workspace.yaml"
    if not workspace.exists():
        raise click.ClickException(f"{workspace} is missing. `fraud ui` needs a checkout, installed with `pip install -e .`")
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)]
    started: list[subprocess.Popen[bytes]] = []

    def terminate_dagster(*_: object) -> None:
        for process in started:
            process.terminate()

    # Dagster stops its own processes on SIGTERM, and this process must outlive it to stop the source. In a group of its own,
    # Dagster gets no Ctrl-C from the terminal besides. The handlers are set before it starts: it would inherit an ignored
    # signal, as in a background job of a shell
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, terminate_dagster)
    with subprocess.Popen(command, env=env, process_group=0) as process:
        started.append(process)
        return process.wait()
