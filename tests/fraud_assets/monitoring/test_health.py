"""What people are told of Dagster's records and of the lake: each change once, to a real receiver."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.events import DagsterEvent
from pydantic import SecretStr

from fraud_assets.definitions import build_definitions, watched_tables
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.checks import DEAD_AFTER, HAS_HIT, has_hit
from fraud_assets.defs.latest_partition import DUE_AFTER, LATEST_DAY
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.monitoring.alert_digest import BETWEEN_ALERTS
from fraud_assets.monitoring.health import HealthMonitor
from fraud_assets.runs.batch import RunFailed, run_days
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.schemas.detection import FRAUD_ALERTS, rule_table
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import Settings, read_settings
from hive_io import EmbeddedWarehouse, Span, Table
from mock_sources import World, running
from tests.fraud_assets.monitoring.test_incidents import Receiver
from tests.fraud_fixtures import fill, serving, transaction

NOW = dt.datetime.now(dt.UTC)
TODAY = NOW.date()
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


def look(settings: Settings, instance: dg.DagsterInstance, now: dt.datetime = NOW) -> None:
    """As a process of its own would: look, and send."""
    monitor = HealthMonitor(settings, instance, EmbeddedWarehouse(settings.warehouse), TABLES, [CHECK])
    monitor.check(now)
    assert monitor.outbox.send() == []


def made(instance: dg.DagsterInstance, *days: dt.date, tables: list[str] = TABLES) -> None:
    for table in tables:
        for day in days:
            instance.report_runless_asset_event(dg.AssetMaterialization(key(table), partition=str(day)))


def freshness(instance: dg.DagsterInstance, table: str, new: FreshnessState, old: FreshnessState) -> None:
    """What Dagster's daemon records."""
    instance.report_runless_asset_event(
        FreshnessStateChange(key=key(table), new_state=new, previous_state=old, state_change_timestamp=NOW.timestamp())  # type: ignore[arg-type]
    )


def test_late_tables_are_told_once_and_once_when_they_are_fresh_again(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    made(instance, TODAY)
    for table in TABLES:
        freshness(instance, table, FreshnessState.PASS, FreshnessState.UNKNOWN)
    look(settings, instance)
    assert receiver.titles == []
    for table in ("transactions", "fraud_alerts"):
        freshness(instance, table, FreshnessState.WARN, FreshnessState.PASS)
    look(settings, instance)
    freshness(instance, "transactions", FreshnessState.FAIL, FreshnessState.WARN)
    look(settings, instance)
    assert receiver.titles == ["Late: transactions, fraud_alerts"]
    assert f"transactions: late since {NOW:%Y-%m-%d %H:%M} (UTC)" in receiver.bodies[0]
    assert "https://dagster.example.org/assets/fintech/transactions" in receiver.bodies[0]
    freshness(instance, "transactions", FreshnessState.PASS, FreshnessState.FAIL)
    look(settings, instance)
    freshness(instance, "fraud_alerts", FreshnessState.UNKNOWN, FreshnessState.WARN)
    look(settings, instance)
    assert receiver.titles[1:] == ["Fresh again: transactions"], "what is unknown is not fresh"


def test_a_backfill_of_an_old_day_is_not_the_latest_day(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    noon = dt.datetime.combine(TODAY, dt.time(12), dt.UTC)
    look(settings, instance, noon)  # before anything was ever made
    made(instance, TODAY)
    look(settings, instance, noon)
    assert receiver.titles == []
    # the next day comes, and only an old day is made
    tomorrow = TODAY + dt.timedelta(days=1)
    midnight = dt.datetime.combine(tomorrow, dt.time(), dt.UTC)
    made(instance, TODAY - dt.timedelta(days=5))
    look(settings, instance, midnight + DUE_AFTER - dt.timedelta(seconds=1))
    assert receiver.titles == [], "the new day is not due yet"
    for _ in range(2):
        look(settings, instance, midnight + DUE_AFTER)
    assert receiver.titles == ["No partition of the latest day: transactions, high_value, fraud_alerts"]
    assert f"transactions has no partition of {tomorrow}" in receiver.bodies[0]
    made(instance, tomorrow)
    for _ in range(2):
        look(settings, instance, midnight + DUE_AFTER)
    assert receiver.titles[1:] == ["The latest day is there: transactions, high_value, fraud_alerts"]
    history = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(key("transactions"), LATEST_DAY), limit=100
    )
    # recorded where it changes, not at every look; the newest first
    assert [record.status.value for record in history] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]


