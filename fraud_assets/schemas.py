"""The one description of each table: columns, types, claims. DDL, pandera schema and Dagster metadata are made from it.

Personal data (names, e-mail addresses) are in `customers`, and as served in `customers_rejected`; nothing logs or previews
them, and no rule can read them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import pandas as pd
import pandera.pandas as pa_

from hive_io import Column, Table

DATABASE = "fintech"

PERSONAL = "Personal data"
"""How the description of a column begins that no rule may read, since evidence and reasons are shown to people."""


@dataclass(frozen=True)
class Claim:
    """A claim about one column that a row must fulfil to be loaded.

    Attributes:
        name: as it stands in the rejected twin, `amount_is_given`.
        column: the column it is about.
        holds: from a column (NULLs included where `on_null`) to one boolean a row.
        on_null: whether the claim is made about NULLs, too.
    """

    name: str
    column: str
    holds: Callable[[pd.Series], pd.Series]
    on_null: bool = False


@dataclass(frozen=True)
class ApiTable:
    """A table that an API fills.

    Attributes:
        table: name, columns, key.
        paths: for each column, where its value stands in a row of the API (keys, outermost first).
        claims: what a row must fulfil, beyond being readable as the column types.
        day_column: the TIMESTAMP whose day is the partition, or None for snapshots, whose partition is asked for.
    """

    table: Table
    paths: dict[str, tuple[str, ...]]
    claims: tuple[Claim, ...]
    day_column: str | None = None

    @property
    def rejected(self) -> Table:
        return rejected_twin(self.table)

    def readable_claim(self, column: str) -> str:
        """The name of the claim that a value can be read as its column's type."""
        return f"{column}_is_readable"

    @property
    def span_claim(self) -> str | None:
        """The name of the claim that a row happened when it was asked for; None for snapshots."""
        return f"{self.day_column}_is_in_the_span_asked_for" if self.day_column else None

    @property
    def claim_names(self) -> list[str]:
        """Every claim that a row can break."""
        names = [self.readable_claim(c.name) for c in self.table.columns] + [claim.name for claim in self.claims]
        return [*names, self.span_claim] if self.span_claim else names

    @cached_property
    def pandera_schema(self) -> pa_.DataFrameSchema:
        """A pandera schema of all claims, for a frame with the table's columns; to be validated lazily."""
        columns = {
            column.name: pa_.Column(
                nullable=True,
                checks=[
                    pa_.Check(claim.holds, name=claim.name, error=claim.name, ignore_na=not claim.on_null)
                    for claim in self.claims
                    if claim.column == column.name
                ],
            )
            for column in self.table.columns
        }
        return pa_.DataFrameSchema(columns, name=self.table.full_name)


# --- claims -----------------------------------------------------------------------------------------------------------


def _given(column: str) -> Claim:
    def holds(values: pd.Series) -> pd.Series:
        given = values.notna()
        return given & (values.str.strip() != "").fillna(False) if values.dtype == "string[pyarrow]" else given

    return Claim(f"{column}_is_given", column, holds, on_null=True)


def _between(column: str, low: object, high: object, name: str) -> Claim:
    return Claim(name, column, lambda values: (values >= low) & (values <= high))


def _matches(column: str, pattern: str, name: str) -> Claim:
    return Claim(name, column, lambda values: values.str.fullmatch(pattern))


def _is_in(column: str, allowed: tuple[str, ...]) -> Claim:
    return Claim(f"{column}_is_known", column, lambda values: values.isin(allowed))


def _plausible_time(column: str) -> Claim:
    # a fixed span, not "not after now": the same row must be judged the same way in every run
    first, last = dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1)
    return _between(column, pd.Timestamp(first), pd.Timestamp(last), f"{column}_is_plausible")


def _short(column: str, length: int = 1000) -> Claim:
    return Claim(f"{column}_is_short", column, lambda values: values.str.len() <= length)


_CURRENCY = r"[A-Z]{3}"
_COUNTRY = r"[A-Z]{2}"
_MONEY = "DECIMAL(18,2)"


# --- tables that the APIs fill ------------------------------------------------------------------------------------------

