"""The synthetic world: deterministic by seed, consistent over time, with every kind of fraud."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_sources import BadConfiguration, World, running, timestamps
from mock_sources.incidents import KINDS
from mock_sources.source import Row, Window

NOW = datetime(2026, 3, 1, tzinfo=UTC)
QUESTIONS = (
    "/api/transactions?since=2026-01-10&until=2026-01-12&limit=50000&as_of=2026-02-01",
    "/api/customers?as_of=2026-02-01",
    "/api/externalData?as_of=2026-02-01&limit=50000",
    "/labels?since=2025-12-01&until=2026-02-01",
)


def small_world(seed: int = 3, **changed: Any) -> World:
    return World(**{"seed": seed, "customers": 60, "merchants": 60, "fraud_rate": 0.02} | changed)


@pytest.fixture(scope="module")
def world() -> World:
    return small_world()


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[httpx.Client]:
    with running(world, now=lambda: NOW) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def two_months(client: httpx.Client) -> list[Row]:
    asked = {"since": "2026-01-01", "until": "2026-03-01", "limit": "50000", "as_of": "2026-03-02"}
    rows: list[Row] = client.get("/api/transactions", params=asked).json()
    return rows


@pytest.fixture(scope="module")
def labels(client: httpx.Client) -> dict[str, str]:
    return {row["transaction_id"]: row["kind"] for row in client.get("/labels").json()}


def micros(text: str) -> int:
    return timestamps.parse(text, "test")


def external(client: httpx.Client, **asked: str) -> dict[str, list[Row]]:
    body: dict[str, list[Row]] = client.get("/api/externalData", params={"limit": 50_000, **asked}).json()
    return body


def test_worlds_with_the_same_seed_are_equal_byte_for_byte_in_any_order_of_requests(client: httpx.Client) -> None:
    with running(small_world(), now=lambda: NOW) as url:
        twin = {question: httpx.get(url + question, timeout=30).content for question in reversed(QUESTIONS)}
    assert twin == {question: client.get(question).content for question in QUESTIONS}


def test_another_seed_is_another_world(client: httpx.Client) -> None:
    with running(small_world(seed=4), now=lambda: NOW) as url:
        assert all(httpx.get(url + question, timeout=30).content != client.get(question).content for question in QUESTIONS)


@settings(deadline=None, max_examples=25)
@given(
    earlier=st.datetimes(datetime(2025, 12, 30), datetime(2026, 1, 20)),
    step=st.timedeltas(timedelta(0), timedelta(days=3)),
)
def test_rows_known_earlier_are_known_later(world: World, earlier: datetime, step: timedelta) -> None:
    since = timestamps.from_datetime(datetime(2025, 12, 31))
    known, later = (
        [
            *world.transactions(Window(as_of, since), None, 50_000).rows,
            *world.customers(as_of),
            *world.external_data(Window(as_of, since), ["fraud_reports"])["fraud_reports"],
        ]
        for as_of in (timestamps.from_datetime(earlier), timestamps.from_datetime(earlier + step))
    )
    assert all(row in later for row in known)


def test_rows_are_served_only_after_their_arrival(client: httpx.Client) -> None:
    as_of = "2026-01-10T15:00:00.000000Z"
    rows = client.get("/api/transactions", params={"since": "2026-01-09", "as_of": as_of}).json()
    assert rows and max(row["ingested_at"] for row in rows) <= as_of
    data = external(client, as_of=as_of)
    assert max(row["reported_at"] for row in data["fraud_reports"]) <= as_of
    assert max(row["listed_at"] for row in data["blacklist_info"]) <= as_of
    assert max(row["scored_at"] for row in data["credit_scores"]) <= as_of
    customers = client.get("/api/customers", params={"as_of": as_of}).json()
    assert max(row["account_history"]["opened_at"] for row in customers) <= as_of


def test_a_row_arrives_one_to_five_seconds_after_its_event(two_months: list[Row]) -> None:
    delays = [micros(row["ingested_at"]) - micros(row["date_time"]) for row in two_months]
    assert min(delays) >= timestamps.SECOND and max(delays) <= 5 * timestamps.SECOND


def test_ids_are_unique_and_amounts_positive_with_the_currencys_decimals(two_months: list[Row]) -> None:
    assert len({row["transaction_id"] for row in two_months}) == len(two_months)
    assert all(row["amount"] > 0 and round(row["amount"], 2) == row["amount"] for row in two_months)
    assert all(row["amount"] == int(row["amount"]) for row in two_months if row["currency"] == "JPY")


def test_every_customer_is_known_before_its_first_transaction() -> None:
    world = small_world(start=date(2025, 1, 1))
    since = timestamps.from_datetime(datetime(2026, 1, 1))
    rows = world.transactions(Window(since + 120 * timestamps.DAY, since), None, 50_000).rows
    opened = {row["customer_id"]: row["account_history"]["opened_at"] for row in world.customers(since * 2)}
    new = {name for name, instant in opened.items() if instant > "2026-01-01"}
    assert any(row["customer_id"] in new for row in rows)
    assert all(opened[row["customer_id"]] <= row["date_time"] for row in rows)


def test_a_customers_currency_and_patterns_do_not_change(client: httpx.Client, two_months: list[Row]) -> None:
    early, late = (client.get("/api/customers", params={"as_of": as_of}).json() for as_of in ("2019-01-01", "2026-03-01"))
    assert len(early) < len(late) and all(row in late for row in early)
    home = {row["customer_id"]: row["behavioral_patterns"]["home_currency"] for row in late}
    assert all(row["currency"] == home[row["customer_id"]] for row in two_months)


def test_customers_have_about_as_many_transactions_as_their_patterns(client: httpx.Client, two_months: list[Row]) -> None:
    customers = client.get("/api/customers", params={"as_of": "2025-12-31"}).json()
    expected = sum(row["behavioral_patterns"]["transactions_per_week"] for row in customers) / 7 * 59
    known = {row["customer_id"] for row in customers}
    assert sum(row["customer_id"] in known for row in two_months) == pytest.approx(expected, rel=0.12)
    assert 3 < expected / 59 / len(customers) < 5


def test_the_codes_are_those_of_the_contract(two_months: list[Row]) -> None:
    assert {row["transaction_type"] for row in two_months} == {
        "purchase", "withdrawal", "transfer_in", "transfer_out", "refund",
    }  # fmt: skip
    assert {row["channel"] for row in two_months} == {"pos", "online", "atm"}
    declined = Counter(row["status"] for row in two_months)
    assert set(declined) == {"approved", "declined"} and declined["declined"] < 0.08 * len(two_months)


def test_names_are_not_all_ascii_and_places_are_on_earth(client: httpx.Client, two_months: list[Row]) -> None:
    names = [row["demographics"]["name"] for row in client.get("/api/customers").json()]
    assert any(not name.isascii() for name in names)
    for merchant in (row["merchant_details"] for row in two_months):
        assert (merchant["latitude"] is None) == (merchant["city"] is None)
        assert merchant["latitude"] is None or (abs(merchant["latitude"]) < 90 and abs(merchant["longitude"]) < 180)


def test_labels_are_served_transactions(two_months: list[Row], labels: dict[str, str]) -> None:
    # with so few customers, no account is dormant, and new ones are rare
    assert {*KINDS} - {"dormant_account", "new_account"} <= set(labels.values()) <= {*KINDS}
    served = {row["transaction_id"]: row["date_time"] for row in two_months}
    recent = {name for name in labels if name in served}
    assert 0.008 < len(recent) / len(served) < 0.04


@pytest.mark.parametrize("rate", [0.0, 0.01])
def test_the_fraud_rate_can_be_set(rate: float) -> None:
    world = small_world(fraud_rate=rate, customers=200)
    year = Window(micros("2021-01-01"), since=micros("2020-01-01"))
    weekly = [row["behavioral_patterns"]["transactions_per_week"] for row in world.customers(micros("2020-07-01"))]
    assert len(world.labels(year)) / (sum(weekly) / 7 * 366) == pytest.approx(rate, rel=0.25)


def test_labels_end_at_the_current_time(client: httpx.Client) -> None:
    moments = [row["date_time"] for row in client.get("/labels", params={"until": "2027-01-01"}).json()]
    assert moments == sorted(moments) and "2026-02" < moments[-1] < "2026-03-01"


def test_reports_follow_frauds_by_one_to_twenty_days(client: httpx.Client, labels: dict[str, str]) -> None:
    happened = {row["transaction_id"]: row["date_time"] for row in client.get("/labels").json()}
    reports = external(client)["fraud_reports"]
    known = [row for row in reports if row["transaction_id"] is not None]
    assert all(row["kind"] in (None, labels[row["transaction_id"]]) for row in known)
    delays = [micros(row["reported_at"]) - micros(happened[row["transaction_id"]]) for row in known]
    assert min(delays) >= timestamps.DAY and max(delays) <= 20 * timestamps.DAY
    assert 0.7 < len(known) / len(reports) < 0.95
    assert 0.4 < len(reports) / len(labels) < 0.8
    assert len({row["report_id"] for row in reports}) == len(reports)


def test_the_window_restricts_reports_by_reported_at(client: httpx.Client) -> None:
    asked = {"since": "2026-01-10T06:00:00Z", "until": "2026-01-20T06:00:00Z"}
    everything = external(client)
    inside = [row for row in everything["fraud_reports"] if "2026-01-10T06:00:00" <= row["reported_at"] < "2026-01-20T06:00:00"]
    assert inside and external(client, **asked) == {**everything, "fraud_reports": inside}


def test_reports_agree_with_the_transactions_they_name(client: httpx.Client, two_months: list[Row]) -> None:
    served = {row["transaction_id"]: row for row in two_months}
    reports = [row for row in external(client)["fraud_reports"] if row["transaction_id"] in served]
    assert len(reports) > 50
    for report in reports:
        row = served[report["transaction_id"]]
        assert (report["customer_id"], report["merchant_id"]) == (
            row["customer_id"],
            row["merchant_details"]["merchant_id"],
        )


def test_credit_scores_drift_slowly_within_bounds(client: httpx.Client) -> None:
    scores = defaultdict(list)
    for month in range(1, 13):
        for row in external(client, as_of=f"2025-{month:02}-28T12:00:00Z", fields="credit_scores")["credit_scores"]:
            scores[row["customer_id"]].append(row["score"])
    moves = np.abs(np.concatenate([np.diff(history) for history in scores.values()]))
    everything = [score for history in scores.values() for score in history]
    assert 300 <= min(everything) < 500 < max(everything) <= 850
    assert moves.max() < 40 and (moves > 0).mean() > 0.5
    with_score = set(scores)
    assert with_score <= {row["customer_id"] for row in client.get("/api/customers", params={"as_of": "2025-12-31"}).json()}


def test_merchants_are_listed_after_abuse_and_continue_to_trade(client: httpx.Client, world: World) -> None:
    abused = defaultdict(list)
    for row in external(client)["fraud_reports"]:
        abused[row["merchant_id"]].append(row["reported_at"])
    listed = external(client, as_of="2026-01-01")["blacklist_info"]
    assert listed
    names = {merchant["merchant_id"]: merchant["name"] for merchant in world.population.merchants.details}
    rows = client.get("/api/transactions", params={"since": "2026-01-01", "until": "2026-02-01", "limit": 50_000}).json()
    trading = Counter(row["merchant_details"]["merchant_id"] for row in rows)
    for entry in listed:
        assert entry["name"] == names[entry["merchant_id"]]
        assert min(abused[entry["merchant_id"]]) < entry["listed_at"]
        assert trading[entry["merchant_id"]] > 0


def test_only_the_requested_lists_are_served(client: httpx.Client) -> None:
    assert list(external(client, fields="credit_scores,blacklist_info")) == ["blacklist_info", "credit_scores"]


@pytest.mark.parametrize("as_of", ["0001-01-01", "1969-12-31", "2014-12-31", "9999-12-31"])
@pytest.mark.parametrize("path", ["transactions", "customers", "externalData"])
def test_every_as_of_is_answered(client: httpx.Client, path: str, as_of: str) -> None:
    asked = {"as_of": as_of} | ({"since": "9999-01-01"} if path != "customers" else {})
    answer = client.get(f"/api/{path}", params=asked)
    assert answer.status_code == 200
    assert answer.headers["X-As-Of"] == f"{as_of}T00:00:00.000000Z"


@pytest.mark.parametrize(
    "sizes", [{"seed": -1}, {"customers": 0}, {"merchants": 10}, {"fraud_rate": 0.9}, {"start": date(1900, 1, 1)}]
)
def test_an_invalid_configuration_is_an_error(sizes: dict[str, Any]) -> None:
    ((name, value),) = sizes.items()
    with pytest.raises(BadConfiguration, match=f"^{name} is {value}: give "):
        World(**sizes)


# One test for each kind of fraud: the transactions have the pattern that rules look for.


def seconds_between(first: Row, last: Row) -> float:
    return (micros(last["date_time"]) - micros(first["date_time"])) / timestamps.SECOND


def incidents_of(rows: list[Row], labels: dict[str, str], kind: str) -> list[list[Row]]:
    """The fraudulent rows of a kind, grouped by customer and ordered by time. A gap of three days starts a new group."""
    groups: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: (row["customer_id"], row["date_time"])):
        if labels.get(row["transaction_id"]) != kind:
            continue
        last = groups[-1][-1] if groups else None
        if last and last["customer_id"] == row["customer_id"] and seconds_between(last, row) < 3 * 86_400:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def median(amounts: list[float]) -> float:
    return float(np.median(amounts))


@pytest.fixture(scope="module")
def honest_median(two_months: list[Row], labels: dict[str, str]) -> dict[str, float]:
    amounts = defaultdict(list)
    for row in two_months:
        if row["transaction_id"] not in labels and row["transaction_type"] == "purchase":
            amounts[row["customer_id"]].append(row["amount"])
    return {customer: median(values) for customer, values in amounts.items()}


def test_card_testing_ends_with_a_large_amount(two_months: list[Row], labels: dict[str, str]) -> None:
    groups = incidents_of(two_months, labels, "card_testing")
    assert groups
    for group in groups:
        *small, large = [row["amount"] for row in group]
        assert len(small) >= 4 and large > 5 * median(small)
    assert 0.3 < np.mean([row["status"] == "declined" for group in groups for row in group]) < 0.75


def test_account_takeover_has_larger_amounts_than_the_customer(
    two_months: list[Row], labels: dict[str, str], honest_median: dict[str, float]
) -> None:
    groups = incidents_of(two_months, labels, "account_takeover")
    ratios = [row["amount"] / honest_median[row["customer_id"]] for group in groups for row in group]
    assert groups and 2 < median(ratios) < 15
    assert max(seconds_between(group[0], group[-1]) for group in groups) > 86_400


def test_a_compromised_merchant_abuses_many_customers(client: httpx.Client) -> None:
    customers = defaultdict(set)
    for row in external(client)["fraud_reports"]:
        if row["kind"] == "compromised_merchant":
            customers[row["merchant_id"]].add(row["customer_id"])
    assert max(len(who) for who in customers.values()) >= 8


def test_a_stolen_card_is_used_far_from_home(client: httpx.Client, two_months: list[Row], labels: dict[str, str]) -> None:
    country = {row["customer_id"]: row["demographics"]["country"] for row in client.get("/api/customers").json()}
    groups = incidents_of(two_months, labels, "stolen_card_abroad")
    assert groups
    for row in (row for group in groups for row in group):
        assert row["merchant_details"]["country"] != country[row["customer_id"]]
        assert row["merchant_details"]["latitude"] is not None


def test_structuring_stays_just_under_a_round_amount_within_a_day(world: World, labels: dict[str, str]) -> None:
    rows = world.transactions(Window(micros("2026-01-01"), micros("2025-07-01")), None, 50_000).rows
    groups = [group for group in incidents_of(rows, labels, "structuring") if len(group) < 7]
    assert groups
    for group in groups:
        assert len(group) >= 3 and {row["transaction_type"] for row in group} == {"transfer_out"}
        assert seconds_between(group[0], group[-1]) < 86_400
        assert max(row["amount"] for row in group) / min(row["amount"] for row in group) < 1.2


def test_a_mule_passes_on_nearly_all_within_a_day(world: World, labels: dict[str, str]) -> None:
    rows = world.transactions(Window(micros("2026-01-01"), micros("2025-07-01")), None, 50_000).rows
    groups = [
        group
        for group in incidents_of(rows, labels, "mule_pass_through")
        if sum(row["transaction_type"] == "transfer_in" for row in group) == 1
    ]
    assert groups
    for incoming, *outgoing in groups:
        assert incoming["transaction_type"] == "transfer_in"
        assert 0.9 < sum(row["amount"] for row in outgoing) / incoming["amount"] < 1.0
        assert seconds_between(incoming, outgoing[-1]) < 86_400


# Kinds that need many customers: a dormant account, a new account, a blacklisted merchant.

SUMMER = ("2025-06-01", "2025-09-01")


@pytest.fixture(scope="module")
def town() -> World:
    return World(seed=3, customers=500, merchants=100, fraud_rate=0.03)


@pytest.fixture(scope="module")
def summer(town: World) -> dict[str, Row]:
    """Transactions of three months, by id."""
    since, until = map(micros, SUMMER)
    rows: dict[str, Row] = {}
    page = town.transactions(Window(until + timestamps.DAY, since, until), None, 50_000)
    while page.rows:
        rows |= {row["transaction_id"]: row for row in page.rows}
        page = town.transactions(Window(until + timestamps.DAY, since, until), page.last, 50_000)
    return rows


def incidents_in(town: World, rows: dict[str, Row], kind: str) -> list[list[Row]]:
    """The rows of each incident of a kind, ordered by time."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for label in town.labels(Window(*(micros(day) for day in (SUMMER[1], SUMMER[0])))):
        if label["kind"] == kind:
            groups[label["incident"]].append(rows[label["transaction_id"]])
    return list(groups.values())


