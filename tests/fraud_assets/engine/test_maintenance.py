"""Maintenance of the lake: the retention of each table, compaction, and the figures that the job reports."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from fraud_assets.cli.main import main
from fraud_assets.definitions import build_definitions
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.maintenance import MAINTENANCE
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.maintenance import KEPT_LIVE, maintain, retention_of, vacuum
from fraud_assets.ingestion.stages import stage_name
from fraud_assets.runs.batch import RunFailed, run_maintenance
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.schemas.monitoring import LATENCIES
from fraud_assets.schemas.sources import CUSTOMERS, TRANSACTIONS
from fraud_assets.settings import Settings, read_settings
from hive_io import EmbeddedWarehouse, Span
from hive_io.table import DAY as A_DAY
from tests.fraud_fixtures import fill, transaction

ENGINE = Engine(read_rule_book())
TODAY = dt.datetime.now(dt.UTC).date()
LONG_AGO = TODAY - 5 * A_DAY


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(warehouse=str(tmp_path / "lake"))


@pytest.fixture
def lake(settings: Settings) -> EmbeddedWarehouse:
    """Transactions of two days, each written in four parts, and a customer snapshot that was replaced."""
    lake = EmbeddedWarehouse(settings.warehouse)
    for day in (LONG_AGO, TODAY - A_DAY):
        for hour in range(4):
            start = dt.datetime.combine(day, dt.time(hour), dt.UTC)
            row = transaction(f"t{hour}", event_time=start.replace(tzinfo=None))
            fill(lake, TRANSACTIONS.table, [row], Span(start, start + dt.timedelta(hours=1)))
    for name in ("old", "new"):
        fill(lake, CUSTOMERS.table, [{"customer_id": name}], Span.days(TODAY, TODAY))
    return lake


def data_files(lake: EmbeddedWarehouse, table: str) -> int:
    return len(list((lake.root / "fintech.db" / table).glob("ds=*/*.parquet")))


def age_replaced_files(lake: EmbeddedWarehouse, age: dt.timedelta) -> None:
    """Date every replacement back by `age`, in the commits of the Delta log."""
    for checkpoint in [*lake.root.rglob("*.checkpoint.parquet"), *lake.root.rglob("_last_checkpoint")]:
        checkpoint.unlink()  # repeats the times of earlier commits
    for commit in lake.root.glob("fintech.db/*/_delta_log/*.json"):
        actions = [json.loads(line) for line in commit.read_text(encoding="utf-8").splitlines()]
        for action in actions:
            if "remove" in action:
                action["remove"]["deletionTimestamp"] -= int(age / dt.timedelta(milliseconds=1))
        commit.write_text("".join(json.dumps(action) + "\n" for action in actions), encoding="utf-8")


def test_only_tables_of_the_live_path_have_a_retention_of_an_hour() -> None:
    live = {name for name in ENGINE.tables if retention_of(ENGINE, name, 7) == KEPT_LIVE}
    rules = {rule.name for rule in ENGINE.book.evaluated}
    assert live == {"transactions", "transactions_rejected", "fraud_alerts", LATENCIES.name, *rules}
    assert {retention_of(ENGINE, name, 7) for name in set(ENGINE.tables) - live} == {dt.timedelta(days=7)}
    assert retention_of(ENGINE, "a_rule_that_was_retired", 7) == dt.timedelta(days=7)


def test_vacuum_deletes_replaced_files_after_their_tables_retention(lake: EmbeddedWarehouse) -> None:
    start = dt.datetime.combine(TODAY - A_DAY, dt.time(), dt.UTC)
    fill(lake, TRANSACTIONS.table, [], Span(start, start + dt.timedelta(hours=1)))
    age_replaced_files(lake, dt.timedelta(hours=2))
    lake = EmbeddedWarehouse(lake.root)
    vacuum(ENGINE, lake, 2)
    assert (data_files(lake, "transactions"), data_files(lake, "customers")) == (7, 2)
    age_replaced_files(lake, dt.timedelta(hours=45))
    lake = EmbeddedWarehouse(lake.root)
    vacuum(ENGINE, lake, 3)
    assert data_files(lake, "customers") == 2
    vacuum(ENGINE, lake, 1)
    assert data_files(lake, "customers") == 1 and lake.read("fintech.customers", ["customer_id"]).to_pylist() == [
        {"customer_id": "new"}
    ]


def test_only_days_before_yesterday_are_compacted(lake: EmbeddedWarehouse) -> None:
    rows = sorted(map(str, lake.read("fintech.transactions").to_pylist()))
    done = {each.table: each for each in maintain(ENGINE, lake, 7, TODAY)}
    assert done.keys() == {"transactions", "customers"}
    assert done["transactions"].compacted == [str(LONG_AGO)] and done["transactions"].rows == 8
    # four files became one, and are kept for an hour
    assert (done["transactions"].before.files, done["transactions"].after.files) == (8, 9)
    assert (done["customers"].compacted, done["customers"].rows) == ([], 1)
    assert sorted(map(str, lake.read("fintech.transactions").to_pylist())) == rows
    (again,) = [each for each in maintain(ENGINE, lake, 7, TODAY) if each.table == "transactions"]
    assert again.compacted == []


def test_the_stage_of_a_load_is_passed_over(lake: EmbeddedWarehouse) -> None:
    name = stage_name("transactions", dt.datetime.now(dt.UTC))
    lake.ensure_table(replace(CUSTOMERS.table, name=name))
    # without its files, it cannot be read, as if its load had just ended
    for file in (lake.root / "fintech.db" / name / "_delta_log").iterdir():
        file.write_bytes(b"")
    assert name in lake.tables("fintech")
    assert {each.table for each in maintain(ENGINE, lake, 7, TODAY)} == {"transactions", "customers"}
    vacuum(ENGINE, lake, 7)


def observed(instance: dg.DagsterInstance, table: str) -> dict[str, Any]:
    (record, *_) = instance.fetch_observations(key(table), limit=1).records
    assert record.asset_observation is not None and record.asset_observation.partition is None
    return {name: value.value for name, value in record.asset_observation.metadata.items()}


def test_the_job_reports_the_figures_of_each_table_and_their_growth(settings: Settings, lake: EmbeddedWarehouse) -> None:
    run_maintenance(settings)
    with dagster_instance(settings) as instance:
        first = observed(instance, "transactions")
    assert first.keys() == {"files before", "files", "MiB before", "MiB", "rows", "days compacted"}
    assert (first["files before"], first["files"], first["rows"], first["days compacted"]) == (8, 9, 8, 1)
    on_disk = sum(file.stat().st_size for file in (lake.root / "fintech.db" / "transactions").rglob("*") if file.is_file())
    assert first["MiB"] == pytest.approx(on_disk / 2**20, abs=0.001)
    fill(
        lake,
        TRANSACTIONS.table,
        [transaction("new", event_time=dt.datetime.combine(TODAY, dt.time()))],
        Span.days(TODAY, TODAY),
    )
    run_maintenance(settings)
    with dagster_instance(settings) as instance:
        second = observed(instance, "transactions")
        assert [run.job_name for run in instance.get_runs()] == [MAINTENANCE, MAINTENANCE]
    assert second["rows since the last upkeep"] == 1
    assert second["MiB since the last upkeep"] == pytest.approx(second["MiB"] - first["MiB"], abs=0.002)


def test_the_command_runs_the_job_and_prints_its_figures(settings: Settings, lake: EmbeddedWarehouse) -> None:
    result = CliRunner().invoke(main, ["upkeep", "--warehouse", settings.warehouse])
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines() if line.strip()]
    (line,) = [line for line in lines if line[0] == "transactions"]
    assert line[1:4] == ["8", "→", "9"]
    assert sorted(line[0] for line in lines if line[0] in ENGINE.tables) == lake.tables("fintech"), "no name is cut"
    with dagster_instance(settings) as instance:
        assert observed(instance, "customers")["rows"] == 1


def test_a_failed_run_names_the_step(settings: Settings, lake: EmbeddedWarehouse) -> None:
    log = lake.root / "fintech.db" / "transactions" / "_delta_log"
    (log / "00000000000000000003.json").write_text("not JSON", encoding="utf-8")
    with pytest.raises(RunFailed, match="all_tables"):
        run_maintenance(settings)


def test_the_job_selects_no_asset(settings: Settings) -> None:
    job = build_definitions(settings).resolve_job_def(MAINTENANCE)
    assert not job.asset_layer.selected_asset_keys and job.partitions_def is None
