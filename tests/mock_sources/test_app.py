"""The HTTP contract, over a real server: paging, cursors, as_of, invalid requests, faults of whole responses."""

from __future__ import annotations

import gc
import json
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import pairwise
from threading import active_count

import httpx
import pytest
from flask import Flask

from mock_sources import BadConfiguration, BadParameter, HttpFaults, World, create_app, cursors, running, timestamps
from mock_sources.serving import serving

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WEEK = {"since": "2026-02-01", "until": "2026-02-08"}


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=3, customers=60, merchants=60, fraud_rate=0.02)


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[httpx.Client]:
    with running(world, now=lambda: NOW) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def followed(client: httpx.Client, path: str, **parameters: str | int) -> list[httpx.Response]:
    """All pages, following the Link header."""
    pages = [client.get(path, params=parameters)]
    while (following := pages[-1].links.get("next")) is not None:
        pages.append(client.get(following["url"]))
    return pages


def test_a_transaction_has_the_fields_of_the_contract(client: httpx.Client) -> None:
    answer = client.get("/api/transactions", params={**WEEK, "limit": 1})
    assert answer.headers["Content-Type"] == "application/json"
    [row] = answer.json()
    assert list(row) == [
        "transaction_id", "date_time", "amount", "currency", "merchant_details", "customer_id", "transaction_type",
        "channel", "status", "ingested_at",
    ]  # fmt: skip
    assert list(row["merchant_details"]) == [
        "merchant_id", "name", "category", "city", "country", "latitude", "longitude",
    ]  # fmt: skip
    assert row["date_time"].startswith("2026-02-01T") and row["date_time"].endswith("Z")
    assert isinstance(row["amount"], float)


def test_a_customer_has_the_fields_of_the_contract(client: httpx.Client) -> None:
    row = client.get("/api/customers", params={"limit": 1}).json()[0]
    assert {name: list(value) for name, value in row.items() if name != "customer_id"} == {
        "account_history": ["opened_at", "status"],
        "demographics": ["name", "email", "date_of_birth", "city", "country", "latitude", "longitude"],
        "behavioral_patterns": ["home_currency", "usual_countries", "usual_channels", "transactions_per_week"],
    }


def test_external_data_has_the_fields_of_the_contract(client: httpx.Client) -> None:
    # a day on which some merchant is listed
    body = client.get("/api/externalData", params={"as_of": "2025-11-15", "limit": 50_000}).json()
    assert {name: list(rows[0]) for name, rows in body.items()} == {
        "blacklist_info": ["merchant_id", "name", "reason", "listed_at"],
        "credit_scores": ["customer_id", "score", "scored_at"],
        "fraud_reports": ["report_id", "reported_at", "customer_id", "merchant_id", "transaction_id", "kind"],
    }


@pytest.mark.parametrize("limit", [37, 500])
def test_pages_of_transactions_add_up_to_a_single_page(client: httpx.Client, limit: int) -> None:
    whole = client.get("/api/transactions", params={**WEEK, "limit": 50_000})
    pages = followed(client, "/api/transactions", **WEEK, limit=limit)
    assert len(whole.json()) > 1_000
    assert "Link" not in whole.headers
    assert [row for page in pages for row in page.json()] == whole.json()
    assert {len(page.json()) for page in pages[:-1]} == {limit}
    assert pages[-1].headers["X-Cursor"] == whole.headers["X-Cursor"]


def test_pages_of_customers_add_up_to_a_single_page(client: httpx.Client) -> None:
    whole = client.get("/api/customers").json()
    pages = followed(client, "/api/customers", limit=7)
    assert [row for page in pages for row in page.json()] == whole
    assert [row["customer_id"] for row in whole] == sorted(row["customer_id"] for row in whole)


