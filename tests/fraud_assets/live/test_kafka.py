"""`fraud watch` from a topic: what is sent is loaded once, through kills of the watch and a restart of the broker."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import sys
import time
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import pytest

from hive_io import EmbeddedWarehouse
from tests.services.kafka import Kafka
from tests.services.processes import Process, wait_until

SOURCE = """\
tables:
  transactions:
    kafka: {{brokers: "{brokers}", topic: "{topic}", spill_days: 1}}
    columns: {{transaction_id: id, event_time: at, amount: amt, currency: cur, merchant_id: m, customer_id: _key}}
"""


def sent(broker: Kafka, topic: str, stop: Event, numbers: list[int], rate: int) -> None:
    """Send payments, each time of the present, until told to stop; every hundredth is no JSON."""
    while not stop.is_set():
        batch = range(len(numbers), len(numbers) + rate // 5)
        now = dt.datetime.now(dt.UTC).isoformat()
        messages = []
        for n in batch:
            row = {"id": str(n), "at": now, "amt": "90000.00" if n % 50 == 1 else "10.00", "cur": "EUR", "m": f"m{n % 9}"}
            value = f"broken {n}" if n % 100 == 0 else json.dumps(row)
            messages.append({"value": value, "key": f"c{n % 40}", "partition": n % 3})
        broker.produce(topic, messages)
        numbers.extend(batch)
        stop.wait(0.2)


@pytest.mark.kafka
def test_nothing_is_lost_or_doubled_through_kills_and_a_restart_of_the_broker(broker: Kafka, tmp_path: Path) -> None:
    kills, rate = int(os.environ.get("KAFKA_KILLS", "2")), int(os.environ.get("KAFKA_RATE", "100"))
    topic, lake = f"payments-{uuid4()}", tmp_path / "lake"
    broker.create(topic, partitions=3)
    source = tmp_path / "source.yaml"
    source.write_text(SOURCE.format(brokers=broker.brokers, topic=topic))
    stop, numbers = Event(), list[int]()
    sender = Thread(target=sent, args=(broker, topic, stop, numbers, rate))

    def watch() -> Process:
        command = [sys.executable, "-m", "fraud_assets", "watch", "--source", source, "--warehouse", lake]
        return Process(command, tmp_path / "watch.log", os.environ, Path.cwd())

    def loaded() -> list[str]:
        return EmbeddedWarehouse(lake).read("fintech.transactions", ["transaction_id"]).column(0).to_pylist()

    def count() -> int:
        return len(loaded()) if (lake / "fintech.db" / "transactions").exists() else 0

    sender.start()
    process = watch()
    try:
        for _ in range(kills):
            before = count()
            wait_until("some are loaded", lambda least=before: count() > least, 90)
            # at another place of a poll each time
            time.sleep(0.3 * (len(numbers) % 5))
            assert not process.ended, process.output()
            process.end(signal.SIGKILL)
            process = watch()
        stop.set()
        sender.join(60)
        broker.stop()
        wait_until("the watch notices", lambda: "cannot be read" in process.log.read_text(), 90)
        broker.start()
        broker.produce(topic, [{"value": json.dumps({"id": "last", "at": dt.datetime.now(dt.UTC).isoformat(), "amt": "1"})}])
        good = {str(n) for n in numbers if n % 100}
        wait_until("all are loaded", lambda: len(set(loaded()) & good) == len(good), 120)
        wait_until("the last is rejected", lambda: rejected(lake)[1], 60)
    finally:
        stop.set()
        process.end()
    found = loaded()
    assert len(found) == len(set(found)) == len(good)
    assert rejected(lake) == ({f"broken {n}" for n in numbers if n % 100 == 0}, 1)
    alerts = EmbeddedWarehouse(lake).read("fintech.fraud_alerts", ["transaction_id", "rules"]).to_pylist()
    judged = {row["transaction_id"] for row in alerts if "high_value" in row["rules"]}
    assert judged == {n for n in good if int(n) % 50 == 1}


def rejected(lake: Path) -> tuple[set[str], int]:
    """Lines that are no JSON, and the number of other rejected messages."""
    payloads = EmbeddedWarehouse(lake).read("fintech.transactions_rejected", ["payload"]).column(0).to_pylist()
    rows = [json.loads(payload) for payload in payloads]
    lines = [row["_line"] for row in rows if "_line" in row]
    assert len(lines) == len(set(lines))
    return set(lines), len(rows) - len(lines)
