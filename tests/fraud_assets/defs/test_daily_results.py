"""Every planned check of a run has a result for each of its days, and the result is that of the day."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from fraud_assets.clock import Clock
from fraud_assets.definitions import build_definitions
from fraud_assets.defs.asset_specs import BACKFILL, daily, key
from fraud_assets.defs.checks import KEYS, SCHEMA, advisory, blocking, results
from fraud_assets.defs.daily_results import DailyRecorder, DailyResult
from fraud_assets.defs.latest_partition import LATEST_DAY
from fraud_assets.monitoring.run_history import what_failed
from fraud_assets.runs.batch import run_days
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import Settings, read_settings
from hive_io import EmbeddedWarehouse, Span
from hive_io.table import DAY as A_DAY
from mock_sources import World, running
from tests.fraud_fixtures import DAY, fill, transaction

DAYS = [DAY, DAY + A_DAY, DAY + 2 * A_DAY]
KEYS_OF_DAYS = [str(day) for day in DAYS]
CLOCK = Clock(lambda: dt.datetime.combine(DAYS[-1], dt.time(12), dt.UTC))
RANGE = {"dagster/asset_partition_range_start": KEYS_OF_DAYS[0], "dagster/asset_partition_range_end": KEYS_OF_DAYS[-1]}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(warehouse=str(tmp_path / "lake"), first_day=DAY)


def history(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> list[tuple[str | None, str]]:
    """Partition and status of each record of a check, newest first."""
    records = instance.event_log_storage.get_asset_check_execution_history(check, limit=100)
    return [(record.partition, record.status.value) for record in records]


@pytest.mark.slow
def test_every_check_of_a_run_has_a_result_for_each_day(settings: Settings) -> None:
    with running(World(customers=30, merchants=60)) as url:
        settings = settings.model_copy(update={"source_url": url})
        run_days(settings, Span.days(DAYS[0], DAYS[-1]), clock=CLOCK)
        graph = build_definitions(settings, CLOCK).resolve_asset_graph()
        # the job leaves out the check of the latest partition, which the health monitor evaluates
        checks = sorted((check for check in graph.asset_check_keys if check.name != LATEST_DAY), key=str)
        assert len(checks) > 50
        with dagster_instance(settings) as instance:
            found = {check: Counter(history(instance, check)) for check in checks}
            assert found == {check: {(day, "SUCCEEDED"): 1 for day in KEYS_OF_DAYS} for check in checks}
            infos = instance.event_log_storage.get_asset_check_partition_info(checks)
            assert len(infos) == len(checks) * len(DAYS)
            assert all(info.is_current for info in infos), "each is about the latest materialization of its day"
        # a run of one day adds one
        run_days(settings, Span.days(DAYS[1], DAYS[1]), clock=CLOCK)
        with dagster_instance(settings) as instance:
            assert {check: history(instance, check)[0] for check in checks} == dict.fromkeys(
                checks, (KEYS_OF_DAYS[1], "SUCCEEDED")
            )
            assert all(info.is_current for info in instance.event_log_storage.get_asset_check_partition_info(checks))


def _definitions(failed_days: list[str]) -> dg.Definitions:
    partitions = daily(DAY)
    specs = [
        blocking(TRANSACTIONS.table, "blocks", "", partitions),
        advisory(TRANSACTIONS.table.name, "advises", "", partitions),
    ]

    @dg.multi_asset(
        specs=[dg.AssetSpec(key(TRANSACTIONS.table.name))],
        check_specs=specs,
        partitions_def=partitions,
        backfill_policy=BACKFILL,
    )
    def asset(context: dg.AssetExecutionContext) -> Iterator[object]:
        record = DailyRecorder(context)
        yield dg.MaterializeResult()
        for name in ("blocks", "advises"):
            result = DailyResult(
                check_name=name,
                asset_key=key(TRANSACTIONS.table.name),
                failed_days=failed_days,
                description="three rows too many",
                metadata={"rows": 3},
            )
            assert result.passed is (not failed_days)
            yield from record(result)

    return dg.Definitions([asset], executor=dg.in_process_executor)


@pytest.mark.parametrize("failed", [KEYS_OF_DAYS[1:2], KEYS_OF_DAYS[2:], KEYS_OF_DAYS])
def test_a_check_fails_on_the_days_that_are_wrong(failed: list[str], settings: Settings) -> None:
    job = _definitions(failed).resolve_implicit_global_asset_job_def()
    with dagster_instance(settings) as instance:
        result = job.execute_in_process(instance=instance, tags=RANGE, raise_on_error=False)
        assert not result.success, "the blocking check"
        assert what_failed(result.all_events).splitlines() == [
            f"transactions: check {name} failed. three rows too many" for name in ("blocks", "advises")
        ]
        for name in ("blocks", "advises"):
            records = instance.event_log_storage.get_asset_check_execution_history(
                dg.AssetCheckKey(key(TRANSACTIONS.table.name), name), limit=9
            )
            assert {record.partition: record.status.value for record in records} == {
                day: "FAILED" if day in failed else "SUCCEEDED" for day in KEYS_OF_DAYS
            }
            for record in records:
                evaluation = record.evaluation
                assert evaluation is not None and evaluation.partition == record.partition
                told = (evaluation.description, {name: value.value for name, value in evaluation.metadata.items()})
                assert told == (("three rows too many", {"rows": 3}) if record.partition in failed else (None, {}))


def test_repeated_keys_and_a_wrong_schema_are_found_by_day(lake: EmbeddedWarehouse) -> None:
    span = Span.days(DAYS[0], DAYS[-1])
    noon = dt.time(12)
    rows = [transaction(name, event_time=dt.datetime.combine(day, noon)) for name, day in zip("abc", DAYS, strict=True)]
    fill(lake, TRANSACTIONS.table, rows, span)
    assert [result.failed_days for result in results(lake, TRANSACTIONS.table, span)] == [frozenset(), frozenset()]
    twice = [transaction("b", event_time=dt.datetime.combine(DAYS[1], noon)) for _ in range(2)]
    fill(lake, TRANSACTIONS.table, twice, Span.days(DAYS[1], DAYS[1]))
    keys, schema = results(lake, TRANSACTIONS.table, span)
    assert (keys.check_name, schema.check_name) == (KEYS, SCHEMA)
    assert keys.failed_days == {KEYS_OF_DAYS[1]} and keys.metadata["repeated keys"].value == 1 and not schema.failed_days
