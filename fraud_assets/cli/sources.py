"""`fraud sources`: a synthetic world, or a labelled file, behind the three APIs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fraud_assets.cli.command_clock import current_clock

SYNTHETIC_PORT = 5000
Command = TypeVar("Command", bound=Callable[..., Any])

_ROW_FAULTS = {
    "late": "Share of transactions that arrive minutes to days late.",
    "duplicates": "Share of transactions that are served again.",
    "corrected": "Share of transactions with a later, corrected version.",
    "malformed": "Share of transactions that violate a claim.",
    "odd": "Share of transactions with emoji, quotes and similar characters in the merchant's name; they violate no claim.",
    "malformed_others": "Share of customers, blacklist entries, credit scores and fraud reports that violate a claim.",
}
_REQUEST_FAULTS = {
    "errors": "Share of requests that are answered with 500.",
    "throttled": "Share of requests that are answered with 429 and a Retry-After.",
    "slow": "Share of requests that are answered late.",
    "cut": "Share of requests whose answer is truncated.",
    "repeated": "Share of pages that are served again, alone or together with rows of the next page.",
}


@click.group()
def sources() -> None:
    """Serve a synthetic world, or a labelled file, as a source."""
    # a parent that ignores SIGTERM hands that on: Dagster does if SIGINT is ignored, as in a background job of a shell
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


_port_option = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=SYNTHETIC_PORT,
    show_default=True,
    help="Port on the loopback interface; 0 picks a free one.",
)


def _share_options(faults: dict[str, str]) -> Callable[[Command], Command]:
    """Add an option for each fault, a share from 0 to 1."""

    def add(command: Command) -> Command:
        for name, text in reversed(faults.items()):
            option = click.option(f"--{name.replace('_', '-')}", type=click.FloatRange(0, 1), default=0.0, help=text)
            command = option(command)
        return command

    return add


@sources.command()
@_port_option
@click.option("--seed", type=int, default=7, show_default=True, help="Seed; the same seed and options give the same world.")
@click.option("--customers", type=click.IntRange(1), default=300, show_default=True, help="Number of customers.")
@click.option("--merchants", type=click.IntRange(60), default=200, show_default=True, help="Number of merchants.")
@click.option(
    "--fraud-rate",
    type=click.FloatRange(0, 0.5),
    default=0.004,
    show_default=True,
    help="Share of transactions that are fraudulent.",
)
@_share_options(_ROW_FAULTS)
@_share_options(_REQUEST_FAULTS)
@click.option(
    "--seconds", type=click.FloatRange(0), default=2.0, show_default=True, help="With --slow: delay of an answer in seconds."
)
@click.option(
    "--retry-after",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="With --throttled: seconds to wait, as Retry-After says.",
)
@click.option("--rate", type=click.FloatRange(0, 1_000_000, min_open=True), help="Transactions per second from now on.")
@click.option("--lasts", type=click.IntRange(1), help="With --rate: seconds after which no more transactions occur.")
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
    """Serve a synthetic world on the loopback interface.

    Its rows and answers have no faults unless options ask for them.
    """
    from mock_sources import Faults, HttpFaults, LoadedWorld, World, timestamps
    from mock_sources import serve as serve_source

    options: dict[str, Any] = {
        "seed": seed,
        "customers": customers,
        "merchants": merchants,
        "fraud_rate": fraud_rate,
        "faults": Faults(**{name: faults.pop(name) for name in _ROW_FAULTS}),
    }
    now = timestamps.from_datetime(current_clock().now())
    world = World(**options) if rate is None else LoadedWorld(rate, now, lasts, **options)
    serve_source(world, port=port, http_faults=HttpFaults(**faults, seed=seed), ready=_print_address)


@sources.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
@_port_option
def serve_replay(file: Path, port: int) -> None:
    """Serve a labelled Parquet FILE on the loopback interface."""
    from mock_sources import LabelledReplay
    from mock_sources import serve as serve_source

    serve_source(LabelledReplay(file), port=port, ready=_print_address)


def _print_address(url: str) -> None:
    click.echo(f"Serving on {url}")
    sys.stdout.flush()
