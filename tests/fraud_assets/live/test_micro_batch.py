"""The live path leaves the same rows as a run of the same day, whatever interrupts it."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from flask import Flask, Response

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.refresh import refresh
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.ingestion.load import load
from fraud_assets.lists.files import Entry, add_entries
from fraud_assets.live.checkpoint import Checkpoint
from fraud_assets.live.hot_window import HotWindow
from fraud_assets.live.micro_batch import GAP, MicroBatch, MicroBatcher, spans_of
from fraud_assets.live.service import days_to_run
from fraud_assets.schemas.detection import ALERT_THRESHOLDS, FRAUD_ALERTS
from hive_io import EmbeddedWarehouse, HiveIOError, Receipt, Span, Table
from hive_io.delta.reconciling import ReconcilingWarehouse
from hive_io.warehouse import Data
from mock_sources import Faults, World, running
from mock_sources.serving import serving
from tests.e2e.lakes import Rows, assert_same, rows_of
from tests.fraud_fixtures import book_with, served

pytestmark = pytest.mark.slow

DAY = dt.date(2026, 3, 12)
NEXT = DAY + dt.timedelta(days=1)
BEFORE = DAY - dt.timedelta(days=1)
HISTORY = Span.days(DAY - dt.timedelta(days=20), BEFORE)
FIRST = DAY - dt.timedelta(days=60)
FIRST_POLL = dt.datetime(2026, 3, 12, 2, tzinfo=dt.UTC)
LAST_POLL = dt.datetime(2026, 3, 12, 23, 59, 59, tzinfo=dt.UTC)
FAULTS = Faults(late=0.1, duplicates=0.05, corrected=0.05, malformed=0.05)
ENGINE = Engine(read_rule_book())
LEFT_TO_A_RUN = {
    "customer_daily_activity", "customer_daily_amounts", "customer_daily_anomalies", "customer_daily_outliers",
    "merchant_daily_activity", "fraud_reports",
    "fraud_reports_rejected", "fraud_reports_loads", "labels", "lists", "service_levels", "latencies",
}  # fmt: skip
"""Tables whose rows of the day in progress only a run computes, and the lists, which `refresh` does not write."""


@pytest.fixture(autouse=True)
def narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of few customers are chosen as those of many would be."""
    monkeypatch.setattr("hive_io.memory.NARROWED_FROM", 0)


class ClockedSource:
    """A source whose clock the test sets."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.now = FIRST_POLL


@pytest.fixture(scope="module")
def source() -> Iterator[ClockedSource]:
    clock = ClockedSource("")
    with running(World(customers=120, merchants=60, fraud_rate=0.1, faults=FAULTS), now=lambda: clock.now) as url:
        clock.url = url
        yield clock


def batcher_of(lake: EmbeddedWarehouse, client: SourceClient, folder: Path) -> MicroBatcher:
    return MicroBatcher(ENGINE, client, lake, folder / "watch.json", FIRST, 1.0, rejudge_within=dt.timedelta(days=1))


@pytest.fixture(scope="module")
def history(source: ClockedSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with the days before, computed once: loading them takes most of a test's time."""
    folder = tmp_path_factory.mktemp("history") / "lake"
    source.now = FIRST_POLL
    with SourceClient(source.url) as client:
        refresh(ENGINE, client, EmbeddedWarehouse(folder), HISTORY, 1.0)
    return folder


def load_history(lake: EmbeddedWarehouse, history: Path, source: ClockedSource) -> None:
    """Copy the days before into an empty lake, and set the source's clock to the first poll."""
    shutil.copytree(history, lake.root, dirs_exist_ok=True)
    source.now = FIRST_POLL


def times(every: dt.timedelta) -> Iterator[dt.datetime]:
    now = FIRST_POLL
    while now < LAST_POLL:
        yield now
        now += every
    yield LAST_POLL


