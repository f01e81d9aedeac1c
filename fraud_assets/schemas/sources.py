"""Source tables: columns, claims, and the path of each value in a row of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property

import pandera.pandas as pa_

from fraud_assets.schemas.claims import (
    COUNTRY_CODE,
    CURRENCY_CODE,
    Claim,
    is_between,
    is_given,
    is_one_of,
    is_plausible_time,
    is_short,
    matches,
)
from fraud_assets.schemas.names import DATABASE, MONEY
from hive_io import PARTITION, Column, Table

NORMAL_FORM = "in normal form: Unicode NFC, case-folded, one blank for each run of white space, none at the ends"
MERCHANT_KEY = f"`merchant_id` {NORMAL_FORM}. Merchants are compared by it."


@dataclass(frozen=True)
class ApiTable:
    """A table that an API fills.

    Attributes:
        table: name, columns, key.
        paths: for each column, the path of its value in a row of the API (keys, outermost first).
        claims: conditions that a row must meet, besides being readable as the column types.
        day_column: the TIMESTAMP whose day is the partition; None for snapshots, whose partition is the day requested.
        currency_of: for each amount, the column of its currency, which determines its digits.
        normal_forms: for each column that holds a normal form, the columns that it is made of, joined by commas. It is NULL
            without the last of them; others that are missing are left out. Rows of earlier releases have NULL.
        first_seen: the TIMESTAMP of when a row became known, for rows that are served later than they are dated.
        records_loads: True to record each load of a day in `loads`, so that an empty day differs from one not loaded.
    """

    table: Table
    paths: dict[str, tuple[str, ...]]
    claims: tuple[Claim, ...]
    day_column: str | None = None
    currency_of: Mapping[str, str] = field(default_factory=dict)
    normal_forms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    first_seen: str | None = None
    records_loads: bool = False

    @property
    def rejected(self) -> Table:
        return rejected_twin(self.table)

    @property
    def loads(self) -> Table | None:
        """The table with a row for each day that was loaded; None if loads are not recorded."""
        return loads_twin(self.table) if self.records_loads else None

    @property
    def read_columns(self) -> list[Column]:
        """The columns that are read from the API. The others are computed when rows are loaded."""
        return [column for column in self.table.columns if column.name in self.paths]

    def readable_claim(self, column: str) -> str:
        """Name of the claim that a value can be read as its column's type."""
        return f"{column}_is_readable"

    @property
    def span_claim(self) -> str | None:
        """Name of the claim that a row's time is in the span requested; None for snapshots."""
        return f"{self.day_column}_is_in_the_span_asked_for" if self.day_column else None

    @property
    def ahead_claim(self) -> str | None:
        """Name of the claim that a row's time is not later than its arrival; None without an arrival time."""
        return f"{self.day_column}_is_not_after_arrival" if self.day_column and "ingested_at" in self.paths else None

    @property
    def claim_names(self) -> list[str]:
        """Names of all claims that a row can break."""
        names = [self.readable_claim(c.name) for c in self.read_columns] + [claim.name for claim in self.claims]
        return [*names, *(claim for claim in (self.span_claim, self.ahead_claim) if claim)]

    @cached_property
    def pandera_schema(self) -> pa_.DataFrameSchema:
        """A pandera schema with all claims, for a frame with the columns read from the API. Validate with `lazy=True`."""
        columns = {
            column.name: pa_.Column(
                nullable=True,
                checks=[
                    pa_.Check(claim.holds, name=claim.name, error=claim.name, ignore_na=not claim.on_null)
                    for claim in self.claims
                    if claim.column == column.name
                ],
            )
            for column in self.read_columns
        }
        return pa_.DataFrameSchema(columns, name=self.table.full_name)


