"""The `fraud` command."""

from __future__ import annotations

import csv
import datetime as dt
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from airflow_bridge.cli import airflow
from airflow_bridge.errors import BridgeError
from fraud_assets import show
from fraud_assets.errors import FraudError
from fraud_assets.options import DAY, MOMENT, end_option, first_option, format_option, span_or_all
from fraud_assets.options import console as _console
from fraud_assets.options import plain as _plain
from fraud_assets.options import span_between as _span
from fraud_assets.options import warehouse_option as _warehouse
from fraud_assets.rejected_cli import rejected
from fraud_assets.rule_pages import docs
from fraud_assets.rules_cli import rules
from fraud_assets.settings import Settings, read_settings
from hive_io import HiveIOError, Span, local_hive
from mock_sources import MockSourceError

SYNTHETIC_PORT = 5000
DEMO_FOLDER = "demo"
"""Never the warehouse of the settings: a demo must not write over real days."""
Command = TypeVar("Command", bound=Callable[..., Any])


class _Group(click.Group):
    """Commands whose errors are a sentence and an exit code, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (FraudError, HiveIOError, MockSourceError, BridgeError) as error:
            raise click.ClickException(str(error)) from error


_from = click.option("--from", "first", type=DAY, required=True, help="First day.")
_to = click.option("--to", "end", type=DAY, required=True, help="The day after the last one.")
_limit = click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, highest score first.")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fraud-assets")
def main() -> None:
    """Fraud detection on Dagster, Hive and Airflow: from three source APIs to alerts with reasons."""
    # Dagster logs to the console through its own handler; what libraries say on the way is noise here
    logging.getLogger("httpx").setLevel(logging.WARNING)


main.add_command(airflow)
main.add_command(rejected)
main.add_command(rules)
rules.add_command(docs)


# --- running ----------------------------------------------------------------------------------------------------------


@main.command()
@click.option("--warehouse", metavar="DIR|URL", default=DEMO_FOLDER, show_default=True, help="The demo's own warehouse.")
@click.option("--days", type=click.IntRange(2, 366), default=35, show_default=True, help="How many days, up to today.")
def demo(warehouse: str, days: int) -> None:
    """Serve a synthetic world, bring the last weeks through every asset, and show the alerts."""
    from fraud_assets.runs import source_process

    settings = read_settings(warehouse=warehouse)
    today = dt.datetime.now(dt.UTC).date()
    span = Span.days(today - dt.timedelta(days=days - 1), today)
    with source_process(["serve", *_DEMO_WORLD]) as url:
        settings = settings.model_copy(update={"source_url": url})
        _run(settings, span)
    show.tables(_console(), settings, span)
    show.rules_hit(_console(), settings, span)
    show.alerts(_console(), show.top_alerts(settings, span, 10), f"The ten highest alerts of {span}")
    show.next_steps(_console(), settings)


_DEMO_WORLD = ["--malformed", "0.002", "--late", "0.01", "--duplicates", "0.002", "--corrected", "0.001"]


@main.command()
@_from
@_to
@_warehouse
def run(first: dt.date, end: dt.date, warehouse: str | None) -> None:
    """Materialize every asset for a range of days, in one Dagster run."""
    settings = read_settings(warehouse=warehouse)
    span = _span(first, end)
    report = _run(settings, span)
    show.tables(_console(), settings, span)
    show.rules_hit(_console(), settings, span)
    _console().print(f"Run {report.run_id}: {report.seconds:.1f} s")


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@_from
@_to
@_warehouse
def replay(file: Path, first: dt.date, end: dt.date, warehouse: str | None) -> None:
    """Bring the days of a labelled Parquet FILE through the API and every asset; hold the result against its labels."""
    from fraud_assets.evaluation import evaluate
    from fraud_assets.runs import source_process
    from fraud_assets.source_client import SourceClient

    settings = read_settings(warehouse=warehouse)
    span = _span(first, end)
    settings = settings.model_copy(update={"first_day": min(first, settings.first_day)})
    with source_process(["replay", str(file)]) as url:
        settings = settings.model_copy(update={"source_url": url})
        report = _run(settings, span)
        week = Span.days(max(span.first_day, span.last_day - dt.timedelta(days=6)), span.last_day)
        with SourceClient(url) as client:
            labels = client.labels(span)
    show.tables(_console(), settings, span)
    show.rules_hit(_console(), settings, span)
    show.totals(_console(), settings, span)
    rules = show.rule_names(settings)
    show.evaluation(_console(), evaluate(show.lake(settings), rules, {row["transaction_id"] for row in labels}, week))
    show.times(_console(), report)


@main.command(context_settings={"ignore_unknown_options": True})
@_warehouse
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
def ui(warehouse: str | None, port: int) -> None:
    """Open Dagster with the same assets, and a synthetic source beside it when FRAUD_SOURCE_URL names none."""
    from fraud_assets.runs import dagster_instance, source_process

    settings = read_settings(warehouse=warehouse)
    dagster_instance(settings).dispose()
    env = {
        **os.environ,
        "DAGSTER_HOME": str(settings.dagster_home),
        "FRAUD_WAREHOUSE": settings.warehouse,
        "FRAUD_FIRST_DAY": str(settings.first_day),
        "FRAUD_SCHEDULES": os.environ.get("FRAUD_SCHEDULES", "on"),
    }
    with nullcontext() if "FRAUD_SOURCE_URL" in os.environ else source_process(["serve", *_DEMO_WORLD]) as url:
        env["FRAUD_SOURCE_URL"] = url or settings.source_url
        _console().print(f"Dagster: http://127.0.0.1:{port}   source: {env['FRAUD_SOURCE_URL']}   end it with Ctrl-C")
        raise SystemExit(_serve_dagster(port, env))


def _serve_dagster(port: int, env: dict[str, str]) -> int:
    """Dagster's webserver and daemon, until they end or this process is told to; gives the exit code."""
    workspace = Path(__file__).parent.parent / "workspace.yaml"
    if not workspace.exists():
        raise click.ClickException(f"{workspace} is missing: `fraud ui` runs from a checkout, `pip install -e .`")
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)]
    started: list[subprocess.Popen[bytes]] = []

    def end_dagster(*_: object) -> None:
        for process in started:
            process.terminate()

    # Dagster ends its own processes when it is told to, and this one must outlive it to end the source. Set before Dagster
    # starts, since it would inherit that a signal is ignored, as it is in a shell's background jobs
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_dagster)
    with subprocess.Popen(command, env=env) as process:
        started.append(process)
        return process.wait()