def of_the_day(rows: Rows, day: dt.date = DAY) -> Rows:
    """The rows of a day, without tables that the live path leaves to a run."""
    return {
        name: type(found)({row: n for row, n in found.items() if ("ds", str(day)) in row})
        for name, found in rows.items()
        if name not in LEFT_TO_A_RUN
    }


@pytest.fixture(scope="module")
def after_a_run(source: ClockedSource, history: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Every row after a run of the whole day."""
    lake = EmbeddedWarehouse(tmp_path_factory.mktemp("run") / "lake")
    with SourceClient(source.url) as client:
        load_history(lake, history, source)
        source.now = LAST_POLL
        # what of yesterday arrived on the day: the live path sees it, and features look back on it
        load(ENGINE.apis["transactions"], client, lake, Span.days(BEFORE, BEFORE), 1.0)
        refresh(ENGINE, client, lake, Span.days(DAY, DAY), 1.0)
    return rows_of(lake)


def test_a_day_of_micro_batches_leaves_the_rows_of_a_run(
    source: ClockedSource, history: Path, after_a_run: Rows, tmp_path: Path, lake: EmbeddedWarehouse
) -> None:
    with SourceClient(source.url, page_size=40) as client:
        load_history(lake, history, source)
        batcher = batcher_of(lake, client, tmp_path)
        batches: list[MicroBatch] = []
        for now in times(dt.timedelta(hours=4)):
            source.now = now
            batches += batcher.poll(DAY)
        assert list(batcher.poll(DAY)) == [], "nothing is loaded twice"
    found = rows_of(lake)
    assert_same(of_the_day(found), of_the_day(after_a_run))
    hitting = {rule.name for rule in ENGINE.book.evaluated if of_the_day(found)[rule.name]}
    # rules of one row, with lookback, about customers, merchants and lists
    assert hitting >= {
        "blacklisted_merchants", "card_testing", "high_risk_activity", "high_value", "impossible_travel", "pass_through",
        "risky_merchant", "structuring", "suspicious_locations",
    }  # fmt: skip
    assert max(batch.served for batch in batches) == 40, "a page is a micro-batch"
    assert sum(batch.served for batch in batches) > sum(of_the_day(found)["transactions"].values())


def test_a_budget_of_alerts_needs_the_score_of_a_run(
    source: ClockedSource, history: Path, tmp_path: Path, lake: EmbeddedWarehouse
) -> None:
    engine = Engine(replace(ENGINE.book, alerts_a_day=265))
    run = EmbeddedWarehouse(tmp_path / "run")
    with SourceClient(source.url) as client:
        load_history(run, history, source)
        source.now = LAST_POLL
        load(engine.apis["transactions"], client, run, Span.days(BEFORE, BEFORE), 1.0)
        refresh(engine, client, run, Span.days(DAY, DAY), 1.0)
        load_history(lake, history, source)
        for now in (FIRST_POLL, LAST_POLL):
            # a process of its own each time: the second begins in the middle of the day
            source.now = now
            batcher = MicroBatcher(engine, client, lake, tmp_path / "watch.json", FIRST, 1.0, dt.timedelta(days=1))
            list(batcher.poll(DAY))
            if now == FIRST_POLL:
                lake.replace(ALERT_THRESHOLDS, ALERT_THRESHOLDS.arrow_schema.empty_table(), Span.days(DAY, DAY))
    assert_same(of_the_day(rows_of(lake)), of_the_day(rows_of(run)))
    [row] = lake.read(ALERT_THRESHOLDS.full_name).to_pylist()
    assert (row["ds"], row["days"]) == (str(DAY), 14) and 0.01 < row["score"] < 0.2, row["reason"]
    alerts = lake.read(FRAUD_ALERTS.full_name, span=Span.days(DAY, DAY)).to_pylist()
    assert [alert for alert in alerts if row["reason"] in alert["reasons"][0] and alert["score"] < 0.2]


@pytest.mark.long
@pytest.mark.parametrize("ahead", [dt.timedelta(hours=1), dt.timedelta(hours=-1)], ids=["ahead", "behind"])
def test_a_source_whose_clock_is_an_hour_off_at_midnight(
    source: ClockedSource, history: Path, tmp_path: Path, lake: EmbeddedWarehouse, ahead: dt.timedelta
) -> None:
    evening = dt.datetime.combine(DAY, dt.time(21, 40), dt.UTC)
    end = evening + dt.timedelta(hours=6)
    undisturbed = EmbeddedWarehouse(tmp_path / "undisturbed")
    with SourceClient(source.url) as client:
        load_history(lake, history, source)
        batcher = batcher_of(lake, client, tmp_path)
        for half_hours in range(13):
            now = evening + half_hours * dt.timedelta(minutes=30)
            source.now = now + ahead
            batches = list(batcher.poll(now.date()))
            assert not any(batch.concurrent_write for batch in batches)
        assert batcher.checkpoint.day == str(NEXT)
        found = rows_of(lake)
        load_history(undisturbed, history, source)
        source.now = end + ahead
        # as the reconciliation run after midnight does, with what came late for earlier days
        for span in days_to_run(NEXT, batcher.checkpoint.late_days, FIRST):
            refresh(ENGINE, client, lake, span, 1.0)
            refresh(ENGINE, client, undisturbed, span, 1.0)
        completed, expected = rows_of(lake), rows_of(undisturbed)
        for day in (DAY, NEXT):
            judged = {name: of_the_day(found, day)[name] for name in ("transactions", "transactions_rejected")}
            assert judged["transactions"] and of_the_day(found, day)["fraud_alerts"]
            assert_same(judged, {name: of_the_day(expected, day)[name] for name in judged})
            assert_same(of_the_day(completed, day), of_the_day(expected, day))


def test_whole_days_leave_the_rows_of_a_run(
    source: ClockedSource, history: Path, after_a_run: Rows, tmp_path: Path, lake: EmbeddedWarehouse
) -> None:
    with SourceClient(source.url) as client:
        load_history(lake, history, source)
        batcher = MicroBatcher(ENGINE, client, lake, tmp_path / "watch.json", FIRST, 1.0, whole_days=True)
        batches: list[MicroBatch] = []
        for now in (FIRST_POLL, LAST_POLL):
            source.now = now
            batches += batcher.poll(DAY)
    assert_same(of_the_day(rows_of(lake)), of_the_day(after_a_run))
    assert {span for batch in batches for span in batch.spans} >= {Span.days(DAY, DAY), Span.days(BEFORE, DAY)}


def test_late_rows_are_judged_at_once_and_make_theirs_a_late_day(
    source: ClockedSource, history: Path, tmp_path: Path, lake: EmbeddedWarehouse
) -> None:
    with SourceClient(source.url) as client:
        load_history(lake, history, source)
        batcher = batcher_of(lake, client, tmp_path)
        list(batcher.poll(DAY))
        batcher.begin_reconciliation([str(BEFORE)])
        batcher.end_reconciliation(complete=True)
        before = rows_of(lake, str(DAY))
        source.now = LAST_POLL
        list(batcher.poll(DAY))
        after = rows_of(lake, str(DAY))
        late = {dict(row)["ds"] for row in after["transactions"] - before["transactions"]}
        assert str(BEFORE) in late and set(batcher.checkpoint.late_days) == late

        refresh(ENGINE, client, lake, Span.days(BEFORE, BEFORE), 1.0)
        again = rows_of(lake, str(DAY))
        for rule in [*(rule.name for rule in ENGINE.book.evaluated), "fraud_alerts", "transactions"]:
            assert again[rule] == after[rule], f"{rule}: a run of the late day changes nothing"
        untouched = {"customer_profiles", "customers", "merchant_profiles", "credit_scores", "blacklist"}
        assert_same({name: after[name] for name in untouched}, {name: before[name] for name in untouched})
    batcher.begin_reconciliation([str(BEFORE)])
    batcher.end_reconciliation(complete=True)
    assert str(BEFORE) not in batcher.checkpoint.late_days


def test_the_first_transaction_of_a_day_begins_it(
    source: ClockedSource, history: Path, tmp_path: Path, lake: EmbeddedWarehouse
) -> None:
    morning = dt.datetime.combine(NEXT, dt.time(6), dt.UTC)
    with SourceClient(source.url) as client:
        load_history(lake, history, source)
        batcher = batcher_of(lake, client, tmp_path)
        source.now = LAST_POLL - dt.timedelta(hours=6)
        list(batcher.poll(DAY))
        assert not [row for row in rows_of(lake)["customer_profiles"] if dict(row)["ds"] == str(NEXT)]
        source.now = morning
        (batch,) = batcher.poll(NEXT)
        assert {str(DAY), str(NEXT)} <= set(batch.days), "some transactions of the day before arrive after midnight"

        run = EmbeddedWarehouse(tmp_path / "run")
        load_history(run, history, source)
        source.now = morning
        for day in (DAY, NEXT):
            refresh(ENGINE, client, run, Span.days(day, day), 1.0)
    found, expected = rows_of(lake), rows_of(run)
    assert [row for row in expected["customer_profiles"] if dict(row)["ds"] == str(NEXT)]
    assert_same(of_the_day(found, NEXT), of_the_day(expected, NEXT))
    assert batcher.checkpoint.day == str(NEXT) and str(DAY) in batcher.checkpoint.late_days


def test_a_day_begins_with_its_lists_also_when_a_file_of_them_is_broken(
    source: ClockedSource, history: Path, tmp_path: Path, lake: EmbeddedWarehouse, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "lists"
    added = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    add_entries(folder, "ours", "watch", [Entry("customer", "c000001", "asked for it", "ann", added, added)])
    with SourceClient(source.url) as client:
        load_history(lake, history, source)
        batcher = MicroBatcher(ENGINE, client, lake, tmp_path / "watch.json", FIRST, 1.0, lists=folder)
        list(batcher.poll(DAY))
        (folder / "watch" / "ours.csv").write_text("no list", encoding="utf-8")
        source.now = dt.datetime.combine(NEXT, dt.time(1), dt.UTC)
        assert list(batcher.poll(NEXT))
    assert "ours.csv:1" in caplog.text and "read last" in caplog.text
    rows = lake.read("fintech.lists", ["list_name", "value", "ds"]).to_pylist()
    ours = [(row["value"], row["ds"]) for row in rows if row["list_name"] == "ours"]
    assert sorted(ours) == [("c000001", str(DAY)), ("c000001", str(NEXT))]
    assert {row["ds"] for row in rows if row["list_name"] == "blacklist"} >= {str(DAY), str(NEXT)}


ACROSS_CUSTOMERS = """-- title: Crowded merchant
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


def test_a_rule_with_lookback_across_customers_reads_all_customers(
    source: ClockedSource, tmp_path: Path, lake: EmbeddedWarehouse
) -> None:
    engine = Engine(book_with(tmp_path / "book", {"crowded_merchant.sql": ACROSS_CUSTOMERS}, of_the_package=["velocity"]))
    run = EmbeddedWarehouse(tmp_path / "run")
    with SourceClient(source.url, page_size=40) as client:
        batcher = MicroBatcher(engine, client, lake, tmp_path / "watch.json", DAY, 1.0, rejudge_within=dt.timedelta(days=1))
        for now in times(dt.timedelta(hours=6)):
            source.now = now
            assert list(batcher.poll(DAY))
        refresh(engine, client, run, Span.days(DAY, DAY), 1.0)
    hits = [found.read("fintech.crowded_merchant", ["transaction_id", "evidence"]).to_pylist() for found in (lake, run)]
    assert sorted(map(str, hits[0])) == sorted(map(str, hits[1]))
    assert len(hits[0]) > 3
    alerts = [found.read("fintech.fraud_alerts", ["transaction_id", "rules", "score"]).to_pylist() for found in (lake, run)]
    assert sorted(map(str, alerts[0])) == sorted(map(str, alerts[1]))
    assert any("crowded_merchant" in alert["rules"] for alert in alerts[0])


def test_an_empty_warehouse_whose_first_day_is_today(source: ClockedSource, tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    source.now = LAST_POLL
    run = EmbeddedWarehouse(tmp_path / "run")
    with SourceClient(source.url) as client:
        (batch,) = MicroBatcher(ENGINE, client, lake, tmp_path / "watch.json", DAY, 1.0).poll(DAY)
        refresh(ENGINE, client, run, Span.days(DAY, DAY), 1.0)
    assert batch.served > 100
    found = rows_of(lake)
    assert found.keys() >= {"fraud_alerts", *(rule.name for rule in ENGINE.book.evaluated)}
    assert_same(of_the_day(found), {name: rows for name, rows in of_the_day(rows_of(run)).items() if name in found})


def test_features_that_an_earlier_release_lacked_are_added(
    source: ClockedSource, history: Path, after_a_run: Rows, tmp_path: Path, lake: EmbeddedWarehouse
) -> None:
    new = ["customer_daily_anomalies", "customer_anomalies", "repeated_anomalies"]
    with SourceClient(source.url) as client:
        load_history(lake, history, source)
        list(batcher_of(lake, client, tmp_path).poll(DAY))
        for name in new:
            shutil.rmtree(lake.root / "fintech.db" / name)
        source.now = LAST_POLL
        list(batcher_of(lake, client, tmp_path).poll(DAY))
    found = rows_of(lake)
    assert {dict(row)["ds"] for row in found["customer_daily_anomalies"]} == {str(BEFORE)}
    assert {dict(row)["ds"] for row in found["customer_anomalies"]} == {str(DAY)}
    as_before = after_a_run.keys() - {*new, "transaction_scores", "fraud_alerts"}
    assert_same(*({name: of_the_day(rows).get(name, Counter()) for name in as_before} for rows in (found, after_a_run)))


class KilledWarehouse(EmbeddedWarehouse):
    """Fails after a number of writes, as if the process were killed there."""

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

    def upsert(self, table: Table, rows: pa.Table, *, times: Collection[dt.datetime] | None = None) -> Receipt:
        self._count()
        return super().upsert(table, rows, times=times)


@pytest.mark.long
@pytest.mark.parametrize("writes", [7, 16])
def test_repeated_kills_leave_the_same_rows(
    source: ClockedSource, history: Path, after_a_run: Rows, tmp_path: Path, writes: int
) -> None:
    killed = 0
    with SourceClient(source.url) as client:
        load_history(EmbeddedWarehouse(tmp_path / "lake"), history, source)
        lake = KilledWarehouse(tmp_path / "lake", writes)
        for now in times(dt.timedelta(hours=8)):
            source.now = now
            while True:
                try:
                    list(batcher_of(lake, client, tmp_path).poll(DAY))
                except HiveIOError:
                    killed += 1
                    lake.writes += 2  # otherwise the same poll fails for ever
                    continue
                break
    assert killed > 2
    assert_same(of_the_day(rows_of(lake)), of_the_day(after_a_run))


@pytest.mark.parametrize("between_polls", [True, pytest.param(False, marks=pytest.mark.long)])
def test_rows_that_another_run_has_removed_are_read_again(
    source: ClockedSource, history: Path, after_a_run: Rows, tmp_path: Path, lake: EmbeddedWarehouse, between_polls: bool
) -> None:
    with SourceClient(source.url) as client:
        load_history(lake, history, source)
        batcher = batcher_of(lake, client, tmp_path)
        for source.now in (LAST_POLL - dt.timedelta(days=1), FIRST_POLL, LAST_POLL - dt.timedelta(hours=2)):
            list(batcher.poll(source.now.date()))
        assert not batcher.concurrent_write()
        # as a run that read the source in the afternoon and ends now
        removed = Span(dt.datetime(2026, 3, 12, 16, tzinfo=dt.UTC), dt.datetime(2026, 3, 12, 17, tzinfo=dt.UTC))
        table = ENGINE.tables["transactions"]
        lake.replace(table, table.arrow_schema.empty_table(), removed)
        source.now = LAST_POLL
        if between_polls:
            assert batcher.concurrent_write()
        else:
            assert [batch.concurrent_write for batch in batcher.poll(DAY)] == [True]
        assert batcher.checkpoint.cursor is not None
        assert batcher.checkpoint.cursor == batcher.checkpoint.day_cursor
        assert not any(batch.concurrent_write for batch in batcher.poll(DAY))
    assert not batcher.concurrent_write()
    assert_same(of_the_day(rows_of(lake)), of_the_day(after_a_run))


def test_memory_is_read_again_after_a_run_only_if_the_run_changed_something(
    source: ClockedSource, history: Path, tmp_path: Path, lake: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[dt.date] = []
    load_day = HotWindow.load
    monkeypatch.setattr(HotWindow, "load", lambda window, day: (loads.append(day), load_day(window, day)))
    load_history(lake, history, source)
    with SourceClient(source.url) as client:
        batcher = batcher_of(lake, client, tmp_path)

        def poll_after(hours: int) -> None:
            source.now = FIRST_POLL + dt.timedelta(hours=hours)
            assert list(batcher.poll(DAY))

        poll_after(0)
        batcher.begin_reconciliation([str(DAY)])
        beside = ReconcilingWarehouse(lake.root)
        refresh(ENGINE, client, beside, Span.days(DAY, DAY), 1.0)
        poll_after(2)
        batcher.end_reconciliation(complete=True)
        before = len(loads)
        batcher.begin_reconciliation([str(DAY)])
        refresh(ENGINE, client, ReconcilingWarehouse(lake.root), Span.days(DAY, DAY), 1.0)
        batcher.end_reconciliation(complete=True)
        poll_after(4)
        assert len(loads) == before, "the run found what the live path had written"

        batcher.begin_reconciliation([str(DAY)])
        profiles = ENGINE.tables["customer_profiles"]
        beside.replace(profiles, profiles.arrow_schema.empty_table(), Span.days(DAY, DAY))
        batcher.end_reconciliation(complete=True)
        poll_after(6)
        assert len(loads) == before + 1


def test_a_source_that_fails_changes_nothing(source: ClockedSource, tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    with SourceClient("http://127.0.0.1:9", attempts=1) as client:
        batcher = batcher_of(lake, client, tmp_path)
        with pytest.raises(SourceError, match=r"127\.0\.0\.1:9"):
            list(batcher.poll(DAY))
    assert batcher.checkpoint == Checkpoint() and not (tmp_path / "watch.json").exists()


def test_nothing_is_written_after_a_write_that_failed(
    source: ClockedSource, history: Path, tmp_path: Path, lake: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_history(lake, history, source)
    written: list[str] = []
    write = lake.upsert

    def fail_at_scores(table: Table, *args: Any, **options: Any) -> Receipt:
        written.append(table.name)
        if table.name == "transaction_scores" and written.count(table.name) == 1:
            raise HiveIOError("The disk is full")
        return write(table, *args, **options)

    monkeypatch.setattr(lake, "upsert", fail_at_scores)
    with SourceClient(source.url) as client:
        batcher = batcher_of(lake, client, tmp_path)
        with pytest.raises(HiveIOError, match="The disk is full"):
            list(batcher.poll(DAY))
        assert written[-1] == "transaction_scores" and "transaction_features" in written
        assert batcher.checkpoint.cursor is None
        [batch] = batcher.poll(DAY)
    assert batch.days[str(DAY)] == lake.partitions("fintech.transaction_scores")[str(DAY)]
    assert lake.partitions("fintech.fraud_alerts")[str(DAY)]


def test_a_cursor_of_another_source_is_an_error(source: ClockedSource, tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    Checkpoint(cursor="nonsense").write(tmp_path / "watch.json")
    with SourceClient(source.url) as client, pytest.raises(SourceError, match="400"):
        list(batcher_of(lake, client, tmp_path).poll(DAY))


def test_late_rows_on_many_days_are_judged_a_few_days_with_each_poll(tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    """Forty days, each with a late payment that is over the limit of a rule."""
    days = [DAY - dt.timedelta(days=number) for number in range(40)]
    arrived = f"{DAY}T10:00:05Z"
    rows = [
        served("transactions", transaction_id=f"tx{day}", date_time=f"{day}T10:00:00Z", amount=50_000, ingested_at=arrived)
        for day in days
    ]
    pages = [rows]
    app = Flask("late")
    app.get("/api/transactions")(lambda: Response(json.dumps(pages.pop() if pages else []), headers={"X-Cursor": "c"}))
    app.get("/<path:path>", endpoint="others")(lambda path: Response("later", 503))
    book = book_with(tmp_path / "book", {}, of_the_package=["high_value"])

    def judged() -> set[str]:
        return set(lake.read("fintech.fraud_alerts", ["transaction_id"]).column(0).to_pylist())

    with serving(app) as url, SourceClient(url, attempts=1) as client:
        batcher = MicroBatcher(Engine(book), client, lake, tmp_path / "watch.json", FIRST, 1.0)
        [batch] = batcher.poll(DAY)
        assert batch.served == 40 and lake.partitions("fintech.transactions").keys() == {str(day) for day in days}
        assert judged() == {f"tx{day}" for day in days[:5]}, "today, yesterday, and three days"
        assert batcher.unjudged_days == 35
        # it survives a restart
        batcher = MicroBatcher(Engine(book), client, lake, tmp_path / "watch.json", FIRST, 1.0)
        assert list(batcher.poll(DAY)) == [] and batcher.unjudged_days == 32
        batcher.begin_reconciliation([str(day) for day in days[8:38]])
        batcher.end_reconciliation(complete=True)
        assert list(batcher.poll(DAY)) == [] and batcher.unjudged_days == 0
    assert judged() == {f"tx{day}" for day in [*days[:8], *days[38:]]}


# --- spans --------------------------------------------------------------------------------------------------------------

NOON = dt.datetime(2026, 3, 12, 12)
HOUR = dt.timedelta(hours=1)
MOMENT = dt.timedelta(microseconds=1)


def spans(*hours: float, lookback: dt.timedelta = dt.timedelta(), limit: int = 3) -> list[tuple[float, float]]:
    """Spans as hours from noon, microseconds ignored."""
    column = pa.chunked_array([pa.array([NOON + hour * HOUR for hour in hours], pa.timestamp("us"))])
    start = NOON.replace(tzinfo=dt.UTC)
    return [((s.start - start) / HOUR, (s.end - MOMENT - start) / HOUR) for s in spans_of(column, lookback, limit)]


def test_close_times_share_a_span() -> None:
    assert spans(0, 0.1, 0.05) == [(0, 0.1)]
    assert spans(0) == [(0, 0)]
    assert spans() == []
    assert spans(0, GAP / HOUR) == [(0, GAP / HOUR)]


def test_distant_times_have_spans_of_their_own() -> None:
    assert spans(-20, -3, 0, 0.1) == [(-20, -20), (-3, -3), (0, 0.1)]


def test_with_too_many_spans_the_closest_share_one() -> None:
    assert spans(-20, -9, -8, -3, 0) == [(-20, -20), (-9, -8), (-3, 0)]


def test_the_lookback_extends_spans_and_overlapping_spans_are_one() -> None:
    assert spans(-20, -3, 0, lookback=2 * HOUR) == [(-20, -18), (-3, -1), (0, 2)]
    assert spans(-20, -3, 0, lookback=4 * HOUR) == [(-20, -16), (-3, 4)]