def test_a_town_has_every_kind_of_fraud_at_the_configured_rate(town: World, summer: dict[str, Row]) -> None:
    labels = town.labels(Window(*(micros(day) for day in (SUMMER[1], SUMMER[0]))))
    assert {row["kind"] for row in labels} == {*KINDS}
    assert 0.024 < len(labels) / len(summer) < 0.036


def test_cash_out_is_a_series_of_withdrawals_within_90_minutes(town: World, summer: dict[str, Row]) -> None:
    groups = incidents_in(town, summer, "cash_out")
    assert len(groups) > 20
    for group in groups:
        assert {row["transaction_type"] for row in group} == {"withdrawal"} and len({row["customer_id"] for row in group}) == 1
        assert seconds_between(group[0], group[-1]) < 90 * 60


def test_a_dormant_account_had_no_transaction_for_weeks(town: World, summer: dict[str, Row]) -> None:
    groups = incidents_in(town, summer, "dormant_account")
    assert len(groups) > 5
    frauds = {row["transaction_id"] for kind in KINDS for group in incidents_in(town, summer, kind) for row in group}
    for group in groups:
        day = micros(group[0]["date_time"]) // timestamps.DAY
        own = [row for name, row in summer.items() if row["customer_id"] == group[0]["customer_id"] and name not in frauds]
        assert not [row for row in own if 0 < day - micros(row["date_time"]) // timestamps.DAY <= 45]


def test_some_legitimate_customers_use_an_account_again_after_months(town: World) -> None:
    customers = town.population.customers
    day = micros(SUMMER[0]) // timestamps.DAY
    quiet = [customers.quiet_for(day + n) for n in range(90)]
    woke = sum((before > 60) & (after == 0) for before, after in pairwise(quiet))
    assert 0 < np.sum(woke) < 0.1 * customers.count


def test_fraud_with_a_new_account_is_in_its_first_days(town: World, summer: dict[str, Row]) -> None:
    opened = {row["customer_id"]: micros(row["account_history"]["opened_at"]) for row in town.customers(micros(SUMMER[1]))}
    groups = incidents_in(town, summer, "new_account")
    assert groups
    for group in groups:
        age = [micros(row["date_time"]) - opened[row["customer_id"]] for row in group]
        assert min(age) > 0 and max(age) < 8 * timestamps.DAY


def test_customers_who_bust_out_have_bad_credit(town: World, summer: dict[str, Row]) -> None:
    window = Window(micros(SUMMER[0]))
    scores = {row["customer_id"]: row["score"] for row in town.external_data(window, ["credit_scores"])["credit_scores"]}
    groups = incidents_in(town, summer, "bust_out")
    known = [scores[group[0]["customer_id"]] for group in groups if group[0]["customer_id"] in scores]
    assert len(known) > 5 and median(known) < 520 < median(list(scores.values()))


def test_a_blacklisted_merchant_has_fraudulent_and_legitimate_transactions(town: World, summer: dict[str, Row]) -> None:
    frauds = {row["transaction_id"] for group in incidents_in(town, summer, "compromised_merchant") for row in group}
    by_day: dict[str, list[Row]] = defaultdict(list)
    for row in summer.values():
        by_day[row["date_time"][:10]].append(row)
    fraudulent, legitimate = 0, 0
    for day in sorted(by_day)[30:]:
        listed = {row["merchant_id"] for row in town.external_data(Window(micros(day)), ["blacklist_info"])["blacklist_info"]}
        is_fraud = [row["transaction_id"] in frauds for row in by_day[day] if row["merchant_details"]["merchant_id"] in listed]
        fraudulent += sum(is_fraud)
        legitimate += len(is_fraud) - sum(is_fraud)
    assert fraudulent > 20 and legitimate > 20