TRANSACTIONS = ApiTable(
    Table(
        DATABASE,
        "transactions",
        (
            Column("transaction_id", "STRING", "Identifies the transaction, across versions of it."),
            Column("event_time", "TIMESTAMP", "When it happened, UTC."),
            Column("amount", _MONEY, "In units of `currency`."),
            Column("currency", "STRING", "ISO 4217; NULL where the source has one currency and does not name it."),
            Column("merchant_id", "STRING", "Who was paid, or who paid."),
            Column("merchant_name", "STRING"),
            Column("merchant_category", "STRING"),
            Column("merchant_city", "STRING"),
            Column("merchant_country", "STRING", "ISO 3166-1 alpha-2."),
            Column("merchant_latitude", "DOUBLE", "Degrees, WGS 84."),
            Column("merchant_longitude", "DOUBLE", "Degrees, WGS 84."),
            Column("customer_id", "STRING", "Whose account it is."),
            Column("transaction_type", "STRING", "purchase, withdrawal, transfer_in, transfer_out, refund …"),
            Column("channel", "STRING", "pos, online, atm …"),
            Column("status", "STRING", "approved, declined …"),
            Column("ingested_at", "TIMESTAMP", "When it arrived at the API, as the API reports it, UTC."),
        ),
        key=("transaction_id",),
        time_column="event_time",
        description="Every transaction once, in the last version that the API gave, on the day it happened.",
    ),
    paths={
        "transaction_id": ("transaction_id",),
        "event_time": ("date_time",),
        "amount": ("amount",),
        "currency": ("currency",),
        "merchant_id": ("merchant_details", "merchant_id"),
        "merchant_name": ("merchant_details", "name"),
        "merchant_category": ("merchant_details", "category"),
        "merchant_city": ("merchant_details", "city"),
        "merchant_country": ("merchant_details", "country"),
        "merchant_latitude": ("merchant_details", "latitude"),
        "merchant_longitude": ("merchant_details", "longitude"),
        "customer_id": ("customer_id",),
        "transaction_type": ("transaction_type",),
        "channel": ("channel",),
        "status": ("status",),
        "ingested_at": ("ingested_at",),
    },
    claims=(
        _given("transaction_id"),
        _short("transaction_id"),
        _given("event_time"),
        _plausible_time("event_time"),
        _given("amount"),
        _between("amount", Decimal(0), Decimal("1e12"), "amount_is_not_negative_nor_absurd"),
        _matches("currency", _CURRENCY, "currency_is_iso_4217"),
        _given("merchant_id"),
        _short("merchant_id"),
        _short("merchant_name"),
        _short("merchant_city"),
        _matches("merchant_country", _COUNTRY, "merchant_country_is_iso_3166"),
        _between("merchant_latitude", -90.0, 90.0, "merchant_latitude_is_on_earth"),
        _between("merchant_longitude", -180.0, 180.0, "merchant_longitude_is_on_earth"),
        _given("customer_id"),
        _short("customer_id"),
        _is_in("transaction_type", ("purchase", "withdrawal", "transfer_in", "transfer_out", "refund")),
        _is_in("status", ("approved", "declined", "reversed", "pending")),
        _plausible_time("ingested_at"),
    ),
    day_column="event_time",
)

CUSTOMERS = ApiTable(
    Table(
        DATABASE,
        "customers",
        (
            Column("customer_id", "STRING"),
            Column("opened_at", "TIMESTAMP", "When the account was opened, UTC."),
            Column("account_status", "STRING"),
            Column("name", "STRING", "Personal data."),
            Column("email", "STRING", "Personal data."),
            Column("date_of_birth", "STRING", "Personal data; ISO 8601."),
            Column("city", "STRING"),
            Column("country", "STRING", "ISO 3166-1 alpha-2."),
            Column("latitude", "DOUBLE", "Degrees, WGS 84."),
            Column("longitude", "DOUBLE", "Degrees, WGS 84."),
            Column("home_currency", "STRING", "ISO 4217."),
            Column("usual_countries", "ARRAY<STRING>"),
            Column("usual_channels", "ARRAY<STRING>"),
            Column("transactions_per_week", "DOUBLE"),
        ),
        key=("customer_id",),
        description="Every customer as known when the day began.",
    ),
    paths={
        "customer_id": ("customer_id",),
        "opened_at": ("account_history", "opened_at"),
        "account_status": ("account_history", "status"),
        "name": ("demographics", "name"),
        "email": ("demographics", "email"),
        "date_of_birth": ("demographics", "date_of_birth"),
        "city": ("demographics", "city"),
        "country": ("demographics", "country"),
        "latitude": ("demographics", "latitude"),
        "longitude": ("demographics", "longitude"),
        "home_currency": ("behavioral_patterns", "home_currency"),
        "usual_countries": ("behavioral_patterns", "usual_countries"),
        "usual_channels": ("behavioral_patterns", "usual_channels"),
        "transactions_per_week": ("behavioral_patterns", "transactions_per_week"),
    },
    claims=(
        _given("customer_id"),
        _short("customer_id"),
        _plausible_time("opened_at"),
        _short("name"),
        _matches("date_of_birth", r"\d{4}-\d{2}-\d{2}", "date_of_birth_is_a_date"),
        _matches("country", _COUNTRY, "country_is_iso_3166"),
        _between("latitude", -90.0, 90.0, "latitude_is_on_earth"),
        _between("longitude", -180.0, 180.0, "longitude_is_on_earth"),
        _matches("home_currency", _CURRENCY, "home_currency_is_iso_4217"),
        _between("transactions_per_week", 0.0, 1e6, "transactions_per_week_is_not_negative"),
    ),
)