@pytest.mark.parametrize("name", [LATEST_DAY, HAS_HIT])
def test_a_check_that_a_run_has_planned_is_no_result(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver, name: str
) -> None:
    made(instance, TODAY)
    planned = DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value,
        job_name="job",
        event_specific_data=AssetCheckEvaluationPlanned(asset_key=key("high_value"), check_name=name),
    )
    run = instance.create_run_for_job(build_definitions(settings).resolve_job_def("fraud_detection"))
    instance.report_dagster_event(planned, run.run_id)
    look(settings, instance)
    assert receiver.titles == []


def test_the_check_of_the_latest_day_is_in_dagster_and_in_no_run(settings: Settings) -> None:
    definitions = build_definitions(settings)
    checks = {check for check in definitions.resolve_asset_graph().asset_check_keys if check.name == LATEST_DAY}
    assert {check.asset_key for check in checks} == {key(t) for t in watched_tables(Engine(read_rule_book()))}
    job = definitions.resolve_job_def("fraud_detection")
    assert LATEST_DAY not in {node.name for node in job.nodes}


def test_a_run_that_fails_is_told_by_day_with_why_and_where(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    today = Span.days(TODAY, TODAY)
    nobody = settings.model_copy(update={"source_url": "http://127.0.0.1:9"})
    for _ in range(2):
        with pytest.raises(RunFailed):
            run_days(nobody, today)
        look(settings, instance)
    assert [title for title in receiver.titles if "run" in title] == [f"A run failed, of: fraud_detection of {TODAY}"]
    body = receiver.bodies[receiver.titles.index(f"A run failed, of: fraud_detection of {TODAY}")]
    run = instance.get_run_records()[-1].dagster_run
    assert "127.0.0.1:9" in body and "does not answer" in body and f"https://dagster.example.org/runs/{run.run_id}" in body
    with running(World(customers=40, merchants=60)) as url:
        run_days(settings.model_copy(update={"source_url": url}), today)
    look(settings, instance)
    look(settings, instance)
    assert [title for title in receiver.titles if "uns" in title] == [f"Runs succeed again, of: fraud_detection of {TODAY}"]


def test_a_failing_check_that_stops_nothing_is_told(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    made(instance, TODAY)
    for passed in (True, False, False, True):
        result = dg.AssetCheckEvaluation(
            key("high_value"), HAS_HIT, passed=passed, metadata={}, description="0 hits in months."
        )
        instance.report_runless_asset_event(result)
        look(settings, instance)
    assert receiver.titles == [f"A check fails: {HAS_HIT} of high_value", f"Checks pass again: {HAS_HIT} of high_value"]
    assert "0 hits in months. https://dagster.example.org/assets/fintech/high_value" in receiver.bodies[0]


@pytest.mark.parametrize(
    ("days", "hit_on", "judged", "passes"),
    [
        (DEAD_AFTER, None, 5, False),
        (DEAD_AFTER, None, 0, True),  # it had nothing to judge
        (DEAD_AFTER - 1, None, 5, True),  # nobody can tell yet
        (DEAD_AFTER, DEAD_AFTER - 1, 5, True),
        (DEAD_AFTER + 1, DEAD_AFTER, 5, False),  # its last hit is too long ago
    ],
)
def test_a_rule_is_dead_when_it_has_not_hit_for_long(
    tmp_path: Path, days: int, hit_on: int | None, judged: int, passes: bool
) -> None:
    lake = EmbeddedWarehouse(tmp_path / "lake")
    noon = dt.datetime.combine(TODAY, dt.time(12))
    # days without transactions between them do not count
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


def test_grave_alerts_are_told_once_in_groups_and_not_too_often(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    made(instance, TODAY)
    lake = EmbeddedWarehouse(settings.warehouse)
    look(settings, instance)  # before there is a table
    alerts(lake, {"old": "critical"}, TODAY - dt.timedelta(days=2))
    alerts(lake, {"a": "low", "b": "medium", "c": "high", "d": "critical"})
    for _ in range(2):
        look(settings, instance)
    assert receiver.titles == ["2 new alerts of severity high or higher"]
    assert receiver.bodies[0].splitlines() == [
        "d: 0.500, critical, high_value, 01:02:03",
        "c: 0.500, high, high_value, 01:02:03",
        "Why: fraud explain d",
        "All: https://dagster.example.org/assets/fintech/fraud_alerts",
    ]
    attack = {f"t{number}": "high" for number in range(10_000)}
    alerts(lake, {"c": "high", "d": "critical", **attack})
    look(settings, instance, NOW + BETWEEN_ALERTS - dt.timedelta(seconds=1))
    assert len(receiver.titles) == 1
    for minutes in range(20):
        look(settings, instance, NOW + BETWEEN_ALERTS + dt.timedelta(minutes=minutes))
    assert receiver.titles[1:] == ["10,000 new alerts of severity high or higher"]
    assert len(receiver.bodies[1].splitlines()) == 13 and "t9999: 0.600, high" in receiver.bodies[1]


def test_who_wants_no_alerts_is_told_of_none(settings: Settings, instance: dg.DagsterInstance, receiver: Receiver) -> None:
    made(instance, TODAY)
    alerts(EmbeddedWarehouse(settings.warehouse), {"a": "critical"})
    look(settings.model_copy(update={"notify_severity": "none"}), instance)
    assert receiver.titles == []


def test_several_who_look_at_once_tell_once(settings: Settings, instance: dg.DagsterInstance, receiver: Receiver) -> None:
    alerts(EmbeddedWarehouse(settings.warehouse), {"a": "critical"})
    made(instance, TODAY - dt.timedelta(days=5))
    lookers = [HealthMonitor(settings, instance, EmbeddedWarehouse(settings.warehouse), TABLES, []) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda monitor: monitor.check(NOW), lookers))
        list(pool.map(lambda monitor: monitor.outbox.send(), lookers))
    lookers[0].outbox.send()
    assert sorted(receiver.titles) == [
        "1 new alerts of severity high or higher",
        "No partition of the latest day: transactions, high_value, fraud_alerts",
    ]


def test_the_sensor_tells_and_runs_where_targets_are_named(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    made(instance, TODAY - dt.timedelta(days=5))
    sensor = build_definitions(settings).get_repository_def().get_sensor_def("tell_people")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    with dg.build_sensor_context(instance=instance) as context:
        said = sensor.evaluate_tick(context)
    assert said.skip_message == "0 messages wait" and not said.run_requests
    assert receiver.titles == ["No partition of the latest day: transactions, high_value, fraud_alerts"]
    quiet = build_definitions(settings.model_copy(update={"notify": None, "scheduler": "airflow"}))
    assert quiet.get_repository_def().get_sensor_def("tell_people").default_status is dg.DefaultSensorStatus.STOPPED


def test_every_table_that_people_rely_on_is_known(settings: Settings) -> None:
    tables: dict[str, Table] = read_rule_book().tables()
    by_the_way = {name for name in tables if name.endswith("_rejected")} | {"latencies"}
    assert set(watched_tables(Engine(read_rule_book()))) == set(tables) - by_the_way
