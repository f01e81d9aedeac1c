"""Notifications from Dagster's records and the lake, to a real receiver: each change once."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.events import DagsterEvent
from pydantic import SecretStr

from fraud_assets.clock import Clock
from fraud_assets.definitions import build_definitions, watched_tables
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.checks import DEAD_AFTER, HAS_HIT, has_hit
from fraud_assets.defs.latest_partition import GRACE_PERIOD, LATEST_DAY
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.monitoring.alert_digest import BETWEEN_DIGESTS
from fraud_assets.monitoring.health import HealthMonitor
from fraud_assets.runs.batch import RunFailed, run_days
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.schemas.detection import FRAUD_ALERTS, rule_table
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import Settings, read_settings
from hive_io import EmbeddedWarehouse, Span, Table
from mock_sources import World, running
from mock_sources.serving import serving
from tests.fraud_assets.monitoring.test_incidents import Receiver
from tests.fraud_fixtures import DAY, fill, transaction

TODAY = DAY
NOW = dt.datetime.combine(TODAY, dt.time(12), dt.UTC)
TABLES = ["transactions", "high_value", "fraud_alerts"]
CHECK = dg.AssetCheckKey(key("high_value"), HAS_HIT)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def settings(receiver: Receiver, tmp_path: Path) -> Iterator[Settings]:
    with serving(receiver.app) as url:
        yield read_settings(
            warehouse=str(tmp_path / "lake"),
            first_day=TODAY - dt.timedelta(days=9),
            notify=SecretStr(url.replace("http://", "json://") + "/hook"),
            dagster_url="https://dagster.example.org/",
        )


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with dagster_instance(settings) as instance:
        yield instance


def monitor_at(
    settings: Settings, instance: dg.DagsterInstance, now: dt.datetime = NOW, checks: Sequence[dg.AssetCheckKey] = (CHECK,)
) -> HealthMonitor:
    warehouse = EmbeddedWarehouse(settings.warehouse)
    return HealthMonitor(settings, instance, warehouse, TABLES, checks, Clock(lambda: now))


def check_and_send(settings: Settings, instance: dg.DagsterInstance, now: dt.datetime = NOW) -> None:
    """Check and send, as a new process would."""
    monitor = monitor_at(settings, instance, now)
    monitor.check()
    assert monitor.outbox.send() == []


def materialize(instance: dg.DagsterInstance, *days: dt.date, tables: list[str] = TABLES) -> None:
    for table in tables:
        for day in days:
            instance.report_runless_asset_event(dg.AssetMaterialization(key(table), partition=str(day)))


def freshness(instance: dg.DagsterInstance, table: str, new: FreshnessState, old: FreshnessState) -> None:
    """Record a change as Dagster's daemon does."""
    instance.report_runless_asset_event(
        FreshnessStateChange(key=key(table), new_state=new, previous_state=old, state_change_timestamp=NOW.timestamp())  # type: ignore[arg-type]
    )


