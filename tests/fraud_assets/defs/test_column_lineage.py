"""Column lineage of features and rules, and that each materialization carries it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.column_lineage import column_lineage
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse
from tests.fraud_fixtures import DAY, all_tables, book_with

BOOK = read_rule_book()
COMPUTED = [*BOOK.features, *(rule.name for rule in BOOK.evaluated)]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(BOOK)


def sources(lineage: dg.TableColumnLineage) -> dict[str, list[str]]:
    return {
        column: [f"{'.'.join(dep.asset_key.path)}.{dep.column_name}" for dep in deps]
        for column, deps in lineage.deps_by_column.items()
    }


def test_the_columns_of_a_feature(engine: Engine) -> None:
    activity = "fintech.customer_daily_activity"
    profiles = sources(column_lineage(engine, "customer_profiles"))
    assert profiles["amount_max"] == [f"{activity}.amount_max"]
    assert profiles["amount_mean"] == [f"{activity}.amount_sum", f"{activity}.transactions"]
    assert profiles["amount_deviation"] == [
        f"{activity}.amount_square_sum",
        f"{activity}.amount_sum",
        f"{activity}.transactions",
    ]
    assert profiles["last_day"] == [f"{activity}.ds"]
    daily = sources(column_lineage(engine, "customer_daily_activity"))
    assert daily["transactions"] == []  # a row count
    assert daily["amount_square_sum"] == ["fintech.transactions.amount"]


def test_the_columns_of_a_rule(engine: Engine) -> None:
    used = ["fintech.blacklist.listed_at", "fintech.blacklist.listed_because", "fintech.transactions.merchant_id"]
    assert sources(column_lineage(engine, "blacklisted_merchants")) == {
        "transaction_id": ["fintech.transactions.transaction_id"],
        "customer_id": ["fintech.transactions.customer_id"],
        "event_time": ["fintech.transactions.event_time"],
        "rule": [],
        "rule_version": [],
        "severity": [],
        "weight": [],
        "reason": used,
        "evidence": used,
        "ds": ["fintech.transactions.event_time"],
    }


def test_params_are_no_source_but_columns_in_a_window_are(tmp_path: Path) -> None:
    engine = Engine(book_with(tmp_path, {}, of_the_package=["structuring"]))
    assert sources(column_lineage(engine, "structuring"))["reason"] == [
        f"fintech.transactions.{column}" for column in ("amount", "currency", "customer_id", "event_time")
    ]


@pytest.mark.parametrize("table", COMPUTED)
def test_every_column_of_every_query_has_lineage_to_existing_columns(engine: Engine, table: str) -> None:
    lineage = column_lineage(engine, table).deps_by_column
    assert lineage.keys() >= engine.tables[table].column_types.keys()
    columns_read = {(dep.asset_key, dep.column_name) for deps in lineage.values() for dep in deps}
    assert {asset for asset, _ in columns_read} <= {key(read) for read in engine.reads(table)}
    assert columns_read and all(column in engine.tables[asset.path[-1]].column_types for asset, column in columns_read)


def test_lineage_is_computed_once_per_engine(engine: Engine) -> None:
    assert column_lineage(engine, "velocity") is column_lineage(engine, "velocity")
    assert column_lineage(engine, "velocity") is not column_lineage(Engine(BOOK), "velocity")


def test_a_run_records_the_lineage_of_a_feature_and_a_rule(engine: Engine, tmp_path: Path) -> None:
    settings = read_settings(warehouse=str(tmp_path / "lake"), first_day=DAY)
    all_tables(EmbeddedWarehouse(tmp_path / "lake"), BOOK)
    keys = {key("customer_daily_activity"), key("high_value")}
    job = build_definitions(settings).resolve_job_def(JOB).get_subset(asset_selection=keys)
    with dagster_instance(settings) as instance:
        result = job.execute_in_process(instance=instance, partition_key=str(DAY))
    recorded = {
        event.asset_key.path[-1]: event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    assert recorded.keys() == {"customer_daily_activity", "high_value"}
    for table, metadata in recorded.items():
        assert metadata["dagster/column_lineage"].value == column_lineage(engine, table)
