"""Many people and processes at once, on SQLite and PostgreSQL: nothing is decided twice, and nothing confirmed is lost."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from fraud_assets.cases.database import open_engine, reading, writing
from fraud_assets.cases.model import EventKind, QueueFilter, Status
from fraud_assets.cases.store import CaseStore
from fraud_assets.errors import DeskDatabaseError
from tests.fraud_assets.cases.alerts import alert

pytestmark = pytest.mark.slow


@contextmanager
def people(address: str, processes: int, each: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that have opened the store, and wait for a line."""
    words = [sys.executable, "-m", "tests.fraud_assets.cases.people", address]
    started = [
        subprocess.Popen([*words, str(n), str(each)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(processes)
    ]
    try:
        for process in started:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def assert_whole(store: CaseStore, confirmed: dict[str, str]) -> None:
    """Every decided case has one decision, by one person, with all its transactions; every confirmed one is decided."""
    rows = Counter(row.case_id for row in store.decisions_since(0, 10**6))
    by = {(row.case_id, row.decided_by) for row in store.decisions_since(0, 10**6)}
    assert len(by) == len(rows)
    for case in store.queue(limit=10**6):
        decided = [event for event in store.history(case.case_id) if event.kind is EventKind.DECIDED]
        assert len(decided) == (case.status is Status.DECIDED), case
        assert rows[case.case_id] == (case.alert_count if decided else 0), case
        if decided:
            assert {case.decided_by, decided[0].by, case.note} == {case.decided_by} and (case.case_id, case.decided_by) in by
        if case.case_id in confirmed:
            assert case.decided_by == confirmed[case.case_id]


def test_twenty_people_decide_each_case_once(store: CaseStore, address: str, now: dt.datetime) -> None:
    store.sync([alert(n, f"c{n % 100}") for n in range(250)], now)
    with people(address, 4, 5) as processes:
        for process in processes:
            begin(process)
        lines = [line.split() for process in processes for line in process.communicate()[0].splitlines()]
        assert [process.returncode for process in processes] == [0] * 4
    winners = {case: person for person, case in lines}
    assert len(lines) == len(winners) == 100 and len({person.partition(".")[0] for person in winners.values()}) > 1
    assert store.count(QueueFilter(status=Status.OPEN)) == 0
    assert_whole(store, winners)


def test_killed_at_any_moment_what_was_confirmed_stays(store: CaseStore, address: str, now: dt.datetime) -> None:
    store.sync([alert(n, f"c{n}") for n in range(1500)], now)
    draw, confirmed = random.Random(1), {}
    for _ in range(20):
        with people(address, 1, 3) as [process]:
            begin(process)
            time.sleep(draw.uniform(0.02, 0.25))
            process.kill()
            out = process.communicate()[0]
        confirmed.update({case: person for person, case in map(str.split, out.splitlines()) if out.endswith("\n")})
    assert len(confirmed) > 20 and store.count(QueueFilter(status=Status.OPEN)) > 0
    assert_whole(store, confirmed)
    if address.startswith("sqlite"):
        with reading(store.engine) as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_an_alert_and_a_decision_at_once_leave_no_alert_that_nobody_saw(
    store: CaseStore, address: str, now: dt.datetime
) -> None:
    """While cases are decided, each customer gets further alerts: each is in a decided case, or in an open one."""
    store.sync([alert(n, f"c{n}") for n in range(60)], now)
    with people(address, 2, 3) as processes:
        for process in processes:
            begin(process)
        for number in range(60, 240):
            store.sync([alert(number, f"c{number % 60}")], now)
        for process in processes:
            process.communicate(timeout=60)
    alerts = [name.transaction_id for case in store.queue(limit=1000) for name in store.alerts(case.case_id)]
    assert sorted(alerts) == sorted(f"t{n}" for n in range(240))
    waiting = [case.customer_id for case in store.queue(limit=1000) if case.status is not Status.DECIDED]
    assert len(waiting) == len(set(waiting))
    assert_whole(store, {})


def test_first_starts_at_once_make_one_database(address: str) -> None:
    with people(address, 6, 0) as processes:
        for process in processes:
            begin(process)
        assert [process.wait(30) for process in processes] == [0] * 6
    engine = open_engine(address, create=False)
    with reading(engine) as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM alembic_version")).scalar() == 1
    engine.dispose()


def test_a_migration_that_is_killed_leaves_nothing(address: str) -> None:
    for pause in (0.3, 0.5, 0.7, 0.9, 1.1, 1.3):
        code = f"from fraud_assets.cases.store import CaseStore; CaseStore.open({address!r})"
        process = subprocess.Popen([sys.executable, "-c", code])
        time.sleep(pause)
        process.kill()
        process.wait()
    store = CaseStore.open(address)
    assert store.count() == 0
    store.close()


def test_a_database_of_a_later_program_is_refused(store: CaseStore, address: str) -> None:
    with writing(store.engine) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for create in (True, False):
        with pytest.raises(DeskDatabaseError, match="9999") as error:
            CaseStore.open(address, create=create)
        assert "s3cret" not in str(error.value)
