"""Seconds from a transaction's arrival at the API to its score and its alert, with a source under constant load.

`python benchmarks/live.py --rate 500 --seconds 600`. The source and `fraud watch` are separate processes on this machine. The
time of a score or an alert is that of the first commit that contains it; the source reports the arrival time. At the end, the
transactions are compared with those that the source has served: none may be lost or duplicated.

Customers pay as a bank's do. By default there are 200,000 with a payment every second day, 30 days of which are loaded first.
The load brings each payment of the days that follow once: after an hour at 500 a second, a customer has paid nine times on
average, within the day of the load. Some rows come late, some are corrected, some malformed.

With `--kafka JARS` (`build/kafka/jars`, made by `make test-kafka`), the transactions come from a topic of an Apache Kafka on
this machine: what the API serves is written there every 50 ms, and a transaction arrives when it is in the topic.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from confluent_kafka import Producer

from fraud_assets.runs.batch import run_days
from fraud_assets.runs.source_process import source_process
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from tests.services.kafka import Kafka, kafka

TOPIC = "transactions"
SOURCE = """\
apis: {{url: "{url}"}}
tables:
  transactions:
    kafka: {{brokers: "{brokers}", topic: "{topic}", spill_days: 1}}
    columns:
      ingested_at: {{from: _timestamp, format: epoch_ms}}
{columns}
"""
"""A source file: transactions from the topic, the other tables from the APIs."""
LARGEST = 4 * 2**20
"""Bytes of a message. One kind of malformed row has more than a megabyte, which is what Kafka takes by default."""
DAY = dt.timedelta(days=1)


def first_seen(table: Path) -> dict[str, float]:
    """For each transaction of a Delta table, the time of the first commit that contains it, in seconds since the epoch."""
    seen: dict[str, float] = {}
    for log in sorted((table / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        committed = next(action["commitInfo"]["timestamp"] / 1000 for action in actions if "commitInfo" in action)
        for action in actions:
            # files of replaced rows are deleted after an hour
            if "add" in action and (table / action["add"]["path"]).exists():
                file = pq.ParquetFile(table / action["add"]["path"])
                for transaction in file.read(["transaction_id"]).column(0).to_pylist():
                    seen.setdefault(transaction, committed)
    return seen


def served(url: str, since: dt.datetime) -> list[str]:
    """The transaction ids that the source has served since a time, once for each version."""
    ids: list[str] = []
    params: dict[str, str] | None = {"since": since.isoformat(), "limit": "50000"}
    address: str | None = f"{url}/api/transactions"
    with httpx.Client(timeout=120) as client:
        while address:
            page = client.get(address, params=params)
            # a malformed row may lack its id; it is rejected
            ids += [row["transaction_id"] for row in page.json() if row.get("transaction_id")]
            address, params = page.links.get("next", {}).get("url"), None
    return ids


def wait_until_caught_up(lake: Path) -> float:
    """Seconds until the last new transaction, after which none arrived for 15 s. Later arrivals are not waited for."""
    started = last_change = time.monotonic()
    rows = 0
    while time.monotonic() - last_change < 15:
        time.sleep(1)
        count = sum(EmbeddedWarehouse(lake).partitions("fintech.transactions").values())
        if count != rows:
            rows, last_change = count, time.monotonic()
    return last_change - started


def print_quantiles(name: str, latencies: list[float]) -> None:
    median, high, maximum = pc.quantile(pa.array(latencies), q=[0.5, 0.95, 1]).to_pylist()
    print(f"{name:>24}: {len(latencies):>9,}, median {median:.2f}, 95th percentile {high:.2f}, maximum {maximum:.2f}")


def megabytes(folder: Path) -> float:
    """Size of a folder on disk, in MiB. Files that are deleted meanwhile do not count."""
    sizes = []
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            sizes.append(file.stat().st_size if file.is_file() else 0)
    return sum(sizes) / 2**20


def sizes_on_disk(lake: Path) -> dict[str, float]:
    """MiB of Dagster's records, and of each table and its transaction log."""
    sizes = {"Dagster's records": megabytes(lake / "dagster")}
    for table in sorted((lake / "fintech.db").iterdir()):
        sizes[table.name] = megabytes(table)
        sizes[f"{table.name}, log"] = megabytes(table / "_delta_log")
    return sizes