TRANSACTIONS = ApiTable(
    Table(
        DATABASE,
        "transactions",
        (
            Column("transaction_id", "STRING", "Identifies the transaction across its versions."),
            Column("event_time", "TIMESTAMP", "When it happened, UTC."),
            Column("amount", MONEY, "In units of `currency`."),
            Column("currency", "STRING", "ISO 4217; NULL if the source has a single currency and does not name it."),
            Column("merchant_id", "STRING", "The counterparty: the payee, or the payer of money that comes in."),
            Column("merchant_name", "STRING"),
            Column("merchant_category", "STRING"),
            Column("merchant_city", "STRING"),
            Column("merchant_country", "STRING", "ISO 3166-1 alpha-2."),
            Column("merchant_latitude", "DOUBLE", "Degrees, WGS 84."),
            Column("merchant_longitude", "DOUBLE", "Degrees, WGS 84."),
            Column("customer_id", "STRING", "Holder of the account."),
            Column("transaction_type", "STRING", "purchase, withdrawal, transfer_in, transfer_out, refund …"),
            Column("channel", "STRING", "pos, online, atm …"),
            Column("status", "STRING", "approved, declined …"),
            Column("ingested_at", "TIMESTAMP", "When it arrived at the API, as reported by the API, UTC."),
            Column("decline_reason", "STRING", "Why it was declined: a word such as insufficient_funds, or an ISO 8583 code."),
            Column("card_id", "STRING", "The card, as a token; never its number."),
            Column("device_id", "STRING", "The customer's device."),
            Column("counterparty_id", "STRING", "The account at the other end of a transfer."),
            Column("merchant_key", "STRING", MERCHANT_KEY),
            Column("place_key", "STRING", f"City and country, {NORMAL_FORM}; the country if there is no city."),
        ),
        key=("transaction_id",),
        time_column="event_time",
        description="Every transaction once, in the latest version from the API, on the day of its event time.",
        is_open=True,
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
        "decline_reason": ("decline_reason",),
        "card_id": ("card_id",),
        "device_id": ("device_id",),
        "counterparty_id": ("counterparty_id",),
    },
    claims=(
        is_given("transaction_id"),
        is_short("transaction_id"),
        is_given("event_time"),
        is_plausible_time("event_time"),
        is_given("amount"),
        is_between("amount", Decimal(0), Decimal("1e12"), "amount_is_not_negative_nor_absurd"),
        matches("currency", CURRENCY_CODE, "currency_is_iso_4217"),
        is_given("merchant_id"),
        is_short("merchant_id"),
        is_short("merchant_name"),
        is_short("merchant_city"),
        matches("merchant_country", COUNTRY_CODE, "merchant_country_is_iso_3166"),
        is_between("merchant_latitude", -90.0, 90.0, "merchant_latitude_is_on_earth"),
        is_between("merchant_longitude", -180.0, 180.0, "merchant_longitude_is_on_earth"),
        is_given("customer_id"),
        is_short("customer_id"),
        is_one_of("transaction_type", ("purchase", "withdrawal", "transfer_in", "transfer_out", "refund")),
        is_one_of("status", ("approved", "declined", "reversed", "pending")),
        is_plausible_time("ingested_at"),
        is_short("decline_reason"),
        is_short("card_id"),
        is_short("device_id"),
        is_short("counterparty_id"),
    ),
    day_column="event_time",
    currency_of={"amount": "currency"},
    normal_forms={"merchant_key": ("merchant_id",), "place_key": ("merchant_city", "merchant_country")},
)


CUSTOMERS = ApiTable(
    Table(
        DATABASE,
        "customers",
        (
            Column("customer_id", "STRING"),
            Column("opened_at", "TIMESTAMP", "When the account was opened, UTC."),
            Column("account_status", "STRING"),
            Column("name", "STRING", personal=True),
            Column("email", "STRING", personal=True),
            Column("date_of_birth", "STRING", "ISO 8601.", personal=True),
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
        description="All customers, as of the start of the day.",
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
        is_given("customer_id"),
        is_short("customer_id"),
        is_plausible_time("opened_at"),
        is_short("name"),
        matches("date_of_birth", r"\d{4}-\d{2}-\d{2}", "date_of_birth_is_a_date"),
        matches("country", COUNTRY_CODE, "country_is_iso_3166"),
        is_between("latitude", -90.0, 90.0, "latitude_is_on_earth"),
        is_between("longitude", -180.0, 180.0, "longitude_is_on_earth"),
        matches("home_currency", CURRENCY_CODE, "home_currency_is_iso_4217"),
        is_between("transactions_per_week", 0.0, 1e6, "transactions_per_week_is_not_negative"),
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
            Column("merchant_key", "STRING", MERCHANT_KEY),
        ),
        key=("merchant_id",),
        description="Blacklisted merchants, as of the start of the day.",
    ),
    paths={
        "merchant_id": ("merchant_id",),
        "merchant_name": ("name",),
        "listed_because": ("reason",),
        "listed_at": ("listed_at",),
    },
    claims=(is_given("merchant_id"), is_short("merchant_id"), is_plausible_time("listed_at")),
    normal_forms={"merchant_key": ("merchant_id",)},
    records_loads=True,
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
        description="Credit scores, as of the start of the day.",
    ),
    paths={"customer_id": ("customer_id",), "score": ("score",), "scored_at": ("scored_at",)},
    claims=(
        is_given("customer_id"),
        is_short("customer_id"),
        is_given("score"),
        is_between("score", 300, 850, "score_is_between_300_and_850"),
        is_plausible_time("scored_at"),
    ),
)


