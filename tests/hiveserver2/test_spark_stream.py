"""Spark Structured Streaming from a topic, on two workers: through kills of a worker and of the driver, and after a
foreign write, the tables are those of a batch over the same messages."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fraud_assets.configured_rules import rule_book
from fraud_assets.detection.rule_book import RULES_FOLDER
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.refresh import refresh
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.live.service import CHECKPOINT_FILE
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from hive_io.locations import open_warehouse
from hive_io.table import DAY
from tests.e2e.lakes import assert_parity
from tests.services import today
from tests.services.kafka import Kafka
from tests.services.processes import free_port, wait_until
from tests.services.spark import spark_streaming

ROWS = int(os.environ.get("SPARK_ROWS", "3000"))
RULES = os.environ.get("SPARK_RULES", "high_value velocity").split()
WITHIN = 900
SOURCE = """\
tables:
  transactions:
    kafka: {{brokers: "{brokers}", topic: "{topic}", spill_days: 2}}
    columns:
      transaction_id: id
      event_time: at
      amount: amt
      currency: cur
      merchant_id: m
      customer_id: _key
      ingested_at: {{from: _timestamp, format: epoch_ms}}
"""
PRESENT, LATE, MOVED = range(40), range(40, 80), range(80, 90)
"""Customers with payments of today; of yesterday; of today that are corrected to yesterday. What arrives late of yesterday
changes today's profiles of its customers only with a run, so these customers have no payments of today in the end."""
MEASURED = {"latencies", "service_levels"}
"""Tables that tell how long the live path took."""


class Payments:
    """Messages of payments. The customer is the key, so that a later version of a payment follows the earlier one."""

    def __init__(self) -> None:
        self._draw = random.Random(7)
        self._count = 0

    def some(self, rows: int, day: dt.date, customers: Sequence[int]) -> list[dict[str, Any]]:
        """New payments of a day, up to now."""
        start = dt.datetime.combine(day, dt.time(), dt.UTC)
        seconds = min(86_399.0, (dt.datetime.now(dt.UTC) - start).total_seconds())
        times = (start + dt.timedelta(seconds=self._draw.random() * seconds) for _ in range(rows))
        return [self._payment(at, self._draw.choice(customers)) for at in times]

    def _payment(self, at: dt.datetime, customer: int) -> dict[str, Any]:
        self._count += 1
        amount = self._draw.choice(["12.30", "48.00", "90000.00"])
        row = {"id": str(self._count), "at": at.isoformat(), "amt": amount, "cur": "EUR", "m": f"m{self._draw.randrange(9)}"}
        return {"value": json.dumps(row), "key": f"c{customer}", "partition": customer % 2}


def corrected(messages: Sequence[dict[str, Any]], **changed: str) -> Iterator[dict[str, Any]]:
    """The same payments with other values."""
    for message in messages:
        yield {**message, "value": json.dumps({**json.loads(message["value"]), **changed})}


class Application:
    """The application and its folder. The settings are those of the environment."""

    def __init__(self, spark: Path, folder: Path) -> None:
        self._spark = spark
        self._folder = folder
        self._checkpoint = folder / "checkpoint"

    def start(self, reconcile: float) -> None:
        arguments = ["--checkpoint", str(self._checkpoint), "--reconcile", str(reconcile)]
        self.process = spark_streaming(self._spark, self._folder, *arguments)

    def is_judging(self) -> bool:
        """True if a micro-batch has begun and has not ended."""
        begun, ended = ({file.name for file in (self._checkpoint / name).iterdir()} for name in ("offsets", "commits"))
        return bool(begun - ended)

    def has_judged(self, messages: int) -> bool:
        """True if all messages of the topic are judged."""
        assert not self.process.ended, self.process.output()
        file = read_settings().state_folder / CHECKPOINT_FILE
        cursor = json.loads(file.read_bytes())["cursor"] if file.exists() else None
        return bool(cursor) and sum(json.loads(cursor)["next"].values()) == messages

    def logged(self, text: str) -> bool:
        return text in self.process.log.read_text(encoding="utf-8", errors="replace")