@pytest.mark.parametrize("fields", [None, "fraud_reports,credit_scores"])
def test_pages_of_external_data_add_up_to_a_single_page(client: httpx.Client, fields: str | None) -> None:
    asked = {"since": "2026-01-01"} | ({"fields": fields} if fields else {})
    whole = client.get("/api/externalData", params={**asked, "limit": 50_000}).json()
    pages = [page.json() for page in followed(client, "/api/externalData", **asked, limit=13)]
    names = ["blacklist_info", "credit_scores", "fraud_reports"][bool(fields) :]
    assert all(list(page) == names for page in [whole, *pages])
    assert {name: [row for page in pages for row in page[name]] for name in names} == whole
    assert {sum(len(rows) for rows in page.values()) for page in pages[:-1]} == {13}


def test_the_window_starts_at_since_and_ends_before_until(client: httpx.Client) -> None:
    rows = client.get("/api/transactions", params=WEEK).json()
    first, second = sorted(row["date_time"] for row in rows)[:2]
    between = client.get("/api/transactions", params={"since": first, "until": second}).json()
    assert [row["date_time"] for row in between] == [first]


@pytest.mark.parametrize("since", ["2026-02-01T02:00:00+02:00", "2026-02-01T00:00", "2026-02-01T00:00:00Z"])
def test_times_with_and_without_a_zone_are_accepted(client: httpx.Client, since: str) -> None:
    assert (
        client.get("/api/transactions", params={**WEEK, "since": since}).content
        == client.get("/api/transactions", params=WEEK).content
    )


def test_an_unescaped_plus_is_accepted(client: httpx.Client) -> None:
    answer = client.get("/api/customers?as_of=2026-02-01T02:00:00+02:00")
    assert answer.headers["X-As-Of"] == "2026-02-01T00:00:00.000000Z"


def test_rows_come_in_the_order_of_arrival(client: httpx.Client) -> None:
    rows = client.get("/api/transactions", params={**WEEK, "limit": 50_000}).json()
    order = [(row["ingested_at"], row["transaction_id"]) for row in rows]
    assert order == sorted(order)


def test_polling_by_cursor_returns_each_arrival_once(client: httpx.Client) -> None:
    path = "/api/transactions"
    start = client.get(path, params={"since": "2026-02-03", "as_of": "2026-02-03T06:00:00Z"}).headers["X-Cursor"]
    seen = []
    cursor = start
    for hour in range(7, 13):
        answer = client.get(path, params={"after": cursor, "as_of": f"2026-02-03T{hour:02}:00:00Z"})
        cursor = answer.headers.get("X-Cursor", cursor)
        seen += answer.json()
    at_once = client.get(path, params={"after": start, "as_of": "2026-02-03T12:00:00Z"}).json()
    assert seen == at_once
    assert all("2026-02-03T05:59" < row["ingested_at"] <= "2026-02-03T12:00:00Z" for row in seen)
    nothing = client.get(path, params={"after": cursor, "as_of": "2026-02-03T12:00:00Z"})
    assert nothing.json() == [] and "X-Cursor" not in nothing.headers


def test_every_response_has_its_as_of(client: httpx.Client) -> None:
    for path in ("/api/transactions", "/api/customers", "/api/externalData", "/labels"):
        assert client.get(path).headers["X-As-Of"] == "2026-03-01T00:00:00.000000Z"
    asked = client.get("/api/customers", params={"as_of": "2020-05-06"})
    assert asked.headers["X-As-Of"] == "2020-05-06T00:00:00.000000Z"


