"""The live path on a HiveServer2: looks leave the rows that they leave embedded, and `fraud watch` goes on."""

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
LOOKS = [dt.datetime(2026, 4, 2, hour, tzinfo=dt.UTC) for hour in (2, 11, 20)]
ODD = Faults(late=0.1, duplicates=0.05, corrected=0.05, malformed=0.05)


def test_looks_leave_the_same_rows(tmp_path: Path, server: HiveServer) -> None:
    engine = Engine(read_rule_book())
    embedded, remote = EmbeddedWarehouse(tmp_path / "lake"), HiveServer2Warehouse(server)
    clock = LOOKS[0]
    with (
        running(World(customers=100, merchants=60, fraud_rate=0.1, faults=ODD), now=lambda: clock) as url,
        SourceClient(url) as client,
    ):
        paths = []
        for warehouse in (embedded, remote):
            refresh(engine, client, warehouse, HISTORY, 1.0)
            file = tmp_path / f"{type(warehouse).__name__}.json"
            paths.append(MicroBatcher(engine, client, warehouse, file, HISTORY.first_day, 1.0))
        for now in LOOKS:
            clock = now
            one, other = ([(look.served, look.days, look.spans) for look in path.poll(DAY)] for path in paths)
            assert one == other and one, "each look brings something, and the same"
            assert not any(path.concurrent_write() for path in paths)
        assert paths[0].checkpoint == paths[1].checkpoint and paths[0].checkpoint.reopened
    assert_parity(embedded, remote)
    assert embedded.read("fintech.fraud_alerts", span=Span.days(DAY, DAY)).num_rows, "a day without alerts shows nothing"
    remote.close()


def test_fraud_watch_looks_and_runs_the_graph(
    tmp_path: Path, server: HiveServer, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    remote = HiveServer2Warehouse(server)
    with running(loaded()) as url:
        settings = read_settings(
            warehouse=pytestconfig.getoption("--hiveserver2"), source_url=url, first_day=today() - dt.timedelta(days=1)
        )
        # a look is minutes there, not seconds
        with Watching(settings, ends_within=600, every=5, reconcile=30).running() as watching:
            wait_until("a run of the graph", watching.says("through every asset"), 900)
            seen = alerts_today(remote)
            wait_until("alerts after it", lambda: alerts_today(remote) > seen, 600)
    remote.close()


def alerts_today(warehouse: HiveServer2Warehouse) -> int:
    return warehouse.partitions("fintech.fraud_alerts").get(str(today()), 0)
