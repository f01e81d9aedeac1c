"""Features of transactions and the tables that they read, against values computed by hand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from fraud_assets.detection.rule_book import RuleBook, read_rule_book
from fraud_assets.engine.engine import Engine
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import compute, fill, transaction

Row = dict[str, Any]
MONDAY = dt.date(2026, 3, 16)
SUNDAY, TUESDAY = MONDAY - dt.timedelta(days=1), MONDAY + dt.timedelta(days=1)
WEEKS = Span.days(MONDAY - dt.timedelta(days=60), MONDAY + dt.timedelta(days=6))
LAST_WEEKS = Span.days(MONDAY - dt.timedelta(days=7), WEEKS.last_day)
HOUR = dt.timedelta(hours=1)
TABLES = ("customer_daily_amounts", "customer_amounts", "customer_daily_outliers", "customer_outliers")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(RuleBook({}, read_rule_book().features))


def at(day: dt.date, hours: float = 12) -> dt.datetime:
    return dt.datetime.combine(day, dt.time()) + hours * HOUR


def history(days_before: dt.date, amounts: list[str], customer: str = "c1", **more: Any) -> list[Row]:
    """A payment a day before a day, the last amount on the day before it."""
    return [
        transaction(f"{customer}-h{number}", customer, amount, event_time=at(days_before - dt.timedelta(days=number)), **more)
        for number, amount in enumerate(reversed(amounts), 1)
    ]


def computed(engine: Engine, lake: EmbeddedWarehouse, rows: list[Row], name: str = "transaction_features") -> dict[str, Row]:
    """The rows of a table over all weeks, by transaction; equal to those computed day by day, in the last two weeks."""
    for table in ("fraud_reports", "merchant_daily_activity", "customer_daily_activity"):
        lake.ensure_table(engine.tables[table])
    fill(lake, "transactions", rows, WEEKS)
    for table in ("merchant_daily_activity", "customer_daily_activity", "customer_countries", *TABLES, "merchant_reports"):
        compute(engine, lake, table, WEEKS)
    found = compute(engine, lake, name, WEEKS)
    by_day = [row for day in LAST_WEEKS.each_day() for row in compute(engine, lake, name, Span.days(day, day))]
    assert sorted(map(str, by_day)) == sorted(str(row) for row in found if row["ds"] >= str(LAST_WEEKS.first_day))
    return {row.get("transaction_id", row["ds"]): row for row in found}


@pytest.mark.parametrize(
    ("amount", "lowest"),
    [
        ("0.01", "0.01"),
        ("0.99", "0.99"),
        ("1.00", "1.00"),
        ("1.59", "1.50"),
        ("9.99", "9.90"),
        ("10.00", "10.00"),
        ("99.99", "99.00"),
        ("1234.56", "1200.00"),
        ("99999999.99", "99000000.00"),
    ],
)
def test_amounts_are_counted_by_their_two_leading_digits(
    engine: Engine, lake: EmbeddedWarehouse, amount: str, lowest: str
) -> None:
    fill(lake, "transactions", [transaction("t", "c1", amount, event_time=at(MONDAY))], WEEKS)
    assert [(row["amount_from"], row["transactions"]) for row in compute(engine, lake, "customer_daily_amounts", WEEKS)] == [
        (Decimal(lowest), 1)
    ]


def test_amounts_are_compared_with_the_weeks_before_monday(engine: Engine, lake: EmbeddedWarehouse) -> None:
    # 20 payments of 10 to 29 until Sunday: the median is the 10th, 19, the 95th percentile the 19th, 28
    rows = history(MONDAY, [f"{amount}.00" for amount in range(10, 30)])
    rows += [
        transaction("monday", "c1", "38.00", event_time=at(MONDAY)),
        transaction("sunday next", "c1", "56.00", event_time=at(MONDAY + dt.timedelta(days=6))),
        transaction("other currency", "c1", "38.00", currency="SEK", event_time=at(TUESDAY)),
        transaction("transfer", "c1", "38.00", transaction_type="transfer_out", event_time=at(TUESDAY)),
        transaction("new customer", "c2", "38.00", event_time=at(TUESDAY)),
    ]
    found = computed(engine, lake, rows)
    compared = {
        name: (found[name]["amount_to_median"], found[name]["amount_to_p95"], found[name]["payments_90d"]) for name in found
    }
    assert compared["monday"] == (Decimal("2.00"), Decimal("1.36"), 20)
    # 38.00 of Monday is not known before the next Monday
    assert compared["sunday next"] == (Decimal("2.95"), Decimal("2.00"), 20)
    assert compared["other currency"] == compared["new customer"] == (None, None, None)
    assert compared["transfer"] == (None, None, 20), "the amounts of transfers are of another order"
    # on the Sunday before, the history ends before the Monday before: 10 to 22
    assert compared["c1-h1"] == (Decimal("1.81"), Decimal("1.32"), 13)
    assert compared["c1-h8"] == (None, None, 6), "too few to compare with"


def test_outliers_are_those_of_seven_days_and_earlier_on_the_day(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = history(MONDAY - dt.timedelta(days=7), ["10.00"] * 48)
    # 1.6 times the 95th percentile, 10.00, is 16.00
    rows += [
        transaction("eight days before", "c1", "16.00", event_time=at(TUESDAY - dt.timedelta(days=8), 23)),
        transaction("seven days before", "c1", "16.00", event_time=at(TUESDAY - dt.timedelta(days=7), 1)),
        transaction("under", "c1", "15.99", event_time=at(MONDAY)),
        transaction("declined", "c1", "99.00", status="declined", event_time=at(TUESDAY, 1)),
        transaction("earlier", "c1", "16.00", event_time=at(TUESDAY, 2)),
        transaction("at once", "c1", "16.00", event_time=at(TUESDAY, 2)),
        transaction("now", "c1", "10.00", event_time=at(TUESDAY, 3)),
        transaction("tomorrow", "c1", "10.00", event_time=at(TUESDAY + dt.timedelta(days=1), 0)),
    ]
    found = computed(engine, lake, rows)
    outliers = {name: found[name]["outliers_7d"] for name in ("earlier", "at once", "now", "tomorrow")}
    assert outliers == {"earlier": 1, "at once": 1, "now": 3, "tomorrow": 2}


def test_the_customers_last_hours(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = [
        transaction("first", event_time=at(MONDAY, 12)),
        transaction("an hour later", event_time=at(MONDAY, 13)),
        transaction("just before", event_time=at(MONDAY, 13) - dt.timedelta(microseconds=1)),
        transaction("a day later", event_time=at(TUESDAY, 13)),
        transaction("somebody else", "c2", event_time=at(MONDAY, 13)),
    ]
    found = computed(engine, lake, rows)
    hours = {n: (row["transactions_1h"], row["transactions_24h"], row["seconds_since_last"]) for n, row in found.items()}
    assert hours == {
        "first": (1, 1, None),
        "just before": (2, 2, 3599),
        "an hour later": (2, 3, 1),
        "a day later": (1, 1, None),
        "somebody else": (1, 1, None),
    }


def test_small_online_payments_of_the_hour(engine: Engine, lake: EmbeddedWarehouse) -> None:
    # the median is 10.00, a fifth of it 2.00
    rows = history(MONDAY, ["10.00"] * 12)
    rows += [
        transaction("exactly a fifth", "c1", "2.00", channel="online", event_time=at(MONDAY, 10)),
        transaction("first", "c1", "1.99", channel="online", event_time=at(MONDAY, 11)),
        transaction("declined", "c1", "0.50", channel="online", status="declined", event_time=at(MONDAY, 11.5)),
        transaction("in a shop", "c1", "0.50", channel="pos", event_time=at(MONDAY, 11.6)),
        transaction("transfer", "c1", "0.50", channel="online", transaction_type="transfer_out", event_time=at(MONDAY, 11.7)),
        transaction("an hour after the first", "c1", "90.00", channel="online", event_time=at(MONDAY, 12)),
        transaction("no channel", "c1", "0.50", channel=None, event_time=at(MONDAY, 12.2)),
        transaction("new customer", "c2", "0.50", channel="online", event_time=at(MONDAY, 12)),
    ]
    found = computed(engine, lake, rows)
    assert {name: row["small_payments_1h"] for name, row in found.items() if "-h" not in name} == {
        "exactly a fifth": 0,
        "first": 1,
        "declined": 2,
        "in a shop": 2,
        "transfer": None,
        "an hour after the first": 1,
        "no channel": 1,
        "new customer": None,
    }


def test_declined_transactions_and_transfers_of_a_day(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = [
        transaction("declined", status="declined", event_time=at(MONDAY)),
        transaction("reversed", status="reversed", event_time=at(MONDAY, 13)),
        transaction("transfer", transaction_type="transfer_out", event_time=at(MONDAY, 14)),
        transaction("declined transfer", transaction_type="transfer_out", status="declined", event_time=at(MONDAY, 15)),
        transaction("received", transaction_type="transfer_in", event_time=at(MONDAY, 16)),
        transaction("a day after", event_time=at(TUESDAY)),
        transaction("no status", status=None, transaction_type=None, event_time=at(TUESDAY, 14.5)),
        transaction("somebody else", "c2", event_time=at(MONDAY, 16)),
    ]
    found = computed(engine, lake, rows)
    assert {name: (row["declined_24h"], row["transfers_out_24h"]) for name, row in found.items()} == {
        "declined": (1, 0),
        "reversed": (1, 0),
        "transfer": (1, 1),
        "declined transfer": (2, 2),
        "received": (2, 2),
        "a day after": (1, 2),
        "no status": (1, 1),
        "somebody else": (0, 0),
    }


def test_the_share_of_received_money_that_is_sent_on(engine: Engine, lake: EmbeddedWarehouse) -> None:
    def sent(name: str, amount: str, hours: float, **more: Any) -> Row:
        return transaction(name, "c1", amount, transaction_type="transfer_out", event_time=at(MONDAY, hours), **more)

    def received(name: str, amount: str, hours: float, **more: Any) -> Row:
        return transaction(name, "c1", amount, transaction_type="transfer_in", event_time=at(MONDAY, hours), **more)

    found = computed(
        engine,
        lake,
        [
            sent("nothing received", "10.00", 1),
            received("declined in", "1000.00", 2, status="declined"),
            sent("still nothing", "10.00", 3),
            received("in", "300.00", 4),
            sent("first part", "180.00", 5),
            sent("declined out", "500.00", 6, status="declined"),
            sent("second part", "100.00", 7),
            sent("other currency", "100.00", 8, currency="SEK"),
            sent("far more", "40000.00", 9),
            transaction("payment", "c1", "10.00", event_time=at(MONDAY, 10)),
            sent("a day after", "30.00", 28),
        ],
    )
    assert {name: row["passed_on_share"] for name, row in found.items() if row["passed_on_share"] is not None} == {
        # (10 + 10 + 180) / 300
        "first part": Decimal("0.6667"),
        "declined out": Decimal("0.6667"),
        "second part": Decimal("1.0000"),
        "far more": Decimal("99.0000"),
    }


def test_a_transfer_is_in_no_country(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = history(MONDAY, ["10.00"] * 12)
    rows += [
        transaction("abroad", "c1", "10.00", merchant_country="BR", event_time=at(MONDAY)),
        transaction("to a bank", "c1", "10.00", merchant_country="BR", transaction_type="transfer_out", event_time=at(MONDAY)),
    ]
    found = computed(engine, lake, rows)
    assert (found["abroad"]["new_country"], found["to a bank"]["new_country"]) == (1, None)


def test_a_span_of_a_day_has_its_rows_only(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = [transaction("first", event_time=at(MONDAY, 12)), transaction("second", event_time=at(MONDAY, 13))]
    computed(engine, lake, rows)
    start = dt.datetime.combine(MONDAY, dt.time(13), dt.UTC)
    part = lake.query(engine.query("transaction_features", Span(start, start + HOUR))).to_pylist()
    assert [(row["transaction_id"], row["transactions_24h"]) for row in part] == [("second", 2)]


def test_reports_that_the_customers_habit_does_not_explain(engine: Engine, lake: EmbeddedWarehouse) -> None:
    day = {number: TUESDAY - dt.timedelta(days=number) for number in range(60)}
    usual = history(day[21], ["10.00"] * 15, merchant_id="elsewhere")
    # a sale a day from 14 to 8 days before; the first and an outlier were not the merchant's fault
    sales = [transaction(f"s{n}", "c1", "10.00", merchant_id=" Shop ", event_time=at(day[n])) for n in (14, 12, 11, 9, 8, 0)]
    odd = transaction("odd", "c1", "99.00", merchant_id="SHOP", event_time=at(day[20]))
    reports = [
        {"report_id": f"r-{name}", "transaction_id": name, "merchant_id": "shop", "customer_id": "c1"}
        | {"reported_at": at(on), "known_at": at(on)}
        for name, on in [("s12", day[5]), ("s12", day[3]), ("s11", day[5]), ("s9", day[1]), ("odd", day[5]), ("s8", day[0])]
    ]
    fill(lake, "fraud_reports", [{**row, "report_id": f"r{n}"} for n, row in enumerate(reports)], WEEKS)
    found = computed(engine, lake, [*usual, odd, *sales])
    shares = {name: row["merchant_report_share"] for name, row in found.items()}
    # s8 is reported on the day itself, so as of its start the sale of 8 days before is honest, and ends the run
    assert (found["s0"]["merchant_report_run"], found["s0"]["merchant_report_days"]) == (0, 0)
    # sales of 21 to 8 days before: odd, s14, s12, s11, s9, s8; unexplained reports: s12, s11, s9
    assert shares["s0"] == Decimal("0.4286")
    assert shares["c1-h1"] == Decimal("0.0000"), "a merchant without reports"
    tomorrow = transaction("tomorrow", "c1", "10.00", merchant_id="shop", event_time=at(TUESDAY + dt.timedelta(days=1)))
    later = computed(engine, lake, [*usual, odd, *sales, tomorrow])["tomorrow"]
    # a day later, s8 is known: the run is s12, s11, s9 and s8, and began 13 days before
    assert (later["merchant_report_run"], later["merchant_report_days"]) == (4, 13)