@dataclass(frozen=True)
class Watched:
    """What `fraud watch` did under load.

    Attributes:
        began, ended: of the load; `ended` in seconds since the epoch.
        last_arrival: arrival time of the newest transaction in the lake at the end, in seconds since the epoch.
        caught_up_after: seconds from the end until the lake had every transaction.
        sizes: `sizes_on_disk` at the beginning, in the middle and at the end.
        served: ids of the transactions that the source has served, once for each version.
    """

    began: dt.datetime
    ended: float
    last_arrival: float
    caught_up_after: float
    sizes: list[dict[str, float]]
    served: list[str]


def load_history(lake: Path, world: list[str], days: int) -> None:
    """Load the days before today, and today so far, from the same world without load."""
    today = dt.datetime.now(dt.UTC).date()
    with source_process(world) as url:
        settings = read_settings(warehouse=str(lake), source_url=url)
        run_days(settings, Span.days(today - days * DAY, today - DAY))
        run_days(settings, Span.days(today, today))


def forward(url: str, broker: Kafka, since: dt.datetime, stop: Event) -> None:
    """Write what the API serves, from an event time on and in the order of arrival, to the topic, until told to stop."""
    producer = Producer({"bootstrap.servers": broker.brokers, "linger.ms": 0, "message.max.bytes": LARGEST})
    params = {"since": since.isoformat(), "limit": "50000"}
    with httpx.Client(timeout=120) as client:
        while not stop.wait(0.05):
            page = client.get(f"{url}/api/transactions", params=params).raise_for_status()
            if "X-Cursor" in page.headers:
                params["after"] = page.headers["X-Cursor"]
            for row in page.json():
                producer.produce(TOPIC, json.dumps(row), str(row.get("customer_id")))
            assert producer.flush(30) == 0, "Kafka does not take what it is sent"


@contextmanager
def from_topic(url: str, jars: Path, folder: Path, began: dt.datetime) -> Iterator[dict[str, str]]:
    """Settings by which `fraud watch` reads a topic that holds what the API has served since the midnight before `began`."""
    with kafka(folder, jars) as broker:
        broker.create(TOPIC, partitions=3, max_message_bytes=str(LARGEST))
        paths = {name: ".".join(path) for name, path in TRANSACTIONS.paths.items() if name != "ingested_at"}
        columns = "\n".join(f"      {name}: {path}" for name, path in paths.items())
        source = folder / "source.yaml"
        source.write_text(SOURCE.format(url=url, brokers=broker.brokers, topic=TOPIC, columns=columns), encoding="utf-8")
        midnight = began.replace(hour=0, minute=0, second=0, microsecond=0)
        stop = Event()
        forwarder = Thread(target=forward, args=(url, broker, midnight, stop), daemon=True)
        forwarder.start()
        yield {"FRAUD_SOURCE": str(source)}
        stop.set()
        forwarder.join(60)


def watch_under_load(
    lake: Path, world: list[str], rate: float, seconds: int, watch_options: list[str], jars: Path | None
) -> Watched:
    """Run `fraud watch` against the world under load, until it has caught up after the load ended.

    Args:
        jars: of Apache Kafka, from which transactions then come; None for the API.
    """
    began = dt.datetime.now(dt.UTC)
    with (
        source_process([*world, "--rate", str(rate), "--lasts", str(seconds)]) as url,
        tempfile.TemporaryDirectory() as folder,
        from_topic(url, jars, Path(folder), began) if jars else nullcontext({"FRAUD_SOURCE_URL": url}) as source,
    ):
        env = {**os.environ, "FRAUD_WAREHOUSE": str(lake), **source}
        with subprocess.Popen([sys.executable, "-m", "fraud_assets", "watch", *watch_options], env=env) as watch:
            # files of replaced rows are kept for an hour: what still grows in the second half grows without bound
            sizes = []
            for share in (0.0, 0.5, 1.0):
                passed = (dt.datetime.now(dt.UTC) - began).total_seconds()
                time.sleep(max(0.0, seconds * share - passed))
                sizes.append(sizes_on_disk(lake))
            ended = time.time()
            arrivals = EmbeddedWarehouse(lake).read("fintech.transactions", ["ingested_at"])
            last_arrival = pc.max(arrivals.column(0)).as_py().replace(tzinfo=dt.UTC).timestamp()
            caught_up_after = wait_until_caught_up(lake)
            watch.send_signal(signal.SIGTERM)
            watch.wait()
        return Watched(began, ended, last_arrival, caught_up_after, sizes, served(url, began - DAY))


