"""A database as a source: types as text, windows, a cursor, PostgreSQL, and errors that show no password."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.load import load
from fraud_assets.ingestion.own_data.connectors import sql
from fraud_assets.ingestion.own_data.connectors.base import Context, RawPage
from fraud_assets.ingestion.own_data.connectors.sql import SqlConnector, SqlLayout
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.own_data.source_file import SourceFileError, read_source_file
from fraud_assets.schemas.sources import TRANSACTIONS
from hive_io import EmbeddedWarehouse, Span
from tests.services.postgresql import postgresql

DAY = dt.date(2026, 1, 5)
ONE = Span.days(DAY, DAY)
PASSWORD = "s3cret/P@ss"


def rows_of(pages: Iterator[RawPage]) -> list[dict[str, Any]]:
    return [row for page in pages for row in page.rows.to_pylist()]


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    file = tmp_path / "bank.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE payments (n INTEGER PRIMARY KEY, at INTEGER, amt REAL, card TEXT, raw BLOB)")
        rows = [(n, 1767571200 + 3600 * n, n + 0.1, "0042", bytes([n])) for n in range(48)]
        connection.executemany("INSERT INTO payments VALUES (?, ?, ?, ?, ?)", rows)
    return file


def connector(layout: SqlLayout) -> SqlConnector:
    made = layout.connector(Context({"DB_PASSWORD": PASSWORD}.get))
    assert isinstance(made, SqlConnector)
    return made


def test_values_are_texts_that_read_as_the_same(bank: Path) -> None:
    (row, *_) = rows_of(connector(SqlLayout(f"sqlite:///{bank}", "payments")).pages())
    assert (row["n"], row["at"], row["amt"], row["card"], row["raw"]) == ("0", "1767571200", "0.1", "0042", "00")
    assert (row["_file"], row["_row"]) == ("payments", 1)


def test_a_window_reads_the_rows_of_the_span_only(bank: Path) -> None:
    layout = SqlLayout(f"sqlite:///{bank}", query="SELECT *, ':at' AS c FROM payments", window="at", window_format="epoch_s")
    rows = rows_of(connector(layout).pages(ONE))
    assert [row["n"] for row in rows] == [str(n) for n in range(24)]
    assert rows[0]["c"] == ":at"


BRANCH = """\
tables:
  transactions:
    sql:
      url: sqlite:///branch.db
      table: payments
      window: WINDOW
    columns:
      transaction_id: id
      event_time: {from: at, zone: Europe/Vienna}
      amount: {constant: "1"}
      merchant_id: {constant: m1}
      customer_id: {constant: c1}
      currency: {constant: EUR}