# --- sources ----------------------------------------------------------------------------------------------------------


@main.group()
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
    from mock_sources import Faults, HttpFaults, LoadedWorld, World, instants
    from mock_sources import serve as serve_source

    made: dict[str, Any] = {
        "seed": seed,
        "customers": customers,
        "merchants": merchants,
        "fraud_rate": fraud_rate,
        "faults": Faults(**{name: faults.pop(name) for name in _ROW_FAULTS}),
    }
    now = instants.from_datetime(dt.datetime.now(dt.UTC))
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


@main.command("watch")
@_warehouse
@click.option("--every", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds between two looks.")
@click.option("--reconcile", type=click.FloatRange(1), default=300.0, show_default=True, help="Seconds between two full runs.")
def watch_source(warehouse: str | None, every: float, reconcile: float) -> None:
    """Bring and judge transactions as they arrive, until Ctrl-C."""
    from fraud_assets.watch import watch

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


@main.command()
@_warehouse
def upkeep(warehouse: str | None) -> None:
    """Put small files of past days together, and delete those of rows replaced long ago; no row changes."""
    from fraud_assets.runs import run_upkeep

    show.upkeep(_console(), run_upkeep(read_settings(warehouse=warehouse)))


@main.group()
def notify() -> None:
    """Messages to people."""


@notify.command("test")
def notify_test() -> None:
    """Send a message to every target of FRAUD_NOTIFY, and say whether they took it."""
    from fraud_assets.notify import try_targets

    targets = read_settings().notify_targets
    if not targets:
        raise click.ClickException("FRAUD_NOTIFY names no target; for example FRAUD_NOTIFY='mailto://… slack://…'")
    click.echo(f"{try_targets(targets)} targets took the message")


# --- looking ----------------------------------------------------------------------------------------------------------


@main.command()
@_warehouse
@first_option
@end_option
@_limit
@format_option
def alerts(warehouse: str | None, first: dt.date | None, end: dt.date | None, limit: int, form: str) -> None:
    """List alerts, the highest score first."""
    settings = read_settings(warehouse=warehouse)
    rows = show.top_alerts(settings, span_or_all(first, end), limit)
    if form == "json":
        click.echo(json.dumps(rows, default=_plain, ensure_ascii=False, indent=2))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, fieldnames=show.ALERT_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: json.dumps(v, ensure_ascii=False) if isinstance(v, list) else _csv(v) for k, v in row.items()})
    else:
        show.alerts(_console(), rows, "Alerts")


@main.command()
@click.argument("transaction")
@_warehouse
@click.option("--as-of", "moment", type=MOMENT, help="Read every table as it was then, like 2026-01-31T10:00Z.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain(transaction: str, warehouse: str | None, moment: dt.datetime | None, form: str) -> None:
    """Say why a TRANSACTION was flagged, or was not: its score, its customer, and every rule, with how far from a hit."""
    from fraud_assets.engine import Engine
    from fraud_assets.explain import explain as explain_transaction
    from fraud_assets.rule_book import read_rule_book
    from fraud_assets.show_explanation import explanation, explanation_json

    settings = read_settings(warehouse=warehouse)
    engine = Engine(read_rule_book(overrides=settings.rules_file))
    found = explain_transaction(engine, show.lake(settings), transaction, as_of=moment)
    if form == "json":
        click.echo(explanation_json(found))
    else:
        explanation(_console(), found)


_folder = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/hive"),
    show_default=True,
    help="Where its jars, its metastore, its log and the staged files are.",
)


@main.group()
def hive() -> None:
    """An Apache Hive server on this machine, for development; needs Java 17 and Maven."""


@hive.command()
@_folder
@click.option("--port", type=click.IntRange(1, 65535), default=local_hive.PORT, show_default=True)
def start(folder: Path, port: int) -> None:
    """Start HiveServer2 on loopback, in the background; the first time, Maven brings its jars."""
    server = local_hive.start(folder, folder / "jars", port=port)
    click.echo(f"FRAUD_WAREHOUSE={server.url}")


@hive.command()
@_folder
def stop(folder: Path) -> None:
    """Stop it; its tables stay."""
    click.echo("stopped" if local_hive.stop(folder) else f"no server runs in {folder}")


@hive.command()
@_folder
def status(folder: Path) -> None:
    """Say where it runs; exit code 1 if it does not."""
    server = local_hive.status(folder)
    if server is None:
        raise click.ClickException(f"No server runs in {folder}; `fraud hive start` starts one")
    click.echo(f"FRAUD_WAREHOUSE={server.url}")


# --- small things -----------------------------------------------------------------------------------------------------


def _run(settings: Settings, span: Span) -> Any:
    from fraud_assets.runs import run_days

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{span}", total=None)

        def on_step(step: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=f"{span}: {step}")

        return run_days(settings, span, on_step)


def _csv(value: object) -> object:
    return _plain(value) if isinstance(value, (Decimal, dt.datetime)) else value
