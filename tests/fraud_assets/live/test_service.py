"""`fraud watch`: it keeps looking through whatever happens, and tells Dagster what it did."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import dagster as dg
import deltalake
import pytest
from pydantic import SecretStr
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from fraud_assets.defs.asset_specs import key
from fraud_assets.live import service as module
from fraud_assets.live.service import TAG, days_to_run
from fraud_assets.runs.batch import RunReport, run_days
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.runs.retention import delete_old_runs
from fraud_assets.settings import Settings, read_settings
from hive_io import EmbeddedWarehouse, PartitionConflict, Span
from mock_sources import Faults, HttpFaults, running
from tests.e2e.lakes import Rows, assert_same, rows_of
from tests.fraud_assets.monitoring.test_incidents import Receiver
from tests.fraud_fixtures import serving
from tests.services.processes import free_port, wait_until
from tests.services.watching import RATE, Watching, loaded, today

TRANSACTIONS = "fintech.transactions"


def settings_of(folder: Path, url: str) -> Settings:
    return read_settings(warehouse=str(folder / "lake"), source_url=url, first_day=today() - dt.timedelta(days=5))


def watch_process(settings: Settings, *how: str) -> subprocess.Popen[str]:
    """`fraud watch` as a process of its own; what it says is to be read from it."""
    env = {
        **os.environ,
        "FRAUD_WAREHOUSE": settings.warehouse,
        "FRAUD_SOURCE_URL": settings.source_url,
        "FRAUD_FIRST_DAY": str(settings.first_day),
    }
    command = [sys.executable, "-m", "fraud_assets", "watch", *how]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def rows_today(settings: Settings) -> int:
    lake = EmbeddedWarehouse(settings.warehouse)
    return lake.partitions(TRANSACTIONS).get(str(today()), 0) if "transactions" in lake.tables("fintech") else 0


def test_what_arrives_is_in_the_lake_and_dagster_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPORT_EVERY", 2.0)
    with running(loaded()) as url:
        settings = settings_of(tmp_path, url)
        with Watching(settings, reconcile=6.0).running() as watching:
            wait_until("a run of the graph", watching.says("through every asset"), 90)
            seen = rows_today(settings)
            wait_until("more rows", lambda: rows_today(settings) > seen + RATE, 30)
    with dagster_instance(settings) as instance:
        (run, *_) = instance.get_runs(dg.RunsFilter(tags=TAG))
        assert run.is_success and run.tags["dagster/asset_partition_range_end"] == str(today())
        event = instance.get_latest_materialization_event(key("fraud_alerts"))
        assert event is not None and event.asset_materialization is not None
        assert event.asset_materialization.partition == str(today()) and event.run_id == ""
        told = event.asset_materialization.metadata
        assert told["rows served"].value > 0  # type: ignore[operator]
        assert 0 < told["seconds from arrival, 95 %"].value < 60  # type: ignore[operator]
        levels = instance.get_latest_materialization_event(key("service_levels"))
        assert levels is not None and levels.asset_materialization is not None
        assert "data:image/png;base64," in str(levels.asset_materialization.metadata["last days"].value)
    lake = EmbeddedWarehouse(settings.warehouse)
    waited = lake.read("fintech.latencies", ["seconds", "transactions"]).to_pylist()
    assert any(row["seconds"] < 60 and row["transactions"] > 0 for row in waited)
    # the first look judges all of the day so far, so how long half of them waited depends on the hour
    levels = lake.read("fintech.service_levels", ["judged", "latency_p50", "latency_p95", "latency_max"]).to_pylist()
    judged = [row for row in levels if row["judged"]]
    assert 0 < sum(row["judged"] for row in judged) <= sum(row["transactions"] for row in waited)
    for row in judged:
        assert row["latency_p50"] <= row["latency_p95"] <= row["latency_max"]
        assert {row["latency_p50"], row["latency_p95"], row["latency_max"]} <= {each["seconds"] for each in waited}


def test_a_source_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    world = loaded()
    settings = settings_of(tmp_path, f"http://127.0.0.1:{port}")
    with Watching(settings).running() as watching:
        wait_until("an error", watching.says("does not answer"), 30)
        with running(world, port):
            wait_until("rows", lambda: rows_today(settings), 60)
        before = len(watching.said)
        wait_until("another error", lambda: len(watching.said) > before, 30)
    assert watching.said[0].endswith("the next look in 1 s")


def test_a_source_that_asks_to_be_left_alone_is(tmp_path: Path) -> None:
    with running(loaded(), http_faults=HttpFaults(throttled=1, retry_after=7)) as url:
        settings = settings_of(tmp_path, url)
        with Watching(settings).running() as watching:
            said = wait_until("a pause", watching.says("answers 429"), 30)
    assert 6 <= int(re.search(r"the next look in (\d+) s", said)[1]) <= 8, said  # type: ignore[index]


def test_people_are_told_once_of_a_source_that_goes_silent_and_once_that_it_is_back(tmp_path: Path) -> None:
    receiver = Receiver()
    port = free_port()
    with serving(receiver.app) as hook:
        target = SecretStr(hook.replace("http://", "json://") + "/hook")
        settings = settings_of(tmp_path, f"http://127.0.0.1:{port}")
        settings = settings.model_copy(update={"notify": target, "silent_after": 4.0})
        world = loaded()
        with Watching(settings).running():
            with running(world, port):
                wait_until("rows", lambda: rows_today(settings), 60)
            wait_until("a message", lambda: receiver.titles, 60)
            time.sleep(8)
            assert receiver.titles == ["Nothing arrives: transactions"]
            with running(world, port):
                wait_until("another", lambda: len(receiver.titles) > 1, 60)
    assert receiver.titles[1:] == ["Arriving again: transactions"]


def test_people_are_told_of_a_run_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver()
    fails = [True]

    def run(settings: Settings, *given: object, **more: object) -> RunReport:
        if fails[0]:
            settings = settings.model_copy(update={"rejected_limit": 0.0})
        return run_days(settings, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "run_days", run)
    monkeypatch.setattr(module, "SHARE_OF_RUNS", 1.0)
    with serving(receiver.app) as hook, running(loaded(faults=Faults(malformed=0.05))) as url:
        target = SecretStr(hook.replace("http://", "json://") + "/hook")
        settings = settings_of(tmp_path, url).model_copy(update={"notify": target, "notify_severity": "none"})
        with Watching(settings, reconcile=1.0).running():
            wait_until("a message", lambda: receiver.titles, 120)
            fails[0] = False
            wait_until("another", lambda: len(receiver.titles) > 1, 120)
    name = f"fraud_detection of {today()}"
    assert receiver.titles == [f"A run failed, of: {name}", f"Runs succeed again, of: {name}"]
    assert "check rejected_share_is_below_limit failed" in receiver.bodies[0] and "the limit is 0%" in receiver.bodies[0]


def test_what_another_run_took_away_is_found_again(tmp_path: Path) -> None:
    with running(loaded()) as url:
        settings = settings_of(tmp_path, url)
        with Watching(settings).running() as watching:
            wait_until("rows", lambda: rows_today(settings) > 5 * RATE, 60)
            lake = EmbeddedWarehouse(settings.warehouse)
            before = set(lake.read(TRANSACTIONS, ["transaction_id"]).column(0).to_pylist())
            table = module.TRANSACTIONS.table
            # the watch writes, too
            for attempt in Retrying(retry=retry_if_exception_type(PartitionConflict), stop=stop_after_attempt(20)):
                with attempt:
                    lake.replace(table, table.arrow_schema.empty_table(), Span.days(today(), today()))
            wait_until("a word", watching.says("read again"), 60)
            found = lambda: before <= set(lake.read(TRANSACTIONS, ["transaction_id"]).column(0).to_pylist())  # noqa: E731
            wait_until("its rows", found, 60)


def test_with_airflow_it_starts_no_runs(tmp_path: Path) -> None:
    with running(loaded()) as url:
        settings = settings_of(tmp_path, url).model_copy(update={"scheduler": "airflow"})
        with Watching(settings, reconcile=0.5).running():
            wait_until("rows", lambda: rows_today(settings) > 5 * RATE, 60)
            wait_until("what is old goes all the same", lambda: is_cleaned(settings), 60)
    with dagster_instance(settings) as instance:
        assert instance.get_runs() == []


def is_cleaned(settings: Settings) -> bool:
    """Whether the upkeep has been at the transactions: it says how long commits are kept."""
    table = deltalake.DeltaTable(f"{settings.warehouse}/fintech.db/transactions")
    return "delta.logRetentionDuration" in table.metadata().configuration


def without_waiting(rows: Rows) -> Rows:
    """The rows without what only a watch can count: how long transactions waited."""
    counted = {"judged", "latency_p50", "latency_p95", "latency_max"}
    levels: Counter[tuple[object, ...]] = Counter()
    for row, times in rows["service_levels"].items():
        levels[tuple((name, value) for name, value in row if name not in counted)] += times  # type: ignore[misc]
    return {**rows, "service_levels": levels, "latencies": Counter()}


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_again_and_again_its_tables_are_those_of_a_run(tmp_path: Path, kills: int) -> None:
    faults = Faults(late=0.02, duplicates=0.02, corrected=0.05, malformed=0.02)
    seconds = 6 * kills
    # then nothing arrives any more: what is late, or corrected later, would come between the two that are compared
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds + 6)
    with running(loaded(seconds, faults), now=lambda: min(dt.datetime.now(dt.UTC), until)) as url:
        settings = settings_of(tmp_path, url)
        how = ["--every", "0.3", "--reconcile", "9"]
        for kill in range(kills):
            with watch_process(settings, *how) as process:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=3.5 + kill * 0.37 % 2.5)  # anywhere in a look, or in a run
                assert process.poll() is None, "it lives until it is killed"
                process.kill()
        wait_until("the last arrival", lambda: dt.datetime.now(dt.UTC) > until, seconds + 10)
        with watch_process(settings, *how) as process:
            assert process.stdout is not None
            line = next(line for line in process.stdout if "through every asset" in line)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0, line
        lake = EmbeddedWarehouse(settings.warehouse)
        assert lake.partitions(TRANSACTIONS)[str(today())] > RATE * seconds / 2
        found = without_waiting(rows_of(lake))
        undisturbed = settings_of(tmp_path / "undisturbed", url)
        (tmp_path / "undisturbed").mkdir()
        days = sorted(lake.partitions("fintech.customers"))
        for day in map(dt.date.fromisoformat, days):
            run_days(undisturbed, Span.days(day, day))
        assert_same(found, without_waiting(rows_of(EmbeddedWarehouse(undisturbed.warehouse))))
        assert json.loads((Path(settings.warehouse) / "watch.json").read_text())["cursor"]


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_told_to_end_in_the_middle_of_a_run_it_ends_the_run_first(tmp_path: Path, number: signal.Signals) -> None:
    with running(loaded()) as url:
        settings = settings_of(tmp_path, url)
        runs = settings.dagster_home / "history" / "runs"
        with watch_process(settings, "--reconcile", "1") as process:
            wait_until("a run", lambda: [file for file in runs.glob("*.db") if file.name != "index.db"], 60, every=0.1)
            process.send_signal(number)
            said, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and "through every asset" in said
    with dagster_instance(settings) as instance:
        assert [run.is_success for run in instance.get_runs()] == [True]


def test_days_to_run() -> None:
    def run(*reopened: str, first: str = "2026-01-01") -> list[str]:
        return [str(span) for span in days_to_run(dt.date(2026, 1, 10), reopened, dt.date.fromisoformat(first))]

    assert run() == ["2026-01-10"]
    assert run("2026-01-09") == ["2026-01-09 to 2026-01-10"]
    assert run("2026-01-04", "2026-01-07") == ["2026-01-04 to 2026-01-05", "2026-01-07 to 2026-01-08", "2026-01-10"]
    assert run("2025-12-31") == ["2026-01-01", "2026-01-10"]


def test_old_runs_are_deleted_but_the_last_of_each_day(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "http://127.0.0.1:9")
    days = [today() - dt.timedelta(days=back) for back in (2, 1)]
    with running(loaded()) as url:
        made = settings.model_copy(update={"source_url": url})
        spans = [Span.days(days[0], days[0]), Span.days(*days), Span.days(days[1], days[1])]
        ids = [run_days(made, span, tags=TAG).run_id for span in spans]
        other = run_days(made, Span.days(days[0], days[0])).run_id
    with dagster_instance(settings) as instance:
        assert delete_old_runs(instance, TAG, dt.timedelta(days=1)) == 0
        assert delete_old_runs(instance, TAG, dt.timedelta(0)) == 1
        assert {run.run_id for run in instance.get_runs()} == {*ids[1:], other}
        event = instance.get_latest_materialization_event(key("fraud_alerts"))
        assert event is not None and event.run_id == other
        shards = settings.dagster_home / "history" / "runs"
        assert not (shards / f"{ids[0]}.db").exists() and (shards / f"{ids[1]}.db").exists()
