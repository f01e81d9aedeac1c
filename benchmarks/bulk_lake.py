"""A lake of so many synthetic transactions, made by DuckDB without a source: for measuring what computes, not what brings."""

from __future__ import annotations

import datetime as dt

import duckdb
import pyarrow as pa

from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.sources import API_TABLES
from hive_io import EmbeddedWarehouse, Span

COUNTRIES = 20
_SETUP = """
CREATE MACRO draw(n, salt) AS (hash(n, salt) % 1000000007) / 1000000007.0;
CREATE MACRO normal(n, salt) AS sqrt(-2 * ln(1 - draw(n, salt))) * cos(2 * pi() * draw(n, salt || 'b'));
CREATE TABLE countries AS SELECT
    i AS country, chr(65 + i::INT) || chr(84 - i::INT) AS code,
    36 + draw(i, 'lat') * 20 AS latitude, -8 + draw(i, 'lon') * 38 AS longitude,
    ['EUR', 'EUR', 'USD', 'GBP', 'CHF', 'JPY'][1 + i % 6] AS currency
FROM range($countries) r(i);
CREATE TABLE people AS SELECT
    i AS customer, printf('c%07d', i) AS customer_id, i % $countries AS country,
    15 + 40 * exp(0.7 * normal(i, 'mean')) AS mean, (450 + 400 * draw(i, 'score'))::INT AS score,
    TIMESTAMP '2015-01-01' + to_days((draw(i, 'opened') * 4100)::INT) AS opened_at
FROM range($customers) r(i);
CREATE TABLE shops AS SELECT
    i AS merchant, printf('m%06d', i) AS merchant_id, 'Shop ' || i AS name,
    ['food', 'fuel', 'fashion', 'travel', 'electronics'][1 + i % 5] AS category,
    c.code || ' city ' || (i // $countries) % 12 AS city, c.code, c.currency,
    c.latitude + draw((i // $countries) % 12, 'lat') AS latitude,
    c.longitude + draw((i // $countries) % 12, 'lon') AS longitude,
    (i // $countries) % 6 = 0 AS is_online
FROM range($merchants) r(i) JOIN countries c ON c.country = i % $countries;
"""
_TRANSACTIONS = """
WITH drawn AS (
    SELECT
        n, epoch_us($day::TIMESTAMP) + (draw(n, 'time') * 86400000000)::BIGINT AS micros,
        floor($customers * pow(draw(n, 'who'), 1.5))::BIGINT AS customer, draw(n, 'type') AS type, draw(n, 'away') AS away
    FROM range($first, $first + $rows) r(n)
),
placed AS (
    -- nearly all at home
    SELECT d.*, p.customer_id, p.mean, ($countries * floor($merchants // $countries * draw(n, 'where'))
        + CASE WHEN d.away < 0.002 THEN floor(draw(n, 'country') * $countries) ELSE p.country END)::BIGINT AS merchant
    FROM drawn d JOIN people p USING (customer)
)
SELECT
    printf('t%010d', n) AS transaction_id, make_timestamp(micros) AS event_time,
    (p.mean * exp(0.6 * normal(n, 'amount')) * CASE WHEN s.currency = 'JPY' THEN 150 WHEN type < 0.04 THEN 20 ELSE 1 END)
        ::DECIMAL(18, 2) AS amount,
    s.currency, s.merchant_id, s.name AS merchant_name, s.category AS merchant_category, s.city AS merchant_city,
    s.code AS merchant_country, s.latitude AS merchant_latitude, s.longitude AS merchant_longitude, p.customer_id,
    CASE WHEN type < 0.02 THEN 'transfer_in' WHEN type < 0.04 THEN 'transfer_out' WHEN type < 0.05 THEN 'refund'
        WHEN type < 0.09 THEN 'withdrawal' ELSE 'purchase' END AS transaction_type,
    CASE WHEN s.is_online THEN 'online' WHEN type BETWEEN 0.05 AND 0.09 THEN 'atm' ELSE 'pos' END AS channel,
    CASE WHEN draw(n, 'status') < 0.03 THEN 'declined' ELSE 'approved' END AS status,
    make_timestamp(micros + 2000000 + (draw(n, 'late') * 5000000)::BIGINT) AS ingested_at, $ds AS ds
FROM placed p JOIN shops s USING (merchant) ORDER BY micros
"""
_SNAPSHOTS = {
    "customers": """
        SELECT customer_id, opened_at, 'active' AS account_status, NULL AS name, NULL AS email, NULL AS date_of_birth,
            NULL AS city, c.code AS country, c.latitude, c.longitude, c.currency AS home_currency, NULL AS usual_countries,
            NULL AS usual_channels, NULL AS transactions_per_week, $ds AS ds
        FROM people JOIN countries c USING (country)""",
    "blacklist": """
        SELECT merchant_id, name AS merchant_name, 'chargebacks' AS listed_because, TIMESTAMP '2025-12-01' AS listed_at,
            $ds AS ds
        FROM shops WHERE draw(merchant, 'black') < 0.002""",
    "credit_scores": """
        SELECT customer_id, score, TIMESTAMP '2025-12-31' AS scored_at, $ds AS ds FROM people""",
}
# of a few merchants many are reported, of the others few, three days later
_REPORTS = """
SELECT 'r' || transaction_id AS report_id, event_time + INTERVAL 3 DAY AS reported_at, customer_id, merchant_id, transaction_id,
    'unknown_charge' AS kind, strftime(event_time + INTERVAL 3 DAY, '%Y-%m-%d') AS ds
FROM sold
WHERE draw(transaction_id, 'report') < CASE WHEN draw(merchant_id, 'bad') < 0.01 THEN 0.05 ELSE 0.0005 END
"""