@pytest.fixture
def topic(broker: Kafka, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A topic that is the source of transactions by the settings."""
    name = f"payments-{uuid4()}"
    broker.create(name, partitions=2)
    source = tmp_path / "source.yaml"
    source.write_text(SOURCE.format(brokers=broker.brokers, topic=name))
    monkeypatch.setenv("FRAUD_SOURCE", str(source))
    monkeypatch.setenv("FRAUD_REJECTED_LIMIT", "1")
    monkeypatch.setenv("FRAUD_FIRST_DAY", (today() - DAY).isoformat())
    server = f"hive://tests@127.0.0.1:{free_port()}/fintech?staging={tmp_path / 'staged'}"
    monkeypatch.setenv("FRAUD_WAREHOUSE", str(tmp_path / "warehouse") if where == "embedded" else server)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    if RULES != ["all"]:
        (tmp_path / "rules").mkdir()
        for rule in RULES:
            shutil.copy(RULES_FOLDER / f"{rule}.sql", tmp_path / "rules")
        monkeypatch.setenv("FRAUD_RULES_FOLDER", str(tmp_path / "rules"))
        monkeypatch.setenv("FRAUD_SHIPPED_RULES", "off")
    return name


@pytest.mark.kafka
@pytest.mark.parametrize("where", ["embedded", pytest.param("hive", marks=pytest.mark.long)])
def test_tables_are_those_of_a_batch_through_kills(spark: Path, broker: Kafka, topic: str, tmp_path: Path, where: str) -> None:
    application, payments, settings, some = Application(spark, tmp_path), Payments(), read_settings(), ROWS // 3
    first, moved = payments.some(some, today(), PRESENT), payments.some(some // 20, today(), MOVED)
    late = payments.some(some, today() - DAY, LATE)
    broken = [{"value": f"broken {n}", "partition": n % 2} for n in range(9)]
    yesterday = (dt.datetime.now(dt.UTC) - DAY).isoformat()
    lots = [
        [*first, *moved],
        [*late, *broken, *first[:50], *corrected(first[50:100], amt="77000.00")],
        [*payments.some(some, today(), PRESENT), *corrected(moved, at=yesterday)],
    ]
    counts = [*accumulate(map(len, lots))]
    broker.produce(topic, lots[0])
    application.start(reconcile=1_000_000)
    try:
        wait_until("the first messages are judged", lambda: application.has_judged(counts[0]), WITHIN)

        broker.produce(topic, lots[1])
        wait_until("a micro-batch begins", application.is_judging, WITHIN, every=0.1)
        os.kill(application.process.members("CoarseGrainedExecutorBackend")[0], signal.SIGKILL)
        wait_until("all are judged without the worker", lambda: application.has_judged(counts[1]), WITHIN)

        with closing(open_warehouse(settings.warehouse)) as warehouse:
            nothing = TRANSACTIONS.table.arrow_schema.empty_table()
            warehouse.replace(TRANSACTIONS.table, nothing, Span.days(today(), today()))
        wait_until("the other writer is noticed", lambda: application.logged("Concurrent write detected"), WITHIN)
        broker.produce(topic, lots[2])
        wait_until("a micro-batch begins", application.is_judging, WITHIN, every=0.1)
    finally:
        application.process.end(signal.SIGKILL)

    application.start(reconcile=30 if where == "hive" else 1_000_000)
    try:
        engine, lake = Engine(rule_book(settings)), EmbeddedWarehouse(tmp_path / "lake")
        with MappedSource.of(tmp_path / "source.yaml") as source:
            refresh(engine, source, lake, Span.days(today() - DAY, today()), 1.0)
        wait_until("all are judged", lambda: application.has_judged(counts[2]), WITHIN)
        judged = [TRANSACTIONS.table, TRANSACTIONS.rejected, *engine.per_transaction]
        with closing(open_warehouse(settings.warehouse)) as warehouse:
            assert_parity(lake, warehouse, [table.name for table in judged])
            if where == "hive":
                wait_until("a reconciliation run", lambda: application.logged("Reconciled"), WITHIN)
                assert_parity(lake, warehouse, set(lake.tables("fintech")) - MEASURED)
    finally:
        application.process.end()
