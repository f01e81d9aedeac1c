"""Of which columns each column is made, as Dagster is told on each materialization of a feature or a rule."""

from __future__ import annotations

import datetime as dt
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
from tests.fraud_fixtures import all_tables, book_with

BOOK = read_rule_book()
COMPUTED = [*BOOK.features, *(rule.name for rule in BOOK.evaluated)]
TODAY = dt.datetime.now(dt.UTC).date()


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(BOOK)


def told(lineage: dg.TableColumnLineage) -> dict[str, list[str]]:
    return {
        column: [f"{'.'.join(dep.asset_key.path)}.{dep.column_name}" for dep in deps]
        for column, deps in lineage.deps_by_column.items()
    }


def test_the_columns_of_a_feature(engine: Engine) -> None:
    of = "fintech.customer_daily_activity"
    found = told(column_lineage(engine, "customer_profiles"))
    assert found["amount_max"] == [f"{of}.amount_max"]
    assert found["amount_mean"] == [f"{of}.amount_sum", f"{of}.transactions"]
    assert found["amount_deviation"] == [f"{of}.amount_square_sum", f"{of}.amount_sum", f"{of}.transactions"]
    assert found["last_day"] == [f"{of}.ds"]
    counted = told(column_lineage(engine, "customer_daily_activity"))
    assert counted["transactions"] == []  # it counts rows
    assert counted["amount_square_sum"] == ["fintech.transactions.amount"]


def test_the_columns_of_a_rule(engine: Engine) -> None:
    used = ["fintech.blacklist.listed_at", "fintech.blacklist.listed_because", "fintech.transactions.merchant_id"]
    assert told(column_lineage(engine, "blacklisted_merchants")) == {
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


def test_params_are_no_source_and_cells_of_a_window_are(tmp_path: Path) -> None:
    engine = Engine(book_with(tmp_path, {}, of_the_package=["structuring"]))
    assert told(column_lineage(engine, "structuring"))["reason"] == [
        f"fintech.transactions.{column}" for column in ("amount", "currency", "customer_id", "event_time")
    ]


@pytest.mark.parametrize("table", COMPUTED)
def test_every_column_of_every_query_is_told_with_columns_that_exist(engine: Engine, table: str) -> None:
    lineage = column_lineage(engine, table).deps_by_column
    assert lineage.keys() >= engine.tables[table].column_types.keys()
    sources = {(dep.asset_key, dep.column_name) for deps in lineage.values() for dep in deps}
    # a table whose every column is one of a param, or counted, would be read for nothing
    assert {asset for asset, _ in sources} <= {key(read) for read in engine.reads(table)}
    assert sources and all(column in engine.tables[asset.path[-1]].column_types for asset, column in sources)


def test_it_is_read_once(engine: Engine) -> None:
    assert column_lineage(engine, "velocity") is column_lineage(engine, "velocity")
    assert column_lineage(engine, "velocity") is not column_lineage(Engine(BOOK), "velocity")


def test_a_run_tells_it_of_a_feature_and_a_rule(engine: Engine, tmp_path: Path) -> None:
    settings = read_settings(warehouse=str(tmp_path / "lake"), first_day=TODAY)
    all_tables(EmbeddedWarehouse(tmp_path / "lake"), BOOK)
    keys = {key("customer_daily_activity"), key("high_value")}
    job = build_definitions(settings).resolve_job_def(JOB).get_subset(asset_selection=keys)
    with dagster_instance(settings) as instance:
        result = job.execute_in_process(instance=instance, partition_key=str(TODAY))
    made = {
        event.asset_key.path[-1]: event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    assert made.keys() == {"customer_daily_activity", "high_value"}
    for table, metadata in made.items():
        assert metadata["dagster/column_lineage"].value == column_lineage(engine, table)
