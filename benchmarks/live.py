"""Seconds from a transaction's arrival at the API to its row in `fraud_alerts`, with a source that makes so many a second.

`python benchmarks/live.py --rate 500 --seconds 600`. The source and `fraud watch` are processes of their own, on this machine.
The moment of an alert is that of the commit which first has it; the arrival is what the source says. At the end every
transaction is counted against the source: none lost, none twice.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraud_assets.runs.batch import run_days
from fraud_assets.runs.source_process import source_process
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span

DAY = dt.timedelta(days=1)


def first_seen(table: Path) -> dict[str, float]:
    """For each transaction of a Delta table, the epoch seconds of the commit that first had it."""
    seen: dict[str, float] = {}
    for log in sorted((table / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        committed = next(action["commitInfo"]["timestamp"] / 1000 for action in actions if "commitInfo" in action)
        for action in actions:
            # replaced rows go after an hour
            if "add" in action and (table / action["add"]["path"]).exists():
                file = pq.ParquetFile(table / action["add"]["path"])
                for transaction in file.read(["transaction_id"]).column(0).to_pylist():
                    seen.setdefault(transaction, committed)
    return seen


def served(url: str, since: dt.datetime) -> list[str]:
    """The ids of all that the source has served since then, each version of each."""
    ids: list[str] = []
    params: dict[str, str] | None = {"since": since.isoformat(), "limit": "50000"}
    address: str | None = f"{url}/api/transactions"
    with httpx.Client(timeout=120) as client:
        while address:
            page = client.get(address, params=params)
            ids += [row["transaction_id"] for row in page.json()]
            address, params = page.links.get("next", {}).get("url"), None
    return ids


def wait_until_it_stays(lake: Path) -> float:
    """Seconds until no transaction had come any more for a quarter of a minute; what is late by more than that stays out."""
    began = changed = time.monotonic()
    rows = 0
    while time.monotonic() - changed < 15:
        time.sleep(1)
        now = sum(EmbeddedWarehouse(lake).partitions("fintech.transactions").values())
        if now != rows:
            rows, changed = now, time.monotonic()
    return changed - began


def print_quantiles(name: str, waited: list[float]) -> None:
    median, high, most = pc.quantile(pa.array(waited), q=[0.5, 0.95, 1]).to_pylist()
    print(f"{name:>14}: {len(waited):>9,} alerts, median {median:.2f}, 95 % {high:.2f}, longest {most:.2f}")


def megabytes(folder: Path) -> float:
    """On disk, at this moment; files that go meanwhile do not count."""
    sizes = []
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            sizes.append(file.stat().st_size if file.is_file() else 0)
    return sum(sizes) / 2**20


def weigh(lake: Path) -> dict[str, float]:
    """MiB of Dagster's records, and of each table and its log of commits."""
    found = {"Dagster's records": megabytes(lake / "dagster")}
    for table in sorted((lake / "fintech.db").iterdir()):
        found[table.name] = megabytes(table)
        found[f"{table.name}, log"] = megabytes(table / "_delta_log")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--history", type=int, default=14, help="days before today that are brought first")
    parser.add_argument("--reconcile", type=float, default=300)
    parser.add_argument("--every", type=float, default=1)
    parser.add_argument("--keep", type=Path, help="a new folder, for a look at the lake afterwards")
    asked = parser.parse_args()

    now = dt.datetime.now(dt.UTC)
    world = ["serve", "--customers", str(asked.customers), "--merchants", "2000"]
    with tempfile.TemporaryDirectory() as folder:
        lake = (asked.keep or Path(folder)).absolute() / "lake"
        # the history without the load: it is the same world
        with source_process(world) as url:
            settings = read_settings(warehouse=str(lake), source_url=url)
            run_days(settings, Span.days(now.date() - asked.history * DAY, now.date() - DAY))
            run_days(settings, Span.days(now.date(), now.date()))
        # it begins a little later, when the day so far has been looked at
        began = dt.datetime.now(dt.UTC)
        load = [*world, "--rate", str(asked.rate), "--lasts", str(asked.seconds)]
        with source_process(load) as url:
            env = {**os.environ, "FRAUD_WAREHOUSE": str(lake), "FRAUD_SOURCE_URL": url}
            command = [sys.executable, "-m", "fraud_assets", "watch"]
            command += ["--every", str(asked.every), "--reconcile", str(asked.reconcile)]
            with subprocess.Popen(command, env=env) as watch:
                # files of replaced rows are kept for an hour: weighed at each half, the second shows what goes on growing
                weights = []
                for share in (0.0, 0.5, 1.0):
                    passed = (dt.datetime.now(dt.UTC) - began).total_seconds()
                    time.sleep(max(0.0, asked.seconds * share - passed))
                    weights.append(weigh(lake))
                ended = time.time()
                table = EmbeddedWarehouse(lake).read("fintech.transactions", ["ingested_at"])
                last = pc.max(table.column(0)).as_py().replace(tzinfo=dt.UTC).timestamp()
                caught_up_after = wait_until_it_stays(lake)
                watch.send_signal(signal.SIGTERM)
                watch.wait()
            ids = served(url, began - DAY)
        whole = EmbeddedWarehouse(lake)
        kept = whole.read("fintech.transactions", ["transaction_id", "event_time", "ingested_at"])
        mine = kept.filter(
            pc.greater_equal(kept.column("event_time"), pa.scalar(began.replace(tzinfo=None), pa.timestamp("us")))
        )
        found = mine.column("transaction_id").to_pylist()
        print(f"{asked.rate:g} a second for {asked.seconds} s: {len(found):,} transactions")
        print(
            f"lost {len(set(ids) - set(kept.column('transaction_id').to_pylist())):,}, doubled {len(found) - len(set(found)):,}"
        )
        print(f"behind at the end: {ended - last:.1f} s; caught up {caught_up_after:.0f} s later")
        seen = first_seen(lake / "fintech.db" / "fraud_alerts")
        arrived = dict(zip(found, mine.column("ingested_at").to_pylist(), strict=True))
        # what is older may have been written before, in a file that is gone
        since = ended - 45 * 60
        arrivals = ((t, at.replace(tzinfo=dt.UTC).timestamp()) for t, at in arrived.items() if t in seen)
        waited = [(at, seen[t] - at) for t, at in arrivals if at >= since]
        print("seconds from arrival to alert: all, and each ten minutes")
        print_quantiles("all", [wait for _, wait in waited])
        for start in range(0, asked.seconds, 600):
            part = [wait for at, wait in waited if start <= at - began.timestamp() < start + 600]
            if part:
                print_quantiles(f"minute {start // 60} on", part)
        print("MiB on disk: at the beginning, in the middle, at the end")
        for name in weights[-1]:
            print(f"{name:>40}" + "".join(f"{weight.get(name, 0.0):10.1f}" for weight in weights))
        print(f"processor of all children: {sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]):.0f} s")


if __name__ == "__main__":
    main()