BLACKLIST = ApiTable(
    Table(
        DATABASE,
        "blacklist",
        (
            Column("merchant_id", "STRING"),
            Column("merchant_name", "STRING"),
            Column("listed_because", "STRING"),
            Column("listed_at", "TIMESTAMP", "UTC."),
        ),
        key=("merchant_id",),
        description="Blacklisted merchants as known when the day began.",
    ),
    paths={
        "merchant_id": ("merchant_id",),
        "merchant_name": ("name",),
        "listed_because": ("reason",),
        "listed_at": ("listed_at",),
    },
    claims=(_given("merchant_id"), _short("merchant_id"), _plausible_time("listed_at")),
)

CREDIT_SCORES = ApiTable(
    Table(
        DATABASE,
        "credit_scores",
        (
            Column("customer_id", "STRING"),
            Column("score", "INT", "300 (worst) to 850 (best)."),
            Column("scored_at", "TIMESTAMP", "UTC."),
        ),
        key=("customer_id",),
        description="Credit scores as known when the day began.",
    ),
    paths={"customer_id": ("customer_id",), "score": ("score",), "scored_at": ("scored_at",)},
    claims=(
        _given("customer_id"),
        _short("customer_id"),
        _given("score"),
        _between("score", 300, 850, "score_is_between_300_and_850"),
        _plausible_time("scored_at"),
    ),
)

FRAUD_REPORTS = ApiTable(
    Table(
        DATABASE,
        "fraud_reports",
        (
            Column("report_id", "STRING"),
            Column("reported_at", "TIMESTAMP", "When it was reported, UTC."),
            Column("customer_id", "STRING"),
            Column("merchant_id", "STRING"),
            Column("transaction_id", "STRING", "NULL where the report names none."),
            Column("kind", "STRING"),
        ),
        key=("report_id",),
        time_column="reported_at",
        description="Every fraud report once, on the day it was made.",
    ),
    paths={
        "report_id": ("report_id",),
        "reported_at": ("reported_at",),
        "customer_id": ("customer_id",),
        "merchant_id": ("merchant_id",),
        "transaction_id": ("transaction_id",),
        "kind": ("kind",),
    },
    claims=(
        _given("report_id"),
        _short("report_id"),
        _given("reported_at"),
        _plausible_time("reported_at"),
        _given("customer_id"),
        _short("customer_id"),
        _short("merchant_id"),
    ),
    day_column="reported_at",
)

API_TABLES: dict[str, ApiTable] = {
    api.table.name: api for api in (TRANSACTIONS, CUSTOMERS, BLACKLIST, CREDIT_SCORES, FRAUD_REPORTS)
}


def rejected_twin(table: Table) -> Table:
    """`<table>_rejected`: rows that were served and refused, once each, on the day they arrived.

    A row whose claims are NULL was taken in by a retry, and is about to be removed.
    """
    return Table(
        table.database,
        f"{table.name}_rejected",
        (
            Column("row_id", "STRING", "SHA-256 of the payload: the same row served again is the same row."),
            Column("payload", "STRING", "The row as it was served, JSON."),
            Column("claims", "ARRAY<STRING>", "The claims it broke, sorted."),
        ),
        key=("row_id",),
        description=f"Rows for `{table.name}` that broke a claim: kept as served, with the claims they broke.",
    )