"""


@pytest.mark.parametrize("window", ['{column: booked_on, format: "%Y-%m-%d"}', "{column: booked_on}"])
def test_the_day_of_a_branch_is_not_the_day_in_utc(tmp_path: Path, window: str) -> None:
    (tmp_path / "source.yaml").write_text(BRANCH.replace("WINDOW", window))
    rows = [("noon", "2026-07-01 12:00:00"), ("after midnight", "2026-07-02 00:30:00"), ("next", "2026-07-02 02:00:00")]
    with closing(sqlite3.connect(tmp_path / "branch.db")) as connection, connection:
        connection.execute("CREATE TABLE payments (id TEXT, at TEXT, booked_on TEXT)")
        connection.executemany("INSERT INTO payments VALUES (?, ?, ?)", [(name, at, at[:10]) for name, at in rows])
    with MappedSource.of(tmp_path / "source.yaml") as source:
        loaded = {
            day: source.fetch(TRANSACTIONS, Span.days(day, day)).rows.column("transaction_id").to_pylist()
            for day in (dt.date(2026, 7, 1), dt.date(2026, 7, 2))
        }
    assert [*loaded.values()] == [["noon", "after midnight"], ["next"]]


@pytest.mark.parametrize(("spill", "found"), [("", ["noon", "after midnight"]), (", spill_days: 0", ["noon"])])
def test_days_are_read_whole_also_for_a_part_of_a_day(tmp_path: Path, spill: str, found: list[str]) -> None:
    (tmp_path / "source.yaml").write_text(BRANCH.replace("WINDOW", f"{{column: booked_on{spill}}}"))
    rows = [("noon", "2026-07-01 12:00:00"), ("after midnight", "2026-07-02 00:30:00")]
    with closing(sqlite3.connect(tmp_path / "branch.db")) as connection, connection:
        connection.execute("CREATE TABLE payments (id TEXT, at TEXT, booked_on TEXT)")
        connection.executemany("INSERT INTO payments VALUES (?, ?, ?)", [(name, at, at[:10]) for name, at in rows])
    part = Span(dt.datetime(2026, 7, 1, 9, tzinfo=dt.UTC), dt.datetime(2026, 7, 1, 23, tzinfo=dt.UTC))
    with MappedSource.of(tmp_path / "source.yaml") as source:
        read = rows_of(source.connector("transactions").pages(part))
    assert [row["id"] for row in read] == found


def test_arrivals_after_a_killed_page(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "PAGE_ROWS", 10)
    made = connector(SqlLayout(f"sqlite:///{bank}", "payments", cursor="n"))
    page, cursor = next(iter(made.arrivals(None)))
    rest = rows_of(page for page, _ in made.arrivals(cursor))
    assert [row["n"] for row in [*page.rows.to_pylist(), *rest]] == [str(n) for n in range(48)]


@pytest.mark.parametrize(
    ("layout", "parts"),
    [
        ({"table": "paymnts"}, ["paymnts", "table"]),
        ({"query": "SELECT FROM"}, ["query"]),
        ({"table": "payments", "cursor": "nn"}, ["nn"]),
        ({"table": "payments", "window": "whenever"}, ["whenever", "amt"]),
    ],
)
def test_errors_say_what_to_change(bank: Path, layout: dict[str, str], parts: list[str]) -> None:
    with pytest.raises(SourceError) as error:
        [*connector(SqlLayout(f"sqlite:///{bank}", **layout)).pages(ONE)]
    assert all(part in str(error.value) for part in parts), error.value


def test_a_table_without_a_cursor_cannot_be_watched(bank: Path) -> None:
    with pytest.raises(SourceError, match="cursor"):
        next(iter(connector(SqlLayout(f"sqlite:///{bank}", "payments")).arrivals(None)))


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        (f"url: 'postgresql://me:{PASSWORD}@h/b', table: t", "password"),
        (f"url: postgresql://me@h/b, table: t, password: '{PASSWORD}'", "environment variable"),
        ("url: postgresql://me@h/b", "one of table and query"),
        ("url: postgresql://me@h/b, table: t, window: {column: at, format: day}", "format"),
    ],
)
def test_mistakes_of_the_source_file_show_no_password(tmp_path: Path, spec: str, part: str) -> None:
    columns = "{transaction_id: id, event_time: at, amount: amount, merchant_id: m, customer_id: c}"
    (tmp_path / "source.yaml").write_text(f"tables:\n  transactions:\n    sql: {{{spec}}}\n    columns: {columns}\n")
    with pytest.raises(SourceFileError) as error:
        read_source_file(tmp_path / "source.yaml")
    assert part in str(error.value) and "s3cret" not in str(error.value)


@pytest.mark.parametrize("url", ["nonsense", f"mysql+nodriver://me:{PASSWORD}@h/b"])
def test_an_address_that_cannot_be_used_is_shown_without_its_password(url: str) -> None:
    with pytest.raises(SourceError) as error:
        [*connector(SqlLayout(url, "t")).pages()]
    assert "s3cret" not in str(error.value)


SOURCE = """\
tables:
  transactions:
    sql:
      url: postgresql+psycopg://{user}@127.0.0.1:{port}/postgres
      password: DB_PASSWORD
      query: |
        SELECT p.*, m.name::text AS merchant FROM payments p JOIN merchants m ON m.id = p.merchant_id
      window: {{column: created_at}}
      cursor: id
    columns:
      transaction_id: id
      event_time: created_at
      amount: amount
      currency: currency
      merchant_id: merchant_id
      merchant_name: merchant
      customer_id: account
      status: {{from: ok, values: {{true: approved, false: declined}}}}
    extra:
      note: {{from: info.note}}
