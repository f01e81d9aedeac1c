"""Reads of the warehouse for the pages: bounded in days, rows and seconds."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlglot import exp

from fraud_assets.desk.lake_view import DAYS_BEFORE, LONGEST, MOST_TRANSACTIONS, LakeView, NotRead
from fraud_assets.schemas.catalog import fixed_tables
from hive_io import EmbeddedWarehouse, NotAWarehouse, Span, Warehouse
from hive_io.locations import open_warehouse
from tests.fraud_assets.cases.alerts import FIRST, alert
from tests.fraud_fixtures import fill, transaction

QUERY = exp.select("1 AS one", dialect="hive")


@pytest.fixture
def view(desk_lake: Path) -> Iterator[LakeView]:
    made = LakeView(partial(open_warehouse, str(desk_lake), read_only=True), fixed_tables(), "lake", seconds=20)
    yield made
    made.close()


def opened_with(opening: Callable[[], Warehouse], seconds: float = 20) -> LakeView:
    return LakeView(opening, fixed_tables(), "lake", seconds=seconds)


def test_a_case_is_read_with_what_the_customer_usually_does(view: LakeView) -> None:
    facts = view.facts("1", [alert(1, score=0.9), alert(2)])
    assert len(facts.transactions) == 32 and facts.transactions[0]["transaction_id"] == "t2"
    assert str(facts.amounts["EUR"]["amount_p95"]) == "25.00" and facts.customer is not None
    assert [each.name for each in facts.points["t1"].contributions] == ["base", "amount_to_median", "high_value"]
    related = {(each.kind, each.customer_id, each.alerts) for each in facts.related}
    assert related == {("merchant", "c8", 1), ("device", "c7", None)}


def test_what_is_read_ahead_is_not_read_again(desk_lake: Path) -> None:
    opened = threading.Event()

    def opening() -> Warehouse:
        opened.set()
        return open_warehouse(str(desk_lake), read_only=True)

    view = opened_with(opening)
    view.prepare("1", [alert(1)])
    assert opened.wait(10)
    facts = view.facts("1", [alert(1)])
    view.prepare("1", [alert(1)])
    assert view.facts("1", [alert(1)]) is facts and view.facts("2", [alert(1)]) is not facts
    view.close()


def test_a_customer_of_whom_nothing_is_known(view: LakeView) -> None:
    facts = view.facts("2", [alert(3, "c2", merchant_id="m9")])
    assert (facts.transactions, facts.customer, facts.points, facts.related) == ([], None, {}, [])


def test_days_and_rows_are_limited(tmp_path: Path) -> None:
    lake = EmbeddedWarehouse(tmp_path / "lake")
    first = FIRST.replace(tzinfo=None)
    long_ago = first - dt.timedelta(days=DAYS_BEFORE + 1)
    second = dt.timedelta(seconds=1)
    rows = [transaction(f"n{number}", event_time=first - number * second) for number in range(MOST_TRANSACTIONS + 5)]
    rows.append(transaction("old", event_time=long_ago))
    fill(lake, "transactions", rows, Span.days(long_ago.date(), first.date()))
    view = opened_with(partial(open_warehouse, str(tmp_path / "lake"), read_only=True))
    facts = view.facts("1", [alert(1)])
    assert len(facts.transactions) == MOST_TRANSACTIONS and facts.transactions[0]["transaction_id"] == "n0"
    assert (facts.first, facts.last) == (dt.date(2026, 1, 15), dt.date(2026, 3, 4))
    of_years = view.facts("2", [alert(1, event_time=FIRST - dt.timedelta(days=900)), alert(2)])
    assert of_years.last - of_years.first == dt.timedelta(days=LONGEST)
    view.close()


def test_a_warehouse_that_is_not_there_is_said_and_opened_when_it_comes(tmp_path: Path, desk_lake: Path) -> None:
    place = tmp_path / "lake"
    view = opened_with(partial(open_warehouse, str(place), read_only=True))
    with pytest.raises(NotRead, match="cannot be read"):
        view.facts("1", [alert(1)])
    place.symlink_to(desk_lake)
    assert view.facts("1", [alert(1)]).transactions
    view.close()


def test_a_slow_warehouse_holds_no_page_up_and_its_answer_is_kept(desk_lake: Path) -> None:
    release, opened = threading.Event(), []

    def opening() -> Warehouse:
        opened.append(1)
        release.wait(20)
        return open_warehouse(str(desk_lake), read_only=True)

    view = opened_with(opening, seconds=0.05)
    for _ in range(3):
        with pytest.raises(NotRead, match=r"within 0\.05 s"):
            view.rows("one", QUERY)
    # other pages wait, until too many do
    for number in range(5):
        with pytest.raises(NotRead, match=r"within 0\.05 s"):
            view.rows(f"other {number}", QUERY)
    with pytest.raises(NotRead, match="busy"):
        view.rows("one too many", QUERY)
    release.set()
    patient = threading.Event()
    for _ in range(200):
        try:
            assert view.rows("one", QUERY) == [{"one": 1}]
            break
        except NotRead:
            patient.wait(0.05)
    else:
        pytest.fail("the answer did not come")
    assert len(opened) <= 2
    view.close()


def test_an_error_that_nobody_foresaw_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    def opening() -> Warehouse:
        raise RuntimeError("secret")

    view = opened_with(opening)
    with pytest.raises(NotRead) as error:
        view.rows("one", QUERY)
    assert "secret" not in str(error.value) and "secret" in caplog.text
    view.close()


def test_a_read_that_failed_is_tried_again(desk_lake: Path) -> None:
    tries = []

    def opening() -> Warehouse:
        tries.append(1)
        if len(tries) == 1:
            raise NotAWarehouse("not yet")
        return open_warehouse(str(desk_lake), read_only=True)

    view = opened_with(opening)
    with pytest.raises(NotRead, match="not yet"):
        view.rows("one", QUERY)
    assert view.rows("one", QUERY) == [{"one": 1}] and view.rows("one", QUERY) == [{"one": 1}]
    assert len(tries) == 2
    view.close()