def test_late_tables_open_one_incident_that_is_resolved_once(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    materialize(instance, TODAY)
    for table in TABLES:
        freshness(instance, table, FreshnessState.PASS, FreshnessState.UNKNOWN)
    check_and_send(settings, instance)
    assert receiver.titles == []
    for table in ("transactions", "fraud_alerts"):
        freshness(instance, table, FreshnessState.WARN, FreshnessState.PASS)
    check_and_send(settings, instance)
    freshness(instance, "transactions", FreshnessState.FAIL, FreshnessState.WARN)
    check_and_send(settings, instance)
    assert receiver.titles == ["Late tables: transactions, fraud_alerts"]
    assert f"{NOW:%Y-%m-%d %H:%M} (UTC)" in receiver.bodies[0]
    assert "https://dagster.example.org/assets/fintech/transactions" in receiver.bodies[0]
    freshness(instance, "transactions", FreshnessState.PASS, FreshnessState.FAIL)
    check_and_send(settings, instance)
    freshness(instance, "fraud_alerts", FreshnessState.UNKNOWN, FreshnessState.WARN)
    check_and_send(settings, instance)
    assert receiver.titles[1:] == ["Resolved: late tables: transactions"], "an unknown state is not fresh"
    assert f"transactions: failing since {NOW:%Y-%m-%d %H:%M:%S} (UTC)" in receiver.bodies[1]


def test_a_backfill_of_an_old_day_is_not_the_latest_day(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    check_and_send(settings, instance)  # nothing has ever been materialized
    materialize(instance, TODAY)
    check_and_send(settings, instance)
    assert receiver.titles == []
    # a new day begins, and only an old day is materialized
    tomorrow = TODAY + dt.timedelta(days=1)
    midnight = dt.datetime.combine(tomorrow, dt.time(), dt.UTC)
    materialize(instance, TODAY - dt.timedelta(days=5))
    check_and_send(settings, instance, midnight + GRACE_PERIOD - dt.timedelta(seconds=1))
    assert receiver.titles == [], "the new day is not due yet"
    for _ in range(2):
        check_and_send(settings, instance, midnight + GRACE_PERIOD)
    assert receiver.titles == ["Missing latest day: transactions, high_value, fraud_alerts"]
    assert all(fact in receiver.bodies[0] for fact in (*TABLES, str(tomorrow), "https://dagster.example.org/assets/fintech/"))
    materialize(instance, tomorrow)
    for _ in range(2):
        check_and_send(settings, instance, midnight + GRACE_PERIOD)
    assert receiver.titles[1:] == ["Resolved: missing latest day: transactions, high_value, fraud_alerts"]
    history = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(key("transactions"), LATEST_DAY), limit=100
    )
    # recorded at each change, not at each check; newest first
    assert [record.status.value for record in history] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]


@pytest.mark.parametrize("name", [LATEST_DAY, HAS_HIT])
def test_a_planned_check_is_not_a_result(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver, name: str
) -> None:
    materialize(instance, TODAY)
    planned = DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value,
        job_name="job",
        event_specific_data=AssetCheckEvaluationPlanned(asset_key=key("high_value"), check_name=name),
    )
    run = instance.create_run_for_job(build_definitions(settings).resolve_job_def("fraud_detection"))
    instance.report_dagster_event(planned, run.run_id)
    check_and_send(settings, instance)
    assert receiver.titles == []


def test_the_check_of_the_latest_day_is_in_dagster_but_not_in_runs(settings: Settings) -> None:
    definitions = build_definitions(settings)
    checks = {check for check in definitions.resolve_asset_graph().asset_check_keys if check.name == LATEST_DAY}
    assert {check.asset_key for check in checks} == {key(t) for t in watched_tables(Engine(read_rule_book()))}
    job = definitions.resolve_job_def("fraud_detection")
    assert LATEST_DAY not in {node.name for node in job.nodes}


