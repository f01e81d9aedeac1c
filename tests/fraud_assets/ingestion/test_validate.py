"""Validation of served rows: values read exactly, violated claims listed, one version per key, every row counted."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud_assets.ingestion.batch import Batch, Counts, join_days, join_pages
from fraud_assets.ingestion.normal_form import normal
from fraud_assets.ingestion.validate import validate
from fraud_assets.schemas.sources import API_TABLES, TRANSACTIONS
from hive_io import Span
from tests.fraud_fixtures import DAY, SPAN, served

NEXT_DAY = DAY + dt.timedelta(days=1)


def validated(*rows: Any, table: str = "transactions", span: Span = SPAN) -> Batch:
    return validate(API_TABLES[table], rows, span)


def tx(**changes: Any) -> dict[str, Any]:
    return served("transactions", **changes)


def counts(batch: Batch) -> Counts:
    return batch.days[DAY.isoformat()]


# --- amounts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_amount", "loaded"),
    [
        (0, "0.00"),
        (0.0, "0.00"),
        ("0", "0.00"),
        (0.1, "0.10"),
        (0.29, "0.29"),
        (19.99, "19.99"),
        (1.10, "1.10"),
        ("1.10", "1.10"),
        ("1.1", "1.10"),
        ("1.100", "1.10"),
        (4.35, "4.35"),
        (1e3, "1000.00"),
        ("1e3", "1000.00"),
        (7, "7.00"),
        (2_147_483_648, "2147483648.00"),
        (999_999_999_999.99, "999999999999.99"),
        ("999999999999.99", "999999999999.99"),
    ],
)
def test_an_amount_is_exact(given_amount: float | str, loaded: str) -> None:
    # alone, beside numbers and beside texts: a column is read at once or value by value
    for beside in ([], [tx(transaction_id="b", amount=5)], [tx(transaction_id="b", amount="5.5")]):
        amount = validated(tx(amount=given_amount), *beside).rows.column("amount")[0].as_py()
        assert isinstance(amount, Decimal)
        assert str(amount) == loaded


@given(st.lists(st.integers(0, 10**14), min_size=1, max_size=100), st.sampled_from([str, json.loads]))
@settings(max_examples=15, deadline=None)
def test_every_amount_in_cents_is_read_to_the_cent(cents: list[int], written: Callable[[str], Any]) -> None:
    exact = [Decimal(value).scaleb(-2) for value in cents]
    batch = validated(*(tx(transaction_id=str(n), amount=written(str(value))) for n, value in enumerate(exact)))
    assert batch.rows.column("amount").to_pylist() == exact


@pytest.mark.parametrize(
    "amount", [1.005, "0.001", "NaN", "Infinity", float("nan"), True, "", "ten", [1], 10**400, "1e9999999"]
)
def test_an_amount_that_is_not_exact_to_the_cent_is_rejected_not_rounded(amount: Any) -> None:
    batch = validated(tx(transaction_id="good"), tx(amount=amount))
    assert batch.rejected.column("claims").to_pylist() == [["amount_is_readable"]]
    assert batch.rows.column("transaction_id").to_pylist() == ["good"]


@pytest.mark.parametrize(
    ("given_amount", "currency", "loaded"),
    [
        (349.4799999999999, "EUR", "349.48"),
        (0.1 + 0.2, "EUR", "0.30"),
        (349.4799999999999, None, "349.48"),
        (1.1 + 2.2, "XYZ", "3.30"),
        (99.99999999, "JPY", "100.00"),
        (100, "JPY", "100.00"),
        (100.0, "JPY", "100.00"),
        ("100", "JPY", "100.00"),
        ("100.50", "JPY", "100.50"),
        (1.2, "KWD", "1.20"),
        ("1.250", "KWD", "1.25"),
    ],
)
def test_noise_of_a_float_is_no_digit(given_amount: float | str, currency: str | None, loaded: str) -> None:
    batch = validated(tx(amount=given_amount, currency=currency), tx(transaction_id="b", amount="5.5"))
    assert [str(row["amount"]) for row in batch.rows.to_pylist()] == [loaded, "5.50"]
    assert counts(batch) == Counts(loaded=2, rejected=0, superseded=0, rounded=0)


@pytest.mark.parametrize(
    ("given_amount", "currency", "loaded"),
    [
        (1.005, "KWD", "1.01"),
        ("1.005", "KWD", "1.01"),
        ("1.004", "BHD", "1.00"),
        (0.1 + 0.2 + 0.005, "TND", "0.31"),
        ("2.675", "OMR", "2.68"),
        ("2.6749", "CLF", "2.67"),
    ],
)
def test_more_than_two_digits_of_a_currency_are_rounded_half_up_and_counted(
    given_amount: float | str, currency: str, loaded: str
) -> None:
    rejected = tx(transaction_id="b", amount=given_amount, currency=currency, customer_id=None)
    batch = validated(tx(amount=given_amount, currency=currency), rejected, tx(transaction_id="c"))
    assert str(batch.rows.column("amount")[0].as_py()) == loaded
    assert counts(batch) == Counts(loaded=2, rejected=1, superseded=0, rounded=1)
    pages = [validated(tx(amount=given_amount, currency=currency)), validated(rejected, tx(transaction_id="c"))]
    assert join_pages(TRANSACTIONS, pages, DAY).days == batch.days


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("12.345", "EUR"),
        ("349.4799999999999", "EUR"),
        (12.345, "EUR"),
        (12.34001, "EUR"),
        (1.005, None),
        ("100.001", "JPY"),
        ("1.0055", "KWD"),
        (1.0055, "KWD"),
        (1.005, 414),
    ],
)
def test_more_digits_than_the_currency_has_are_rejected(amount: float | str, currency: Any) -> None:
    batch = validated(tx(amount=amount, currency=currency), tx(transaction_id="b"))
    [broken] = batch.rejected.column("claims").to_pylist()
    assert set(broken) - {"currency_is_readable"} == {"amount_is_readable"}
    assert counts(batch) == Counts(loaded=1, rejected=1, superseded=0, rounded=0)


# --- names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "form"),
    [
        ("M-0042 ", "m-0042", "m-0042"),
        ("São Paulo", "Sa\u0303o Paulo", "são paulo"),
        ("STRASSE 1", "Straße  1", "strasse 1"),
        ("\u00a0Ein\tHaus\n", "ein haus", "ein haus"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος", "σίσυφοσ"),
    ],
)
def test_spellings_of_a_name_have_one_normal_form(one: str, other: str, form: str) -> None:
    rows = [tx(merchant_details__merchant_id=one, merchant_details__city=other), tx(transaction_id="b")]
    rows += [tx(transaction_id="c", merchant_details__merchant_id=other, merchant_details__city=one)]
    batch = validated(*rows)
    assert batch.rows.column("merchant_key").to_pylist() == [form, "m1", form]
    assert batch.rows.column("place_key").to_pylist() == [f"{form}, at", "graz, at", f"{form}, at"]
    assert batch.rows.column("merchant_id").to_pylist() == [one, "m1", other], "the source's spelling is kept"
    for table, name in (("blacklist", "merchant_id"), ("fraud_reports", "merchant_id")):
        assert validated(served(table, **{name: one}), table=table).rows.column("merchant_key").to_pylist() == [form]


@pytest.mark.parametrize(
    ("city", "country", "key"),
    [("Graz", "AT", "graz, at"), (None, "AT", "at"), (" ", "AT", "at"), ("Graz", None, None), (None, None, None)],
)
def test_a_place_is_a_city_in_a_country(city: str | None, country: str | None, key: str | None) -> None:
    batch = validated(tx(merchant_details__city=city, merchant_details__country=country))
    assert batch.rows.column("place_key").to_pylist() == [key]


def test_a_report_without_a_merchant_has_no_key() -> None:
    assert validated(served("fraud_reports", merchant_id=None), table="fraud_reports").rows.column(
        "merchant_key"
    ).to_pylist() == [None]


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_a_normal_form_is_its_own_normal_form(text: str) -> None:
    form = normal(text)
    assert normal(form) == form
    assert normal(f"\t{text.upper().lower()} ") == normal(text.upper().lower())
    for other in ("NFC", "NFD"):
        assert normal(unicodedata.normalize(other, text)) == form


# --- times --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-05T10:00:00Z", dt.datetime(2026, 1, 5, 10)),
        ("2026-01-05T10:00:00", dt.datetime(2026, 1, 5, 10)),
        ("2026-01-05 10:00:00.5", dt.datetime(2026, 1, 5, 10, 0, 0, 500_000)),
        ("2026-01-05T10:00:00.000001+00:00", dt.datetime(2026, 1, 5, 10, 0, 0, 1)),
        ("2026-01-05T10:00:00+05:30", dt.datetime(2026, 1, 5, 4, 30)),
        ("2026-01-05T20:00:00-03:59", dt.datetime(2026, 1, 5, 23, 59)),
        ("2026-01-05", dt.datetime(2026, 1, 5)),
    ],
)
def test_a_time_is_read_as_utc(text: str, utc: dt.datetime) -> None:
    for beside in ([], [tx(transaction_id="b")], [tx(transaction_id="b", date_time="2026-01-05T08:00:00")], [None]):
        batch = validated(tx(date_time=text), *beside)
        assert batch.rows.column("event_time")[0].as_py() == utc


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "2026-02-30T00:00:00Z", "", "\ud800"]
)
def test_a_time_outside_the_calendar_is_unreadable_beside_any_other(text: str) -> None:
    for beside in ([], [tx(transaction_id="b")], [tx(transaction_id="b", ingested_at="2026-01-05T10:00:00")]):
        batch = validated(tx(ingested_at=text), *beside)
        assert [(r["claims"], r["ds"]) for r in batch.rejected.to_pylist()] == [(["ingested_at_is_readable"], DAY.isoformat())]


# --- rejected rows ------------------------------------------------------------------------------------------------------


def test_all_violated_claims_of_a_row_are_listed_sorted() -> None:
    bad = tx(amount=-1, currency="x", date_time="never", status="?", merchant_details__latitude=100, customer_id=None)
    [rejected] = validated(bad).rejected.to_pylist()
    assert rejected["claims"] == [
        "amount_is_not_negative_nor_absurd",
        "currency_is_iso_4217",
        "customer_id_is_given",
        "event_time_is_readable",
        "merchant_latitude_is_on_earth",
        "status_is_known",
    ]


@pytest.mark.parametrize(
    ("row", "payload"),
    [
        (5, "5"),
        (None, "null"),
        (True, "true"),
        ("text", '"text"'),
        ([], "[]"),
        ([{"transaction_id": "t1"}], '[{"transaction_id": "t1"}]'),
        ({}, "{}"),
        ({"b": 1, "a": "zwölf € 漢字 😀"}, '{"a": "zwölf € 漢字 😀", "b": 1}'),
        (
            {"a": 'quote " backslash \\ newline \n tab \t bell \x07'},
            '{"a": "quote \\" backslash \\\\ newline \\n tab \\t bell \\u0007"}',
        ),
        ({"number": 2**80}, '{"number": 1208925819614629174706176}'),
        ({"a": "lone \ud800 surrogate"}, '{"a": "lone \\ud800 surrogate"}'),
    ],
)
@pytest.mark.parametrize("table", API_TABLES)
def test_a_row_of_any_shape_is_kept_as_served(table: str, row: Any, payload: str) -> None:
    good = served(table)
    batch = validated(row, good, table=table)
    [rejected] = batch.rejected.to_pylist()
    assert rejected["payload"] == payload
    assert json.loads(rejected["payload"]) == row
    assert rejected["claims"] == [c for c in sorted(API_TABLES[table].claim_names) if c.endswith("_is_given")]
    assert rejected["ds"] == DAY.isoformat()
    assert batch.rows.num_rows == 1


def test_the_id_of_a_rejected_row_is_the_hash_of_its_payload() -> None:
    bad = tx(amount=-1)
    [rejected] = validated(bad).rejected.to_pylist()
    [same_in_other_order] = validated(dict(reversed(bad.items()))).rejected.to_pylist()
    assert rejected["row_id"] == hashlib.sha256(rejected["payload"].encode()).hexdigest()
    assert same_in_other_order == rejected


def test_a_malformed_part_leaves_the_rest_of_the_row_readable() -> None:
    [rejected] = validated(tx(merchant_details="m1")).rejected.to_pylist()
    assert rejected["claims"] == ["merchant_id_is_given"]


@pytest.mark.parametrize(
    ("ingested_at", "day"),
    [
        ("2026-01-06T00:00:01Z", "2026-01-06"),
        ("2026-01-06T00:30:00+01:00", "2026-01-05"),
        ("2025-12-31T23:59:59Z", "2025-12-31"),
        (None, "2026-01-05"),
        ("garbage", "2026-01-05"),
        ("1999-12-31T00:00:00Z", "2026-01-05"),
    ],
)
def test_a_rejected_row_belongs_to_its_day_of_arrival_or_to_the_requested_day(ingested_at: str | None, day: str) -> None:
    [rejected] = validated(tx(amount=-1, ingested_at=ingested_at)).rejected.to_pylist()
    assert rejected["ds"] == day


def test_a_span_within_a_day_accepts_only_times_in_it() -> None:
    ten, noon = dt.datetime(2026, 1, 5, 10, tzinfo=dt.UTC), dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
    times = {"a": "09:59:59.999999", "b": "10:00:00", "c": "11:59:59.999999", "d": "12:00:00"}
    rows = [tx(transaction_id=name, date_time=f"2026-01-05T{time}Z") for name, time in times.items()]
    batch = validated(*rows, span=Span(ten, noon))
    assert batch.rows.column("transaction_id").to_pylist() == ["b", "c"]
    assert batch.rejected.column("claims").to_pylist() == [["event_time_is_in_the_span_asked_for"]] * 2


# --- versions -----------------------------------------------------------------------------------------------------------


def version(amount: int, arrived: str | None) -> dict[str, Any]:
    return tx(amount=amount, ingested_at=arrived and f"2026-01-05T{arrived}Z")


@pytest.mark.parametrize(
    ("versions", "kept"),
    [
        ([version(1, "10:00:01"), version(2, "10:00:02")], 2),
        ([version(2, "10:00:02"), version(1, "10:00:01")], 2),
        ([version(1, "10:00:01"), version(3, "10:00:03"), version(2, "10:00:02")], 3),
        ([version(1, None), version(2, "10:00:02")], 2),
        ([version(2, "10:00:02"), version(1, None)], 2),
        ([version(1, None), version(2, None)], 2),
        ([version(1, "10:00:01"), version(2, "10:00:01")], 2),
        ([version(2, "10:00:01"), version(1, "10:00:01")], 1),
        ([version(1, "10:00:01")] * 3, 1),
    ],
)
def test_the_last_arrival_wins_and_among_equals_the_last_served(versions: list[dict[str, Any]], kept: int) -> None:
    other = tx(transaction_id="other")
    at_once = validated(*versions, other)
    page_by_page = join_pages(TRANSACTIONS, [validated(row) for row in [*versions, other]], DAY)
    for batch in (at_once, page_by_page):
        assert {r["transaction_id"]: r["amount"] for r in batch.rows.to_pylist()} == {"t1": kept, "other": Decimal("12.5")}
        assert counts(batch) == Counts(loaded=2, rejected=0, superseded=len(versions) - 1)


def test_without_arrival_times_the_last_served_wins() -> None:
    batch = validated(served("credit_scores", score=400), served("credit_scores", score=300), table="credit_scores")
    assert batch.rows.column("score").to_pylist() == [300]


def test_a_rejected_version_supersedes_nothing() -> None:
    batch = validated(version(1, "10:00:01"), version(-1, "10:00:02"))
    assert batch.rows.column("amount").to_pylist() == [1]
    assert counts(batch) == Counts(loaded=1, rejected=1, superseded=0)


def test_a_rejected_row_served_again_is_one_row() -> None:
    batch = validated(tx(amount=-1), tx(amount=-1), None, None, tx())
    assert batch.rejected.num_rows == 2
    assert counts(batch) == Counts(loaded=1, rejected=2, superseded=2)
    assert batch.served == 5
    assert batch.rejected_share == pytest.approx(0.4)


def test_the_same_id_on_two_days_is_two_rows() -> None:
    days = [
        join_pages(TRANSACTIONS, [validate(TRANSACTIONS, [tx(date_time=f"{day}T10:00:00Z")], Span.days(day, day))], day)
        for day in (DAY, NEXT_DAY)
    ]
    joined = join_days(days)
    assert [(r["transaction_id"], r["ds"]) for r in joined.rows.to_pylist()] == [("t1", "2026-01-05"), ("t1", "2026-01-06")]
    assert joined.days == {"2026-01-05": Counts(1, 0, 0), "2026-01-06": Counts(1, 0, 0)}


def test_a_rejected_row_served_on_two_days_is_one_row_on_its_day_of_arrival() -> None:
    bad = tx(amount=-1)
    days = [validate(TRANSACTIONS, [bad], Span.days(day, day)) for day in (DAY, NEXT_DAY)]
    assert [r["ds"] for r in join_days(days).rejected.to_pylist()] == ["2026-01-05"]


def test_an_empty_page_is_an_empty_batch() -> None:
    for batch in (validated(), join_pages(TRANSACTIONS, [], DAY)):
        assert (batch.rows.num_rows, batch.rejected.num_rows, batch.served, batch.rejected_share) == (0, 0, 0, 0.0)


# --- for all mixtures ---------------------------------------------------------------------------------------------------

_ARRIVALS = st.sampled_from([None, "2026-01-05T10:00:01Z", "2026-01-05T10:00:02Z", "2026-01-06T00:00:00", "0000", "1999-01-01"])
_GOOD = st.builds(
    lambda name, amount, arrived: tx(transaction_id=name, amount=amount, ingested_at=arrived),
    st.sampled_from("abc"),
    st.sampled_from([0, 1.5, "2.25", 2**33]),
    st.sampled_from([None, "2026-01-05T10:00:01Z", "2026-01-05T10:00:02Z", "2026-01-05T10:00:02"]),
)
_BAD = st.one_of(
    st.sampled_from([None, 5, [], {}, "\ud800", {"transaction_id": 2**70}, {"transaction_id": "\ud800"}]),
    st.builds(
        lambda name, value, arrived: tx(**{name: value, "ingested_at": arrived}),
        st.sampled_from(["amount", "date_time", "currency", "merchant_details", "customer_id"]),
        st.sampled_from([-1, "", "x", {}, True, "0001-01-01T00:00:00+05:00", 2**100, float("inf")]),
        _ARRIVALS,
    ),
)


def _rows(batch: Batch) -> list[Any]:
    return sorted(map(repr, batch.rows.to_pylist()))


def _rejected(batch: Batch) -> list[Any]:
    return sorted(map(repr, batch.rejected.to_pylist()))


@pytest.mark.slow
@given(st.lists(st.one_of(_GOOD, _BAD), max_size=8), st.sets(st.integers(1, 7)))
@settings(max_examples=40, deadline=None)
def test_counts_add_up_and_pages_do_not_matter(rows: list[Any], cuts: set[int]) -> None:
    whole = validate(TRANSACTIONS, rows, SPAN)
    edges = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    pages = [validate(TRANSACTIONS, rows[a:b], SPAN) for a, b in pairwise(edges)]
    paged = join_pages(TRANSACTIONS, pages, DAY)
    assert (_rows(paged), _rejected(paged), paged.days) == (_rows(whole), _rejected(whole), whole.days)
    for batch in (whole, paged):
        count = counts(batch)
        assert count.served == len(rows) == batch.served
        assert (count.loaded, count.rejected) == (batch.rows.num_rows, batch.rejected.num_rows)
        assert count.superseded >= 0
        keys = batch.rows.column("transaction_id").to_pylist()
        assert len(keys) == len(set(keys))


@given(st.lists(_GOOD, max_size=8))
@settings(max_examples=25, deadline=None)
def test_every_key_of_valid_rows_is_loaded_once_in_its_last_version(rows: list[dict[str, Any]]) -> None:
    expected: dict[str, tuple[str, Decimal]] = {}
    for row in rows:
        arrived = (row["ingested_at"] or "").removesuffix("Z")
        if row["transaction_id"] not in expected or arrived >= expected[row["transaction_id"]][0]:
            expected[row["transaction_id"]] = (arrived, Decimal(str(row["amount"])))
    batch = validate(TRANSACTIONS, rows, SPAN)
    loaded = dict(zip(*(batch.rows.column(name).to_pylist() for name in ("transaction_id", "amount")), strict=True))
    assert loaded == {name: amount for name, (_, amount) in expected.items()}
    assert batch.rejected.num_rows == 0


@pytest.mark.parametrize(("ahead", "rejected"), [(0, 3), (600, 1), (3600, 0)])
def test_an_event_may_be_later_than_its_arrival_by_a_tolerance(ahead: int, rejected: int) -> None:
    times = ["2026-01-05T10:00:00Z", "2026-01-05T10:00:00.000001Z", "2026-01-05T10:10:00Z", "2026-01-05T10:10:00.000001Z"]
    rows = [served("transactions", transaction_id=time, date_time=time, ingested_at=times[0]) for time in times]
    without_arrival = served("transactions", date_time="2026-01-05T23:00:00Z", ingested_at=None)
    batch = validate(API_TABLES["transactions"], [*rows, without_arrival], SPAN, ahead=dt.timedelta(seconds=ahead))
    assert batch.rejected.num_rows == rejected and batch.rows.num_rows == 5 - rejected
    assert batch.rejected.column("claims").to_pylist() == [["event_time_is_not_after_arrival"]] * rejected
