"""The step of a source table: its metadata, and the audit that rejects a load."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import deltalake
import pyarrow as pa
import pytest
from flask import Flask, Response, jsonify, request

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.ingestion import AUDIT
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import Settings, read_settings
from hive_io import EmbeddedWarehouse, Span
from hive_io.table import DAY as A_DAY
from mock_sources import Faults, World, running
from mock_sources.serving import serving
from tests.fraud_fixtures import DAY, fill, served


def values(metadata: Any) -> dict[str, Any]:
    return {name: value.value for name, value in metadata.items()}


@pytest.mark.parametrize(("limit", "passed"), [(1.0, True), (0.0, False)])
def test_rows_are_counted_and_too_many_rejected_ones_fail_the_audit(tmp_path: Path, limit: float, passed: bool) -> None:
    table, rejected = TRANSACTIONS.table, TRANSACTIONS.rejected
    with running(World(customers=60, merchants=60, faults=Faults(malformed=0.2))) as url:
        settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=url, first_day=DAY)
        settings = settings.model_copy(update={"rejected_limit": limit})
        job = build_definitions(settings).resolve_job_def(JOB)
        step = job.get_subset(asset_selection={key(table.name), key(rejected.name)})
        with dagster_instance(settings) as instance:
            result = step.execute_in_process(instance=instance, partition_key=str(DAY), raise_on_error=False)
    (audit,) = [check for check in result.get_asset_check_evaluations() if check.check_name == AUDIT]
    assert (audit.passed, audit.blocking, audit.asset_key) == (passed, True, key(table.name))
    assert audit.metadata.keys() == {"rejected share", "broken claims"}
    broken = audit.metadata["broken claims"]
    assert isinstance(broken, dg.TableMetadataValue)
    assert broken.records and all(int(record.data["rows"]) > 0 and record.data["claim"] for record in broken.records)
    assert 0 < float(str(audit.metadata["rejected share"].value)) < 1
    lake = EmbeddedWarehouse(settings.warehouse)
    events = {event.asset_key: event for event in result.get_asset_materialization_events() if event.asset_key}
    assert lake.partitions(rejected.full_name)[str(DAY)] > 0, "rejected rows are kept either way"
    if passed:
        counts = values(events[key(table.name)].step_materialization_data.materialization.metadata)
        assert counts["rows served"] == (
            counts["rows loaded"] + counts["rows rejected"] + counts["older versions and repetitions"]
        )
        assert lake.partitions(table.full_name) == {str(DAY): counts["rows loaded"]}
    else:
        assert key(table.name) not in events and lake.partitions(table.full_name) == {}
        assert "the limit is 0%" in str(audit.description)


def _step(settings: Settings, clock: Clock, table: str) -> dg.ExecuteInProcessResult:
    """Run the step of a table for a day at a time of the clock."""
    job = (
        build_definitions(settings, clock)
        .resolve_job_def(JOB)
        .get_subset(asset_selection={key(table), key(f"{table}_rejected")})
    )
    with dagster_instance(settings) as instance:
        return job.execute_in_process(instance=instance, partition_key=str(DAY))


def _metadata(result: dg.ExecuteInProcessResult, table: str) -> dict[str, Any]:
    [event] = [event for event in result.get_asset_materialization_events() if event.asset_key == key(table)]
    return dict(event.step_materialization_data.materialization.metadata)


@pytest.fixture
def lists() -> dict[str, list[Any]]:
    return {"transactions": [], "blacklist_info": [], "credit_scores": [], "fraud_reports": []}


@pytest.fixture
def settings(lists: dict[str, list[Any]], tmp_path: Path) -> Iterator[Settings]:
    app = Flask("lists")

    def external() -> Response:
        response = jsonify(lists)
        response.headers["X-As-Of"] = request.args.get("as_of", "")
        return response

    app.add_url_rule("/api/transactions", "transactions", lambda: jsonify(lists["transactions"]))
    app.add_url_rule("/api/externalData", "external", external)
    with serving(app) as url:
        yield read_settings(warehouse=str(tmp_path / "lake"), source_url=url, first_day=DAY)


def test_rounded_amounts_are_counted(settings: Settings, lists: dict[str, list[Any]]) -> None:
    amounts = {"a": (1.005, "KWD"), "b": (349.4799999999999, "EUR"), "c": ("12.345", "EUR")}
    lists["transactions"] = [
        served("transactions", transaction_id=name, amount=amount, currency=currency)
        for name, (amount, currency) in amounts.items()
    ]
    settings = settings.model_copy(update={"rejected_limit": 0.5})
    counts = values(_metadata(_step(settings, SYSTEM_CLOCK, "transactions"), "transactions"))
    assert (counts["rows loaded"], counts["rows rejected"], counts["rows with rounded amounts"]) == (2, 1, 1)
    rows = EmbeddedWarehouse(settings.warehouse).read("fintech.transactions").to_pylist()
    assert {row["transaction_id"]: str(row["amount"]) for row in rows} == {"a": "1.01", "b": "349.48"}


@pytest.mark.parametrize("limit", [1.0, 0.0])
def test_a_table_that_is_read_in_place_leaves_no_stage(tmp_path: Path, limit: float) -> None:
    rows = [{"id": name, "at": dt.datetime.combine(DAY, dt.time(12)), "amount": n} for n, name in enumerate(["a", None])]
    schema = pa.schema([("id", pa.string()), ("at", pa.timestamp("us")), ("amount", pa.int64())])
    deltalake.write_deltalake(str(tmp_path / "payments"), pa.Table.from_pylist(rows, schema))
    (tmp_path / "source.yaml").write_text(
        "tables:\n  transactions:\n    hive: {table: bank.p, folders: {bank.p: payments}, window: {column: at}}\n"
        "    columns: {transaction_id: id, event_time: at, amount: amount, merchant_id: id, customer_id: id}\n"
    )
    settings = read_settings(warehouse=str(tmp_path / "lake"), source=tmp_path / "source.yaml", first_day=DAY)
    settings = settings.model_copy(update={"rejected_limit": limit})
    job = build_definitions(settings).resolve_job_def(JOB)
    step = job.get_subset(asset_selection={key("transactions"), key("transactions_rejected")})
    with dagster_instance(settings) as instance:
        step.execute_in_process(instance=instance, partition_key=str(DAY), raise_on_error=False)
    lake = EmbeddedWarehouse(settings.warehouse)
    assert not [name for name in lake.tables("fintech") if "_in_place_" in name]
    loaded = lake.read("fintech.transactions").column("transaction_id").to_pylist()
    assert (loaded, lake.read("fintech.transactions_rejected").num_rows) == (["a"] if limit else [], 1)


def test_blacklist_entries_without_a_transaction_are_named(settings: Settings, lists: dict[str, list[Any]]) -> None:
    lake = EmbeddedWarehouse(settings.warehouse)
    names = {"M-0042 ": "spelled otherwise", "cafe\u0301": "decomposed", "sold before": None, "long ago": "A", "never": "B"}
    lists["blacklist_info"] = [served("blacklist", merchant_id=merchant, name=name) for merchant, name in names.items()]
    lists["transactions"] = [
        served("transactions", transaction_id=merchant, merchant_details__merchant_id=merchant)
        for merchant in ("m-0042", "Caf\u00e9", "other")
    ]
    _step(settings, SYSTEM_CLOCK, "transactions")
    past = Span.days(DAY - 91 * A_DAY, DAY)
    sold = [
        {"merchant_id": "Sold before", "place": "AT", "transactions": 1, "customers": 1, "ds": str(DAY - 90 * A_DAY)},
        {"merchant_id": "long ago", "place": "AT", "transactions": 1, "customers": 1, "ds": str(DAY - 91 * A_DAY)},
    ]
    fill(lake, "merchant_daily_activity", sold, past)
    found = _metadata(_step(settings, SYSTEM_CLOCK, "blacklist"), "blacklist")
    assert found["entries without a transaction in 90 days"].value == 2
    assert [dict(record.data) for record in found["without a transaction"].records] == [
        {"merchant_id": "long ago", "merchant_name": "A"},
        {"merchant_id": "never", "merchant_name": "B"},
    ]
    lists["blacklist_info"] = []
    found = _metadata(_step(settings, SYSTEM_CLOCK, "blacklist"), "blacklist")
    assert found["entries without a transaction in 90 days"].value == 0
    assert lake.read("fintech.blacklist_loads").column("rows_loaded").to_pylist() == [0]


def test_a_late_report_is_known_from_the_run_that_found_it(settings: Settings, lists: dict[str, list[Any]]) -> None:
    def clock(day: int) -> Clock:
        return Clock(lambda: dt.datetime(2026, 1, day, 3, tzinfo=dt.UTC))

    def known() -> list[dt.datetime]:
        return EmbeddedWarehouse(settings.warehouse).read("fintech.fraud_reports").column("known_at").to_pylist()

    _step(settings, clock(6), "fraud_reports")
    lists["fraud_reports"] = [served("fraud_reports")]
    _step(settings, clock(9), "fraud_reports")
    assert known() == [dt.datetime(2026, 1, 9, 3)]
    _step(settings, clock(12), "fraud_reports")
    assert known() == [dt.datetime(2026, 1, 9, 3)]