@pytest.mark.slow
def test_a_failed_run_is_reported_by_day_with_its_error_and_link(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    today = Span.days(TODAY, TODAY)
    no_source = settings.model_copy(update={"source_url": "http://127.0.0.1:9"})
    for _ in range(2):
        with pytest.raises(RunFailed):
            run_days(no_source, today)
        check_and_send(settings, instance)
    title = f"Failed runs: fraud_detection of {TODAY}"
    assert [each for each in receiver.titles if "runs" in each] == [title]
    body = receiver.bodies[receiver.titles.index(title)]
    run = instance.get_run_records()[-1].dagster_run
    assert "127.0.0.1:9" in body and f"https://dagster.example.org/runs/{run.run_id}" in body
    with running(World(customers=40, merchants=60)) as url:
        run_days(settings.model_copy(update={"source_url": url}), today)
    check_and_send(settings, instance)
    check_and_send(settings, instance)
    assert [each for each in receiver.titles if "runs" in each] == [title, f"Resolved: failed runs: fraud_detection of {TODAY}"]


def test_a_failing_advisory_check_is_reported(settings: Settings, instance: dg.DagsterInstance, receiver: Receiver) -> None:
    materialize(instance, TODAY)
    for passed in (True, False, False, True):
        result = dg.AssetCheckEvaluation(
            key("high_value"), HAS_HIT, passed=passed, metadata={}, description="0 hits in months."
        )
        instance.report_runless_asset_event(result)
        check_and_send(settings, instance)
    name = f"{HAS_HIT} of high_value"
    assert receiver.titles == [f"Failing checks: {name}", f"Resolved: failing checks: {name}"]
    assert "0 hits in months. https://dagster.example.org/assets/fintech/high_value" in receiver.bodies[0]


@pytest.mark.parametrize(
    ("days", "hit_on", "judged", "passes"),
    [
        (DEAD_AFTER, None, 5, False),
        (DEAD_AFTER, None, 0, True),  # nothing to judge
        (DEAD_AFTER - 1, None, 5, True),  # too few days to tell
        (DEAD_AFTER, DEAD_AFTER - 1, 5, True),
        (DEAD_AFTER + 1, DEAD_AFTER, 5, False),  # the last hit is too old
    ],
)
def test_a_rule_without_hits_for_long_is_dead(tmp_path: Path, days: int, hit_on: int | None, judged: int, passes: bool) -> None:
    lake = EmbeddedWarehouse(tmp_path / "lake")
    noon = dt.datetime.combine(TODAY, dt.time(12))
    # every other day has no transactions and does not count
    span = Span.days(TODAY - dt.timedelta(days=2 * days), TODAY)
    rows = [transaction(f"t{n}", event_time=noon - dt.timedelta(days=2 * n)) for n in range(days)]
    fill(lake, TRANSACTIONS.table, rows, span)
    hits = []
    if hit_on is not None:
        hits = [{"transaction_id": "t", "event_time": noon - dt.timedelta(days=2 * hit_on), "rule": "high_value"}]
    table = rule_table("high_value")
    fill(lake, table, hits, span)
    result = has_hit(lake, table, 0, judged, Span.days(TODAY, TODAY))
    assert result.passed is passes and result.severity is dg.AssetCheckSeverity.WARN
    assert has_hit(lake, table, 1, judged, Span.days(TODAY, TODAY)).passed


def alerts(lake: EmbeddedWarehouse, severities: dict[str, str], day: dt.date = TODAY) -> None:
    rows = [
        {
            "transaction_id": name,
            "customer_id": "c1",
            "event_time": dt.datetime.combine(day, dt.time(1, 2, 3)),
            "amount": Decimal("1.00"),
            "score": 0.5 + number / 100_000,
            "severity": severity,
            "rules": ["high_value"],
            "reasons": ["…"],
            "rule_versions": ["v"],
        }
        for number, (name, severity) in enumerate(severities.items())
    ]
    fill(lake, FRAUD_ALERTS, rows, Span.days(day, day))


@pytest.mark.slow
def test_severe_alerts_are_notified_once_in_digests(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    materialize(instance, TODAY)
    lake = EmbeddedWarehouse(settings.warehouse)
    check_and_send(settings, instance)  # the table does not exist yet
    alerts(lake, {"old": "critical"}, TODAY - dt.timedelta(days=2))
    alerts(lake, {"a": "low", "b": "medium", "c": "high", "d": "critical"})
    for _ in range(2):
        check_and_send(settings, instance)
    assert receiver.titles == ["2 new alerts of severity high or higher"]
    first, second, explain, link = receiver.bodies[0].splitlines()
    assert first.startswith("d: 0.500, critical, high_value, 01:02:03")
    assert second.startswith("c: 0.500, high, high_value, 01:02:03")
    assert "fraud explain d" in explain and "https://dagster.example.org/assets/fintech/fraud_alerts" in link
    attack = {f"t{number}": "high" for number in range(10_000)}
    alerts(lake, {"c": "high", "d": "critical", **attack})
    check_and_send(settings, instance, NOW + BETWEEN_DIGESTS - dt.timedelta(seconds=1))
    assert len(receiver.titles) == 1
    for minutes in range(20):
        check_and_send(settings, instance, NOW + BETWEEN_DIGESTS + dt.timedelta(minutes=minutes))
    assert receiver.titles[1:] == ["10,000 new alerts of severity high or higher"]
    assert len(receiver.bodies[1].splitlines()) == 13 and "t9999: 0.600, high" in receiver.bodies[1]


def test_messages_about_alerts_link_to_the_desk(settings: Settings, instance: dg.DagsterInstance, receiver: Receiver) -> None:
    materialize(instance, TODAY)
    alerts(EmbeddedWarehouse(settings.warehouse), {"a/b?c": "critical"})
    check_and_send(settings.model_copy(update={"desk_url": "https://desk.example.org/"}), instance)
    lines = receiver.bodies[0].splitlines()
    assert lines[1] == "  https://desk.example.org/transactions/a%2Fb%3Fc"
    assert lines[-1] == "All open cases: https://desk.example.org/"


def test_alerts_can_be_turned_off(settings: Settings, instance: dg.DagsterInstance, receiver: Receiver) -> None:
    materialize(instance, TODAY)
    alerts(EmbeddedWarehouse(settings.warehouse), {"a": "critical"})
    check_and_send(settings.model_copy(update={"notify_severity": "none"}), instance)
    assert receiver.titles == []


def test_concurrent_monitors_notify_once(settings: Settings, instance: dg.DagsterInstance, receiver: Receiver) -> None:
    alerts(EmbeddedWarehouse(settings.warehouse), {"a": "critical"})
    materialize(instance, TODAY - dt.timedelta(days=5))
    monitors = [monitor_at(settings, instance, checks=()) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda monitor: monitor.check(), monitors))
        list(pool.map(lambda monitor: monitor.outbox.send(), monitors))
    monitors[0].outbox.send()
    assert sorted(receiver.titles) == [
        "1 new alert of severity high or higher",
        "Missing latest day: transactions, high_value, fraud_alerts",
    ]


def test_the_sensor_notifies_and_runs_if_there_are_targets(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    materialize(instance, TODAY - dt.timedelta(days=5))
    sensor = build_definitions(settings, Clock(lambda: NOW)).get_repository_def().get_sensor_def("tell_people")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    with dg.build_sensor_context(instance=instance) as context:
        tick = sensor.evaluate_tick(context)
    assert "0 messages" in str(tick.skip_message) and not tick.run_requests
    assert receiver.titles == ["Missing latest day: transactions, high_value, fraud_alerts"]
    assert str(TODAY) in receiver.bodies[0]
    quiet = build_definitions(settings.model_copy(update={"notify": None, "scheduler": "airflow"}))
    assert quiet.get_repository_def().get_sensor_def("tell_people").default_status is dg.DefaultSensorStatus.STOPPED


def test_every_other_table_is_monitored() -> None:
    tables: dict[str, Table] = read_rule_book().tables()
    unmonitored = {name for name in tables if name.endswith(("_rejected", "_loads"))} | {"latencies"}
    # only settings ask for them
    unmonitored |= {"near_misses", "alert_thresholds"}
    assert set(watched_tables(Engine(read_rule_book()))) == set(tables) - unmonitored


def test_state_files_have_the_names_and_keys_of_earlier_versions(settings: Settings, instance: dg.DagsterInstance) -> None:
    materialize(instance, TODAY - dt.timedelta(days=5))
    alerts(EmbeddedWarehouse(settings.warehouse), {"a": "critical"})
    monitor_at(settings, instance).check()
    incidents, digests = (
        json.loads((settings.state_folder / name).read_text(encoding="utf-8")) for name in ("notices.json", "alerts_told.json")
    )
    assert incidents == {"missing": dict.fromkeys(TABLES, f"{NOW:%Y-%m-%d %H:%M:%S}")}
    yesterday = TODAY - dt.timedelta(days=1)
    assert digests == {"at": NOW.isoformat(), "told": {str(yesterday): [], str(TODAY): ["a"]}}
    assert len(list((settings.state_folder / "outbox").glob("*.json"))) == 2
