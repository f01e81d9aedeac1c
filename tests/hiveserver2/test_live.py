"""The live path on a HiveServer2: micro-batches leave the same rows as on the embedded warehouse, and `fraud watch` runs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.refresh import refresh
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.live.micro_batch import MicroBatcher
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, HiveServer, HiveServer2Warehouse, Span
from mock_sources import Faults, World, running
from tests.e2e.lakes import assert_parity
from tests.services.processes import wait_until
from tests.services.watching import Watching, loaded, today

DAY = dt.date(2026, 4, 2)
HISTORY = Span.days(DAY - dt.timedelta(days=7), DAY - dt.timedelta(days=1))
POLLS = [dt.datetime(2026, 4, 2, hour, tzinfo=dt.UTC) for hour in (2, 11, 20)]
FAULTS = Faults(late=0.1, duplicates=0.05, corrected=0.05, malformed=0.05)


def test_micro_batches_leave_the_same_rows(tmp_path: Path, server: HiveServer) -> None:
    engine = Engine(read_rule_book())
    embedded, remote = EmbeddedWarehouse(tmp_path / "lake"), HiveServer2Warehouse(server)
    clock = POLLS[0]
    with (
        running(World(customers=100, merchants=60, fraud_rate=0.1, faults=FAULTS), now=lambda: clock) as url,
        SourceClient(url) as client,
    ):
        batchers = []
        for warehouse in (embedded, remote):
            refresh(engine, client, warehouse, HISTORY, 1.0)
            file = tmp_path / f"{type(warehouse).__name__}.json"
            batchers.append(MicroBatcher(engine, client, warehouse, file, HISTORY.first_day, 1.0))
        for now in POLLS:
            clock = now
            one, other = ([(batch.served, batch.days, batch.spans) for batch in batcher.poll(DAY)] for batcher in batchers)
            assert one == other and one, "each poll brings rows, and the same ones"
            assert not any(batcher.concurrent_write() for batcher in batchers)
        assert batchers[0].checkpoint == batchers[1].checkpoint and batchers[0].checkpoint.late_days
    assert_parity(embedded, remote)
    assert embedded.read("fintech.fraud_alerts", span=Span.days(DAY, DAY)).num_rows, "a day without alerts shows nothing"
    remote.close()


def test_fraud_watch_polls_and_reconciles(
    tmp_path: Path, server: HiveServer, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    remote = HiveServer2Warehouse(server)
    with running(loaded(dt.datetime.now(dt.UTC))) as url:
        settings = read_settings(
            warehouse=pytestconfig.getoption("--hiveserver2"), source_url=url, first_day=today() - dt.timedelta(days=1)
        )
        # a poll takes minutes there, not seconds
        with Watching(settings, ends_within=1800, every=5, reconcile=30).running() as watching:
            wait_until("a reconciliation run", watching.logs("Reconciled"), 1800)
            before = alerts_today(remote)
            wait_until("alerts after it", lambda: alerts_today(remote) > before, 1800)
    remote.close()


def alerts_today(warehouse: HiveServer2Warehouse) -> int:
    return warehouse.partitions("fintech.fraud_alerts").get(str(today()), 0)