def print_latencies(what: str, times: Mapping[str, tuple[dt.datetime, float]], watched: Watched, seconds: int) -> None:
    """Print the quantiles of the seconds from arrival to the first commit, for all and for each minute.

    Args:
        times: arrival, UTC without a zone, and time of the commit in seconds since the epoch, by transaction.
    """
    # the file that first contained an older row may be deleted already
    oldest = watched.ended - 45 * 60
    pairs = [(at.replace(tzinfo=dt.UTC).timestamp(), committed) for at, committed in times.values()]
    latencies = [(at, committed - at) for at, committed in pairs if at >= oldest]
    print(f"seconds from arrival to {what}")
    print_quantiles("all", [latency for _, latency in latencies])
    for start in range(0, seconds, 60):
        part = [latency for at, latency in latencies if start <= at - watched.began.timestamp() < start + 60]
        if part:
            print_quantiles(f"minute {start // 60 + 1}", part)


def print_report(lake: Path, watched: Watched, rate: float, seconds: int) -> None:
    """Print completeness, latencies and sizes."""
    table = EmbeddedWarehouse(lake).read("fintech.transactions", ["transaction_id", "event_time", "ingested_at"])
    since = pa.scalar(watched.began.replace(tzinfo=None), pa.timestamp("us"))
    loaded = table.filter(pc.greater_equal(table.column("event_time"), since))
    ids = loaded.column("transaction_id").to_pylist()
    payloads = EmbeddedWarehouse(lake).read("fintech.transactions_rejected", ["payload"]).column(0).to_pylist()
    refused = [row.get("transaction_id") for row in map(json.loads, payloads) if isinstance(row, dict)]
    lost = set(watched.served) - set(table.column("transaction_id").to_pylist()) - set(refused)
    print(f"{rate:g} per second for {seconds} s: {len(ids):,} transactions, {len(refused):,} rejected rows")
    print(f"lost {len(lost):,}, duplicated {len(ids) - len(set(ids)):,}")
    print(f"lag at the end: {watched.ended - watched.last_arrival:.1f} s; caught up after {watched.caught_up_after:.0f} s")
    arrived = dict(zip(ids, loaded.column("ingested_at").to_pylist(), strict=True))
    for table_name, what in (("transaction_scores", "scores"), ("fraud_alerts", "alerts")):
        seen = first_seen(lake / "fintech.db" / table_name)
        print_latencies(what, {name: (arrived[name], at) for name, at in seen.items() if name in arrived}, watched, seconds)
    print("MiB on disk at the beginning, in the middle and at the end")
    for name in watched.sizes[-1]:
        print(f"{name:>40}" + "".join(f"{sizes.get(name, 0.0):10.1f}" for sizes in watched.sizes))
    print(f"processor time of all child processes: {sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]):.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--daily", type=float, default=0.5, help="payments of a customer a day")
    parser.add_argument("--history", type=int, default=30, help="days before today that are loaded first")
    parser.add_argument("--lake", type=Path, help="a lake with the history of the same world, copied instead of loaded")
    parser.add_argument("--reconcile", type=float, default=300)
    parser.add_argument("--every", type=float, default=1)
    parser.add_argument("--kafka", type=Path, metavar="JARS", help="read the transactions from a topic")
    parser.add_argument("--keep", type=Path, help="a new folder in which to keep the lake")
    args = parser.parse_args()

    world = ["serve", "--customers", str(args.customers), "--merchants", "5000", "--daily", str(args.daily)]
    faults = ["--late", "0.002", "--corrected", "0.002", "--malformed", "0.001"]
    watch_options = ["--every", str(args.every), "--reconcile", str(args.reconcile)]
    with tempfile.TemporaryDirectory() as folder:
        lake = (args.keep or Path(folder)).absolute() / "lake"
        if args.lake:
            shutil.copytree(args.lake, lake)
        else:
            load_history(lake, world, args.history)
        watched = watch_under_load(lake, [*world, *faults], args.rate, args.seconds, watch_options, args.kafka)
        print_report(lake, watched, args.rate, args.seconds)


if __name__ == "__main__":
    main()
