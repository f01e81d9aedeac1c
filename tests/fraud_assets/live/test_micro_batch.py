"""The live path leaves the rows that a run of the same day leaves, however often it is disturbed."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.refresh import refresh
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.live.checkpoint import BadCheckpoint, Checkpoint
from fraud_assets.live.micro_batch import GAP, MicroBatch, MicroBatcher, spans_of
from hive_io import EmbeddedWarehouse, HiveIOError, Receipt, Span, Table
from hive_io.warehouse import Data
from mock_sources import Faults, World, running
from tests.e2e.lakes import Rows, assert_same, rows_of
from tests.fraud_fixtures import book_with

DAY = dt.date(2026, 3, 12)
NEXT = DAY + dt.timedelta(days=1)
BEFORE = DAY - dt.timedelta(days=1)
HISTORY = Span.days(DAY - dt.timedelta(days=20), BEFORE)
FIRST = DAY - dt.timedelta(days=60)
FIRST_LOOK = dt.datetime(2026, 3, 12, 2, tzinfo=dt.UTC)
LAST_LOOK = dt.datetime(2026, 3, 12, 23, 59, 59, tzinfo=dt.UTC)
FAULTS = Faults(late=0.1, duplicates=0.05, corrected=0.05, malformed=0.05)
ENGINE = Engine(read_rule_book())
OF_THE_DAY_SO_FAR = {
    "customer_daily_activity", "customer_daily_anomalies", "merchant_daily_activity", "fraud_reports",
    "fraud_reports_rejected", "service_levels", "latencies",
}  # fmt: skip
"""What only a run of the graph brings for a day that has begun."""


class Clocked:
    """A source whose clock the test sets."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.now = FIRST_LOOK


@pytest.fixture(scope="module")
def source() -> Iterator[Clocked]:
    clock = Clocked("")
    with running(World(customers=120, merchants=60, fraud_rate=0.1, faults=FAULTS), now=lambda: clock.now) as url:
        clock.url = url
        yield clock


def live(lake: EmbeddedWarehouse, client: SourceClient, folder: Path) -> MicroBatcher:
    return MicroBatcher(ENGINE, client, lake, folder / "watch.json", FIRST, 1.0, rejudged=dt.timedelta(days=1))


def history(lake: EmbeddedWarehouse, client: SourceClient, source: Clocked) -> None:
    source.now = FIRST_LOOK
    refresh(ENGINE, client, lake, HISTORY, 1.0)


def times(every: dt.timedelta) -> Iterator[dt.datetime]:
    now = FIRST_LOOK
    while now < LAST_LOOK:
        yield now
        now += every
    yield LAST_LOOK


def of_the_day(rows: Rows, day: dt.date = DAY) -> Rows:
    """The day's rows, without what the live path leaves to a run."""
    return {
        name: type(found)({row: n for row, n in found.items() if dict(row)["ds"] == str(day)})
        for name, found in rows.items()
        if name not in OF_THE_DAY_SO_FAR
    }