# --- tables that the lake computes --------------------------------------------------------------------------------------

CUSTOMER_DAILY_ACTIVITY = Table(
    DATABASE,
    "customer_daily_activity",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING", "Amounts in different currencies are never added."),
        Column("merchant_country", "STRING"),
        Column("transactions", "BIGINT"),
        Column("amount_sum", "DECIMAL(38,2)"),
        Column("amount_square_sum", "DECIMAL(38,4)", "Σ amount², exact: deviations are made from it."),
        Column("amount_max", _MONEY),
    ),
    key=("customer_id", "currency", "merchant_country"),
    description="What each customer paid on the day, per currency and country; declined payments and transfers left out.",
)

CUSTOMER_PROFILES = Table(
    DATABASE,
    "customer_profiles",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING"),
        Column("transactions", "BIGINT", "n"),
        Column("amount_sum", "DECIMAL(38,2)", "Σ amount"),
        Column("amount_square_sum", "DECIMAL(38,4)", "Σ amount²"),
        Column("amount_max", _MONEY),
        Column("amount_mean", _MONEY, "Σ amount / n, to the cent."),
        Column("amount_deviation", _MONEY, "Population standard deviation, to the cent."),
        Column("last_day", "STRING", "The last day with a payment, like 2026-01-31."),
    ),
    key=("customer_id", "currency"),
    description="What each customer usually paid when the day began: the 90 days before it, per currency; transfers left out.",
)

CUSTOMER_DAILY_ANOMALIES = Table(
    DATABASE,
    "customer_daily_anomalies",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING"),
        Column("anomalies", "BIGINT", "Payments far above what was usual for the customer when the day began."),
    ),
    key=("customer_id", "currency"),
    description="How often each customer was unusual on the day, per currency; who was not has no row.",
)

CUSTOMER_ANOMALIES = Table(
    DATABASE,
    "customer_anomalies",
    (
        Column("customer_id", "STRING"),
        Column("currency", "STRING"),
        Column("anomalies", "BIGINT", "In the 90 days before."),
        Column("anomalies_7", "BIGINT", "In the 7 days before."),
    ),
    key=("customer_id", "currency"),
    description="How often each customer had been unusual when the day began, per currency; who had not has no row.",
)

CUSTOMER_COUNTRIES = Table(
    DATABASE,
    "customer_countries",
    (
        Column("customer_id", "STRING"),
        Column("merchant_country", "STRING"),
        Column("transactions", "BIGINT"),
    ),
    key=("customer_id", "merchant_country"),
    description="Where each customer had paid when the day began: the 90 days before it, per country.",
)

MERCHANT_DAILY_ACTIVITY = Table(
    DATABASE,
    "merchant_daily_activity",
    (
        Column("merchant_id", "STRING"),
        Column("place", "STRING", "City and country; the merchant itself where the source names neither."),
        Column("transactions", "BIGINT"),
        Column("customers", "BIGINT", "Different ones."),
    ),
    key=("merchant_id", "place"),
    description="What each merchant sold on the day.",
)

MERCHANT_PROFILES = Table(
    DATABASE,
    "merchant_profiles",
    (
        Column("merchant_id", "STRING"),
        Column("place", "STRING"),
        Column("transactions", "BIGINT", "In the 28 days before."),
        Column("reports", "BIGINT", "Fraud reports made in the 28 days before."),
        Column("reports_7", "BIGINT", "In the 7 days before."),
        Column("reports_1", "BIGINT", "On the day before."),
    ),
    key=("merchant_id",),
    description="How busy each merchant was, and how often reported for fraud, when the day began.",
)

HIGH_RISK_CUSTOMERS = Table(
    DATABASE,
    "high_risk_customers",
    (
        Column("customer_id", "STRING"),
        Column("credit_score", "INT", "NULL where none is known."),
        Column("fraud_reports", "BIGINT", "In the 90 days before."),
        Column("reason", "STRING"),
    ),
    key=("customer_id",),
    description="Customers at high risk when the day began: a low credit score, or many fraud reports.",
)

_SECONDS = "DECIMAL(12,1)"

