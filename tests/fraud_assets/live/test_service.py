"""`fraud watch`: it survives failures, begins each day once, reconciles, and reports to Dagster.

Tests in simulated time advance it themselves and share it with the source; they wait for nothing. The others run `fraud watch`
as a process and wait for events. Their deadlines only end a test that hangs.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import dagster as dg
import deltalake
import pytest
from pydantic import SecretStr

from fraud_assets.defs.asset_specs import key
from fraud_assets.errors import SettingsError
from fraud_assets.live import reconciliation
from fraud_assets.live import service as module
from fraud_assets.live.reconciliation import TAG
from fraud_assets.live.service import KEPT_RUNS, LONGEST_PAUSE, REPORT_EVERY, SHARE_OF_RUNS, days_to_run
from fraud_assets.monitoring.outbox import Outbox
from fraud_assets.runs.batch import RunReport, run_days
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.runs.retention import delete_old_runs
from fraud_assets.settings import Settings, read_settings
from hive_io import EmbeddedWarehouse, Span
from mock_sources import Faults, HttpFaults, running
from mock_sources.serving import serving
from tests.e2e.lakes import Rows, assert_same, rows_of
from tests.fraud_assets.monitoring.test_incidents import Receiver
from tests.services.processes import free_port, wait_until
from tests.services.watching import RATE, SimulatedTime, Story, loaded, logged, simulate, today

pytestmark = pytest.mark.slow

TRANSACTIONS = "fintech.transactions"
DAY = dt.date(2026, 3, 12)
NEXT = DAY + dt.timedelta(days=1)
MORNING = dt.datetime(2026, 3, 12, 10, tzinfo=dt.UTC)
HANGS = 600
"""Seconds after which a test is given up."""


def settings_of(folder: Path, url: str, day: dt.date = DAY) -> Settings:
    return read_settings(warehouse=str(folder / "lake"), source_url=url, first_day=day - dt.timedelta(days=5))


def rows_on(settings: Settings, day: dt.date = DAY) -> int:
    """Transactions of a day."""
    lake = EmbeddedWarehouse(settings.warehouse)
    return lake.partitions(TRANSACTIONS).get(str(day), 0) if "transactions" in lake.tables("fintech") else 0


def ids_of(lake: EmbeddedWarehouse) -> set[str]:
    return set(lake.read(TRANSACTIONS, ["transaction_id"]).column(0).to_pylist())


def has(messages: list[str], text: str) -> Callable[[], bool]:
    """A condition: a message with this text."""
    return lambda: any(text in message for message in messages)


@pytest.fixture
def now() -> SimulatedTime:
    return SimulatedTime(MORNING)


# --- arrivals -----------------------------------------------------------------------------------------------------------


def test_arrivals_are_judged_and_reported_to_dagster(tmp_path: Path, now: SimulatedTime, records: str) -> None:
    port = free_port()
    settings = settings_of(tmp_path, f"http://127.0.0.1:{port}")

    def story() -> Story:
        with running(loaded(MORNING), port, now=now.now), logged() as messages:
            yield has(messages, "Reconciled")
            before = rows_on(settings)
            yield lambda: rows_on(settings) > before + RATE
            yield lambda: now.seconds() > 2 * REPORT_EVERY

    messages = simulate(settings, now, story(), every=10.0, reconcile=70.0)
    assert any(
        re.fullmatch(r"1,[12]\d\d transactions, 0 rejected; .* median \d\.\d s, .* \d+\.\d s", line) for line in messages
    )
    with dagster_instance(settings) as instance:
        (run, *_) = instance.get_runs(dg.RunsFilter(tags=TAG))
        assert run.is_success and run.tags["dagster/asset_partition_range_end"] == str(DAY)
        event = instance.get_latest_materialization_event(key("fraud_alerts"))
        assert event is not None and event.asset_materialization is not None
        assert event.asset_materialization.partition == str(DAY) and event.run_id == ""
        metadata = event.asset_materialization.metadata
        assert metadata["rows served"].value > 0  # type: ignore[operator]
        # arrivals between two polls, which are ten seconds apart
        assert 0 < metadata["seconds from arrival, median"].value < 10  # type: ignore[operator]
        assert 5 < metadata["seconds from arrival, 95 %"].value <= 10  # type: ignore[operator]
        levels = instance.get_latest_materialization_event(key("service_levels"))
        assert levels is not None and levels.asset_materialization is not None
        assert "data:image/png;base64," in str(levels.asset_materialization.metadata["last days"].value)
    lake = EmbeddedWarehouse(settings.warehouse)
    latencies = lake.read("fintech.latencies", ["seconds", "transactions"]).to_pylist()
    assert sum(row["transactions"] for row in latencies if row["seconds"] <= 10) > 60 * RATE
    levels = lake.read("fintech.service_levels", ["judged", "latency_p50", "latency_p95", "latency_max"]).to_pylist()
    judged = [row for row in levels if row["judged"]]
    assert 0 < sum(row["judged"] for row in judged) <= sum(row["transactions"] for row in latencies)
    for row in judged:
        assert row["latency_p50"] <= row["latency_p95"] <= row["latency_max"]
        assert {row["latency_p50"], row["latency_p95"], row["latency_max"]} <= {each["seconds"] for each in latencies}


@pytest.mark.parametrize("ahead", [pytest.param(0.0, marks=pytest.mark.long), 4.0])
def test_a_day_that_ends_is_reconciled_and_the_next_one_begins_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """Transactions from 23:59:58 to 00:00:03, each served 1 to 5 s later, by a source whose clock may be ahead."""
    midnight = dt.datetime.combine(NEXT, dt.time(), dt.UTC)
    now = SimulatedTime(midnight - dt.timedelta(seconds=8))
    settings = settings_of(tmp_path, f"http://127.0.0.1:{(port := free_port())}")
    folder = Path(settings.warehouse) / "fintech.db"
    file = Path(settings.warehouse) / "watch.json"
    runs: list[tuple[str, int]] = []

    def run(given: Settings, span: Span, **more: object) -> RunReport:
        runs.append((str(span), writes_of(folder / "customer_profiles", NEXT)))
        return run_days(given, span, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(reconciliation, "run_days", run)

    def story() -> Story:
        source = loaded(midnight - dt.timedelta(seconds=2), lasts=5)
        with running(source, port, now=lambda: now.now() + dt.timedelta(seconds=ahead)):
            yield lambda: now.now() >= midnight
            assert json.loads(file.read_text())["day"] == str(DAY)
            assert writes_of(folder / "customer_profiles", NEXT) == 0
            assert rows_on(settings, NEXT) > 0 if ahead else rows_on(settings, NEXT) == 0
            yield lambda: json.loads(file.read_text())["day"] == str(NEXT)
            assert json.loads(file.read_text())["reopened"] == [str(DAY)]
            assert writes_of(folder / "customer_profiles", NEXT) == 1
            # every transaction has happened and arrived
            yield lambda: now.now() >= midnight + dt.timedelta(seconds=30)
            yield lambda: json.loads(file.read_text())["reopened"] == []
            undisturbed = settings_of(tmp_path / "undisturbed", settings.source_url)
            Path(undisturbed.warehouse).parent.mkdir()
            for day in (DAY, NEXT):
                run_days(undisturbed, Span.days(day, day))

    simulate(settings, now, story(), reconcile=40.0)
    assert runs == [(f"{DAY} to {NEXT}", 1)], "one run, before which the new day had begun once"
    found, expected = (rows_of(EmbeddedWarehouse(tmp_path / name / "lake")) for name in ("", "undisturbed"))
    assert all(rows_on(settings, day) >= 2 * RATE for day in (DAY, NEXT))
    assert_same(without_latencies(found), without_latencies(expected))


def writes_of(table: Path, day: dt.date) -> int:
    """Commits of a Delta table that added rows to a day."""
    if not table.exists():
        return 0
    actions = [
        [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        for log in (table / "_delta_log").glob("*.json")
    ]
    adds = [{action["add"]["partitionValues"]["ds"] for action in commit if "add" in action} for commit in actions]
    return sum(str(day) in days for days in adds)


def without_latencies(rows: Rows) -> Rows:
    """The rows without latencies, which only a watch can count.

    Without its loads of reports of the day before it began, too, and without the time of a load, which lies within the day in
    progress.
    """
    days = {dict(row)["ds"] for row in rows["customers"]}
    loads: Counter[tuple[object, ...]] = Counter()
    for row, times in rows["fraud_reports_loads"].items():
        if dict(row)["ds"] in days:
            loads[tuple((name, value) for name, value in row if name != "loaded_until")] += times  # type: ignore[misc]
    counted = {"judged", "latency_p50", "latency_p95", "latency_max"}
    levels: Counter[tuple[object, ...]] = Counter()
    for row, times in rows["service_levels"].items():
        levels[tuple((name, value) for name, value in row if name not in counted)] += times  # type: ignore[misc]
    return {**rows, "service_levels": levels, "latencies": Counter(), "fraud_reports_loads": loads}


# --- pauses, intervals and failures ---------------------------------------------------------------------------------------


def test_a_source_that_fails_is_retried_after_longer_and_longer_pauses(tmp_path: Path, now: SimulatedTime) -> None:
    port = free_port()
    settings = settings_of(tmp_path, f"http://127.0.0.1:{port}")
    world = loaded(MORNING)

    def story() -> Story:
        # a report to Dagster may interrupt a pause
        yield lambda: now.seconds() >= 1 + 2 + 4 + 8 + 16 + LONGEST_PAUSE + LONGEST_PAUSE
        with running(world, port, now=now.now):
            yield lambda: rows_on(settings)
            now.pauses.clear()
        yield lambda: len([pause for pause in now.pauses if pause > 1]) >= 2

    messages = simulate(settings, now, story())
    pauses = [int(message.rpartition("retrying in ")[2].removesuffix(" s")) for message in messages if "retrying" in message]
    assert pauses[:7] == [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE]
    assert pauses[7:][-3:] == [1, 2, 4], "after a success it begins anew"
    assert f"http://127.0.0.1:{port}/" in messages[0]


def test_a_source_that_asks_for_a_pause_gets_it(tmp_path: Path, now: SimulatedTime) -> None:
    with running(loaded(MORNING), http_faults=HttpFaults(throttled=1, retry_after=7)) as url:
        messages = simulate(settings_of(tmp_path, url), now, (condition for condition in [lambda: len(now.pauses) >= 3]))
    # a Retry-After that is a date has whole seconds
    assert all(6 <= pause <= 8 for pause in now.pauses) and "429" in messages[0]


def test_reports_come_once_a_minute(tmp_path: Path, now: SimulatedTime) -> None:
    def story() -> Story:
        yield lambda: now.seconds() >= 10 * REPORT_EVERY

    with running(loaded(MORNING), now=now.now) as url:
        messages = simulate(settings_of(tmp_path, url), now, story(), every=REPORT_EVERY / 2)
    reports = [message for message in messages if message.startswith(tuple("123456789")) and "rejected" in message]
    assert 10 <= len(reports) <= 11, "ten, and one at the end"


def test_reconciliation_runs_take_a_small_share_of_the_time(
    tmp_path: Path, now: SimulatedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[float] = []
    seconds = 60.0

    def run(settings: Settings, span: Span, **more: object) -> RunReport:
        began.append(now.seconds())
        now.advance(seconds)
        return RunReport("a run", seconds, [])

    def story() -> Story:
        yield lambda: len(began) == 4

    monkeypatch.setattr(reconciliation, "run_days", run)
    every = 100.0
    with running(loaded(MORNING, lasts=1), now=now.now) as url:
        simulate(settings_of(tmp_path, url), now, story(), every=every, reconcile=300.0, within=10_000.0)
    assert 300 <= began[0] <= 300 + every
    for one, other in pairwise(began):
        pause = other - one - seconds
        assert seconds / SHARE_OF_RUNS <= pause <= seconds / SHARE_OF_RUNS + every


def test_a_silent_source_is_one_incident(tmp_path: Path, now: SimulatedTime) -> None:
    receiver = Receiver()
    port = free_port()
    world = loaded(MORNING, rate=1)
    with serving(receiver.app) as hook:
        target = SecretStr(hook.replace("http://", "json://") + "/hook")
        settings = settings_of(tmp_path, f"http://127.0.0.1:{port}")
        settings = settings.model_copy(update={"notify": target, "notify_severity": "none", "silent_after": 300.0})

        def story() -> Story:
            with running(world, port, now=now.now):
                yield lambda: rows_on(settings)
            silent_since = now.seconds()
            yield lambda: now.seconds() >= silent_since + 230
            assert not outbox(settings) and not receiver.titles
            yield lambda: now.seconds() >= silent_since + 330
            wait_until("a message", lambda: receiver.titles, HANGS)
            yield lambda: now.seconds() >= silent_since + 2_000
            with running(world, port, now=now.now):
                arrived = rows_on(settings)
                yield lambda: rows_on(settings) > arrived
                wait_until("another message", lambda: len(receiver.titles) > 1, HANGS)

        simulate(settings, now, story())
    assert receiver.titles == [f"{module.SOURCE.opened}: transactions", f"{module.SOURCE.resolved}: transactions"]
    assert f"http://127.0.0.1:{port}/" in receiver.bodies[0], "with the last error"


def outbox(settings: Settings) -> list[Path]:
    """Messages that have not been sent."""
    return [*(settings.state_folder / "outbox").glob("*.json")]


def test_a_failed_run_is_one_incident(tmp_path: Path, now: SimulatedTime, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver()
    limit = [0.0]

    def run(settings: Settings, *given: object, **more: object) -> RunReport:
        settings = settings.model_copy(update={"rejected_limit": limit[0]})
        return run_days(settings, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(reconciliation, "run_days", run)
    with serving(receiver.app) as hook, running(loaded(MORNING, faults=Faults(malformed=0.05)), now=now.now) as url:
        target = SecretStr(hook.replace("http://", "json://") + "/hook")
        settings = settings_of(tmp_path, url).model_copy(update={"notify": target, "notify_severity": "none"})

        def story() -> Story:
            with logged() as messages:
                yield has(messages, "failed")
                wait_until("a message", lambda: receiver.titles, HANGS)
                yield lambda: len([message for message in messages if "failed" in message]) == 2
                limit[0] = 1.0
                yield has(messages, "Reconciled")
                wait_until("another message", lambda: len(receiver.titles) > 1, HANGS)

        messages = simulate(settings, now, story(), every=5.0, reconcile=5.0)
    assert len(receiver.titles) == 2, "one for two failures, and one for the success"
    assert all("fraud_detection" in title and str(DAY) in title for title in receiver.titles)
    assert "rejected_share_is_below_limit" in receiver.bodies[0] and "0%" in receiver.bodies[0]
    assert any("rejected_share_is_below_limit" in message and str(DAY) in message for message in messages)


def test_rows_that_another_run_has_removed_are_read_again(tmp_path: Path, now: SimulatedTime) -> None:
    with running(loaded(MORNING), now=now.now) as url:
        settings = settings_of(tmp_path, url)

        def story() -> Story:
            with logged() as messages:
                yield lambda: rows_on(settings) > 5 * RATE
                lake = EmbeddedWarehouse(settings.warehouse)
                before = ids_of(lake)
                table = module.TRANSACTIONS.table
                lake.replace(table, table.arrow_schema.empty_table(), Span.days(DAY, DAY))
                yield has(messages, "Concurrent write detected")
                yield lambda: before <= ids_of(lake)

        messages = simulate(settings, now, story(), within=60.0)
    assert len([message for message in messages if "Concurrent write detected" in message]) == 1


def test_with_airflow_it_starts_no_runs_but_deletes_old_files(tmp_path: Path, now: SimulatedTime) -> None:
    with running(loaded(MORNING), now=now.now) as url:
        settings = settings_of(tmp_path, url).model_copy(update={"scheduler": "airflow"})

        def story() -> Story:
            yield lambda: rows_on(settings) > 5 * RATE
            yield lambda: is_vacuumed(settings)

        simulate(settings, now, story(), reconcile=5.0)
    with dagster_instance(settings) as instance:
        assert instance.get_runs() == []


def is_vacuumed(settings: Settings) -> bool:
    """True if a vacuum has set the retention of the commits of transactions."""
    table = deltalake.DeltaTable(f"{settings.warehouse}/fintech.db/transactions")
    return "delta.logRetentionDuration" in table.metadata().configuration


def test_a_defect_in_a_step_is_an_incident_and_detection_goes_on(
    tmp_path: Path, now: SimulatedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judging fails twice and deleting expired files fails three times; the thread that sends messages fails three times."""
    failures = Counter({"poll": 2, "vacuum": 3, "send": 3})

    def failing(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **more: object) -> object:
            if failures[name] > 0:
                failures[name] -= 1
                raise ZeroDivisionError(f"a defect in {name}")
            return real(*given, **more)

        return call

    monkeypatch.setattr(module.MicroBatcher, "poll", failing("poll", module.MicroBatcher.poll))
    monkeypatch.setattr(module, "vacuum", failing("vacuum", module.vacuum))
    monkeypatch.setattr(Outbox, "send", failing("send", Outbox.send))
    receiver = Receiver()
    with serving(receiver.app) as hook, running(loaded(MORNING), now=now.now) as url:
        target = SecretStr(hook.replace("http://", "json://") + "/hook")
        settings = settings_of(tmp_path, url)
        settings = settings.model_copy(update={"notify": target, "notify_severity": "none", "scheduler": "airflow"})

        def story() -> Story:
            with logged() as messages:
                yield has(messages, "a defect in poll")
                yield lambda: failures["vacuum"] < 3
                arrived = rows_on(settings)
                yield lambda: rows_on(settings) > arrived
                yield lambda: is_vacuumed(settings)
                wait_until("the messages", lambda: len(receiver.titles) == 4, HANGS)

        messages = simulate(settings, now, story(), every=5.0, reconcile=5.0)
    steps = ["judging transactions", "deleting expired files"]
    opened, resolved = (f"{title}: " for title in (module.FAILURES.opened, module.FAILURES.resolved))
    assert sorted(receiver.titles) == sorted(beginning + step for beginning in (opened, resolved) for step in steps)
    assert all("ZeroDivisionError: a defect in" in body for body in receiver.bodies[::2])
    assert len([message for message in messages if "ZeroDivisionError: a defect in poll; retrying" in message]) == 2
    assert len([message for message in messages if "ZeroDivisionError: a defect in vacuum; deleting" in message]) == 3


