"""Replay of a labelled file: values, order, times of reports, invalid files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mock_sources import BadColumn, LabelledReplay, MissingColumns, MockSourceError, UnreadableFile, running

NOON = datetime(2018, 4, 1, 12)
ROWS: list[dict[str, Any]] = [
    # 9 and 10 have the same time, the file is unsorted, and amounts are rounded to cents
    {"id": 10, "at": NOON, "customer": 7, "terminal": 30, "amount": 57.155, "fraud": 0},
    {"id": 9, "at": NOON, "customer": 8, "terminal": 31, "amount": 1.0, "fraud": 1},
    {"id": 3, "at": NOON.replace(hour=11), "customer": 7, "terminal": 31, "amount": 220.009, "fraud": 0},
    {"id": 12, "at": NOON.replace(day=3, second=5), "customer": 9, "terminal": 30, "amount": 12.3, "fraud": 1},
]
NAMES = {
    "id": "transaction_id",
    "at": "tx_datetime",
    "customer": "customer_id",
    "terminal": "terminal_id",
    "amount": "tx_amount",
    "fraud": "tx_fraud",
}


def table(**changed: pa.Array | None) -> pa.Table:
    """The rows in the format of a labelled file, with a scenario; columns may be replaced or, by None, omitted."""
    columns = {name: pa.array([row[short] for row in ROWS]) for short, name in NAMES.items()}
    columns["tx_fraud_scenario"] = pa.array([99] * len(ROWS))
    return pa.table({name: column for name, column in (columns | changed).items() if column is not None})


def replay(folder: Path, **changed: pa.Array | None) -> LabelledReplay:
    path = folder / "labelled.parquet"
    pq.write_table(table(**changed), path)
    return LabelledReplay(path)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    with running(replay(tmp_path)) as url, httpx.Client(base_url=url) as client:
        yield client


def test_rows_are_sorted_and_missing_fields_are_null(client: httpx.Client) -> None:
    rows = client.get("/api/transactions").json()
    assert [row["transaction_id"] for row in rows] == ["3", "10", "9", "12"]
    place = {"name": None, "category": None, "city": None, "country": None, "latitude": None, "longitude": None}
    assert rows[0] == {
        "transaction_id": "3",
        "date_time": "2018-04-01T11:00:00.000000Z",
        "amount": 220.01,
        "currency": None,
        "merchant_details": {"merchant_id": "31", **place},
        "customer_id": "7",
        "transaction_type": None,
        "channel": None,
        "status": None,
        "ingested_at": None,
    }


def test_the_scenario_is_never_served(client: httpx.Client) -> None:
    for path in ("/api/transactions", "/api/customers", "/api/externalData", "/labels"):
        assert "scenario" not in client.get(path).text
        assert "99" not in client.get(path).text


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_add_up_to_a_single_page_across_equal_times(client: httpx.Client, limit: int) -> None:
    page = client.get("/api/transactions", params={"limit": limit})
    rows = page.json()
    while "next" in page.links:
        page = client.get(page.links["next"]["url"])
        rows += page.json()
    assert rows == client.get("/api/transactions").json()


def test_the_window_and_as_of_restrict_the_event_time(client: httpx.Client) -> None:
    def ids(**asked: str) -> list[str]:
        return [row["transaction_id"] for row in client.get("/api/transactions", params=asked).json()]

    assert ids(since="2018-04-01T12:00:00Z", until="2018-04-03T00:00:05Z") == ["10", "9"]
    assert ids(as_of="2018-04-01T11:59:59Z") == ["3"]
    assert ids(as_of="2018-04-01T12:00:00Z") == ["3", "10", "9"]
    assert ids(since="2018-04-03T12:00:06Z") == []


def test_a_fraud_is_reported_seven_days_later_to_the_second(client: httpx.Client) -> None:
    def reports(**asked: str) -> list[dict[str, Any]]:
        body: dict[str, list[dict[str, Any]]] = client.get("/api/externalData", params=asked).json()
        assert body["blacklist_info"] == body["credit_scores"] == []
        return body["fraud_reports"]

    assert reports(as_of="2018-04-08T11:59:59.999999Z") == []
    [report] = reports(as_of="2018-04-08T12:00:00Z")
    assert report == {
        "report_id": "report-9",
        "reported_at": "2018-04-08T12:00:00.000000Z",
        "customer_id": "8",
        "merchant_id": "31",
        "transaction_id": "9",
        "kind": None,
    }
    assert [row["report_id"] for row in reports()] == ["report-9", "report-12"]
    assert [row["report_id"] for row in reports(since="2018-04-08T12:00:00.000001Z")] == ["report-12"]
    assert [row["report_id"] for row in reports(until="2018-04-10T12:00:05Z")] == ["report-9"]


def test_customers_are_known_from_their_first_transaction(client: httpx.Client) -> None:
    def ids(as_of: str) -> list[str]:
        return [row["customer_id"] for row in client.get("/api/customers", params={"as_of": as_of}).json()]

    assert ids("2018-04-01T10:00:00Z") == []
    assert ids("2018-04-01T11:00:00Z") == ["7"]
    assert ids("2018-04-02") == ["7", "8"]
    assert ids("2018-04-04") == ["7", "8", "9"]
    one = client.get("/api/customers", params={"limit": 1}).json()[0]
    assert {value for group in list(one.values())[1:] for value in group.values()} == {None}


def test_labels_are_the_frauds(client: httpx.Client) -> None:
    assert client.get("/labels").json() == [
        {"transaction_id": "9", "date_time": "2018-04-01T12:00:00.000000Z", "kind": None, "incident": None},
        {"transaction_id": "12", "date_time": "2018-04-03T12:00:05.000000Z", "kind": None, "incident": None},
    ]
    assert [row["transaction_id"] for row in client.get("/labels", params={"since": "2018-04-02"}).json()] == ["12"]


def test_a_time_with_a_zone_is_converted_to_utc(tmp_path: Path) -> None:
    times = pa.array([row["at"].replace(tzinfo=UTC) for row in ROWS]).cast(pa.timestamp("ns", "America/New_York"))
    with running(replay(tmp_path, tx_datetime=times)) as url:
        assert httpx.get(f"{url}/api/transactions").json()[0]["date_time"] == "2018-04-01T11:00:00.000000Z"


def test_a_file_without_rows_is_an_empty_world(tmp_path: Path) -> None:
    path = tmp_path / "empty.parquet"
    pq.write_table(table().slice(0, 0), path)
    with running(LabelledReplay(path)) as url:
        assert httpx.get(f"{url}/api/transactions").json() == []
        assert httpx.get(f"{url}/api/customers").json() == []
        assert httpx.get(f"{url}/api/externalData").json()["fraud_reports"] == []


def test_missing_and_expected_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingColumns, match=r"lacks tx_amount, tx_fraud: .*transaction_id, tx_datetime"):
        replay(tmp_path, tx_amount=None, tx_fraud=None)


def test_a_missing_or_unreadable_file_is_an_error(tmp_path: Path) -> None:
    text = tmp_path / "text.parquet"
    text.write_text("transaction_id;tx_datetime\n1;2018-04-01\n" * 10)
    empty = tmp_path / "nothing.parquet"
    empty.touch()
    pq.write_table(table(), whole := tmp_path / "whole.parquet")
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-20])
    for path in (text, empty, cut, tmp_path / "absent.parquet", tmp_path):
        with pytest.raises(UnreadableFile, match="give a Parquet file") as error:
            LabelledReplay(path)
        assert isinstance(error.value, MockSourceError) and str(path) in str(error.value)


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("tx_datetime", pa.array(["2018-04-01"] * 4), "type string"),
        ("customer_id", pa.array([1, None, 2, 3]), "1 nulls"),
        ("tx_amount", pa.array([1.0, float("nan"), 2.0, 3.0]), "1 values that are not finite numbers"),
        ("transaction_id", pa.array([1.5, 2.0, 3.0, 4.0]), "type double"),
    ],
)
def test_an_unusable_column_is_an_error(tmp_path: Path, column: str, values: pa.Array, problem: str) -> None:
    with pytest.raises(BadColumn, match=rf"{column} .*{problem}"):
        replay(tmp_path, **{column: values})
