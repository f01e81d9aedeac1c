"""The asset of the alerts: what it says about tables whose rule is gone."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from fraud_assets.defs.asset_specs import daily
from fraud_assets.defs.detection import detection_assets
from fraud_assets.detection.rule_book import RuleBook, read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import rule_table
from hive_io import EmbeddedWarehouse
from hive_io.dagster.io_manager import HiveIOManagerFactory, WarehouseResource
from tests.fraud_fixtures import DAY, NOON, all_tables, fill, transaction

HIT = {"customer_id": "c1", "event_time": NOON, "rule_version": "v", "severity": "high", "reason": "r", "evidence": "{}"}


def alerts_of(book: RuleBook, folder: Path, instance: dg.DagsterInstance) -> tuple[list[str], list[str]]:
    """Materialize the alerts of a day. Return the flagged transactions, and the warnings in the run's log."""
    lake = WarehouseResource(location=str(folder))
    definitions = dg.Definitions(
        [detection_assets(Engine(book), daily(DAY))[-1]],
        resources={"lake": lake, "io_manager": HiveIOManagerFactory(lake=lake)},
        executor=dg.in_process_executor,
    )
    run = definitions.resolve_implicit_global_asset_job_def().execute_in_process(partition_key=str(DAY), instance=instance)
    found = EmbeddedWarehouse(folder).read("fintech.fraud_alerts", ["transaction_id"]).column(0).to_pylist()
    warnings = [entry.user_message for entry in instance.all_logs(run.run_id) if entry.level == 30]
    return found, warnings


def test_a_run_warns_of_the_table_of_a_renamed_rule_and_its_rows_alert_no_more(lake: EmbeddedWarehouse) -> None:
    book = read_rule_book()
    all_tables(lake, book)
    fill(lake, "transactions", [transaction(name) for name in ("of the old rule", "of another")])
    for rule, name in (("high_value", "of the old rule"), ("velocity", "of another")):
        fill(lake, rule_table(rule), [{**HIT, "transaction_id": name, "rule": rule, "weight": 0.5}])
    renamed = RuleBook({name: rule for name, rule in book.rules.items() if name != "high_value"}, book.features)
    with dg.DagsterInstance.ephemeral() as instance:
        found, warnings = alerts_of(book, lake.root, instance)
        assert (sorted(found), [text for text in warnings if "No rule file" in text]) == (["of another", "of the old rule"], [])
        found, warnings = alerts_of(renamed, lake.root, instance)
    assert found == ["of another"]
    (warning,) = [text for text in warnings if "No rule file" in text]
    assert "high_value in fintech" in warning and "velocity" not in warning
