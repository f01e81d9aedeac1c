"""The log of who read a case: a row for each person, case, day and form, which no one changes."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from fraud_assets.cases.database import writing
from fraud_assets.cases.model import ReadAs, Reading
from fraud_assets.cases.readings import ReadingLog
from fraud_assets.cases.store import CaseStore
from fraud_assets.errors import CaseNotFound
from tests.fraud_assets.cases.alerts import alert

MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def log(store: CaseStore, now: dt.datetime) -> ReadingLog:
    store.sync([alert(1), alert(2, "c2")], now)
    return ReadingLog(store.engine)


def test_a_day_has_the_first_reading_of_each_person_case_and_form(log: ReadingLog, now: dt.datetime) -> None:
    midnight = now.replace(hour=0) + dt.timedelta(days=1)
    for at in (now, now + MINUTE, midnight):
        log.add("1", "ann", ReadAs.PAGE, at)
    log.add("1", "ann", ReadAs.FILE, now + MINUTE)
    log.add("2", "ann", ReadAs.PAGE, now + MINUTE)
    log.add("1", "bob", ReadAs.PAGE, now + 2 * MINUTE)
    assert log.read("1") == [
        Reading("1", "ann", ReadAs.PAGE, midnight),
        Reading("1", "bob", ReadAs.PAGE, now + 2 * MINUTE),
        Reading("1", "ann", ReadAs.FILE, now + MINUTE),
        Reading("1", "ann", ReadAs.PAGE, now),
    ]
    assert [(each.case_id, each.form) for each in log.read(by="ann", limit=2)] == [("1", "page"), ("1", "file")]
    assert len(log.read()) == 5 and log.read("9") == log.read("x") == log.read(by="eve") == []


def test_another_process_adds_nothing_to_a_day_that_has_it(log: ReadingLog, store: CaseStore, now: dt.datetime) -> None:
    with ThreadPoolExecutor(8) as threads:
        logs = [ReadingLog(store.engine) for _ in range(8)]
        list(threads.map(lambda each: each.add("1", "ann", ReadAs.PAGE, now), logs))
    assert log.read() == [Reading("1", "ann", ReadAs.PAGE, now)]


def test_a_case_that_is_not_there_is_not_read(log: ReadingLog, now: dt.datetime) -> None:
    with pytest.raises(CaseNotFound, match="9"):
        log.add("9", "ann", ReadAs.PAGE, now)


@pytest.mark.parametrize("change", ["UPDATE readings SET form = 'file'", "DELETE FROM readings"])
def test_the_log_refuses_changes(change: str, log: ReadingLog, store: CaseStore, now: dt.datetime) -> None:
    log.add("1", "ann", ReadAs.PAGE, now)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), writing(store.engine) as connection:
        connection.exec_driver_sql(change)
    assert len(log.read()) == 1
