"""Records of loads: an empty list is a list, and a report that is served late is known from the load that found it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask, Response, jsonify, request

from fraud_assets.clock import Clock
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.refresh import refresh
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.ingestion.load import RejectedShareTooHigh, load
from fraud_assets.ingestion.quarantine_retry import retry
from fraud_assets.schemas.sources import BLACKLIST, FRAUD_REPORTS
from hive_io import EmbeddedWarehouse, Span
from mock_sources.serving import serving
from tests.fraud_fixtures import compute, fill, served

ENGINE = Engine(read_rule_book())


class ListingSource:
    """The three APIs over lists that a test changes. It does not know what it served before, whatever `as_of` says."""

    def __init__(self) -> None:
        self.transactions: list[dict[str, Any]] = []
        self.lists: dict[str, list[Any]] = {"blacklist_info": [], "credit_scores": [], "fraud_reports": []}

    def app(self) -> Flask:
        app = Flask("listing")

        def asked_for(rows: list[Any], time: str) -> list[Any]:
            since, until = request.args.get("since", "0"), request.args.get("until", "9")
            return [row for row in rows if not isinstance(row, dict) or since <= row[time] < until]

        def answer(body: Any) -> Response:
            response = jsonify(body)
            response.headers["X-As-Of"] = request.args.get("as_of", "")
            return response

        def external() -> Response:
            reports = asked_for(self.lists["fraud_reports"], "reported_at")
            return answer({**self.lists, "fraud_reports": reports})

        app.add_url_rule("/api/transactions", "transactions", lambda: answer(asked_for(self.transactions, "date_time")))
        app.add_url_rule("/api/customers", "customers", lambda: answer([served("customers")]))
        app.add_url_rule("/api/externalData", "external", external)
        return app


@pytest.fixture
def source() -> ListingSource:
    return ListingSource()


@pytest.fixture
def client(source: ListingSource) -> Iterator[SourceClient]:
    with serving(source.app()) as url, SourceClient(url, attempts=1) as client:
        yield client


def november(day: int) -> dt.date:
    return dt.date(2026, 11, day)


def days(first: int, last: int | None = None) -> Span:
    return Span.days(november(first), november(last or first))


def at(day: int, hour: int = 0) -> dt.datetime:
    return dt.datetime(2026, 11, day, hour)


def clock(day: int, hour: int = 0) -> Clock:
    return Clock(lambda: at(day, hour).replace(tzinfo=dt.UTC))


def report(name: str, day: int, hour: int, **changes: Any) -> dict[str, Any]:
    return served("fraud_reports", report_id=name, reported_at=f"2026-11-{day:02}T{hour:02}:00:00Z", **changes)


def known(lake: EmbeddedWarehouse) -> dict[str, dt.datetime]:
    return {row["report_id"]: row["known_at"] for row in lake.read("fintech.fraud_reports").to_pylist()}


# --- reports ------------------------------------------------------------------------------------------------------------


def test_a_report_that_is_served_late_is_unknown_to_the_days_before(
    source: ListingSource, client: SourceClient, lake: EmbeddedWarehouse
) -> None:
    def counted(first: int, last: int) -> dict[str, int]:
        for name in ("merchant_daily_activity", "credit_scores"):
            lake.ensure_table(ENGINE.tables[name])
        customers = compute(ENGINE, lake, "high_risk_customers", days(first, last))
        merchants = compute(ENGINE, lake, "merchant_profiles", days(first, last))
        found = {row["ds"][-2:]: row["reports"] for row in merchants}
        assert {row["ds"][-2:]: row["fraud_reports"] for row in customers} == {d: n for d, n in found.items() if n > 3}
        return found

    load(FRAUD_REPORTS, client, lake, days(1, 4), 1.0, clock(4, 22))
    source.lists["fraud_reports"] = [report(f"r{n}", 1, 9) for n in range(4)]
    load(FRAUD_REPORTS, client, lake, days(1, 5), 1.0, clock(5, 12))
    assert set(known(lake).values()) == {at(5, 12)}
    assert counted(2, 6) == {"06": 4}
    load(FRAUD_REPORTS, client, lake, days(1, 6), 1.0, clock(10, 3))
    assert set(known(lake).values()) == {at(5, 12)}, "a report that is loaded again keeps its time"
    assert counted(2, 6) == {"06": 4}


def test_a_first_load_however_late_takes_the_time_of_the_report(
    source: ListingSource, client: SourceClient, lake: EmbeddedWarehouse
) -> None:
    source.lists["fraud_reports"] = [report("r1", 1, 9), report("r2", 2, 9)]
    load(FRAUD_REPORTS, client, lake, days(1, 3), 1.0, clock(10))
    assert known(lake) == {"r1": at(1, 9), "r2": at(2, 9)}


def test_a_report_made_after_the_last_load_of_its_day_is_not_late(
    source: ListingSource, client: SourceClient, lake: EmbeddedWarehouse
) -> None:
    source.lists["fraud_reports"] = [report("first", 1, 9)]
    load(FRAUD_REPORTS, client, lake, days(1), 1.0, clock(1, 12))
    source.lists["fraud_reports"] += [report("in time", 1, 15), report("late", 1, 10)]
    load(FRAUD_REPORTS, client, lake, days(1), 1.0, clock(2, 1))
    assert known(lake) == {"first": at(1, 9), "in time": at(1, 15), "late": at(2, 1)}
    source.lists["fraud_reports"] = [report("first", 1, 9), report("in time", 1, 15)]
    load(FRAUD_REPORTS, client, lake, days(1), 1.0, clock(3))
    source.lists["fraud_reports"] += [report("late", 1, 10)]
    load(FRAUD_REPORTS, client, lake, days(1), 1.0, clock(4))
    assert known(lake) == {"first": at(1, 9), "in time": at(1, 15), "late": at(4)}, "withdrawn, and served again"


def test_parts_of_a_day_are_loads_of_their_part(source: ListingSource, client: SourceClient, lake: EmbeddedWarehouse) -> None:
    source.lists["fraud_reports"] = [report("r1", 1, 9), report("r2", 1, 15)]
    morning = Span(days(1).start, days(1).start + dt.timedelta(hours=12))
    load(FRAUD_REPORTS, client, lake, morning, 1.0, clock(9))
    evening = Span(morning.end, days(1).end)
    load(FRAUD_REPORTS, client, lake, evening, 1.0, clock(9))
    assert known(lake) == {"r1": at(1, 9), "r2": at(1, 15)}
    [record] = lake.read("fintech.fraud_reports_loads").to_pylist()
    assert record == {"rows_loaded": 2, "loaded_until": at(2), "ds": "2026-11-01"}


def test_days_of_an_earlier_release_have_rows_and_no_record(
    source: ListingSource, client: SourceClient, lake: EmbeddedWarehouse
) -> None:
    fill(lake, "fraud_reports", [{"report_id": "old", "customer_id": "c", "reported_at": at(1, 9)}], days(1))
    source.lists["fraud_reports"] = [report("old", 1, 9), report("new", 1, 10)]
    load(FRAUD_REPORTS, client, lake, days(1), 1.0, clock(5))
    assert known(lake) == {"old": at(1, 9), "new": at(5)}


def test_a_report_is_never_known_before_it_was_made(
    source: ListingSource, client: SourceClient, lake: EmbeddedWarehouse
) -> None:
    """The clock of the source is ahead."""
    fill(lake, "fraud_reports", [{"report_id": "old", "customer_id": "c", "reported_at": at(2, 1)}], days(2))
    source.lists["fraud_reports"] = [report("new", 2, 10)]
    load(FRAUD_REPORTS, client, lake, days(2), 1.0, clock(1, 23))
    assert known(lake) == {"new": at(2, 10)}


def test_a_rejected_report_that_a_retry_loads_is_known_from_then(
    source: ListingSource, client: SourceClient, lake: EmbeddedWarehouse
) -> None:
    source.lists["fraud_reports"] = [report("good", 1, 9), report("bad", 1, 9, customer_id="c" * 1001)]
    load(FRAUD_REPORTS, client, lake, days(1), 1.0, clock(2))
    assert known(lake) == {"good": at(1, 9)}
    claims = tuple(claim for claim in FRAUD_REPORTS.claims if claim.name != "customer_id_is_short")
    (done,) = retry(lake, replace(FRAUD_REPORTS, claims=claims), days(1, 9), clock=clock(7, 8))
    assert (done.taken, done.refused) == (1, 0)
    assert known(lake) == {"good": at(1, 9), "bad": at(7, 8)}


# --- lists --------------------------------------------------------------------------------------------------------------


def test_an_empty_blacklist_is_judged_and_none_is_not(
    source: ListingSource, client: SourceClient, lake: EmbeddedWarehouse
) -> None:
    def judged(day: int) -> tuple[int, int]:
        [row] = lake.query(ENGINE.coverage("blacklisted_merchants", days(day))).to_pylist()
        return int(row["judged"]), int(row["hits"])

    source.transactions = [
        served("transactions", transaction_id=f"t{day}", date_time=f"2026-11-{day:02}T10:00:00Z") for day in (1, 2)
    ]
    refresh(ENGINE, client, lake, days(1), 1.0, clock=clock(4))
    source.lists["blacklist_info"] = [served("blacklist")]
    refresh(ENGINE, client, lake, days(2), 1.0, clock=clock(4))
    source.lists["blacklist_info"] = [None]
    with pytest.raises(RejectedShareTooHigh):
        load(BLACKLIST, client, lake, days(3), 0.5, clock(4))
    source.lists["blacklist_info"] = []
    records = lake.read("fintech.blacklist_loads").sort_by("ds").to_pylist()
    assert records == [
        {"rows_loaded": 0, "loaded_until": at(1), "ds": "2026-11-01"},
        {"rows_loaded": 1, "loaded_until": at(2), "ds": "2026-11-02"},
    ]
    assert (judged(1), judged(2)) == ((1, 0), (1, 1))
    refused = {"transaction_id": "t", "customer_id": "c", "merchant_id": "m1", "event_time": at(3, 10)}
    fill(lake, "transactions", [refused], days(3))
    assert judged(3) == (0, 0), "a list that was refused is none"
    load(BLACKLIST, client, lake, days(3), 1.0, clock(4))
    assert judged(3) == (1, 0)
