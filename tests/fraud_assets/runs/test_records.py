"""Dagster's records in SQLite and in PostgreSQL: a run, what the UI asks for, retention; and errors that show no password."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import httpx
import pytest
import sqlalchemy as sa

from fraud_assets.defs.asset_specs import key
from fraud_assets.errors import SettingsError
from fraud_assets.runs.batch import run_days
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.runs.retention import delete_old_runs
from fraud_assets.settings import Settings, read_settings
from hive_io import Span
from mock_sources import World, running
from tests.fraud_assets.runs.test_event_log import CHECK, DAYS, evaluation, plan
from tests.services.dagster import Dagster
from tests.services.postgresql import new_database

FIRST, LAST = dt.date(2026, 3, 1), dt.date(2026, 3, 2)
TAG = {"started_by": "test"}
QUERY = """{
  runsOrError(filter: {statuses: [SUCCESS]}) { ... on Runs { results {
    runId jobName repositoryOrigin { repositoryLocationName }
    eventConnection(limit: 1000) { events { __typename } }
  } } }
  assetNodes(assetKeys: [{path: ["fintech", "fraud_alerts"]}], pipeline: null) {
    partitionKeyConnection(limit: 1, ascending: true) { results }
    assetMaterializations(limit: 10) { partition runId timestamp }
    assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status runId } } } }
  }
  instance { daemonHealth { allDaemonStatuses { daemonType } } }
}"""


@pytest.mark.slow
def test_a_run_is_recorded_shown_and_deleted(records: str, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with running(World(customers=60, merchants=60, fraud_rate=0.1)) as url:
        settings = read_settings(warehouse=str(lake), source_url=url, first_day=FIRST)
        before = dt.datetime.now(dt.UTC)
        first = run_days(settings, Span.days(FIRST, FIRST), tags=TAG).run_id
        second = run_days(settings, Span.days(FIRST, LAST), tags=TAG).run_id
    assert (settings.dagster_home / "history").exists() == (records == "sqlite")
    with dagster_instance(settings) as instance:
        assert instance.get_materialized_partitions(key("fraud_alerts")) == {str(FIRST), str(LAST)}
        record = instance.get_run_record_by_id(second)
        assert record is not None and before < record.create_timestamp < dt.datetime.now(dt.UTC), "times are UTC"
    ui = Dagster(tmp_path / "ui", lake, **database(settings), source_url=settings.source_url, first_day=str(FIRST))
    ui.start()
    try:
        answer = httpx.post(f"{ui.url}/graphql", json={"query": QUERY}, timeout=120).json()
    finally:
        ui.end()
    assert "errors" not in answer, answer
    runs = {run["runId"]: run for run in answer["data"]["runsOrError"]["results"]}
    assert runs.keys() == {first, second}
    assert runs[second]["repositoryOrigin"]["repositoryLocationName"] == "fraud_assets"
    assert "MaterializationEvent" in {event["__typename"] for event in runs[second]["eventConnection"]["events"]}
    (node,) = answer["data"]["assetNodes"]
    found = [(each["partition"], each["runId"]) for each in node["assetMaterializations"]]
    assert sorted(found) == sorted([(str(FIRST), first), (str(FIRST), second), (str(LAST), second)])
    # some are evaluated by the sensor, not by a run
    executed = [each["executionForLatestMaterialization"] for each in node["assetChecksOrError"]["checks"]]
    assert {each["status"] for each in executed if each} == {"SUCCEEDED"}
    with dagster_instance(settings) as instance:
        assert delete_old_runs(instance, TAG, dt.timedelta(0)) == 1
        assert [run.run_id for run in instance.get_runs()] == [second]
        assert not instance.all_logs(first) and instance.all_logs(second)


def database(settings: Settings) -> dict[str, str]:
    url = settings.dagster_database
    return {"dagster_database": url.get_secret_value()} if url else {}


@pytest.mark.slow
@pytest.mark.parametrize("planned", [DAYS, DAYS[:3], []])
def test_a_batch_of_evaluations_is_stored_as_one_by_one(planned: list[str], postgres: sa.URL) -> None:
    from fraud_assets.runs.postgresql_records import KeptPostgresEventLogStorage

    batch = [evaluation(day, passed=day != DAYS[4]) for day in DAYS]
    found = []
    for together in (True, False):
        storage = KeptPostgresEventLogStorage(new_database(postgres))
        if planned:
            storage.store_event(plan(planned))
        if together:
            storage.store_event_batch(batch)
        else:
            for event in batch:
                storage.store_event(event)
        history = storage.get_asset_check_execution_history(CHECK, limit=100)
        found.append(sorted((each.partition, each.status.value, str(each.evaluation)) for each in history))
        log = storage.get_logs_for_run(batch[0].run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        assert [event.timestamp for event in log] == [event.timestamp for event in batch]
        storage.dispose()
    assert found[0] == found[1] and len(found[0]) == len(DAYS)


@pytest.mark.slow
def test_records_that_cannot_be_used_are_an_error_without_the_password(
    postgres: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database(postgres)
    monkeypatch.setenv("FRAUD_DAGSTER_DATABASE", url)
    dagster_instance(read_settings(warehouse=str(tmp_path))).dispose()
    files = [file.read_text(errors="replace") for file in (tmp_path / "dagster").rglob("*") if file.is_file()]
    assert files and not [text for text in files if "s3cret" in text]
    monkeypatch.delenv("FRAUD_DAGSTER_DATABASE")
    with pytest.raises(SettingsError, match=r"dagster\.yaml says .* PostgreSQL, and FRAUD_DAGSTER_DATABASE is not set"):
        dagster_instance(read_settings(warehouse=str(tmp_path)))
    for wrong, expected in {
        url.replace("s3cret", "s4cret"): "password authentication failed",
        url.rpartition("/")[0] + "/nothing_here": 'database "nothing_here" does not exist',
        "postgresql://me:s4cret@127.0.0.1:1/x": "Connection refused",
    }.items():
        monkeypatch.setenv("FRAUD_DAGSTER_DATABASE", wrong)
        with pytest.raises(SettingsError, match=f"FRAUD_DAGSTER_DATABASE: .*{expected}") as raised:
            dagster_instance(read_settings(warehouse=str(tmp_path)))
        assert "cret" not in str(raised.value)


@pytest.mark.parametrize(
    "wrong", ["mysql://me:s4cret@db/x", "postgresql://me:s4cret@db", "postgresql://me:s4/cret@db:1/x", "s4cret"]
)
def test_another_address_is_an_error_without_the_password(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_DAGSTER_DATABASE", wrong)
    with pytest.raises(SettingsError, match="FRAUD_DAGSTER_DATABASE: expected postgresql://") as raised:
        read_settings()
    assert "s4" not in str(raised.value)
