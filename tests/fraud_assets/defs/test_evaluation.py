"""The asset `rule_quality`: its rows, its plot, and what the pages of rules show."""

from __future__ import annotations

import datetime as dt
import io

import dagster as dg
import pyarrow as pa
import pytest
from PIL import Image

from fraud_assets.defs.asset_specs import daily, key
from fraud_assets.defs.evaluation import evaluation_assets
from fraud_assets.defs.quality_plot import plot
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.evaluation.daily_quality import daily_quality
from fraud_assets.schemas.detection import rule_table
from fraud_assets.schemas.evaluation import LABELS, RULE_QUALITY
from hive_io import EmbeddedWarehouse, Span
from hive_io.dagster.io_manager import HiveIOManagerFactory, WarehouseResource
from tests.fraud_fixtures import fill

FIRST, LAST = dt.date(2026, 3, 1), dt.date(2026, 3, 12)
SPAN = Span.days(FIRST, LAST)
ENGINE = Engine(read_rule_book())


@pytest.fixture
def filled(lake: EmbeddedWarehouse) -> EmbeddedWarehouse:
    """Three frauds a day, known the day after; high_value hits one of them and an honest transaction."""
    at = {f"{name} {day}": dt.datetime.combine(day, dt.time(12)) for day in SPAN.each_day() for name in "abch"}
    labels = [
        {"transaction_id": name, "is_fraud": True, "known_at": time + dt.timedelta(days=1), "origin": "fraud report"}
        | {"event_time": time, "ds": str(time.date() + dt.timedelta(days=1))}
        for name, time in at.items()
        if name[0] != "h"
    ]
    fill(lake, LABELS, labels, Span.days(FIRST, LAST + dt.timedelta(days=1)))
    hits = [{"transaction_id": name, "event_time": time} for name, time in at.items() if name[0] in "ah"]
    for table in ("fraud_alerts", rule_table("high_value")):
        fill(lake, table, hits, SPAN)
    return lake


def materialize(lake: EmbeddedWarehouse, instance: dg.DagsterInstance, span: Span) -> dg.ExecuteInProcessResult:
    resource = WarehouseResource(location=str(lake.root))
    definitions = dg.Definitions(
        evaluation_assets(ENGINE, daily(FIRST)),
        resources={"lake": resource, "io_manager": HiveIOManagerFactory(lake=resource)},
        executor=dg.in_process_executor,
    )
    tags = {"dagster/asset_partition_range_start": span.first_ds, "dagster/asset_partition_range_end": span.last_ds}
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, tags=tags)


def test_a_run_measures_and_shows_each_rule_its_own(filled: EmbeddedWarehouse) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(filled, instance, SPAN)
        assert result.success and all(check.passed for check in result.get_asset_check_evaluations())
        materialized = instance.get_latest_materialization_event(key("rule_quality"))
        assert materialized and materialized.asset_materialization
        picture = materialized.asset_materialization.metadata["precision and recall"].value
        observed = instance.fetch_observations(key("high_value"), limit=9).records
        idle = instance.fetch_observations(key("velocity"), limit=9).records
    assert filled.read(RULE_QUALITY.full_name).num_rows == 12 * (1 + len(ENGINE.book.evaluated))
    assert str(picture).startswith("![") and "data:image/png;base64," in str(picture)
    [record] = observed
    assert record.partition_key == LAST.isoformat()
    facts = {name: value.value for name, value in record.asset_observation.metadata.items()}
    # the frauds of the last day are not known
    assert str(facts["precision"]).startswith("50.0% (") and "11 frauds among 22 matured hits" in str(facts["precision"])
    assert "11 of 33 known frauds, 11 of them" in str(facts["recall"])
    assert facts["recent hits"] == [f"a {LAST}", f"h {LAST}", "a 2026-03-11", "h 2026-03-11", "a 2026-03-10"]
    assert "recent hits" not in idle[0].asset_observation.metadata


def test_a_range_has_the_rows_of_its_days(filled: EmbeddedWarehouse) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(filled, instance, SPAN)
        at_once = filled.read(RULE_QUALITY.full_name).sort_by([("ds", "ascending"), ("rule", "ascending")])
        for day in list(SPAN.each_day())[-3:]:
            materialize(filled, instance, Span.days(day, day))
    assert filled.read(RULE_QUALITY.full_name).sort_by([("ds", "ascending"), ("rule", "ascending")]) == at_once


def test_the_plot_is_drawn_with_gaps_and_without_rows(filled: EmbeddedWarehouse) -> None:
    rows = daily_quality(filled, ENGINE.book.evaluated, SPAN).rows
    one_day, first, none = rows.slice(len(rows) - 16), rows.slice(0, 16), rows.slice(0, 0)
    pictures = [plot(each) for each in (rows, one_day, first, none)]
    assert len(set(pictures)) == 4
    for picture in pictures:
        with Image.open(io.BytesIO(picture)) as image:
            assert image.width == 640
        assert len(picture) < 60_000
    assert pa.compute.all(pa.compute.is_null(first.column("precision"))).as_py()
