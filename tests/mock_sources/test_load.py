"""A world under load: the configured number of transactions per second, otherwise the world's own data."""

from __future__ import annotations

from collections import Counter

import pytest

from mock_sources import BadConfiguration, Faults, LoadedWorld, World, timestamps
from mock_sources.source import Row, Window

SINCE = timestamps.parse("2026-03-01T12:00:00Z", "test")
WORLD = {"seed": 5, "customers": 80, "merchants": 60}


def served(world: World, window: Window, limit: int = 500) -> list[Row]:
    """The rows of all pages."""
    rows: list[Row] = []
    page = world.transactions(window, None, limit)
    while True:
        rows += page.rows
        if not page.more:
            return rows
        page = world.transactions(window, page.last, limit)


def test_the_rate_is_kept() -> None:
    world = LoadedWorld(2.5, SINCE, **WORLD)
    rows = served(world, Window(SINCE + 200 * timestamps.SECOND, SINCE, SINCE + 100 * timestamps.SECOND))
    seconds = Counter((timestamps.parse(row["date_time"], "test") - SINCE) // timestamps.SECOND for row in rows)
    assert [seconds[second] for second in range(100)] == [2, 3] * 50
    assert len({row["transaction_id"] for row in rows}) == 250


def test_a_transaction_arrives_one_to_five_seconds_after_its_event_and_is_unknown_before() -> None:
    world = LoadedWorld(20, SINCE, **WORLD)
    now = SINCE + 30 * timestamps.SECOND
    rows = served(world, Window(now, SINCE))
    delays = [timestamps.parse(row["ingested_at"], "test") - timestamps.parse(row["date_time"], "test") for row in rows]
    assert min(delays) >= timestamps.SECOND and max(delays) <= 5 * timestamps.SECOND
    later = served(world, Window(now + 10 * timestamps.SECOND, SINCE))
    assert rows == [row for row in later if row["ingested_at"] <= timestamps.text(now)]
    assert len(rows) < len(later)


def test_the_load_changes_nothing_before_its_start() -> None:
    faults = Faults(late=0.3, corrected=0.1)
    plain, loaded = World(faults=faults, **WORLD), LoadedWorld(5, SINCE, faults=faults, **WORLD)
    # late rows arrive during the load
    window = Window(SINCE + timestamps.HOUR, SINCE - 4 * timestamps.DAY, SINCE)
    assert served(loaded, window, 5_000) == served(plain, window, 5_000) != []
    assert loaded.labels(window) == plain.labels(window)


def test_answers_do_not_depend_on_the_order_of_requests() -> None:
    faults = Faults(late=0.1, duplicates=0.1, corrected=0.1, malformed=0.1)
    once, again = (LoadedWorld(20, SINCE, faults=faults, **WORLD) for _ in range(2))
    early, late = (Window(SINCE + seconds * timestamps.SECOND, SINCE) for seconds in (10, 60))
    assert [served(once, early), served(once, late)] == [served(again, w, 7) for w in (late, early)][::-1]


def test_late_rows_still_arrive_after_the_end_of_the_load() -> None:
    world = LoadedWorld(20, SINCE, 30, faults=Faults(late=0.5), **WORLD)
    after = served(world, Window(SINCE + 3 * timestamps.DAY, SINCE))
    assert len(after) == 600
    assert max(row["date_time"] for row in after) < timestamps.text(SINCE + 30 * timestamps.SECOND)
    soon = served(world, Window(SINCE + timestamps.MINUTE, SINCE))
    assert 200 < len(soon) < 400


@pytest.mark.parametrize("rate", [0, -1, float("nan"), 2_000_000])
def test_an_invalid_rate_is_an_error(rate: float) -> None:
    with pytest.raises(BadConfiguration, match=f"^rate is {rate}: give "):
        LoadedWorld(rate, SINCE, **WORLD)


def test_a_world_without_transactions_is_an_error() -> None:
    with pytest.raises(BadConfiguration, match="more customers"):
        LoadedWorld(1, timestamps.parse("2015-01-01T00:00:00Z", "test"), seed=5, customers=1, merchants=60)
