"""The blocking check of the gate: an active rule that was changed without it raises no alerts."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest

from fraud_assets.defs.asset_specs import daily, key
from fraud_assets.defs.detection import detection_assets
from fraud_assets.defs.gate_check import PASSED_GATE
from fraud_assets.detection.rule_book import RULES_FOLDER, read_rule_book
from fraud_assets.engine.engine import Engine
from hive_io import EmbeddedWarehouse
from hive_io.dagster.io_manager import HiveIOManagerFactory, WarehouseResource
from tests.fraud_assets.cli.test_main import fraud
from tests.fraud_fixtures import DAY, all_tables, fill, rule_folder, transaction


def run(lake: EmbeddedWarehouse, folder: Path) -> tuple[set[str], dg.AssetCheckEvaluation]:
    """Materialize rules, versions and alerts of a day; the assets written, and the check of high_value."""
    resource = WarehouseResource(location=str(lake.root))
    definitions = dg.Definitions(
        detection_assets(Engine(read_rule_book(folder)), daily(DAY)),
        resources={"lake": resource, "io_manager": HiveIOManagerFactory(lake=resource)},
        executor=dg.in_process_executor,
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(partition_key=str(DAY), instance=instance, raise_on_error=False)
        written = {event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key}
        [check] = [
            each for each in result.get_asset_check_evaluations()
            if each.check_name == PASSED_GATE and each.asset_key == key("high_value")
        ]  # fmt: skip
    return written, check


def test_a_folder_without_a_lock_file_is_a_warning_that_stops_nothing(
    lake: EmbeddedWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rule_folder(tmp_path / "rules", {}, ["high_value"])
    monkeypatch.setenv("FRAUD_RULES_FOLDER", str(folder))
    monkeypatch.setenv("FRAUD_SHIPPED_RULES", "off")
    all_tables(lake, read_rule_book(folder))
    fill(lake, "transactions", [transaction("large", amount="9000.00")])
    written, check = run(lake, folder)
    assert not check.passed and check.severity is dg.AssetCheckSeverity.WARN and check.partition == str(DAY)
    assert f"{folder} has no rules.lock" in (check.description or "") and "fraud rules lock" in (check.description or "")
    assert {"high_value", "fraud_alerts"} <= written
    checked = ["rules", "check", "--warehouse", lake.root]
    assert "has no rules.lock" in fraud(*checked).output
    assert fraud("rules", "lock", "--why", "our first rule").exit_code == 0
    assert "has no rules.lock" not in fraud(*checked).output
    assert run(lake, folder)[1].passed


def test_a_changed_rule_blocks_the_alerts_until_it_is_locked(
    lake: EmbeddedWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rule_folder(tmp_path / "rules", {}, ["high_value"])
    shutil.copy(RULES_FOLDER / "high_value.examples.yaml", folder)
    monkeypatch.setenv("FRAUD_RULES_FOLDER", str(folder))
    monkeypatch.setenv("FRAUD_SHIPPED_RULES", "off")
    assert fraud("rules", "lock").exit_code == 0
    all_tables(lake, read_rule_book(folder))
    fill(lake, "transactions", [transaction("large", amount="9000.00")])
    written, check = run(lake, folder)
    assert check.passed and {"high_value", "rule_versions", "fraud_alerts"} <= written
    path = folder / "high_value.sql"
    path.write_text(path.read_text().replace("t.amount > th", "t.amount >= th"))
    written, check = run(lake, folder)
    assert not check.passed and check.blocking and check.partition == str(DAY)
    assert "fraud rules lock" in (check.description or "")
    assert "of the examples fail" in check.metadata["gate"].value
    assert "high_value" in written and "fraud_alerts" not in written
    assert fraud("rules", "lock").exit_code == 0
    written, check = run(lake, folder)
    assert check.passed and "fraud_alerts" in written
