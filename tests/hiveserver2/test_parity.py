"""The same days give the same rows in both warehouses, in every table: doubles to 1e-9, all other values exactly.

On the HiveServer2, the whole days come from a Dagster run with its checks; everything else is the engine without Dagster.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest

from fraud_assets.cases.lake import write_decisions
from fraud_assets.cases.model import Decision, ReasonCode, Synced
from fraud_assets.cases.store import CaseStore
from fraud_assets.cases.sync import sync_alerts
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.refresh import refresh
from fraud_assets.evaluation.daily_quality import daily_quality, recent_hits
from fraud_assets.evaluation.protocol import evaluate_ranking, known_frauds
from fraud_assets.evaluation.rule_quality import read_facts
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.lists.rows import list_rows
from fraud_assets.live.latencies import Latencies
from fraud_assets.runs.batch import run_days
from fraud_assets.schemas.cases import CASES_DAILY
from fraud_assets.schemas.detection import RULE_VERSIONS
from fraud_assets.schemas.evaluation import LABELS, RULE_QUALITY
from fraud_assets.schemas.features import DECIDED_TRANSACTIONS
from fraud_assets.schemas.lists import LISTS
from fraud_assets.settings import read_settings
from fraud_assets.workshop.versions import version_rows
from hive_io import EmbeddedWarehouse, HiveServer, HiveServer2Warehouse, Span, Warehouse
from mock_sources import Faults, World, running
from tests.e2e.lakes import assert_parity

DAY = dt.date(2026, 4, 1)
LATER = dt.datetime(2026, 4, 20, tzinfo=dt.UTC)  # everything late has arrived
NOON = dt.datetime(2026, 4, 2, 12, 30, tzinfo=dt.UTC)
WEEK = Span.days(DAY - dt.timedelta(days=6), DAY)
PARTS = (Span(dt.datetime(2026, 4, 2, tzinfo=dt.UTC), NOON), Span(NOON, dt.datetime(2026, 4, 3, tzinfo=dt.UTC)))
NEED_MONTHS = {"dormant_account", "new_account_activity"}
"""Rules without hits in one week of so few customers."""
ODD = Faults(late=0.1, duplicates=0.05, corrected=0.05, malformed=0.05)


def decide(engine: Engine, folder: Path, embedded: Warehouse, remote: Warehouse) -> None:
    """Decide cases on the evening of DAY, take some of it back, and write all of it to both warehouses."""
    evening, day = dt.datetime.combine(DAY, dt.time(20), dt.UTC), Span.days(DAY, DAY)
    store = CaseStore.open(f"sqlite:///{folder / 'desk.sqlite'}")
    assert sync_alerts(store, embedded, evening).opened > 10
    store.set_marks(dict.fromkeys(store.marks("alerts "), "read them again"))
    assert sync_alerts(store, remote, evening) == Synced(), "both have the same alerts"
    assert sync_alerts(store, embedded, evening) == Synced() and store.marks("alerts ")
    outcomes = [(Decision.FRAUD, ReasonCode.MULE), (Decision.HONEST, ReasonCode.RULE_TOO_WIDE)]
    for number, case in enumerate(store.queue(limit=20)):
        done = store.decide(case.case_id, *outcomes[number % 2], "ä", "ann", case.version, evening)
        if number % 5 == 0:
            store.undo(case.case_id, "bob", done.version, evening)
    for warehouse in (embedded, remote):
        store.set_marks({"decisions": "0"})
        assert write_decisions(store, warehouse) > 20
        warehouse.replace(LABELS, engine.query(LABELS.name, day), day)
    store.close()


def test_features_rules_and_alerts(
    tmp_path: Path, server: HiveServer, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    engine = Engine(read_rule_book())
    embedded, remote = EmbeddedWarehouse(tmp_path / "lake"), HiveServer2Warehouse(server)
    with running(World(customers=150, merchants=60, fraud_rate=0.1, faults=ODD), now=lambda: LATER) as url:
        for warehouse in (embedded, remote):
            latencies = Latencies()
            latencies.add(pa.array([0.3, 2.5, 2.5, 70.0]), NOON)
            latencies.write(warehouse)
        with SourceClient(url) as client:
            settings = read_settings(warehouse=pytestconfig.getoption("--hiveserver2"), source_url=url, rejected_limit=1.0)
            run_days(settings, WEEK)
            refresh(engine, client, embedded, WEEK, 1.0)
            # only runs read lists, keep versions and measure the rules
            embedded.replace(LISTS, list_rows([], embedded, WEEK), WEEK)
            embedded.ensure_table(RULE_VERSIONS)
            embedded.upsert(RULE_VERSIONS, version_rows(engine.book.evaluated, None, WEEK))
            embedded.replace(RULE_QUALITY, daily_quality(embedded, engine.book.evaluated, WEEK).rows, WEEK)
            embedded.ensure_table(CASES_DAILY)
            decide(engine, tmp_path, embedded, remote)
            for part in PARTS:
                for warehouse in (embedded, remote):
                    refresh(engine, client, warehouse, part, 1.0)
    assert_parity(embedded, remote)
    assert embedded.read("fintech.transactions_rejected").num_rows
    hits = {rule.name: embedded.read(rule.table.full_name).num_rows for rule in engine.book.evaluated}
    assert {rule for rule, found in hits.items() if not found} <= NEED_MONTHS, f"rules without hits compare nothing: {hits}"
    decided = embedded.read(DECIDED_TRANSACTIONS.full_name).to_pylist()
    assert {row["is_fraud"] for row in decided} == {True, False}
    later = Span.days(WEEK.first_day, PARTS[-1].last_day)
    measured = [read_facts(each, engine.book.evaluated, later, later.last_day) for each in (embedded, remote)]
    assert measured[0] == measured[1] and measured[0].labels and measured[0].delays
    hits_named = [recent_hits(each, engine.book.evaluated, later) for each in (embedded, remote)]
    assert hits_named[0] == hits_named[1]
    frauds = [known_frauds(each, later.first_day) for each in (embedded, remote)]
    rankings = [evaluate_ranking(each, frauds[0], later, [10]) for each in (embedded, remote)]
    assert frauds[0] == frauds[1] and rankings[0] == rankings[1] and rankings[0].average_precision
    remote.close()
