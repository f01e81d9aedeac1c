"""A week computed as one range, day by day, and hour by hour has the same rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.refresh import refresh
from fraud_assets.evaluation.daily_quality import daily_quality
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.lists.rows import list_rows
from fraud_assets.runs.batch import run_days
from fraud_assets.schemas.cases import CASES_DAILY
from fraud_assets.schemas.detection import RULE_VERSIONS
from fraud_assets.schemas.evaluation import RULE_QUALITY
from fraud_assets.schemas.lists import LISTS
from fraud_assets.settings import read_settings
from fraud_assets.workshop.versions import version_rows
from hive_io import EmbeddedWarehouse, Span
from mock_sources import Faults, LabelledReplay, Source, World, running
from tests.e2e.lakes import Rows, assert_same, labelled_file, rows_of

FIRST, LAST = dt.date(2026, 3, 28), dt.date(2026, 4, 3)  # over the end of a month
WEEK = Span.days(FIRST, LAST)
LATER = dt.datetime(2026, 4, 20, tzinfo=dt.UTC)  # after the last late arrival
HISTORY = Span.days(FIRST - dt.timedelta(days=14), FIRST - dt.timedelta(days=1))
HOUR = dt.timedelta(hours=1)
NEED_MONTHS = {"dormant_account", "new_account_activity"}
"""Rules whose pattern takes months, so that three weeks of few customers have no hit."""
AROUND_THE_MONTHS_END = Span(dt.datetime(2026, 3, 31, 20, tzinfo=dt.UTC), dt.datetime(2026, 4, 1, 4, tzinfo=dt.UTC))


@pytest.mark.long
def test_a_week_of_the_synthetic_world(tmp_path: Path) -> None:
    _world_three_ways(tmp_path, AROUND_THE_MONTHS_END)


@pytest.mark.long
def test_a_week_of_the_synthetic_world_all_by_the_hour(tmp_path: Path) -> None:
    _world_three_ways(tmp_path, WEEK)


def _world_three_ways(folder: Path, by_the_hour: Span) -> None:
    faults = Faults(late=0.1, duplicates=0.05, corrected=0.05, malformed=0.05)
    world = World(customers=100, merchants=60, fraud_rate=0.1, faults=faults)
    results = _three_ways(world, folder, by_the_hour)
    assert_same(results["range"], results["days"])
    assert_same(results["range"], results["hours"])
    rows = results["range"]
    late = [row for row in map(dict, rows["transactions"]) if row["ingested_at"] - row["event_time"] > dt.timedelta(days=1)]
    assert late and rows["transactions_rejected"] and rows["fraud_alerts"]
    silent = {rule.name for rule in read_rule_book().evaluated if not rows[rule.name]}
    assert silent <= NEED_MONTHS, "a rule without a hit proves nothing"


@pytest.mark.long
def test_a_week_of_a_labelled_file_with_an_empty_day(tmp_path: Path) -> None:
    file = tmp_path / "labelled.parquet"
    empty = dt.date(2026, 3, 31)
    served = labelled_file(file, HISTORY.first_day, 21, empty=frozenset({empty}))
    results = _three_ways(LabelledReplay(file), tmp_path, AROUND_THE_MONTHS_END)
    assert_same(results["range"], results["days"])
    assert_same(results["range"], results["hours"])
    rows = results["range"]
    assert sum(rows["transactions"].values()) == len(served)
    assert not [row for row in map(dict, rows["transactions"]) if row["ds"] == str(empty)]
    assert [row for row in map(dict, rows["customer_profiles"]) if row["ds"] == str(empty)], "the empty day has profiles"
    midnight = [row for row in map(dict, rows["transactions"]) if row["event_time"].time() == dt.time.min]
    assert {row["ds"] for row in midnight} == {str(row["event_time"].date()) for row in midnight}


def _three_ways(source: Source, folder: Path, by_the_hour: Span) -> dict[str, Rows]:
    results = {}
    engine = Engine(read_rule_book())
    with running(source, now=lambda: LATER) as url, SourceClient(url) as client:
        for way in ("range", "days", "hours"):
            lake = EmbeddedWarehouse(folder / way)
            settings = read_settings(warehouse=str(folder / way), source_url=url)
            refresh(engine, client, lake, HISTORY, 1.0)
            if way == "range":
                run_days(settings, WEEK)
            elif way == "days":
                # through Dagster only around the end of the month, since a run does the same for each day
                for day in WEEK.each_day():
                    if AROUND_THE_MONTHS_END.first_day <= day <= AROUND_THE_MONTHS_END.last_day:
                        run_days(settings, Span.days(day, day))
                    else:
                        refresh(engine, client, lake, Span.days(day, day), 1.0)
            else:
                for span in _cut(WEEK, by_the_hour):
                    refresh(engine, client, lake, span, 1.0)
            if way != "range":
                # only runs have the desk's days
                lake.ensure_table(CASES_DAILY)
                # only runs read lists, keep versions and measure the rules: by day, to be compared with the range
                for day in WEEK.each_day():
                    one = Span.days(day, day)
                    lake.replace(LISTS, list_rows([], lake, one), one)
                    lake.ensure_table(RULE_VERSIONS)
                    lake.upsert(RULE_VERSIONS, version_rows(engine.book.evaluated, None, one))
                    lake.replace(RULE_QUALITY, daily_quality(lake, engine.book.evaluated, one).rows, one)
            results[way] = rows_of(lake)
    return results


def _cut(week: Span, by_the_hour: Span) -> Iterator[Span]:
    """The days of the week, cut into hours within `by_the_hour`."""
    for day in week.each_day():
        whole = Span.days(day, day)
        edges = [whole.start + n * HOUR for n in range(25)]
        kept = [e for e in edges if by_the_hour.start <= e <= by_the_hour.end or e in (whole.start, whole.end)]
        yield from (Span(start, end) for start, end in pairwise(kept))