class BulkWorld:
    """A world whose rows are a function of their number: two lakes of it share the days that they share."""

    def __init__(self, customers: int, merchants: int, rows_a_day: int) -> None:
        self._rows = rows_a_day
        self._sizes = {"customers": customers, "merchants": merchants, "countries": COUNTRIES}
        self._made = duckdb.connect()
        self._made.execute("SET TimeZone = 'UTC'")
        for statement in _SETUP.split(";\n"):
            self._run(statement)

    def _run(self, statement: str, **more: object) -> None:
        self._made.execute(statement, self._values(statement, more))

    def _rows_of(self, select: str, **more: object) -> pa.Table:
        return self._made.sql(select, params=self._values(select, more)).to_arrow_table()

    def _values(self, statement: str, more: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in {**self._sizes, **more}.items() if f"${name}" in statement}

    def transactions(self, day: dt.date) -> pa.Table:
        first = day.toordinal() * 10_000_000
        return self._rows_of(_TRANSACTIONS, day=day, ds=day.isoformat(), first=first, rows=self._rows)

    def snapshot(self, name: str, day: dt.date) -> pa.Table:
        return self._rows_of(_SNAPSHOTS[name], ds=day.isoformat())

    def reports(self, sold: pa.Table) -> pa.Table:
        self._made.register("sold", sold)
        return self._rows_of(_REPORTS)


def fill(lake: EmbeddedWarehouse, world: BulkWorld, engine: Engine, span: Span) -> None:
    """Fill every table that rules read, for a span of days; features by the engine's own queries."""
    for table in engine.tables.values():
        lake.ensure_table(table)
    for day in span.each_day():
        whole = Span.days(day, day)
        sold = world.transactions(day)
        lake.replace(API_TABLES["transactions"].table, sold, whole)
        for name in _SNAPSHOTS:
            lake.replace(API_TABLES[name].table, _typed(name, world.snapshot(name, day)), whole)
        reported = day + dt.timedelta(days=3)
        lake.replace(API_TABLES["fraud_reports"].table, world.reports(sold), Span.days(reported, reported))
    for name in engine.upstream_features:
        # day by day: a range of profiles is computed from all its days at once, which takes gigabytes
        for day in span.each_day():
            whole = Span.days(day, day)
            lake.replace(engine.tables[name], engine.query(name, whole), whole)


def _typed(name: str, rows: pa.Table) -> pa.Table:
    return rows.cast(API_TABLES[name].table.arrow_schema)