def test_a_first_day_in_the_future_is_an_error(tmp_path: Path, now: SimulatedTime) -> None:
    settings = settings_of(tmp_path, "http://127.0.0.1:9", NEXT + dt.timedelta(days=5))
    with pytest.raises(SettingsError, match=f"FRAUD_FIRST_DAY is {NEXT}, after today, {DAY}"):
        simulate(settings, now, (condition for condition in [lambda: False]))


# --- processes ----------------------------------------------------------------------------------------------------------


def watch_process(settings: Settings, *options: str, log_format: str = "text") -> subprocess.Popen[str]:
    """`fraud watch` as a process, its log on a pipe."""
    env = {
        **os.environ,
        "FRAUD_WAREHOUSE": settings.warehouse,
        "FRAUD_SOURCE_URL": settings.source_url,
        "FRAUD_FIRST_DAY": str(settings.first_day),
        "FRAUD_LOG_FORMAT": log_format,
    }
    command = [sys.executable, "-m", "fraud_assets", "watch", *options]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_after_kills_the_tables_are_those_of_a_run(tmp_path: Path, kills: int) -> None:
    faults = Faults(late=0.02, duplicates=0.02, corrected=0.05, malformed=0.02)
    seconds = 6 * kills
    began = dt.datetime.now(dt.UTC)
    # the source's time ends: what arrives or is corrected later would differ between the two that are compared
    until = began + dt.timedelta(seconds=seconds + 6)
    with running(loaded(began, seconds, faults), now=lambda: min(dt.datetime.now(dt.UTC), until)) as url:
        settings = settings_of(tmp_path, url, began.date())
        options = ["--every", "0.3", "--reconcile", "9"]
        for kill in range(kills):
            with watch_process(settings, *options) as process:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=3.5 + kill * 0.37 % 2.5)  # anywhere in a poll or a run
                assert process.poll() is None, "it runs until it is killed"
                process.kill()
        wait_until("the last arrival", lambda: dt.datetime.now(dt.UTC) > until, HANGS)
        with watch_process(settings, *options) as process:
            assert process.stdout is not None
            line = next((line for line in process.stdout if "Reconciled" in line), "")
            assert line, "it runs until it is stopped"
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=HANGS) == 0
        lake = EmbeddedWarehouse(settings.warehouse)
        assert sum(lake.partitions(TRANSACTIONS).values()) > RATE * seconds / 2
        found = without_latencies(rows_of(lake))
        undisturbed = settings_of(tmp_path / "undisturbed", url, began.date())
        Path(undisturbed.warehouse).parent.mkdir()
        for day in map(dt.date.fromisoformat, sorted(lake.partitions("fintech.customers"))):
            run_days(undisturbed, Span.days(day, day))
        assert_same(found, without_latencies(rows_of(EmbeddedWarehouse(undisturbed.warehouse))))
        assert json.loads((Path(settings.warehouse) / "watch.json").read_text())["cursor"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.long
def test_stopped_during_a_run_it_completes_the_run(tmp_path: Path, number: signal.Signals) -> None:
    with running(loaded(dt.datetime.now(dt.UTC))) as url:
        settings = settings_of(tmp_path, url, today())
        with watch_process(settings, "--reconcile", "1", log_format="json") as process, dagster_instance(settings) as instance:

            def is_well_under_way() -> bool:
                runs = instance.get_runs()
                done = instance.all_logs(runs[0].run_id, of_type=dg.DagsterEventType.STEP_SUCCESS) if runs else []
                return len(done) >= 20

            # the rest of the run takes less time than it is given, on a busy machine too
            wait_until("a run", lambda: is_well_under_way() or process.poll() is not None, HANGS, every=0.1)
            process.send_signal(number)
            output, _ = process.communicate(timeout=HANGS)
        assert process.returncode == 0
    records = [json.loads(line) for line in output.splitlines()]
    assert any("Reconciled" in record["message"] for record in records)
    assert {(record["level"], record["logger"]) for record in records} == {("INFO", "fraud_assets.live")}
    with dagster_instance(settings) as instance:
        assert [run.is_success for run in instance.get_runs()] == [True]


# --- reconciliation -------------------------------------------------------------------------------------------------------


def test_days_to_run() -> None:
    def spans(*late_days: str, first: str = "2026-01-01") -> list[str]:
        return [str(span) for span in days_to_run(dt.date(2026, 1, 10), late_days, dt.date.fromisoformat(first))]

    assert spans() == ["2026-01-10"]
    assert spans("2026-01-09") == ["2026-01-09 to 2026-01-10"]
    assert spans("2026-01-04", "2026-01-07") == ["2026-01-04 to 2026-01-05", "2026-01-07 to 2026-01-08", "2026-01-10"]
    assert spans("2025-12-31") == ["2026-01-01", "2026-01-10"]


def test_old_runs_are_deleted_except_the_last_of_each_day(tmp_path: Path) -> None:
    days = [DAY, NEXT]
    after = dt.datetime.combine(NEXT, dt.time(1), dt.UTC)
    with running(loaded(after), now=lambda: after) as url:
        settings = settings_of(tmp_path, url)
        spans = [Span.days(days[0], days[0]), Span.days(*days), Span.days(days[1], days[1])]
        ids = [run_days(settings, span, tags=TAG).run_id for span in spans]
        other = run_days(settings, Span.days(days[0], days[0])).run_id
    with dagster_instance(settings) as instance:
        assert delete_old_runs(instance, TAG, KEPT_RUNS) == 0
        assert delete_old_runs(instance, TAG, dt.timedelta(0)) == 1
        assert {run.run_id for run in instance.get_runs()} == {*ids[1:], other}
        event = instance.get_latest_materialization_event(key("fraud_alerts"))
        assert event is not None and event.run_id == other
        shards = settings.dagster_home / "history" / "runs"
        assert not (shards / f"{ids[0]}.db").exists() and (shards / f"{ids[1]}.db").exists()