"""
TABLES = """
CREATE TABLE merchants (id int PRIMARY KEY, name varchar(40));
CREATE TABLE payments (id bigserial PRIMARY KEY, created_at timestamptz, amount numeric(12,2), currency char(3),
    merchant_id int, account uuid, ok boolean, info jsonb);
INSERT INTO merchants VALUES (1, 'Ärzte, "Inc."');
INSERT INTO payments (created_at, amount, currency, merchant_id, account, ok, info)
    SELECT '2026-01-05 00:30+01'::timestamptz + n * interval '1 hour', n + 0.10, 'EUR', 1,
        '00000000-0000-0000-0000-000000000001', mod(n, 2) = 0, '{"note": "n"}' FROM generate_series(0, 29) n;
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, Any]]:
    with postgresql(PASSWORD) as url:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(TABLES)
        yield {"user": url.username, "port": url.port}


@pytest.mark.slow
def test_a_query_of_postgresql_loads(postgres: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "source.yaml").write_text(SOURCE.format(**postgres))
    lake = EmbeddedWarehouse(tmp_path / "lake")
    with MappedSource.of(tmp_path / "source.yaml", context=Context({"DB_PASSWORD": PASSWORD}.get)) as source:
        api = source.file.tables["transactions"].api
        load(api, source, lake, ONE, 0.0)
        arrivals = source.connector("transactions").arrivals(None)
        assert [page.rows.num_rows for page, _ in arrivals] == [30]
    rows = sorted(lake.read("fintech.transactions").to_pylist(), key=lambda row: int(row["transaction_id"]))
    # 00:30 in Berlin is of the day before in UTC
    assert [row["transaction_id"] for row in rows] == [str(n) for n in range(2, 26)]
    first = rows[0]
    assert (str(first["amount"]), first["event_time"], first["merchant_name"], first["status"], first["note"]) == (
        "1.10", dt.datetime(2026, 1, 5, 0, 30), 'Ärzte, "Inc."', "declined", "n",
    )  # fmt: skip


@pytest.mark.slow
def test_a_date_of_postgresql_is_the_day_of_a_branch(postgres: dict[str, Any], tmp_path: Path) -> None:
    query = "SELECT p.*, ''::text AS merchant, (created_at AT TIME ZONE 'Europe/Berlin')::date AS booked FROM payments p"
    source_file = SOURCE.format(**postgres).replace("column: created_at", "column: booked")
    start = source_file.index("        SELECT")
    (tmp_path / "source.yaml").write_text(
        source_file[:start] + f"        {query}\n" + source_file[source_file.index("      window") :]
    )
    with MappedSource.of(tmp_path / "source.yaml", context=Context({"DB_PASSWORD": PASSWORD}.get)) as source:
        days = [
            source.fetch(TRANSACTIONS, Span.days(day, day)).rows.column("transaction_id").to_pylist()
            for day in (DAY - dt.timedelta(days=1), DAY, DAY + dt.timedelta(days=1))
        ]
    # the first row is booked on 5 January, and happened at 23:30 UTC the day before
    assert [sorted(map(int, day)) for day in days] == [[1], [*range(2, 26)], [*range(26, 31)]]


@pytest.mark.slow
def test_a_wrong_password_is_a_clear_error(postgres: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "source.yaml").write_text(SOURCE.format(**postgres))
    with (
        MappedSource.of(tmp_path / "source.yaml", context=Context({"DB_PASSWORD": "wr0ng"}.get)) as source,
        pytest.raises(SourceError) as error,
    ):
        source.fetch(TRANSACTIONS, ONE)
    assert "password" in str(error.value) and "wr0ng" not in str(error.value)
