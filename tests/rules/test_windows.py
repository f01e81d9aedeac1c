"""Windows of time: their edges to the microsecond, ties, and rows that come later or by another way."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, NOON, SPAN, compute, fill, profile, transaction

MICROSECOND = dt.timedelta(microseconds=1)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(read_rule_book())


@dataclass(frozen=True)
class Window:
    """A window of a rule.

    Attributes:
        length: how far back it reaches.
        rows: transactions, given the times of the first and the last one, that hit if the first is in the window of the last.
        fits_a_second: False if so many transactions within a second would hit by a shorter window of the rule.
    """

    rule: str
    length: dt.timedelta
    rows: Callable[[dt.datetime, dt.datetime], list[Row]]
    fits_a_second: bool = True

    def times(self, back: dt.timedelta) -> tuple[dt.datetime, dt.datetime]:
        return NOON - back, NOON


def paid(name: str, time: dt.datetime, amount: str = "10.00", **more: Any) -> Row:
    return transaction(name, "c1", amount, event_time=time, **more)


def repeated(count: int, amount: str = "10.00", **more: Any) -> Callable[[dt.datetime, dt.datetime], list[Row]]:
    """One transaction at the start, and the others at the end, a microsecond apart; the last one is `last`."""

    def rows(first: dt.datetime, last: dt.datetime) -> list[Row]:
        others = [paid(f"t{n}", last - n * MICROSECOND, amount, **more) for n in range(count - 2, 0, -1)]
        return [paid("first", first, amount, **more), *others, paid("last", last, amount, **more)]

    return rows


def probed(first: dt.datetime, last: dt.datetime) -> list[Row]:
    tests = [paid(f"t{n}", last - n * MICROSECOND, "1.00") for n in (1, 2)]
    return [paid("first", first, "1.00"), *tests, paid("last", last, "900.00")]


def passed_through(first: dt.datetime, last: dt.datetime) -> list[Row]:
    return [
        paid("first", first, "900.00", transaction_type="transfer_in"),
        paid("last", last, "900.00", transaction_type="transfer_out"),
    ]


def travelled(first: dt.datetime, last: dt.datetime) -> list[Row]:
    # some 15,976 km: no airliner makes them in six hours
    return [
        paid("first", first, merchant_latitude=-33.8688, merchant_longitude=151.2093, channel="pos"),
        paid("last", last, merchant_latitude=48.2082, merchant_longitude=16.3738, channel="pos"),
    ]


HOUR = dt.timedelta(hours=1)
WINDOWS = {
    "velocity, 10 minutes": Window("velocity", dt.timedelta(minutes=10), repeated(6)),
    "velocity, an hour": Window("velocity", HOUR, lambda first, last: spread(21, first, last), fits_a_second=False),
    "velocity, 24 hours": Window("velocity", 24 * HOUR, lambda first, last: spread(71, first, last), fits_a_second=False),
    "card_testing": Window("card_testing", 2 * HOUR, probed),
    "structuring": Window("structuring", 24 * HOUR, repeated(3, "9000.00", transaction_type="transfer_out")),
    "pass_through": Window("pass_through", 24 * HOUR, passed_through),
    "rapid_follow_up": Window("rapid_follow_up", HOUR / 2, repeated(2, "900.00")),
    "new_account_activity": Window("new_account_activity", 24 * HOUR, repeated(2, "250.00")),
    "impossible_travel": Window("impossible_travel", 6 * HOUR, travelled),
}


def spread(count: int, first: dt.datetime, last: dt.datetime) -> list[Row]:
    """Transactions spread evenly, far enough apart for the shorter windows of velocity."""
    step = (NOON - first) / count
    between = [paid(f"t{n}", first + n * step) for n in range(1, count - 1)]
    return [paid("first", first), *between, paid("last", last)]


def hits(engine: Engine, lake: EmbeddedWarehouse, rule: str, rows: list[Row], **tables: list[Row]) -> Mapping[str, Row]:
    """Hits of the two days, with the tables that the rules read for each of them."""
    both = Span.days(DAY - dt.timedelta(days=1), DAY)
    days = [day.isoformat() for day in both.each_day()]
    known: dict[str, list[Row]] = {
        "transactions": rows,
        "customer_profiles": [profile("c1", ds=day) for day in days],
        "customers": [{"customer_id": "c1", "opened_at": NOON - dt.timedelta(days=2), "ds": day} for day in days],
    }
    for name in engine.reads(rule):
        lake.ensure_table(engine.tables[name])
        fill(lake, name, tables.get(name, known.get(name, [])), both)
    return {row["transaction_id"]: row for row in compute(engine, lake, rule, both)}


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_is_as_long_as_its_name_to_the_microsecond(window: str, engine: Engine, lake: EmbeddedWarehouse) -> None:
    case = WINDOWS[window]
    inside = hits(engine, lake, case.rule, case.rows(*case.times(case.length - MICROSECOND)))
    assert inside.keys() == {"last"}
    exactly = hits(engine, lake, case.rule, case.rows(*case.times(case.length)))
    assert exactly.keys() == set(), "the window is open at its start"


@pytest.mark.parametrize("window", WINDOWS)
def test_a_row_counts_no_later_one(window: str, engine: Engine, lake: EmbeddedWarehouse) -> None:
    case = WINDOWS[window]
    back = dt.timedelta(milliseconds=800) if case.fits_a_second else case.length - dt.timedelta(milliseconds=800)
    rows = case.rows(*case.times(back))
    assert hits(engine, lake, case.rule, rows).keys() == {"last"}
    assert hits(engine, lake, case.rule, rows[:-1]) == {}


def test_three_payments_in_one_second_are_counted_as_they_come(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = [paid(f"t{n}", NOON + dt.timedelta(milliseconds=100 * n)) for n in range(8)]
    found = hits(engine, lake, "velocity", rows)
    assert {name: json.loads(hit["evidence"])["in_10_minutes"] for name, hit in found.items()} == {"t5": 6, "t6": 7, "t7": 8}


def test_rows_of_the_same_microsecond_count_each_other(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = [paid(f"t{n}", NOON) for n in range(6)]
    assert hits(engine, lake, "velocity", rows).keys() == {row["transaction_id"] for row in rows}


def test_a_test_of_the_same_microsecond_is_not_before_the_payment(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = probed(NOON - HOUR, NOON)
    assert hits(engine, lake, "card_testing", rows).keys() == {"last"}
    at_once = [*rows[:-2], {**rows[-2], "event_time": NOON}, rows[-1]]
    assert hits(engine, lake, "card_testing", at_once).keys() == set()


def test_of_two_places_in_the_same_microsecond_the_later_id_is_the_journey(engine: Engine, lake: EmbeddedWarehouse) -> None:
    first, last = travelled(NOON, NOON)
    ordered = [{**first, "transaction_id": "a"}, {**last, "transaction_id": "b"}]
    assert hits(engine, lake, "impossible_travel", ordered).keys() == {"b"}


@pytest.mark.parametrize("window", WINDOWS)
def test_parts_of_a_day_and_the_whole_day_agree(window: str, engine: Engine, lake: EmbeddedWarehouse) -> None:
    """Two polls with a boundary within a second, as the live path makes them, against one run."""
    case = WINDOWS[window]
    rows = case.rows(NOON + dt.timedelta(milliseconds=100), NOON + dt.timedelta(milliseconds=900))
    if case.rule == "velocity" and len(rows) < 71:
        rows = [*rows, paid("one more", NOON + dt.timedelta(milliseconds=900, microseconds=1))]
    whole = hits(engine, lake, case.rule, rows)
    cuts = [SPAN.start, NOON + dt.timedelta(milliseconds=100), NOON + dt.timedelta(milliseconds=500)]
    cuts += [NOON + dt.timedelta(milliseconds=900), SPAN.end]
    cuts = [cut.replace(tzinfo=SPAN.start.tzinfo) for cut in cuts]
    parts = [lake.query(engine.query(case.rule, Span(start, end))).to_pylist() for start, end in pairwise(cuts)]
    assert {row["transaction_id"]: row for part in parts for row in part} == whole
    assert whole


def test_a_correction_is_judged_in_its_last_version(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = repeated(6)(NOON - dt.timedelta(minutes=9), NOON)
    assert hits(engine, lake, "velocity", rows).keys() == {"last"}
    corrected = [{**rows[0], "event_time": NOON - dt.timedelta(minutes=11)}, *rows[1:]]
    assert hits(engine, lake, "velocity", corrected).keys() == set()
    undone = [{**rows[0], "status": "reversed"}, *rows[1:]]
    assert hits(engine, lake, "velocity", undone).keys() == set()


def test_what_is_not_known_is_neither_counted_out_nor_joined(engine: Engine, lake: EmbeddedWarehouse) -> None:
    unknown = {"transaction_type": None, "status": None, "decline_reason": None, "channel": None}
    rows = [{**row, **unknown} for row in repeated(6)(NOON - dt.timedelta(minutes=9), NOON)]
    assert hits(engine, lake, "velocity", rows).keys() == {"last"}
    nowhere = [{**row, **unknown, "currency": None} for row in repeated(2, "250.00")(NOON - HOUR, NOON)]
    found = hits(engine, lake, "new_account_activity", nowhere)
    assert found["last"]["reason"].startswith("500.00 (currency not named) in 24 hours")
    mixed = [{**nowhere[0], "currency": "EUR"}, nowhere[1]]
    assert hits(engine, lake, "new_account_activity", mixed).keys() == set()