FRAUD_REPORTS = ApiTable(
    Table(
        DATABASE,
        "fraud_reports",
        (
            Column("report_id", "STRING"),
            Column("reported_at", "TIMESTAMP", "When the fraud was reported, UTC."),
            Column("customer_id", "STRING"),
            Column("merchant_id", "STRING"),
            Column("transaction_id", "STRING", "NULL if the report names none."),
            Column("kind", "STRING"),
            Column("merchant_key", "STRING", MERCHANT_KEY),
            Column(
                "known_at",
                "TIMESTAMP",
                "`reported_at`, or the time of the load that found the report on a day that had been loaded without it, UTC.",
            ),
        ),
        key=("report_id",),
        time_column="reported_at",
        description="Every fraud report once, on the day of the report.",
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
        is_given("report_id"),
        is_short("report_id"),
        is_given("reported_at"),
        is_plausible_time("reported_at"),
        is_given("customer_id"),
        is_short("customer_id"),
        is_short("merchant_id"),
    ),
    day_column="reported_at",
    normal_forms={"merchant_key": ("merchant_id",)},
    first_seen="known_at",
    records_loads=True,
)


API_TABLES: dict[str, ApiTable] = {
    api.table.name: api for api in (TRANSACTIONS, CUSTOMERS, BLACKLIST, CREDIT_SCORES, FRAUD_REPORTS)
}


def with_extra_columns(api: ApiTable, columns: Sequence[Column]) -> ApiTable:
    """A source table with further columns after its own, such as those that a source file declares.

    Texts have to be short, and times plausible, as in the columns of the table itself.
    """
    claims = [
        *(is_short(column.name) for column in columns if column.type == "STRING"),
        *(is_plausible_time(column.name) for column in columns if column.type == "TIMESTAMP"),
    ]
    return replace(
        api,
        table=replace(api.table, columns=(*api.table.columns, *columns)),
        paths={**api.paths, **{column.name: (column.name,) for column in columns}},
        claims=(*api.claims, *claims),
    )


def rejected_twin(table: Table) -> Table:
    """`<table>_rejected`: the quarantine of a table. Each rejected row once, on the day it arrived.

    NULL in `claims` marks a row that a retry has loaded and is about to delete.
    """
    return Table(
        table.database,
        f"{table.name}_rejected",
        (
            Column("row_id", "STRING", "SHA-256 of the payload, so that a row served twice is kept once."),
            Column("payload", "STRING", "The row as served, JSON."),
            Column("claims", "ARRAY<STRING>", "The claims it broke, sorted."),
        ),
        key=("row_id",),
        description=f"Rows for `{table.name}` that broke a claim, kept as served, with the claims they broke.",
    )


def loads_twin(table: Table) -> Table:
    """`<table>_loads`: one row for each day of a table that was loaded, also if the source served no rows."""
    return Table(
        table.database,
        f"{table.name}_loads",
        (
            Column("rows_loaded", "BIGINT", "Rows of the day after the load."),
            Column(
                "loaded_until",
                "TIMESTAMP",
                "Time up to which the loads cover the day, UTC: the start of the day for a snapshot, otherwise the time of the "
                "last load, at most the end of the day.",
            ),
        ),
        key=(PARTITION,),
        description=f"Days of `{table.name}` that were loaded. A day without a row here was never loaded.",
    )
