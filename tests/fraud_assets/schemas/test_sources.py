"""Claims of source tables: a row that breaks one is rejected for that claim alone; a value just inside a bound is loaded."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyarrow as pa
import pytest

from fraud_assets.ingestion.validate import validate
from fraud_assets.schemas.catalog import FEATURE_TABLES, fixed_tables
from fraud_assets.schemas.detection import FRAUD_ALERTS, TRANSACTION_SCORES, rule_table
from fraud_assets.schemas.evaluation import LABELS
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.schemas.sources import API_TABLES, rejected_twin
from hive_io import Span
from tests.fraud_fixtures import DAY, KEY_OF, SPAN, served

LONG = "x" * 1001
DAY_OF_1999 = Span.days(dt.date(1999, 12, 31), dt.date(1999, 12, 31))

# table, claim, changes to a valid row, and the span.
# No value breaks a second claim: a value that is unreadable becomes NULL, which breaks no further claim.
BROKEN: list[tuple[str, str, dict[str, Any], Span]] = [
    # transactions: a value of another type
    ("transactions", "transaction_id_is_readable", {"transaction_id": 17}, SPAN),
    ("transactions", "event_time_is_readable", {"date_time": "last Monday"}, SPAN),
    ("transactions", "amount_is_readable", {"amount": "12,50"}, SPAN),
    ("transactions", "currency_is_readable", {"currency": 978}, SPAN),
    ("transactions", "merchant_id_is_readable", {"merchant_details__merchant_id": 5}, SPAN),
    ("transactions", "merchant_name_is_readable", {"merchant_details__name": ["a"]}, SPAN),
    ("transactions", "merchant_category_is_readable", {"merchant_details__category": 5411}, SPAN),
    ("transactions", "merchant_city_is_readable", {"merchant_details__city": {}}, SPAN),
    ("transactions", "merchant_country_is_readable", {"merchant_details__country": 40}, SPAN),
    ("transactions", "merchant_latitude_is_readable", {"merchant_details__latitude": "47.07"}, SPAN),
    ("transactions", "merchant_longitude_is_readable", {"merchant_details__longitude": True}, SPAN),
    ("transactions", "customer_id_is_readable", {"customer_id": 1}, SPAN),
    ("transactions", "transaction_type_is_readable", {"transaction_type": 0}, SPAN),
    ("transactions", "channel_is_readable", {"channel": False}, SPAN),
    ("transactions", "status_is_readable", {"status": 200}, SPAN),
    ("transactions", "ingested_at_is_readable", {"ingested_at": 1767607200}, SPAN),
    ("transactions", "decline_reason_is_readable", {"decline_reason": 51}, SPAN),
    ("transactions", "card_id_is_readable", {"card_id": 4111}, SPAN),
    ("transactions", "device_id_is_readable", {"device_id": ["d1"]}, SPAN),
    ("transactions", "counterparty_id_is_readable", {"counterparty_id": {}}, SPAN),
    # transactions: a value out of bounds
    ("transactions", "transaction_id_is_given", {"transaction_id": ""}, SPAN),
    ("transactions", "transaction_id_is_short", {"transaction_id": LONG}, SPAN),
    ("transactions", "event_time_is_given", {"date_time": None}, SPAN),
    ("transactions", "event_time_is_plausible", {"date_time": "1999-12-31T23:59:59.999999Z"}, DAY_OF_1999),
    ("transactions", "event_time_is_in_the_span_asked_for", {"date_time": "2026-01-06T00:00:00Z"}, SPAN),
    ("transactions", "event_time_is_in_the_span_asked_for", {"date_time": "2026-01-04T23:59:59.999999Z"}, SPAN),
    ("transactions", "event_time_is_not_after_arrival", {"ingested_at": "2026-01-05T09:49:59Z"}, SPAN),
    ("transactions", "amount_is_given", {"amount": None}, SPAN),
    ("transactions", "amount_is_not_negative_nor_absurd", {"amount": -0.01}, SPAN),
    ("transactions", "amount_is_not_negative_nor_absurd", {"amount": "1000000000000.01"}, SPAN),
    ("transactions", "currency_is_iso_4217", {"currency": "euro"}, SPAN),
    ("transactions", "currency_is_iso_4217", {"currency": "EUR\n"}, SPAN),
    ("transactions", "currency_is_iso_4217", {"currency": ""}, SPAN),
    ("transactions", "merchant_id_is_given", {"merchant_details__merchant_id": None}, SPAN),
    ("transactions", "merchant_id_is_short", {"merchant_details__merchant_id": LONG}, SPAN),
    ("transactions", "merchant_name_is_short", {"merchant_details__name": LONG}, SPAN),
    ("transactions", "merchant_city_is_short", {"merchant_details__city": LONG}, SPAN),
    ("transactions", "merchant_country_is_iso_3166", {"merchant_details__country": "AUT"}, SPAN),
    ("transactions", "merchant_latitude_is_on_earth", {"merchant_details__latitude": 90.0001}, SPAN),
    ("transactions", "merchant_latitude_is_on_earth", {"merchant_details__latitude": float("nan")}, SPAN),
    ("transactions", "merchant_longitude_is_on_earth", {"merchant_details__longitude": -181}, SPAN),
    ("transactions", "customer_id_is_given", {"customer_id": None}, SPAN),
    ("transactions", "customer_id_is_short", {"customer_id": LONG}, SPAN),
    ("transactions", "transaction_type_is_known", {"transaction_type": "gift"}, SPAN),
    ("transactions", "status_is_known", {"status": "maybe"}, SPAN),
    ("transactions", "ingested_at_is_plausible", {"ingested_at": "2100-01-01T00:00:00.000001Z"}, SPAN),
    ("transactions", "decline_reason_is_short", {"decline_reason": LONG}, SPAN),
    ("transactions", "card_id_is_short", {"card_id": LONG}, SPAN),
    ("transactions", "device_id_is_short", {"device_id": LONG}, SPAN),
    ("transactions", "counterparty_id_is_short", {"counterparty_id": LONG}, SPAN),
    # customers
    ("customers", "customer_id_is_readable", {"customer_id": 1}, SPAN),
    ("customers", "opened_at_is_readable", {"account_history__opened_at": "31.12.2020"}, SPAN),
    ("customers", "account_status_is_readable", {"account_history__status": 1}, SPAN),
    ("customers", "name_is_readable", {"demographics__name": {"first": "Zoë"}}, SPAN),
    ("customers", "email_is_readable", {"demographics__email": []}, SPAN),
    ("customers", "date_of_birth_is_readable", {"demographics__date_of_birth": 1990}, SPAN),
    ("customers", "city_is_readable", {"demographics__city": 8010}, SPAN),
    ("customers", "country_is_readable", {"demographics__country": 40}, SPAN),
    ("customers", "latitude_is_readable", {"demographics__latitude": "north"}, SPAN),
    ("customers", "longitude_is_readable", {"demographics__longitude": "15"}, SPAN),
    ("customers", "home_currency_is_readable", {"behavioral_patterns__home_currency": 978}, SPAN),
    ("customers", "usual_countries_is_readable", {"behavioral_patterns__usual_countries": "AT"}, SPAN),
    ("customers", "usual_channels_is_readable", {"behavioral_patterns__usual_channels": ["pos", 1]}, SPAN),
    ("customers", "transactions_per_week_is_readable", {"behavioral_patterns__transactions_per_week": "many"}, SPAN),
    ("customers", "customer_id_is_given", {"customer_id": ""}, SPAN),
    ("customers", "customer_id_is_short", {"customer_id": LONG}, SPAN),
    ("customers", "opened_at_is_plausible", {"account_history__opened_at": "1999-12-31T23:59:59Z"}, SPAN),
    ("customers", "name_is_short", {"demographics__name": LONG}, SPAN),
    ("customers", "date_of_birth_is_a_date", {"demographics__date_of_birth": "1990-1-31"}, SPAN),
    ("customers", "country_is_iso_3166", {"demographics__country": "at"}, SPAN),
    ("customers", "latitude_is_on_earth", {"demographics__latitude": -90.5}, SPAN),
    ("customers", "longitude_is_on_earth", {"demographics__longitude": 180.5}, SPAN),
    ("customers", "home_currency_is_iso_4217", {"behavioral_patterns__home_currency": "E"}, SPAN),
    ("customers", "transactions_per_week_is_not_negative", {"behavioral_patterns__transactions_per_week": -0.1}, SPAN),
    # blacklist
    ("blacklist", "merchant_id_is_readable", {"merchant_id": 5}, SPAN),
    ("blacklist", "merchant_name_is_readable", {"name": 5}, SPAN),
    ("blacklist", "listed_because_is_readable", {"reason": ["fraud"]}, SPAN),
    ("blacklist", "listed_at_is_readable", {"listed_at": "soon"}, SPAN),
    ("blacklist", "merchant_id_is_given", {"merchant_id": None}, SPAN),
    ("blacklist", "merchant_id_is_short", {"merchant_id": LONG}, SPAN),
    ("blacklist", "listed_at_is_plausible", {"listed_at": "2100-01-02"}, SPAN),
    # credit_scores
    ("credit_scores", "customer_id_is_readable", {"customer_id": 5.5}, SPAN),
    ("credit_scores", "score_is_readable", {"score": 700.5}, SPAN),
    ("credit_scores", "score_is_readable", {"score": 2**40}, SPAN),
    ("credit_scores", "scored_at_is_readable", {"scored_at": {}}, SPAN),
    ("credit_scores", "customer_id_is_given", {"customer_id": None}, SPAN),
    ("credit_scores", "customer_id_is_short", {"customer_id": LONG}, SPAN),
    ("credit_scores", "score_is_given", {"score": None}, SPAN),
    ("credit_scores", "score_is_between_300_and_850", {"score": 299}, SPAN),
    ("credit_scores", "score_is_between_300_and_850", {"score": 851}, SPAN),
    ("credit_scores", "scored_at_is_plausible", {"scored_at": "1970-01-01T00:00:00Z"}, SPAN),
    # fraud_reports
    ("fraud_reports", "report_id_is_readable", {"report_id": 5}, SPAN),
    ("fraud_reports", "reported_at_is_readable", {"reported_at": "2026-13-01T00:00:00Z"}, SPAN),
    ("fraud_reports", "customer_id_is_readable", {"customer_id": True}, SPAN),
    ("fraud_reports", "merchant_id_is_readable", {"merchant_id": {"id": "m1"}}, SPAN),
    ("fraud_reports", "transaction_id_is_readable", {"transaction_id": 5}, SPAN),
    ("fraud_reports", "kind_is_readable", {"kind": 5}, SPAN),
    ("fraud_reports", "report_id_is_given", {"report_id": ""}, SPAN),
    ("fraud_reports", "report_id_is_short", {"report_id": LONG}, SPAN),
    ("fraud_reports", "reported_at_is_given", {"reported_at": None}, SPAN),
    ("fraud_reports", "reported_at_is_plausible", {"reported_at": "1999-12-31T00:00:00Z"}, DAY_OF_1999),
    ("fraud_reports", "reported_at_is_in_the_span_asked_for", {"reported_at": "2026-01-06T00:00:00Z"}, SPAN),
    ("fraud_reports", "customer_id_is_given", {"customer_id": None}, SPAN),
    ("fraud_reports", "customer_id_is_short", {"customer_id": LONG}, SPAN),
    ("fraud_reports", "merchant_id_is_short", {"merchant_id": LONG}, SPAN),
]

# values just inside each bound, which are loaded
ACCEPTED: list[tuple[str, dict[str, Any], Span]] = [
    ("transactions", {"transaction_id": "x" * 1000}, SPAN),
    ("transactions", {"transaction_id": "ü" * 1000}, SPAN),
    ("transactions", {"date_time": "2026-01-05T00:00:00Z"}, SPAN),
    ("transactions", {"date_time": "2026-01-05T23:59:59.999999Z"}, SPAN),
    ("transactions", {"date_time": "2026-01-06T00:59:59.999999+01:00"}, SPAN),
    ("transactions", {"date_time": "2026-01-05T10:00:00"}, SPAN),
    ("transactions", {"date_time": "2000-01-01T00:00:00Z"}, Span.days(dt.date(2000, 1, 1), dt.date(2000, 1, 1))),
    ("transactions", {"date_time": "2100-01-01T00:00:00Z"}, Span.days(dt.date(2100, 1, 1), dt.date(2100, 1, 1))),
    ("transactions", {"amount": 0}, SPAN),
    ("transactions", {"amount": "1000000000000.00"}, SPAN),
    ("transactions", {"currency": None}, SPAN),
    ("transactions", {"merchant_details__merchant_id": "x" * 1000, "merchant_details__name": "x" * 1000}, SPAN),
    ("transactions", {"merchant_details__name": None, "merchant_details__city": "x" * 1000}, SPAN),
    ("transactions", {"merchant_details__country": None}, SPAN),
    ("transactions", {"merchant_details__latitude": 90, "merchant_details__longitude": -180}, SPAN),
    ("transactions", {"merchant_details__latitude": -90.0, "merchant_details__longitude": 180.0}, SPAN),
    ("transactions", {"merchant_details__latitude": None, "merchant_details__longitude": None}, SPAN),
    ("transactions", {"customer_id": "x" * 1000}, SPAN),
    ("transactions", {"transaction_type": None, "channel": None, "status": None, "ingested_at": None}, SPAN),
    *[("transactions", {"transaction_type": t}, SPAN) for t in ("withdrawal", "transfer_in", "transfer_out", "refund")],
    *[("transactions", {"status": s}, SPAN) for s in ("declined", "reversed", "pending")],
    (
        "transactions",
        {"date_time": "2000-01-01T00:00:00Z", "ingested_at": "2000-01-01T00:00:00Z"},
        Span.days(dt.date(2000, 1, 1), dt.date(2000, 1, 1)),
    ),
    ("transactions", {"ingested_at": "2100-01-01T00:00:00Z"}, SPAN),
    ("customers", {"customer_id": "x" * 1000, "demographics__name": "x" * 1000}, SPAN),
    ("customers", {"account_history__opened_at": "2000-01-01T00:00:00Z"}, SPAN),
    ("customers", {"account_history": None, "demographics": None, "behavioral_patterns": None}, SPAN),
    ("customers", {"demographics__latitude": -90, "demographics__longitude": 180}, SPAN),
    ("customers", {"behavioral_patterns__transactions_per_week": 0}, SPAN),
    ("customers", {"behavioral_patterns__transactions_per_week": 1_000_000}, SPAN),
    ("customers", {"behavioral_patterns__usual_countries": [], "behavioral_patterns__usual_channels": [None]}, SPAN),
    ("blacklist", {"merchant_id": "x" * 1000, "name": None, "reason": None, "listed_at": None}, SPAN),
    ("blacklist", {"listed_at": "2100-01-01"}, SPAN),
    ("credit_scores", {"score": 300, "customer_id": "x" * 1000}, SPAN),
    ("credit_scores", {"score": 850, "scored_at": None}, SPAN),
    ("fraud_reports", {"report_id": "x" * 1000, "customer_id": "x" * 1000, "merchant_id": "x" * 1000}, SPAN),
    ("fraud_reports", {"merchant_id": None, "transaction_id": None, "kind": None}, SPAN),
    ("fraud_reports", {"reported_at": "2026-01-05T00:00:00Z"}, SPAN),
    ("fraud_reports", {"reported_at": "2026-01-05T23:59:59.999999Z"}, SPAN),
]


def _valid_rows(table: str, span: Span) -> list[dict[str, Any]]:
    """Two valid rows of the span, to be loaded beside a broken one."""
    time = {"transactions": "date_time", "fraud_reports": "reported_at"}.get(table)
    at = {time: f"{span.first_ds}T08:00:00Z"} if time else {}
    if span == DAY_OF_1999:
        return []  # no time of that year is plausible
    return [served(table, **{KEY_OF[table]: f"good{n}", **at}) for n in (1, 2)]


@pytest.mark.parametrize(("table", "claim", "changes", "span"), BROKEN)
def test_a_rejected_row_names_the_broken_claim(table: str, claim: str, changes: dict[str, Any], span: Span) -> None:
    api = API_TABLES[table]
    valid = _valid_rows(table, span)
    broken = served(table, **changes)
    batch = validate(api, [*valid[:1], broken, *valid[1:]], span)
    [rejected] = batch.rejected.to_pylist()
    assert rejected["claims"] == [claim]
    assert json.dumps(json.loads(rejected["payload"]), sort_keys=True) == json.dumps(broken, sort_keys=True)
    assert batch.rows.column(api.table.key[0]).to_pylist() == [row[KEY_OF[table]] for row in valid]
    assert set(batch.rows.column("ds").to_pylist()) <= {span.first_ds}


@pytest.mark.parametrize("table", API_TABLES)
def test_every_claim_has_a_row_that_breaks_it(table: str) -> None:
    assert {claim for name, claim, _, _ in BROKEN if name == table} == set(API_TABLES[table].claim_names)
    assert len(API_TABLES[table].claim_names) == len(set(API_TABLES[table].claim_names))


@pytest.mark.parametrize(("table", "changes", "span"), ACCEPTED)
def test_a_value_just_inside_is_loaded(table: str, changes: dict[str, Any], span: Span) -> None:
    batch = validate(API_TABLES[table], [served(table, **changes)], span)
    assert batch.rejected.to_pylist() == []
    [row] = batch.rows.to_pylist()
    assert row["ds"] == span.first_ds
    assert row[API_TABLES[table].table.key[0]] == served(table, **changes)[KEY_OF[table]]


def test_every_column_is_read_from_its_path() -> None:
    [row] = validate(API_TABLES["customers"], [served("customers")], SPAN).rows.to_pylist()
    assert row == {
        "customer_id": "c1",
        "opened_at": dt.datetime(2020, 2, 1),
        "account_status": "active",
        "name": "Zoë",
        "email": "z@example.org",
        "date_of_birth": "1990-12-31",
        "city": "Graz",
        "country": "AT",
        "latitude": 47.07,
        "longitude": 15.44,
        "home_currency": "EUR",
        "usual_countries": ["AT", "DE"],
        "usual_channels": ["pos"],
        "transactions_per_week": 3.5,
        "ds": DAY.isoformat(),
    }


@pytest.mark.parametrize("table", API_TABLES)
def test_a_batch_has_the_columns_of_its_tables(table: str) -> None:
    api = API_TABLES[table]
    for rows in ([], [served(table)], [None]):
        batch = validate(api, rows, SPAN)  # type: ignore[arg-type]
        assert batch.rows.schema == api.table.arrow_schema
        assert batch.rejected.schema == api.rejected.arrow_schema
    computed = {*api.normal_forms, *([api.first_seen] if api.first_seen else [])}
    assert set(api.paths) == {column.name for column in api.table.columns} - computed
    assert {part for parts in api.normal_forms.values() for part in parts} <= set(api.paths)
    assert {*api.currency_of, *api.currency_of.values()} <= set(api.paths)
    assert {claim.column for claim in api.claims} <= set(api.paths)


def test_the_columns_that_other_systems_rely_on_are_unchanged() -> None:
    text, time, number = "STRING", "TIMESTAMP", "DOUBLE"
    assert API_TABLES["transactions"].table.column_types == {
        "transaction_id": text, "event_time": time, "amount": "DECIMAL(18,2)", "currency": text, "merchant_id": text,
        "merchant_name": text, "merchant_category": text, "merchant_city": text, "merchant_country": text,
        "merchant_latitude": number, "merchant_longitude": number, "customer_id": text, "transaction_type": text,
        "channel": text, "status": text, "ingested_at": time, "decline_reason": text, "card_id": text, "device_id": text,
        "counterparty_id": text, "merchant_key": text, "place_key": text, "ds": text,
    }  # fmt: skip
    assert rule_table("velocity").column_types == {
        "transaction_id": text, "customer_id": text, "event_time": time, "rule": text, "rule_version": text,
        "severity": text, "weight": number, "reason": text, "evidence": text, "ds": text,
    }  # fmt: skip
    assert FRAUD_ALERTS.column_types == {
        "transaction_id": text, "customer_id": text, "event_time": time, "amount": "DECIMAL(18,2)", "currency": text,
        "merchant_id": text, "score": number, "severity": text, "rules": "ARRAY<STRING>", "reasons": "ARRAY<STRING>",
        "rule_versions": "ARRAY<STRING>", "points": "INT", "card_version": text, "ds": text,
    }  # fmt: skip
    assert TRANSACTION_SCORES.column_types == {
        "transaction_id": text, "customer_id": text, "event_time": time, "score": number, "points": "INT",
        "card_version": text, "contributions": text, "ds": text,
    }  # fmt: skip
    assert [*TRANSACTION_FEATURES.column_types][:3] == ["transaction_id", "customer_id", "event_time"]
    assert rule_table("velocity").full_name == "fintech.velocity"
    labels = {"transaction_id": text, "is_fraud": "BOOLEAN", "known_at": time, "origin": text}
    assert [*LABELS.column_types.items()][:4] == [*labels.items()]


def test_every_table_is_listed_once_with_its_quarantine() -> None:
    tables = fixed_tables()
    assert all(name == table.name for name, table in tables.items())
    assert {f"{name}_rejected" for name in API_TABLES} <= tables.keys()
    assert FEATURE_TABLES.keys() <= tables.keys()
    loads = {api.loads.name for api in API_TABLES.values() if api.loads}
    assert loads == {"blacklist_loads", "fraud_reports_loads"} and loads <= tables.keys()
    assert len(tables) == 2 * len(API_TABLES) + len(loads) + len(FEATURE_TABLES) + 11


def test_no_amount_is_a_float() -> None:
    for table in [*fixed_tables().values(), rejected_twin(API_TABLES["transactions"].table)]:
        for field in table.arrow_schema:
            if "amount" in field.name:
                assert pa.types.is_decimal(field.type), f"{table.name}.{field.name}"


def test_personal_data_is_in_customers_only() -> None:
    personal = {"name", "email", "date_of_birth"}
    assert {name for name, table in fixed_tables().items() if personal & set(table.arrow_schema.names)} == {"customers"}
