"""The event log with persistent connections, against Dagster's own: either reads what the other wrote. And runs' locations."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.storage.event_log import SqliteEventLogStorage

from fraud_assets.checkout import CHECKOUT
from fraud_assets.runs.event_log import KeptSqliteEventLogStorage
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import read_settings

RUN, CHECK = "a-run", dg.AssetCheckKey(dg.AssetKey("table"), "check")
DAYS = [f"2026-01-{day:02}" for day in range(1, 8)]


def entry(kind: dg.DagsterEventType, data: Any, run_id: str = RUN) -> dg.EventLogEntry:
    event = dg.DagsterEvent(kind.value, job_name="job", event_specific_data=data)
    return dg.EventLogEntry(
        error_info=None,
        level=10,
        user_message="",
        run_id=run_id,
        timestamp=time.time(),
        step_key="step",
        job_name="job",
        dagster_event=event,
    )


def evaluation(day: str, passed: bool = True, check: dg.AssetCheckKey = CHECK, run_id: str = RUN) -> dg.EventLogEntry:
    result = dg.AssetCheckEvaluation(check.asset_key, check.name, passed, {"rows": 1}, partition=day)
    return entry(dg.DagsterEventType.ASSET_CHECK_EVALUATION, result, run_id)


def plan(days: list[str]) -> dg.EventLogEntry:
    partitions = dg.StaticPartitionsDefinition(days).subset_with_all_partitions()
    planned = AssetCheckEvaluationPlanned(
        asset_key=CHECK.asset_key, check_name=CHECK.name, partitions_subset=partitions.to_serializable_subset()
    )
    return entry(dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, planned)


def records(storage: SqliteEventLogStorage, check: dg.AssetCheckKey = CHECK) -> list[tuple[Any, ...]]:
    return [
        (record.partition, record.status.value, record.run_id, record.evaluation)
        for record in storage.get_asset_check_execution_history(check, limit=100)
    ]


@pytest.mark.parametrize("planned", [DAYS, DAYS[:3], []])
def test_a_batch_of_evaluations_is_stored_as_one_by_one(planned: list[str], tmp_path: Path) -> None:
    kept, plain = KeptSqliteEventLogStorage(str(tmp_path / "kept")), SqliteEventLogStorage(str(tmp_path / "plain"))
    batch = [evaluation(day, passed=day != DAYS[4]) for day in DAYS]
    for storage in (kept, plain):
        if planned:
            storage.store_event(plan(planned))
    kept.store_event_batch(batch)
    for event in batch:
        plain.store_event(event)
    found = records(kept)
    assert sorted(found, key=str) == sorted(records(plain), key=str)
    assert {day: status for day, status, *_ in found} == {day: "FAILED" if day == DAYS[4] else "SUCCEEDED" for day in DAYS}
    for storage in (kept, plain):
        log = storage.get_logs_for_run(RUN, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        assert [event.dagster_event.asset_check_evaluation_data.partition for event in log if event.dagster_event] == DAYS
    kept.dispose()
    assert records(SqliteEventLogStorage(str(tmp_path / "kept"))) == found, "Dagster's own class reads it"


def test_a_batch_about_several_checks_or_runs_is_stored_one_by_one(tmp_path: Path) -> None:
    storage = KeptSqliteEventLogStorage(str(tmp_path))
    other = dg.AssetCheckKey(dg.AssetKey("table"), "other")
    storage.store_event_batch([evaluation(DAYS[0]), evaluation(DAYS[1], check=other), evaluation(DAYS[2], run_id="b-run")])
    assert {(day, run_id) for day, _, run_id, _ in records(storage)} == {(DAYS[0], RUN), (DAYS[2], "b-run")}
    assert [day for day, *_ in records(storage, other)] == [DAYS[1]]
    storage.dispose()


def test_a_run_of_this_process_belongs_to_the_location_that_the_ui_opens(tmp_path: Path, records: str) -> None:
    @dg.op
    def work() -> None: ...

    @dg.job
    def job() -> None:
        work()

    (location,) = yaml.safe_load((CHECKOUT / "workspace.yaml").read_text())["load_from"]
    expected = location["python_module"]
    with dagster_instance(read_settings(warehouse=str(tmp_path))) as instance:
        run_id = job.execute_in_process(instance=instance).run_id
        run = instance.get_run_by_id(run_id)
        assert run is not None and run.remote_job_origin is not None and run.status is dg.DagsterRunStatus.SUCCESS
        origin = run.remote_job_origin.repository_origin.code_location_origin
        assert origin.location_name == expected["location_name"]
        assert origin.loadable_target_origin.module_name == expected["module_name"]
        assert origin.loadable_target_origin.attribute == expected["attribute"]
        assert run.remote_job_origin.job_name == "job"
        label = f"__repository__@{expected['location_name']}"
        assert [found.run_id for found in instance.get_runs(dg.RunsFilter(tags={".dagster/repository": label}))] == [run_id]
