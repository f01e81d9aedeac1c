"""The asset graph as neutral entities: what is read from Dagster, how assets form tasks, and which graphs are rejected."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from airflow_bridge.export.graph import AssetGraph, CannotExport, Check, Grain, Read, Retries, Task, read_graph, tasks
from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.settings import read_settings

DAILY = dg.DailyPartitionsDefinition("2026-01-05", end_offset=1)


@pytest.fixture(autouse=True)
def _previews() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        yield


def made(
    name: str, *reads: dg.AssetDep, partitions: dg.PartitionsDefinition | None = DAILY, **more: Any
) -> dg.AssetsDefinition:
    """An asset without data."""

    @dg.asset(name=name, deps=reads, partitions_def=partitions, **more)
    def asset() -> None: ...

    return asset


def reads(name: str, first: int = 0, last: int = 0) -> dg.AssetDep:
    return dg.AssetDep(name, partition_mapping=dg.TimeWindowPartitionMapping(start_offset=first, end_offset=last))


def graph_of(*assets: Any, **more: Any) -> AssetGraph:
    job = dg.define_asset_job("all", selection=dg.AssetSelection.all())
    return read_graph(dg.Definitions(assets=assets, jobs=[job], **more), "all")


def by_name(graph: AssetGraph, grain: Grain = Grain.STEP) -> dict[str, Task]:
    return {task.name: task for task in tasks(graph, grain)}


def rejection_of(*assets: Any) -> str:
    """The error message of an export of these assets."""
    with pytest.raises(CannotExport) as error:
        tasks(graph_of(*assets), Grain.STEP)
    return str(error.value)


@pytest.fixture(scope="module")
def pipeline() -> AssetGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_graph(build_definitions(read_settings()), JOB)


# --- reading Dagster's definitions ------------------------------------------------------------------------------------


def test_every_asset_of_the_pipeline_with_its_first_day(pipeline: AssetGraph) -> None:
    definitions = build_definitions(read_settings())
    # the job does not materialize the latencies: `fraud watch` writes them
    made = {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()} - {"fintech/latencies"}
    assert set(pipeline.assets) == made
    assert (pipeline.job, pipeline.first_day) == (JOB, dt.date(2025, 1, 1))


def test_an_asset_as_dagster_describes_it() -> None:
    check = dg.AssetCheckSpec("rows_exist", asset="table", blocking=True, description="There is a row.")

    @dg.asset(
        name="table",
        deps=[reads("source", -7, -1), reads("same"), "elsewhere"],
        partitions_def=DAILY,
        description="What it is.",
        group_name="stage",
        owners=["team:data", "a@example.org"],
        tags={"severity": "high", "domain": ""},
        kinds={"sql"},
        check_specs=[check],
        retry_policy=dg.RetryPolicy(max_retries=3, delay=10),
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(hours=25)),
    )
    def table(): ...  # type: ignore[no-untyped-def]

    asset = graph_of(made("source"), made("same"), table).assets["table"]
    assert (asset.description, asset.group, asset.step) == ("What it is.", "stage", "table")
    assert (asset.owners, asset.kinds) == (("a@example.org", "team:data"), ("sql",))
    assert asset.tags == (("domain", ""), ("severity", "high"))
    assert asset.reads == (Read("same", 0, 0), Read("source", -7, -1))
    assert asset.outside == ("elsewhere",)
    assert asset.checks == (Check("rows_exist", "There is a row.", blocking=True),)
    assert asset.retries == Retries(3, dt.timedelta(seconds=10))
    assert asset.freshness and asset.freshness.startswith("stale 1 day, 1:00:00 (h:mm:ss) after")


def test_a_check_that_is_a_step_of_its_own_belongs_to_its_asset() -> None:
    @dg.asset_check(asset="table", blocking=True)
    def apart() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    assert graph_of(made("table"), asset_checks=[apart]).assets["table"].checks == (Check("apart", "", blocking=True),)


def test_only_what_the_job_materializes() -> None:
    job = dg.define_asset_job("some", selection=["a", "b"])
    graph = read_graph(dg.Definitions([made("a", reads("c")), made("b", reads("a")), made("c")], jobs=[job]), "some")
    assert sorted(graph.assets) == ["a", "b"]
    assert graph.assets["a"].outside == ("c",)


# --- tasks ------------------------------------------------------------------------------------------------------------


def test_a_task_is_a_step_of_dagster(pipeline: AssetGraph) -> None:
    found = by_name(pipeline)
    job = build_definitions(read_settings()).resolve_job_def(JOB)
    assert set(found) == {node.name for node in job.nodes}
    assert [a.key for a in found["transactions"].assets] == ["fintech/transactions", "fintech/transactions_rejected"]
    assert [a.key for a in found["rules"].assets] == [key for key, a in pipeline.assets.items() if a.step == "rules"]


def test_every_asset_is_in_one_task_at_every_grain(pipeline: AssetGraph) -> None:
    for grain in Grain:
        assert sorted(a.key for task in tasks(pipeline, grain) for a in task.assets) == sorted(pipeline.assets)


def test_every_edge_is_kept_at_every_grain(pipeline: AssetGraph) -> None:
    for grain in Grain:
        order = tasks(pipeline, grain)
        place = {asset.key: number for number, task in enumerate(order) for asset in task.assets}
        for key, asset in pipeline.assets.items():
            task = order[place[key]]
            for read in asset.reads:
                other = order[place[read.asset]]
                if read.same_day and other is not task:
                    assert other.name in task.upstream and place[read.asset] < place[key]
                if read.first < 0:
                    assert (read.asset, -1) in task.waits
                    assert other is task or other.name in (*task.after, *task.upstream)


def test_one_task_per_stage(pipeline: AssetGraph) -> None:
    assert [(task.name, task.upstream) for task in tasks(pipeline, Grain.STAGE)] == [
        ("cases", ()),
        ("ingestion", ()),
        ("features", ("cases", "ingestion")),
        ("detection", ("features", "ingestion")),
        ("evaluation", ("detection", "features")),
    ]


def test_a_task_with_a_lookback_waits_and_runs_after_its_source_as_in_dagster() -> None:
    found = by_name(graph_of(made("activity"), made("reports"), made("profiles", reads("activity", -90, -1), reads("reports"))))
    assert found["profiles"].waits == (("activity", -1),)
    assert (found["profiles"].upstream, found["profiles"].after) == (("reports",), ("activity",))


@pytest.mark.parametrize(
    ("first", "last", "waits", "upstream"),
    [(0, 0, (), ("a",)), (-1, 0, (("a", -1),), ("a",)), (-9, -3, (("a", -3),), ()), (-1, -1, (("a", -1),), ())],
)
def test_a_task_waits_for_the_latest_earlier_day(first: int, last: int, waits: object, upstream: object) -> None:
    task = by_name(graph_of(made("a"), made("b", reads("a", first, last))))["b"]
    assert (task.waits, task.upstream) == (waits, upstream)


def test_an_asset_that_reads_its_own_yesterday_waits_for_itself() -> None:
    task = by_name(graph_of(made("balance", reads("balance", -1, -1))))["balance"]
    assert (task.waits, task.upstream, task.after) == ((("balance", -1),), (), ())


def test_a_task_has_the_retry_policy_with_the_most_retries() -> None:
    few = made("a", group_name="g", retry_policy=dg.RetryPolicy(max_retries=1, delay=60))
    many = made("b", group_name="g", retry_policy=dg.RetryPolicy(max_retries=4, delay=5))
    assert by_name(graph_of(few, many, made("c", group_name="g")), Grain.STAGE)["g"].retries == Retries(
        4, dt.timedelta(seconds=5)
    )


def test_the_order_does_not_depend_on_the_order_of_definitions() -> None:
    assets = [made("a"), made("b"), made("c", reads("a"), reads("b")), made("d", reads("a", -1, -1))]
    assert tasks(graph_of(*assets), Grain.STEP) == tasks(graph_of(*reversed(assets)), Grain.STEP)


# --- rejected graphs --------------------------------------------------------------------------------------------------


def test_an_edge_to_a_later_day() -> None:
    message = rejection_of(made("a"), made("b", reads("a", 0, 1)))
    assert message.startswith("b reads a of later days (end_offset=1)")
    assert "set end_offset to 0 or less" in message


@pytest.mark.parametrize(
    "mapping", [dg.AllPartitionMapping(), dg.LastPartitionMapping(), dg.SpecificPartitionsPartitionMapping(["2026-01-05"])]
)
def test_an_edge_that_no_order_of_daily_runs_satisfies(mapping: dg.PartitionMapping) -> None:
    message = rejection_of(made("a"), made("b", dg.AssetDep("a", partition_mapping=mapping)))
    assert message.startswith(f"b reads a through {type(mapping).__name__}, ")
    assert "use TimeWindowPartitionMapping" in message


@pytest.mark.parametrize(
    "partitions",
    [
        dg.HourlyPartitionsDefinition("2026-01-05-00:00"),
        dg.WeeklyPartitionsDefinition("2026-01-05"),
        dg.StaticPartitionsDefinition(["a"]),
        dg.DailyPartitionsDefinition("2026-01-05", timezone="Europe/Vienna", end_offset=1),
        dg.DailyPartitionsDefinition("2026-01-05", hour_offset=6, end_offset=1),
        dg.DailyPartitionsDefinition("20260105", fmt="%Y%m%d", end_offset=1),
    ],
)
def test_partitions_that_are_not_utc_days(partitions: dg.PartitionsDefinition) -> None:
    message = rejection_of(made("odd", partitions=partitions))
    assert message.startswith(f"odd has the partitions {partitions}; ")
    assert "daily" in message and "UTC" in message and "2026-01-31" in message


def test_an_asset_without_partitions_or_without_todays() -> None:
    message = rejection_of(made("bare", partitions=None))
    assert message.startswith("bare has no partitions") and "daily partitions" in message
    message = rejection_of(made("late", partitions=dg.DailyPartitionsDefinition("2026-01-05")))
    assert message.startswith("late has no partition for today") and "end_offset=1" in message


def test_both_ends_of_an_edge_are_named() -> None:
    message = rejection_of(made("a", partitions=None), made("b", dg.AssetDep("a")))
    assert message.startswith("a, which has an edge with b, has no partitions")


def test_a_grain_at_which_two_tasks_depend_on_each_other() -> None:
    graph = graph_of(made("a", group_name="x"), made("b", reads("a"), group_name="y"), made("c", reads("b"), group_name="x"))
    with pytest.raises(CannotExport, match=r"^(a and b|b and a) are in tasks \((x, y|y, x)\) .*a finer grain \(--grain step\)"):
        tasks(graph, Grain.STAGE)


def test_a_job_without_assets() -> None:
    with pytest.raises(CannotExport, match="The job all materializes no assets"):
        graph_of()
