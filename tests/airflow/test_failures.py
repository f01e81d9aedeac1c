"""Failures, with real schedulers: each ends as the operator documents, and the task's log has the reason."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator

import dagster as dg
import pytest

from hive_io import EmbeddedWarehouse
from tests.airflow.sites import Site
from tests.e2e.lakes import rows_of
from tests.services.airflow import Run
from tests.services.processes import wait_until

WITHIN = 600.0
NEEDS_TRANSACTIONS = {"customer_daily_activity", "merchant_daily_activity", "rules", "fraud_alerts"}


@pytest.fixture
def here(remote: Site) -> Iterator[Site]:
    """The site. The faults of its source are reset after the test."""
    yield remote
    remote.source.broken, remote.source.malformed, remote.source.held = frozenset(), False, None
    remote.source.release.set()
    remote.source.release = type(remote.source.release)()


def begin(site: Site, name: str, **changes: str) -> str:
    """Unpause a copy of the closing DAG and wait for the run that the scheduler starts; return the run's id."""
    site.airflow.unpause(site.copy(name, **changes))
    run = site.airflow.first_run(name)
    assert run.partition == site.first_day.isoformat()
    return run.run_id


def end(site: Site, name: str, run_id: str) -> Run:
    """Wait until the run has ended, and return it."""
    return site.airflow.finished(name, run_id, WITHIN)


def state(site: Site, name: str, run_id: str, task: str) -> str | None:
    """State of a task in Airflow."""
    return site.airflow.tasks(name, run_id).get(task)


def started(site: Site, name: str, task: str) -> dg.DagsterRun:
    """Wait until the Dagster run of a task has started, and return it."""

    def found() -> dg.DagsterRun | None:
        runs = site.dagster.runs(dag_id=name, task_id=task)
        return next((run for run in runs if run.status is dg.DagsterRunStatus.STARTED), None)

    return wait_until(f"Dagster runs {task} of {name}", found, 180)


def test_a_failing_asset_fails_its_task_and_blocks_downstream_tasks(here: Site) -> None:
    here.source.broken = frozenset({"/api/transactions"})
    run_id = begin(here, "failing_asset", retries="0")
    assert end(here, "failing_asset", run_id).state == "failed"
    states = here.airflow.tasks("failing_asset", run_id)
    assert states.pop("transactions") == "failed"
    assert {task for task, ended in states.items() if ended == "upstream_failed"} >= NEEDS_TRANSACTIONS
    assert states["high_risk_customers"] == "success", "it does not read transactions"
    log = here.airflow.log("failing_asset", "transactions")
    assert "RunFailed" in log and "step transactions failed" in log and "/api/transactions" in log and "500" in log


def test_a_failing_blocking_check_fails_its_task_and_blocks_downstream_tasks(here: Site) -> None:
    before = rows_of(EmbeddedWarehouse(here.warehouse)).get("transactions", Counter())
    here.source.malformed = True
    run_id = begin(here, "failing_check", retries="0")
    assert end(here, "failing_check", run_id).state == "failed"
    states = here.airflow.tasks("failing_check", run_id)
    assert states["transactions"] == "failed"
    assert {states[task] for task in NEEDS_TRANSACTIONS} == {"upstream_failed"}
    assert here.dagster.runs(dag_id="failing_check", task_id="rules") == []
    log = here.airflow.log("failing_check", "transactions")
    assert "check rejected_share_is_below_limit of fintech/transactions failed" in log
    assert re.search(r"limit\D{1,20}20%", log)
    assert rows_of(EmbeddedWarehouse(here.warehouse))["transactions"] == before, "the check failed before the commit"


def test_a_restart_of_dagster_fails_no_task(here: Site) -> None:
    here.dagster.end()
    try:
        run_id = begin(here, "dagster_away", retries="0")
        wait_until("a task requests a run", lambda: state(here, "dagster_away", run_id, "transactions") == "running", 120)
        time.sleep(30)
        assert state(here, "dagster_away", run_id, "transactions") == "running", "it waits for Dagster"
    finally:
        here.dagster.start()
    assert end(here, "dagster_away", run_id).state == "success", here.airflow.tasks("dagster_away", run_id)
    for task in here.airflow.tasks("dagster_away", run_id):
        assert len(here.dagster.runs(dag_id="dagster_away", task_id=task)) == 1


@pytest.mark.parametrize("deferrable", ["True", "False"])
def test_a_killed_task_ends_its_dagster_run(here: Site, deferrable: str) -> None:
    name = f"killed_{deferrable.lower()}"
    here.source.held = "/api/transactions"
    run_id = begin(here, name, retries="0", deferrable=deferrable)
    run = started(here, name, "transactions")
    waiting = "deferred" if deferrable == "True" else "running"
    wait_until("the task waits", lambda: state(here, name, run_id, "transactions") == waiting, 180)
    here.airflow.mark_failed(name, run_id, "transactions")

    def ended() -> bool:
        return here.dagster.runs(dag_id=name, task_id="transactions")[0].status is dg.DagsterRunStatus.CANCELED

    # Dagster interrupts the step at once, but a step that waits for its source ends only when the client times out: 5 minutes
    wait_until("Dagster has ended the run", ended, 420)
    assert [r.run_id for r in here.dagster.runs(dag_id=name, task_id="transactions")] == [run.run_id]
    assert end(here, name, run_id).state == "failed"


def test_a_retry_takes_over_the_active_run(here: Site) -> None:
    here.source.held = "/api/transactions"
    run_id = begin(here, "retried", retries="2", retry_delay="timedelta(seconds=5)", deferrable="False")
    run = started(here, "retried", "transactions")
    os.kill(wait_until("its process", lambda: here.airflow.process_of("retried", run_id, "transactions"), 60), signal.SIGKILL)
    wait_until("the next try", lambda: here.airflow.tries("retried", run_id, "transactions") == 2, 300)
    wait_until("it runs", lambda: state(here, "retried", run_id, "transactions") == "running", 180)
    wait_until("it takes over", lambda: "Taking over the run" in here.airflow.log("retried", "transactions"), 180)
    here.source.release.set()
    wait_until("success", lambda: state(here, "retried", run_id, "transactions") == "success", 180)
    assert [r.run_id for r in here.dagster.runs(dag_id="retried", task_id="transactions")] == [run.run_id]
    days = EmbeddedWarehouse(here.warehouse).read("fintech.transactions").column("ds").to_pylist()
    assert set(days) == {here.first_day.isoformat()}