def test_paging_keeps_the_as_of_of_the_first_page(world: World) -> None:
    moments = iter([datetime(2026, 2, 1, 12), datetime(2026, 2, 1, 13), datetime(2026, 2, 1, 14)])
    client = create_app(world, now=lambda: next(moments)).test_client()
    first = client.get("/api/transactions?since=2026-02-01&limit=40")
    following = first.headers["Link"].removeprefix("<").split(">")[0]
    assert client.get(following).headers["X-As-Of"] == "2026-02-01T12:00:00.000000Z"


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("/api/transactions?since=yesterday", "since"),
        ("/api/transactions?until=", "until"),
        ("/api/customers?as_of=2026-13-01", "as_of"),
        ("/api/customers?as_of=0001-01-01T00:00:00%2B23:00", "as_of"),
        ("/api/transactions?since=2026-02-02&until=2026-02-01", "since"),
        ("/api/transactions?limit=0", "limit"),
        ("/api/transactions?limit=50001", "limit"),
        ("/api/transactions?limit=1e3", "limit"),
        ("/api/transactions?limit=1&limit=2", "limit"),
        ("/api/transactions?after=nonsense", "after"),
        ("/api/customers?after=%C3%A9", "after"),
        ("/api/customers?since=2026-01-01", "since"),
        ("/api/externalData?fields=names", "fields"),
        ("/labels?as_of=2026-01-01", "as_of"),
    ],
)
def test_an_invalid_parameter_is_named(client: httpx.Client, question: str, names: str) -> None:
    answer = client.get(question)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert names in answer.json()["error"]
    assert ": " in answer.json()["error"], "the problem, then what to do"


def test_a_cursor_of_another_endpoint_is_rejected(client: httpx.Client) -> None:
    cursor = client.get("/api/customers").headers["X-Cursor"]
    assert client.get("/api/transactions", params={"after": cursor}).status_code == 400
    assert client.get("/api/externalData", params={"after": cursor}).status_code == 400


def test_a_cursor_of_another_source_is_rejected(client: httpx.Client) -> None:
    cursor = cursors.encode("/api/transactions", (timestamps.from_datetime(NOW) - timestamps.DAY, "1234", 0))
    answer = client.get("/api/transactions", params={"after": cursor})
    assert (answer.status_code, "another source" in answer.json()["error"]) == (400, True)


def test_unknown_paths_and_methods_are_answered_with_json(client: httpx.Client) -> None:
    assert (client.get("/api/nothing").status_code, list(client.get("/api/nothing").json())) == (404, ["error"])
    assert client.post("/api/customers").status_code == 405


def test_the_index_names_every_endpoint(client: httpx.Client) -> None:
    page = client.get("/").text
    assert all(path in page for path in ("/api/transactions", "/api/customers", "/api/externalData", "/labels"))


def test_the_server_stops_when_the_block_ends(world: World) -> None:
    threads = active_count()
    with running(world) as url, httpx.Client() as kept_alive:
        assert url.startswith("http://127.0.0.1:")
        kept_alive.get(url)
    assert active_count() == threads
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_very_long_answer_that_is_not_read_leaves_no_file_open() -> None:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: b"x" * (80 * 2**20))
    with warnings.catch_warnings(record=True, action="always", category=ResourceWarning) as found, socket.socket() as client:
        with serving(app) as url:
            client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            client.recv(1)
        gc.collect()
    assert not [str(warning.message) for warning in found]


def test_serving_in_the_foreground_ends_with_an_interrupt() -> None:
    # children of a background job ignore SIGINT by default, and the tests may run in one
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import mock_sources as m; "
    program += "m.serve(m.World(customers=5), ready=lambda url: print(url, flush=True))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        answer = httpx.get(process.stdout.readline().strip() + "/api/customers", params={"as_of": "2026-01-01"})
        process.send_signal(signal.SIGINT)
        assert (len(answer.json()), process.wait(timeout=10)) == (answer.text.count("opened_at"), 0)


def test_a_port_in_use_is_an_error(client: httpx.Client, world: World) -> None:
    port = client.base_url.port or 0
    with pytest.raises(BadConfiguration, match=rf"127\.0\.0\.1:{port} .*choose another"), running(world, port=port):
        pass


def test_only_cursors_decode_and_they_round_trip() -> None:
    key = (2**53, "id|with, signs é", 1)
    assert cursors.decode("/x", cursors.encode("/x", key)) == key
    for broken in ("", "a", "bnVsbA", cursors.encode("/x", key)[:-3], "W10", "WyIveCIsdHJ1ZV0"):
        with pytest.raises(BadParameter):
            cursors.decode("/x", broken)


