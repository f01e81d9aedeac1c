"""`fraud sources`: a synthetic world, or a labelled file, behind the three APIs."""

from __future__ import annotations

import datetime as dt
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

SYNTHETIC_PORT = 5000
Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def sources() -> None:
    """Sources to try things on: a synthetic world, or a labelled file."""
    # where SIGINT is ignored, as in a background job, Dagster has its process ignore SIGTERM, too, and we would inherit that
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


_port = click.option("--port", type=click.IntRange(0, 65535), default=SYNTHETIC_PORT, show_default=True, help="0: a free one.")
_share = click.FloatRange(0, 1)
_ROW_FAULTS = {
    "late": "Share of transactions that arrive minutes to days late.",
    "duplicates": "Share of transactions that are served again.",
    "corrected": "Share of transactions with a later, corrected version.",
    "malformed": "Share of transactions that break a claim.",
    "odd": "Share of transactions with emoji, quotes and the like in the merchant's name; they break no claim.",
    "malformed_others": "Share of customers, listings, scores and reports that break a claim.",
}
_REQUEST_FAULTS = {
    "errors": "Share of requests that are answered with 500.",
    "throttled": "Share of requests that are answered with 429 and a Retry-After.",
    "slow": "Share of requests that are answered late.",
    "cut": "Share of requests whose answer is cut in the middle.",
    "repeated": "Share of pages that are served again, alone or with rows of the next one.",
}


def _shares(faults: dict[str, str]) -> Callable[[Command], Command]:
    """An option for each."""

    def with_options(command: Command) -> Command:
        for name, text in reversed(faults.items()):
            command = click.option(f"--{name.replace('_', '-')}", type=_share, default=0.0, help=text)(command)
        return command

    return with_options


_row_faults = _shares(_ROW_FAULTS)


def _request_faults(command: Command) -> Command:
    for option in (
        click.option("--retry-after", type=click.IntRange(0), default=1, show_default=True, help="Seconds, for --throttled."),
        click.option("--seconds", type=click.FloatRange(0), default=2.0, show_default=True, help="How late, for --slow."),
    ):
        command = option(command)
    return _shares(_REQUEST_FAULTS)(command)


@sources.command()
@_port
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--customers", type=click.IntRange(1), default=300, show_default=True)
@click.option("--merchants", type=click.IntRange(60), default=200, show_default=True)
@click.option("--fraud-rate", type=click.FloatRange(0, 0.5), default=0.004, show_default=True)
@_row_faults
@_request_faults
@click.option("--rate", type=click.FloatRange(0, 1_000_000, min_open=True), help="Transactions a second from now on.")
@click.option("--lasts", type=click.IntRange(1), help="With --rate: seconds until nothing happens any more.")
def serve(
    port: int,
    seed: int,
    customers: int,
    merchants: int,
    fraud_rate: float,
    rate: float | None,
    lasts: int | None,
    **faults: Any,
) -> None:
    """Serve a synthetic world on loopback, as unreliable as wanted."""
    from mock_sources import Faults, HttpFaults, LoadedWorld, World, timestamps
    from mock_sources import serve as serve_source

    made: dict[str, Any] = {
        "seed": seed,
        "customers": customers,
        "merchants": merchants,
        "fraud_rate": fraud_rate,
        "faults": Faults(**{name: faults.pop(name) for name in _ROW_FAULTS}),
    }
    now = timestamps.from_datetime(dt.datetime.now(dt.UTC))
    world = World(**made) if rate is None else LoadedWorld(rate, now, lasts, **made)
    serve_source(world, port=port, http_faults=HttpFaults(**faults, seed=seed), ready=_say_ready)


@sources.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
@_port
def serve_replay(file: Path, port: int) -> None:
    """Serve a labelled Parquet FILE on loopback, through the same API."""
    from mock_sources import LabelledReplay
    from mock_sources import serve as serve_source

    serve_source(LabelledReplay(file), port=port, ready=_say_ready)


def _say_ready(url: str) -> None:
    click.echo(f"Serving on {url}")
    sys.stdout.flush()
