"""Faults of single rows: their share and their effect; the other rows do not change."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from mock_sources import BadConfiguration, Faults, World, running, timestamps
from mock_sources.faults import MALFORMATIONS, ODDITIES
from mock_sources.source import Row

NOW = datetime(2026, 3, 1, tzinfo=UTC)
Fetch = Callable[..., list[Row]]


@pytest.fixture
def fetch() -> Iterator[Fetch]:
    """Eight days of a small world with the given faults, over HTTP."""
    with ExitStack() as servers:

        def fetch(faults: Faults | None = None, **asked: Any) -> list[Row]:
            world = World(seed=5, customers=80, merchants=60, faults=faults)
            url = servers.enter_context(running(world, now=lambda: NOW))
            window: dict[str, Any] = {"since": "2026-01-05", "until": "2026-01-13", "limit": 50_000}
            page = httpx.get(f"{url}/api/transactions", params=window | asked)
            rows: list[Row] = page.json()
            while "next" in page.links:
                page = httpx.get(page.links["next"]["url"])
                rows += page.json()
            return rows

        yield fetch


def delay(row: Row) -> int:
    return timestamps.parse(row["ingested_at"], "test") - timestamps.parse(row["date_time"], "test")


def by_id(rows: list[Row]) -> dict[str, list[Row]]:
    """The versions of each transaction, in the order of arrival."""
    versions = defaultdict(list)
    for row in rows:
        versions[row["transaction_id"]].append(row)
    return versions


def without_arrival(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "ingested_at"}


def test_without_faults_each_transaction_comes_once(fetch: Fetch) -> None:
    rows = fetch()
    assert len(rows) == len(by_id(rows)) > 1_500


def test_late_rows_differ_only_in_their_arrival_two_minutes_to_two_days_later(fetch: Fetch) -> None:
    clean, rows = fetch(), fetch(Faults(late=0.2))
    late = [row for row in rows if delay(row) > 5 * timestamps.SECOND]
    assert len(late) / len(rows) == pytest.approx(0.2, abs=0.03)
    assert min(map(delay, late)) >= 2 * timestamps.MINUTE and max(map(delay, late)) <= 2 * timestamps.DAY
    assert max(map(delay, late)) > timestamps.DAY
    assert [row["ingested_at"] for row in rows] == sorted(row["ingested_at"] for row in rows)
    key = "transaction_id"
    assert sorted(map(without_arrival, rows), key=lambda row: row[key]) == sorted(
        map(without_arrival, clean), key=lambda row: row[key]
    )


def test_a_late_row_is_unknown_until_it_arrives(fetch: Fetch) -> None:
    faults = Faults(late=0.2)
    early, whole = fetch(faults, as_of="2026-01-13"), fetch(faults)
    assert early == [row for row in whole if row["ingested_at"] <= "2026-01-13T00:00:00.000000Z"]
    assert len(early) < len(whole)


def test_duplicates_are_the_same_row_with_a_later_arrival(fetch: Fetch) -> None:
    versions = by_id(fetch(Faults(duplicates=0.1)))
    twice = [rows for rows in versions.values() if len(rows) == 2]
    assert max(map(len, versions.values())) == 2
    assert len(twice) / len(versions) == pytest.approx(0.1, abs=0.025)
    for first, second in twice:
        assert without_arrival(first) == without_arrival(second)
        assert first["ingested_at"] < second["ingested_at"]


def test_corrected_rows_arrive_again_with_another_amount(fetch: Fetch) -> None:
    versions = by_id(fetch(Faults(corrected=0.1)))
    twice = [rows for rows in versions.values() if len(rows) == 2]
    assert len(twice) / len(versions) == pytest.approx(0.1, abs=0.025)
    for first, second in twice:
        assert first["amount"] != second["amount"] and second["amount"] > 0
        assert first["ingested_at"] < second["ingested_at"]
        assert {**without_arrival(first), "amount": 0} == {**without_arrival(second), "amount": 0}


def test_malformed_rows_have_one_of_the_malformations(fetch: Fetch) -> None:
    clean = fetch()
    rows = fetch(Faults(malformed=0.2))
    kinds: Counter[str] = Counter()
    for good, row in zip(clean, rows, strict=True):
        if row == good:
            continue
        [kind] = [name for name, spoil in MALFORMATIONS.items() if spoiled(good, spoil) == row]
        kinds[kind] += 1
    assert kinds.total() / len(rows) == pytest.approx(0.2, abs=0.03)
    assert set(kinds) == set(MALFORMATIONS)


def spoiled(row: Row, spoil: Callable[[Row], None]) -> Row:
    copy = dict(row)
    spoil(copy)
    return copy


def test_each_malformation_changes_one_field() -> None:
    row = {
        "date_time": "2026-01-02T03:04:05.123456Z",
        "amount": 12.5,
        "currency": "EUR",
        "customer_id": "c000017",
        "transaction_id": "t1",
        "merchant_details": {"merchant_id": "m1", "name": "Café"},
    }
    broken = {name: spoiled(row, spoil) for name, spoil in MALFORMATIONS.items()}
    assert broken["amount_as_text"]["amount"] == "12,50"
    assert broken["negative_amount"]["amount"] == -12.5
    assert broken["date_years_ahead"]["date_time"] == "2033-06-15T03:04:05.123456Z"
    assert broken["impossible_date"]["date_time"] == "2026-02-30T03:04:05.123456Z"
    assert broken["unknown_currency"]["currency"] == "XXQ1"
    assert broken["null_merchant"]["merchant_details"] is None
    assert broken["absurd_amount"]["amount"] == 10**15
    assert broken["date_as_number"]["date_time"] == 1_767_323_045
    assert broken["customer_as_number"]["customer_id"] == 17
    assert "transaction_id" not in broken["missing_id"]
    long = broken["megabyte_of_text"]["merchant_details"]
    assert (long["merchant_id"], long["name"][:8], len(long["name"])) == ("m1", "CaféCafé", 2**20)
    assert row["merchant_details"] == {"merchant_id": "m1", "name": "Café"}, "other rows share it"
    assert "amount" not in broken["missing_amount"] and "customer_id" not in broken["missing_customer"]
    for other in broken.values():
        assert sum(other.get(name, ...) != value for name, value in row.items()) == 1


def test_a_malformed_row_is_served_by_its_true_event_time(fetch: Fetch) -> None:
    faults = Faults(malformed=0.5)
    days = [fetch(faults, since=f"2026-01-{day:02}", until=f"2026-01-{day + 1:02}") for day in (5, 6, 7)]
    assert [row for day in days for row in day] == fetch(faults, since="2026-01-05", until="2026-01-08")


def test_odd_rows_differ_only_in_the_merchant_name(fetch: Fetch) -> None:
    kinds: Counter[str] = Counter()
    clean, rows = fetch(), fetch(Faults(odd=0.2))
    for good, row in zip(clean, rows, strict=True):
        if row == good:
            continue
        name, other = good["merchant_details"]["name"], row["merchant_details"]["name"]
        [kind] = [kind for kind, oddity in ODDITIES.items() if oddity(name) == other]
        kinds[kind] += 1
        assert row == {**good, "merchant_details": {**good["merchant_details"], "name": other}}
    assert kinds.total() / len(rows) == pytest.approx(0.2, abs=0.03)
    assert set(kinds) == set(ODDITIES)


def test_all_versions_of_an_odd_row_are_odd(fetch: Fetch) -> None:
    for versions in by_id(fetch(Faults(odd=0.5, corrected=0.3, duplicates=0.3))).values():
        assert len({row["merchant_details"]["name"] for row in versions}) == 1


def test_pages_with_all_faults_add_up_to_a_single_page(fetch: Fetch) -> None:
    faults = Faults(late=0.3, duplicates=0.3, corrected=0.3, malformed=0.1, odd=0.3)
    whole = fetch(faults)
    assert fetch(faults, limit=97) == whole
    known = [row for row in whole if "transaction_id" in row]
    assert Counter(map(len, by_id(known).values())).keys() == {1, 2, 3}


@pytest.mark.parametrize("name", ["late", "duplicates", "corrected", "malformed", "odd", "malformed_others"])
def test_a_share_outside_zero_to_one_is_an_error(name: str) -> None:
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(BadConfiguration, match=f"^{name} is {share}: give a share from 0 to 1"):
            Faults(**{name: share})