def test_responses_fail_at_the_configured_rates(world: World) -> None:
    faults = HttpFaults(errors=0.3, cut=0.3, slow=0.2, seconds=0.001)
    outcomes = []
    with running(world, now=lambda: NOW, http_faults=faults) as url, httpx.Client(base_url=url) as client:
        for _ in range(100):
            try:
                outcomes.append(client.get("/api/customers").status_code)
            except httpx.RemoteProtocolError:
                outcomes.append(0)
        assert client.get("/labels").status_code == 200
    assert 20 <= outcomes.count(500) <= 40
    assert 10 <= outcomes.count(0) <= 35
    assert 35 <= outcomes.count(200) <= 65


def test_a_throttled_response_has_retry_after_in_seconds_or_as_a_date(world: World) -> None:
    faults = HttpFaults(throttled=0.5, retry_after=30)
    waits = []
    with running(world, now=lambda: NOW, http_faults=faults) as url, httpx.Client(base_url=url) as client:
        for _ in range(60):
            if (answer := client.get("/api/customers", params={"limit": 1})).status_code == 429:
                waits.append(answer.headers["Retry-After"])
                if waits[-1] != "30":
                    wait = parsedate_to_datetime(waits[-1]) - parsedate_to_datetime(answer.headers["Date"])
                    assert timedelta(seconds=29) <= wait <= timedelta(seconds=32)
            else:
                assert answer.status_code == 200 and len(answer.json()) == 1
    assert 20 <= len(waits) <= 40
    assert 0 < waits.count("30") < len(waits)


@pytest.mark.parametrize(
    ("path", "asked", "limit"),
    [("/api/transactions", WEEK, 20), ("/api/customers", {}, 3), ("/api/externalData", WEEK, 3)],
)
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_pages_repeat_or_overlap_and_paging_ends_with_every_row(
    world: World, client: httpx.Client, path: str, asked: dict[str, str], limit: int, share: float
) -> None:
    plain = [page.content for page in followed(client, path, **asked, limit=limit)]
    with (
        running(world, now=lambda: NOW, http_faults=HttpFaults(repeated=share)) as url,
        httpx.Client(base_url=url, timeout=30) as faulty,
    ):
        pages = followed(faulty, path, **asked, limit=limit)
    rows = [rows_of(page.content) for page in pages]
    assert merged(rows) == [row for page in plain for row in rows_of(page)]
    again = [(before, page) for before, page in pairwise(rows) if page[0] == before[0]]
    kinds = {page == before for before, page in again}
    assert kinds == {True, False} and all(page[: len(before)] == before for before, page in again)
    assert {page.headers["X-As-Of"] for page in pages} == {"2026-03-01T00:00:00.000000Z"}
    assert max(map(len, rows)) <= limit * 3 // 2, "overlaps do not grow"
    if share == 1.0:
        assert len(again) == len(pages) // 2


def rows_of(body: bytes) -> list[str]:
    """The rows of a page, each as text, prefixed with its list."""
    content = json.loads(body)
    lists = content.items() if isinstance(content, dict) else [("", content)]
    return [name + json.dumps(row) for name, rows in lists for row in rows]


def merged(pages: list[list[str]]) -> list[str]:
    """All rows in order, each once."""
    return list(dict.fromkeys(row for page in pages for row in page))


def test_an_invalid_request_is_rejected_with_faults_too(world: World) -> None:
    with running(world, http_faults=HttpFaults(repeated=1.0)) as url, httpx.Client(base_url=url) as client:
        for question in ("limit=many", "limit=1&limit=2", "fields=customers"):
            assert client.get(f"/api/customers?{question}").status_code == 400


@pytest.mark.parametrize(
    "faults",
    [
        {"errors": 1.5}, {"cut": -0.1}, {"throttled": float("nan")}, {"repeated": 2}, {"slow": -1}, {"seconds": -1},
        {"retry_after": -1},
    ],
)  # fmt: skip
def test_invalid_http_faults_are_an_error(faults: dict[str, float]) -> None:
    ((name, value),) = faults.items()
    with pytest.raises(BadConfiguration, match=f"^{name} is {value}: give "):
        HttpFaults(**faults)  # type: ignore[arg-type]
