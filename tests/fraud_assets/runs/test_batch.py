"""Runs in this process, at midnight UTC: the last day that can be materialized, and the days that are compacted."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from fraud_assets.clock import Clock
from fraud_assets.errors import SettingsError
from fraud_assets.runs.batch import run_days, run_maintenance
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import Settings, read_settings
from hive_io import EmbeddedWarehouse, Span
from hive_io.table import DAY as A_DAY
from mock_sources import World, running
from tests.fraud_fixtures import DAY, SPAN, fill, transaction

NEXT = DAY + A_DAY
MIDNIGHT = dt.datetime.combine(NEXT, dt.time(), dt.UTC)
BEFORE_MIDNIGHT = Clock(lambda: MIDNIGHT - dt.timedelta(microseconds=1))
AT_MIDNIGHT = Clock(lambda: MIDNIGHT)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(warehouse=str(tmp_path / "lake"), source_url="http://127.0.0.1:9", first_day=DAY)


def test_tomorrow_is_refused_until_midnight(settings: Settings) -> None:
    for span in (Span.days(NEXT, NEXT), Span.days(DAY, NEXT)):
        with pytest.raises(SettingsError, match=rf"{NEXT}.* {DAY} \(UTC\)"):
            run_days(settings, span, clock=BEFORE_MIDNIGHT)
    with dagster_instance(settings) as instance:
        assert instance.get_runs() == [], "nothing was started"
    with running(World(customers=30, merchants=60)) as url:
        run_days(settings.model_copy(update={"source_url": url}), Span.days(NEXT, NEXT), clock=AT_MIDNIGHT)
    assert set(EmbeddedWarehouse(settings.warehouse).partitions(TRANSACTIONS.table.full_name)) == {str(NEXT)}


def test_a_day_before_the_first_partition_is_refused(settings: Settings) -> None:
    earlier = DAY - A_DAY
    with pytest.raises(SettingsError, match=rf"{earlier}.*{DAY}.*FRAUD_FIRST_DAY"):
        run_days(settings, Span.days(earlier, DAY), clock=AT_MIDNIGHT)


def test_a_day_is_compacted_from_the_second_midnight_after_it(settings: Settings) -> None:
    """The live path may still write today and yesterday."""
    lake = EmbeddedWarehouse(settings.warehouse)
    for hour in range(4):
        start = dt.datetime.combine(DAY, dt.time(hour), dt.UTC)
        row = transaction(f"t{hour}", event_time=start.replace(tzinfo=None))
        fill(lake, TRANSACTIONS.table, [row], Span(start, start + dt.timedelta(hours=1)))

    def compacted(at: dt.datetime) -> object:
        (observation,) = run_maintenance(settings, Clock(lambda: at))
        assert observation.asset_key.path[-1] == TRANSACTIONS.table.name
        return observation.metadata["days compacted"].value

    second_midnight = MIDNIGHT + A_DAY
    assert compacted(second_midnight - dt.timedelta(microseconds=1)) == 0
    assert compacted(second_midnight) == 1
    assert lake.partitions(TRANSACTIONS.table.full_name) == {SPAN.first_ds: 4}