@pytest.fixture(scope="module")
def as_a_run(source: Clocked, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """What a run of the whole day leaves."""
    lake = EmbeddedWarehouse(tmp_path_factory.mktemp("run") / "lake")
    with SourceClient(source.url) as client:
        history(lake, client, source)
        source.now = LAST_LOOK
        refresh(ENGINE, client, lake, Span.days(DAY, DAY), 1.0)
    return rows_of(lake)


def test_a_day_of_looks_leaves_what_a_run_of_the_day_leaves(
    source: Clocked, as_a_run: Rows, tmp_path: Path, lake: EmbeddedWarehouse
) -> None:
    with SourceClient(source.url, page_size=40) as client:
        history(lake, client, source)
        path = live(lake, client, tmp_path)
        looks: list[MicroBatch] = []
        for now in times(dt.timedelta(hours=4)):
            source.now = now
            looks += path.poll(DAY)
        assert list(path.poll(DAY)) == [], "nothing is served twice"
    found = rows_of(lake)
    assert_same(of_the_day(found), of_the_day(as_a_run))
    hitting = {rule.name for rule in ENGINE.book.evaluated if of_the_day(found)[rule.name]}
    # of rules that look at one row, that look back, at customers, merchants and lists
    assert hitting >= {
        "blacklisted_merchants", "card_testing", "high_risk_activity", "high_value", "impossible_travel", "pass_through",
        "risky_merchant", "structuring", "suspicious_locations",
    }  # fmt: skip
    assert max(look.served for look in looks) == 40, "a page is a look of its own"
    assert sum(look.served for look in looks) > sum(of_the_day(found)["transactions"].values())


def test_late_rows_reopen_their_day_and_are_judged_at_once(source: Clocked, tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    with SourceClient(source.url) as client:
        history(lake, client, source)
        path = live(lake, client, tmp_path)
        list(path.poll(DAY))
        path.mark_reconciled([str(BEFORE)])
        before = rows_of(lake, str(DAY))
        source.now = LAST_LOOK
        list(path.poll(DAY))
        after = rows_of(lake, str(DAY))
        late = {dict(row)["ds"] for row in after["transactions"] - before["transactions"]}
        assert str(BEFORE) in late and set(path.checkpoint.reopened) == late

        refresh(ENGINE, client, lake, Span.days(BEFORE, BEFORE), 1.0)
        again = rows_of(lake, str(DAY))
        for rule in [*(rule.name for rule in ENGINE.book.evaluated), "fraud_alerts", "transactions"]:
            assert again[rule] == after[rule], f"{rule}: a run of the day finds nothing new"
        untouched = {"customer_profiles", "customers", "merchant_profiles", "credit_scores", "blacklist"}
        assert_same({name: after[name] for name in untouched}, {name: before[name] for name in untouched})
    path.mark_reconciled([str(BEFORE)])
    assert str(BEFORE) not in path.checkpoint.reopened


def test_the_first_transaction_of_a_day_brings_its_morning(source: Clocked, tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    morning = dt.datetime.combine(NEXT, dt.time(6), dt.UTC)
    with SourceClient(source.url) as client:
        history(lake, client, source)
        path = live(lake, client, tmp_path)
        source.now = LAST_LOOK - dt.timedelta(hours=6)
        list(path.poll(DAY))
        assert not [row for row in rows_of(lake)["customer_profiles"] if dict(row)["ds"] == str(NEXT)]
        source.now = morning
        (look,) = path.poll(NEXT)
        assert {str(DAY), str(NEXT)} <= set(look.days), "what happened before midnight arrives after it"

        run = EmbeddedWarehouse(tmp_path / "run")
        history(run, client, source)
        source.now = morning
        for day in (DAY, NEXT):
            refresh(ENGINE, client, run, Span.days(day, day), 1.0)
    found, wanted = rows_of(lake), rows_of(run)
    assert [row for row in wanted["customer_profiles"] if dict(row)["ds"] == str(NEXT)]
    assert_same(of_the_day(found, NEXT), of_the_day(wanted, NEXT))
    assert path.checkpoint.day == str(NEXT) and str(DAY) in path.checkpoint.reopened


OF_EVERYBODY = """-- title: Crowded merchant
-- description: A merchant had other customers shortly before.
-- blind_spot: Everything else.
-- severity: low
-- weight: 0.1
-- lookback: 2h
-- reason: "{shortly} payments in 2 hours"
-- source: A test.
SELECT w.transaction_id, w.customer_id, w.event_time, w.shortly > 1 AS hit, w.shortly
FROM (
  SELECT t.transaction_id, t.customer_id, t.event_time, COUNT(*) OVER (
    PARTITION BY t.merchant_id ORDER BY UNIX_TIMESTAMP(t.event_time) RANGE BETWEEN 7199 PRECEDING AND CURRENT ROW
  ) AS shortly
  FROM transactions t
) w
"""


def test_a_rule_that_looks_back_on_everybody_sees_everybody(source: Clocked, tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    engine = Engine(book_with(tmp_path / "book", {"crowded_merchant.sql": OF_EVERYBODY}, of_the_package=["velocity"]))
    run = EmbeddedWarehouse(tmp_path / "run")
    with SourceClient(source.url, page_size=40) as client:
        path = MicroBatcher(engine, client, lake, tmp_path / "watch.json", DAY, 1.0, rejudged=dt.timedelta(days=1))
        for now in times(dt.timedelta(hours=6)):
            source.now = now
            assert list(path.poll(DAY))
        refresh(engine, client, run, Span.days(DAY, DAY), 1.0)
    hits = [found.read("fintech.crowded_merchant", ["transaction_id", "evidence"]).to_pylist() for found in (lake, run)]
    assert sorted(map(str, hits[0])) == sorted(map(str, hits[1]))
    assert len(hits[0]) > 3


def test_an_empty_warehouse_whose_first_day_is_today(source: Clocked, tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    source.now = LAST_LOOK
    run = EmbeddedWarehouse(tmp_path / "run")
    with SourceClient(source.url) as client:
        (look,) = MicroBatcher(ENGINE, client, lake, tmp_path / "watch.json", DAY, 1.0).poll(DAY)
        refresh(ENGINE, client, run, Span.days(DAY, DAY), 1.0)
    assert look.served > 100
    made = rows_of(lake)
    assert made.keys() >= {"fraud_alerts", *(rule.name for rule in ENGINE.book.evaluated)}
    assert_same(of_the_day(made), {name: rows for name, rows in of_the_day(rows_of(run)).items() if name in made})


def test_a_warehouse_of_an_earlier_release_gets_the_features_that_it_lacks(
    source: Clocked, as_a_run: Rows, tmp_path: Path, lake: EmbeddedWarehouse
) -> None:
    new = ["customer_daily_anomalies", "customer_anomalies", "repeated_anomalies"]
    with SourceClient(source.url) as client:
        history(lake, client, source)
        list(live(lake, client, tmp_path).poll(DAY))
        for name in new:
            shutil.rmtree(lake.root / "fintech.db" / name)
        source.now = LAST_LOOK
        list(live(lake, client, tmp_path).poll(DAY))
    found = rows_of(lake)
    assert {dict(row)["ds"] for row in found["customer_daily_anomalies"]} == {str(BEFORE)}
    assert {dict(row)["ds"] for row in found["customer_anomalies"]} == {str(DAY)}
    as_before = as_a_run.keys() - {*new, "fraud_alerts"}
    assert_same(*({name: of_the_day(rows).get(name) for name in as_before} for rows in (found, as_a_run)))


class Shaky(EmbeddedWarehouse):
    """Fails after every so many writes, as a process that is killed there would."""

    def __init__(self, root: Path, writes: int) -> None:
        super().__init__(root)
        self.writes = writes
        self.left = writes

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            self.left = self.writes
            raise HiveIOError("killed")

    def replace(self, table: Table, data: Data, span: Span) -> Receipt:
        self._count()
        return super().replace(table, data, span)

    def upsert(self, table: Table, rows: pa.Table) -> Receipt:
        self._count()
        return super().upsert(table, rows)


@pytest.mark.parametrize("writes", [7, pytest.param(16, marks=pytest.mark.slow)])
def test_killed_again_and_again_it_leaves_the_same_rows(source: Clocked, as_a_run: Rows, tmp_path: Path, writes: int) -> None:
    killed = 0
    with SourceClient(source.url) as client:
        history(EmbeddedWarehouse(tmp_path / "lake"), client, source)
        lake = Shaky(tmp_path / "lake", writes)
        for now in times(dt.timedelta(hours=8)):
            source.now = now
            while True:
                try:
                    list(live(lake, client, tmp_path).poll(DAY))
                except HiveIOError:
                    killed += 1
                    lake.writes += 1  # else the same look would fail for ever
                    continue
                break
    assert killed > 2
    assert_same(of_the_day(rows_of(lake)), of_the_day(as_a_run))


@pytest.mark.parametrize("between_looks", [True, False])
def test_what_another_run_has_lost_is_found_again(
    source: Clocked, as_a_run: Rows, tmp_path: Path, lake: EmbeddedWarehouse, between_looks: bool
) -> None:
    with SourceClient(source.url) as client:
        history(lake, client, source)
        path = live(lake, client, tmp_path)
        source.now = LAST_LOOK - dt.timedelta(hours=2)
        list(path.poll(DAY))
        assert not path.concurrent_write()
        # a run that asked the source in the afternoon, and ended now
        some = Span(dt.datetime(2026, 3, 12, 16, tzinfo=dt.UTC), dt.datetime(2026, 3, 12, 17, tzinfo=dt.UTC))
        table = ENGINE.tables["transactions"]
        lake.replace(table, table.arrow_schema.empty_table(), some)
        source.now = LAST_LOOK
        if between_looks:
            assert path.concurrent_write()
        else:
            assert [look.concurrent_write for look in path.poll(DAY)] == [True]
        assert path.checkpoint.cursor is None
        assert not any(look.concurrent_write for look in path.poll(DAY))
    assert not path.concurrent_write()
    assert_same(of_the_day(rows_of(lake)), of_the_day(as_a_run))


def test_a_source_that_fails_moves_nothing(source: Clocked, tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    with SourceClient("http://127.0.0.1:9", attempts=1) as client:
        path = live(lake, client, tmp_path)
        with pytest.raises(SourceError, match="does not answer"):
            list(path.poll(DAY))
    assert path.checkpoint == Checkpoint() and not (tmp_path / "watch.json").exists()


def test_a_cursor_of_another_source_is_told(source: Clocked, tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    Checkpoint(cursor="nonsense").write(tmp_path / "watch.json")
    with SourceClient(source.url) as client, pytest.raises(SourceError, match="400"):
        list(live(lake, client, tmp_path).poll(DAY))


@pytest.mark.parametrize("text", ["", "[]", '{"cursor": "a", "other": 1}', '{"cursor": '])
def test_a_bookmark_that_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "watch.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadCheckpoint, match="delete it"):
        Checkpoint.read(file)


def test_a_bookmark_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "watch.json"
    assert Checkpoint.read(file) == Checkpoint()
    written = Checkpoint("abc", "2026-03-12", ["2026-03-10", "2026-03-11"])
    written.write(file)
    assert Checkpoint.read(file) == written
    assert [path.name for path in tmp_path.iterdir()] == ["watch.json"]


# --- spans --------------------------------------------------------------------------------------------------------------

NOON = dt.datetime(2026, 3, 12, 12)
HOUR = dt.timedelta(hours=1)
MOMENT = dt.timedelta(microseconds=1)


def spans(*hours: float, lookback: dt.timedelta = dt.timedelta(), most: int = 3) -> list[tuple[float, float]]:
    """Spans as hours from noon; a microsecond is nothing."""
    column = pa.chunked_array([pa.array([NOON + hour * HOUR for hour in hours], pa.timestamp("us"))])
    start = NOON.replace(tzinfo=dt.UTC)
    return [((s.start - start) / HOUR, (s.end - MOMENT - start) / HOUR) for s in spans_of(column, lookback, most)]


def test_times_that_are_near_share_a_span() -> None:
    assert spans(0, 0.1, 0.05) == [(0, 0.1)]
    assert spans(0) == [(0, 0)]
    assert spans() == []
    assert spans(0, GAP / HOUR) == [(0, GAP / HOUR)]


def test_times_that_are_far_apart_have_their_own() -> None:
    assert spans(-20, -3, 0, 0.1) == [(-20, -20), (-3, -3), (0, 0.1)]


def test_where_there_are_too_many_the_nearest_share_one() -> None:
    assert spans(-20, -9, -8, -3, 0) == [(-20, -20), (-9, -8), (-3, 0)]


def test_what_looks_back_is_judged_again_and_spans_that_meet_are_one() -> None:
    assert spans(-20, -3, 0, lookback=2 * HOUR) == [(-20, -18), (-3, -1), (0, 2)]
    assert spans(-20, -3, 0, lookback=4 * HOUR) == [(-20, -16), (-3, 4)]