LATENCIES = Table(
    DATABASE,
    "latencies",
    (
        Column("hour", "TIMESTAMP", "The beginning of the hour in which they were judged, UTC."),
        Column("seconds", _SECONDS, "Rounded up to two digits: 0.1, 0.2 … 9.9, 10, 11 … 99, 100, 110 …"),
        Column("transactions", "BIGINT", "How many took so long, from their arrival at the API to the row in fraud_alerts."),
    ),
    key=("hour", "seconds"),
    time_column="hour",
    description="How long transactions waited until they were judged, counted by `fraud watch`; empty where it does not run.",
)

SERVICE_LEVELS = Table(
    DATABASE,
    "service_levels",
    (
        Column("hour", "STRING", "UTC, like 2026-01-31 07; one without transactions has no row."),
        Column("transactions", "BIGINT", "That happened in the hour."),
        Column("alerts", "BIGINT", "Of those."),
        Column("arrival_p50", _SECONDS, "Seconds until half had arrived at the API; NULL where the source does not say."),
        Column("arrival_p95", _SECONDS, "Seconds until 95 % had arrived."),
        Column("judged", "BIGINT", "Transactions that `fraud watch` judged in the hour."),
        Column("latency_p50", _SECONDS, "Seconds from arrival to the row in fraud_alerts, of half of those it judged."),
        Column("latency_p95", _SECONDS, "Seconds within which 95 % of them were judged."),
        Column("latency_max", _SECONDS, "The longest that one had waited: how far behind it was."),
        Column("rejected_share", "DOUBLE", "Of all transactions that the source served, on the whole day."),
    ),
    key=("hour",),
    description="How fast, how much and how clean, hour by hour.",
)

FEATURE_TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        CUSTOMER_DAILY_ACTIVITY,
        CUSTOMER_PROFILES,
        CUSTOMER_DAILY_ANOMALIES,
        CUSTOMER_ANOMALIES,
        CUSTOMER_COUNTRIES,
        MERCHANT_DAILY_ACTIVITY,
        MERCHANT_PROFILES,
        HIGH_RISK_CUSTOMERS,
        SERVICE_LEVELS,
    )
}

_HIT_COLUMNS = (
    Column("transaction_id", "STRING", "The transaction that completes the pattern."),
    Column("customer_id", "STRING"),
    Column("event_time", "TIMESTAMP", "UTC."),
    Column("rule", "STRING"),
    Column("rule_version", "STRING", "Hash of the SQL, the params in force, and what else of the rule a hit shows."),
    Column("severity", "STRING", "low, medium, high or critical."),
    Column("weight", "DOUBLE", "In (0, 1): how much the hit says."),
    Column("reason", "STRING", "A sentence, from the values that the rule used."),
    Column("evidence", "STRING", "Those values, JSON."),
)


def rule_table(name: str, description: str = "") -> Table:
    """The table of a rule: one row a hit."""
    return Table(DATABASE, name, _HIT_COLUMNS, key=("transaction_id",), time_column="event_time", description=description)


FRAUD_ALERTS = Table(
    DATABASE,
    "fraud_alerts",
    (
        Column("transaction_id", "STRING"),
        Column("customer_id", "STRING"),
        Column("event_time", "TIMESTAMP", "UTC."),
        Column("amount", _MONEY),
        Column("currency", "STRING"),
        Column("merchant_id", "STRING"),
        Column("score", "DOUBLE", "In (0, 1): 1 − Π(1 − weight), raised for high-risk customers."),
        Column("severity", "STRING", "The highest of its hits."),
        Column("rules", "ARRAY<STRING>", "By weight, then rule."),
        Column("reasons", "ARRAY<STRING>", "In the order of `rules`."),
        Column("rule_versions", "ARRAY<STRING>", "In the order of `rules`."),
    ),
    key=("transaction_id",),
    time_column="event_time",
    description="One row a flagged transaction: how suspicious, why, and by which rules.",
)


def fixed_tables() -> dict[str, Table]:
    """Every table that does not come from a rule file, by name."""
    api = {t.name: t for a in API_TABLES.values() for t in (a.table, a.rejected)}
    return {**api, **FEATURE_TABLES, FRAUD_ALERTS.name: FRAUD_ALERTS, LATENCIES.name: LATENCIES}
