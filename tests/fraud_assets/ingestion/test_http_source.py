"""The HTTP client over real HTTP: paging, retries, time-outs, and the facts in its errors."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from flask import Flask, Response, request

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.http_source import Limits, SourceClient
from fraud_assets.ingestion.validate import validate
from fraud_assets.schemas.sources import TRANSACTIONS
from hive_io import Span
from mock_sources.serving import serving
from tests.fraud_fixtures import DAY, SPAN, served

MIDNIGHT = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
LINK = '<{}>; rel="next"'


@contextmanager
def source(
    answer: Callable[[str], Any],
    *,
    attempts: int = 2,
    timeout: float = 5.0,
    limits: Limits | None = None,
    page_size: int = 20_000,
    longest_wait: float = 60.0,
) -> Iterator[tuple[SourceClient, list[str]]]:
    """A client of a server that returns `answer(path)` for every path, and the list of requested URLs."""
    app = Flask("test")
    asked: list[str] = []

    @app.get("/", defaults={"path": ""})
    @app.get("/<path:path>")
    def anything(path: str) -> Any:
        asked.append(request.full_path)
        return answer(f"/{path}")

    options: dict[str, Any] = {"limits": limits or Limits(timeout), "backoff": 0.01, "longest_wait": longest_wait}
    with serving(app) as url, SourceClient(url, attempts=attempts, page_size=page_size, **options) as client:
        yield client, asked


def answer_json(value: Any, **headers: str) -> Response:
    text = value if isinstance(value, (str, bytes)) else json.dumps(value)
    return Response(text, mimetype="application/json", headers={name.replace("_", "-"): v for name, v in headers.items()})


def read(client: SourceClient) -> list[list[Any]]:
    return list(client.transactions(SPAN))


def message(error: pytest.ExceptionInfo[SourceError]) -> str:
    text = str(error.value)
    # the query of a URL may be secret
    assert "since=" not in text and "limit=" not in text and "as_of=" not in text
    return text


# --- requests -----------------------------------------------------------------------------------------------------------


def test_each_kind_of_row_is_requested_at_its_path() -> None:
    def answer(path: str) -> Response:
        fields = request.args.get("fields")
        as_of = request.args.get("as_of", "")
        rows: Any = [{"path": path}]
        return answer_json({fields: rows, "other": 5} if fields else rows, X_As_Of=as_of)

    with source(answer, page_size=7) as (client, asked):
        assert read(client) == [[{"path": "/api/transactions"}]]
        assert list(client.customers(MIDNIGHT)) == [[{"path": "/api/customers"}]]
        assert list(client.external_snapshot("blacklist_info", MIDNIGHT)) == [[{"path": "/api/externalData"}]]
        assert list(client.fraud_reports(SPAN)) == [[{"path": "/api/externalData"}]]
        assert client.labels(SPAN) == [{"path": "/labels"}]
    since = "since=2026-01-05T00%3A00%3A00Z&until=2026-01-06T00%3A00%3A00Z"
    assert asked == [
        f"/api/transactions?{since}&limit=7",
        "/api/customers?as_of=2026-01-05T00%3A00%3A00Z&limit=7",
        "/api/externalData?as_of=2026-01-05T00%3A00%3A00Z&fields=blacklist_info&limit=7",
        f"/api/externalData?{since}&fields=fraud_reports&limit=7",
        f"/labels?{since}",
    ]


def test_a_span_of_fractions_of_a_second_is_requested() -> None:
    start = dt.datetime(2026, 1, 5, 1, 30, 0, 250_000, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    with source(lambda _: answer_json([])) as (client, asked):
        assert list(client.transactions(Span(start, start + dt.timedelta(seconds=5)))) == [[]]
    assert "since=2026-01-05T00%3A30%3A00.250000Z&until=2026-01-05T00%3A30%3A05.250000Z" in asked[0]


# --- paging -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("absolute", [True, False])
def test_pages_are_read_in_order_by_the_link_header(absolute: bool) -> None:
    def answer(path: str) -> Response:
        number = int(request.args.get("page", 1))
        base = request.host_url.rstrip("/") if absolute else ""
        following = {"Link": f'<{base}/api/transactions?page={number + 1}&token=a%2Fb>; rel="next", <x>; rel="first"'}
        return Response(json.dumps([{"page": number}]), headers=following if number < 4 else {})

    with source(answer) as (client, asked):
        assert read(client) == [[{"page": n}] for n in (1, 2, 3, 4)]
    assert asked[1:] == [f"/api/transactions?page={n}&token=a%2Fb" for n in (2, 3, 4)]


@pytest.mark.parametrize("following", ["?since=secret", "/api/transactions?since=2026-01-05T00%3A00%3A00Z"])
def test_a_loop_in_paging_ends(following: str) -> None:
    with (
        source(lambda _: answer_json([], Link=LINK.format(following))) as (client, asked),
        pytest.raises(SourceError) as error,
    ):
        read(client)
    assert "/api/transactions" in message(error) and "twice" in message(error)
    assert len(asked) <= 3


@pytest.mark.parametrize(
    "elsewhere", ["http://example.org/api?since=1", "//example.org/x?since=1", "https://127.0.0.1/x", "http://127.0.0.1:1/x"]
)
def test_a_next_page_on_another_server_is_not_requested(elsewhere: str) -> None:
    with (
        source(lambda _: answer_json([], Link=LINK.format(elsewhere))) as (client, asked),
        pytest.raises(SourceError, match=r"/api/transactions .*another server") as error,
    ):
        read(client)
    assert "?" not in message(error) and httpx.URL(elsewhere).host in message(error)
    assert len(asked) == 1


@pytest.mark.parametrize("nowhere", ["http://[::1/x?since=1", "http://host:port/x"])
def test_a_next_page_that_is_no_url_is_an_error(nowhere: str) -> None:
    with (
        source(lambda _: answer_json([], Link=LINK.format(nowhere))) as (client, _),
        pytest.raises(SourceError, match=re.escape(nowhere.partition("?")[0])) as error,
    ):
        read(client)
    message(error)


def test_the_base_url_may_be_written_in_other_ways() -> None:
    app = Flask("test")
    app.get("/v1/api/transactions")(
        lambda: answer_json([2]) if "page" in request.args else answer_json([1], Link=LINK.format("transactions?page=2"))
    )
    with serving(app) as url:
        port = url.rpartition(":")[2]
        for base in (f"{url}/v1", f"{url}/v1/", f"HTTP://LOCALHOST:{port}/v1", f"http://user:word@127.0.0.1:{port}/v1"):
            with SourceClient(base, attempts=1) as client:
                assert read(client) == [[1], [2]]


def _paged(pages: dict[str, list[Any]], order: list[str]) -> Callable[[str], Response]:
    """Answers these pages in this order, each at a URL of its own."""

    def answer(_: str) -> Response:
        place = int(request.args.get("page", 0))
        following = {"Link": LINK.format(f"?page={place + 1}"), "X-Cursor": f"cursor {place}"}
        return answer_json(pages[order[place]], **(following if place + 1 < len(order) else {"X-Cursor": "the last"}))

    return answer


_PAGES: dict[str, list[Any]] = {
    "a": [{"id": 1}, {"id": 2, "amount": 5}, {"id": 3}],
    "end of a, b": [{"id": 3}, {"id": 4}],
    "a, b": [{"id": 1}, {"id": 2, "amount": 5}, {"id": 3}, {"id": 4}],
    "b": [{"id": 4}],
    "new versions": [{"id": 2, "amount": 6}, {"id": 3, "amount": None}, {"id": 3.0}, {"id": True}, {"id": "3"}],
}


@pytest.mark.parametrize(
    ("order", "given"),
    [
        (["a", "a", "b"], [[0, 1, 2], [], [3]]),
        (["a", "a", "a", "a", "b"], [[0, 1, 2], [], [], [], [3]]),
        (["a", "end of a, b"], [[0, 1, 2], [3]]),
        (["a", "a, b"], [[0, 1, 2], [3]]),
        (["a", "a, b", "b"], [[0, 1, 2], [3], []]),
        (["b", "a, b"], [[3], [0, 1, 2]]),
    ],
)
def test_rows_of_the_previous_page_are_yielded_once(order: list[str], given: list[list[int]]) -> None:
    rows = _PAGES["a, b"]
    with source(_paged(_PAGES, order)) as (client, asked):
        assert read(client) == [[rows[place] for place in page] for page in given]
    assert len(asked) == len(order)


def test_another_version_of_a_row_is_yielded_whatever_differs() -> None:
    with source(_paged(_PAGES, ["a", "new versions"])) as (client, _):
        assert read(client) == [_PAGES["a"], _PAGES["new versions"]]


def test_repeats_within_a_page_are_yielded() -> None:
    with source(_paged({"twice": [{"id": 1}, {"id": 1}], "b": [{"id": 2}]}, ["twice", "b"])) as (client, _):
        assert read(client) == [[{"id": 1}, {"id": 1}], [{"id": 2}]]


def test_a_repeated_page_of_arrivals_is_skipped_and_the_cursor_is_that_of_the_new_rows() -> None:
    with source(_paged(_PAGES, ["a", "a", "a, b"])) as (client, _):
        assert list(client.arrivals(None, MIDNIGHT)) == [(_PAGES["a"], "cursor 0"), (_PAGES["b"], "the last")]


def test_repeated_odd_values_are_recognized() -> None:
    odd = ["lone \ud800", 2**90, None, [{}, []], 1.5, "\u00e9", "e\u0301", -0.0]
    with source(_paged({"a": odd, "b": [*odd, 0.0, float("nan")]}, ["a", "b"])) as (client, _):
        first, second = read(client)
    assert first == odd
    assert repr(second) == "[0.0, nan]"


# --- failures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_busy_server_is_retried(status: int) -> None:
    answers = iter([Response("busy", status), Response("busy", status), answer_json([{"a": 1}])])
    with source(lambda _: next(answers), attempts=3) as (client, asked):
        assert read(client) == [[{"a": 1}]]
    assert len(asked) == 3
    assert len(set(asked)) == 1


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_stays_busy_fails(status: int) -> None:
    with source(lambda _: Response("no", status), attempts=2) as (client, asked), pytest.raises(SourceError) as error:
        read(client)
    assert re.search(rf"/api/transactions .*\b{status}\b.*\(2 ", message(error)), "path, status, attempts"
    assert "`fraud sources serve`" in str(error.value) and "FRAUD_SOURCE_URL" in str(error.value)
    assert len(asked) == 2


def _busy_until(until: dt.datetime, retry_after: str, status: int = 429, **headers: str) -> Callable[[str], Response]:
    """Answers a status and a Retry-After once; after that, 403 to requests before `until`."""
    first = iter([True])

    def answer(_: str) -> Response:
        if next(first, False):
            return Response("busy", status, headers={"Retry-After": retry_after, **headers})
        return answer_json([{"a": 1}]) if dt.datetime.now(dt.UTC) >= until else Response("too early", 403)

    return answer


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date", "date of another clock"])
def test_retry_after_is_respected(status: int, form: str) -> None:
    second = dt.timedelta(seconds=1)
    now = dt.datetime.now(dt.UTC)
    until = now + second
    # a date has whole seconds
    retry_after, headers = format_datetime(until.replace(microsecond=0), usegmt=True), {}
    if form == "seconds":
        retry_after = "1"
    elif form == "date":
        until = until.replace(microsecond=0)
    else:
        other = now.replace(microsecond=0) - dt.timedelta(days=3)
        retry_after = format_datetime(other + second, usegmt=True)
        headers = {"Date": format_datetime(other, usegmt=True)}
    with source(_busy_until(until, retry_after, status, **headers)) as (client, asked):
        assert read(client) == [[{"a": 1}]]
    assert len(asked) == 2


@pytest.mark.parametrize("retry_after", ["61", "9" * 5000, "Sat, 01 Jan 2050 00:00:00 GMT", "Sat, 01 Jan 2050 00:00:00 -0000"])
def test_a_retry_after_above_the_limit_fails_at_once(retry_after: str) -> None:
    busy = Response("busy", 429, headers={"Retry-After": retry_after})
    with source(lambda _: busy, attempts=3) as (client, asked), pytest.raises(SourceError) as error:
        read(client)
    assert re.search(r"/api/transactions .*\b429 Too Many Requests\b.*Retry-After of \S+ s .*\b60 s", message(error))
    assert len(asked) == 1


def test_the_limit_of_retry_after_can_be_set() -> None:
    busy = Response("busy", 429, headers={"Retry-After": "2"})
    with (
        source(lambda _: busy, longest_wait=1.5) as (client, _),
        pytest.raises(SourceError, match=r"Retry-After of 2 s .*\b2 s"),
    ):
        read(client)


@pytest.mark.parametrize(
    "retry_after", ["", "0", "soon", "-5", "1.5", "\u0661", "Sat, 01 Jan 2000 00:00:00 GMT", "Sat, 99 Jan 2050 00:00:00 GMT"]
)
def test_a_retry_after_that_is_past_or_unreadable_is_ignored(retry_after: str) -> None:
    answers = iter([Response("busy", 429, headers={"Retry-After": retry_after}), answer_json([1])])
    with source(lambda _: next(answers), longest_wait=0) as (client, asked):
        assert read(client) == [[1]]
    assert len(asked) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 301, 204])
def test_a_permanent_failure_is_not_retried(status: int) -> None:
    answer = Response("Jane Roe is not here" if status != 204 else None, status, headers={"Location": "/elsewhere"})
    with source(lambda _: answer, attempts=3) as (client, asked), pytest.raises(SourceError) as error:
        read(client)
    assert re.search(rf"/api/transactions .*\b{status}\b", message(error)) and "FRAUD_SOURCE_URL" in str(error.value)
    assert "Jane" not in str(error.value), "a body may hold personal data"
    assert len(asked) == 1


def test_a_page_that_fails_once_is_retried_and_its_rows_come_once() -> None:
    failures = {"2": 1, "3": 1}

    def answer(_: str) -> Response:
        page = request.args.get("page", "1")
        if failures.get(page):
            failures[page] -= 1
            return Response("later", 503)
        return answer_json([page], **({"Link": LINK.format(f"?page={int(page) + 1}")} if page != "3" else {}))

    with source(answer) as (client, asked):
        assert read(client) == [["1"], ["2"], ["3"]]
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("body", "tries"),
    [
        ("<html>Hello</html>", 1),
        ("\xff\xfe", 1),
        # truncated, with the length of the truncated body
        ("", 2),
        ("[1, 2", 2),
        ("[" * 5000, 2),
        ('[{"name": "Jane Roe"', 2),
        (' {"fraud_reports": [', 2),
    ],
)
def test_a_body_that_is_not_json_is_an_error_and_not_quoted(body: str, tries: int) -> None:
    with (
        source(lambda _: Response(body.encode("latin-1"), mimetype="application/json")) as (client, asked),
        pytest.raises(SourceError) as error,
    ):
        read(client)
    assert re.search(rf"/api/transactions .*\b{len(body)} bytes of application/json", message(error))
    assert "Jane" not in str(error.value) and "Hello" not in str(error.value)
    assert "FRAUD_SOURCE_URL" in str(error.value)
    assert len(str(error.value)) < 500
    assert len(asked) == tries


@pytest.mark.parametrize(("value", "kind"), [({}, "dict"), ("text", "str"), (None, "NoneType"), (5, "int")])
def test_json_of_another_shape_is_an_error(value: Any, kind: str) -> None:
    with source(lambda _: answer_json(json.dumps(value))) as (client, _):
        with pytest.raises(SourceError, match=f"/api/transactions .*{kind}.*array"):
            read(client)
        with pytest.raises(SourceError, match=r"/api/externalData .*fraud_reports"):
            list(client.fraud_reports(SPAN))


@pytest.mark.parametrize("value", [[], {"other": []}, {"fraud_reports": {}}, {"fraud_reports": None}])
def test_external_data_without_its_field_is_an_error(value: Any) -> None:
    with (
        source(lambda _: answer_json(value)) as (client, _),
        pytest.raises(SourceError, match=r"/api/externalData .*fraud_reports.*FRAUD_SOURCE_URL"),
    ):
        list(client.fraud_reports(SPAN))


def test_an_odd_row_does_not_fail_its_page() -> None:
    good = served("transactions")
    odd = [
        '{"transaction_id": 123456789012345678901234567890}',
        '{"transaction_id": 18446744073709551616}',
        '{"transaction_id": "lone \\ud800 surrogate"}',
        '{"transaction_id": %s}' % ("7" * 5000),
        '{"amount": 1e400}',
    ]
    body = "[" + ", ".join([*odd, json.dumps(good)]) + "]"
    with source(lambda _: answer_json(body)) as (client, _):
        [rows] = read(client)
    assert rows[-1] == good
    batch = validate(TRANSACTIONS, rows, SPAN)
    assert batch.rows.column("transaction_id").to_pylist() == ["t1"]
    payloads = batch.rejected.column("payload").to_pylist()
    assert payloads[:3] == odd[:3]
    assert "7" * 5000 in payloads[3]
    assert len(payloads) == 5


def test_a_number_of_64_bits_is_kept() -> None:
    with source(lambda _: answer_json("[18446744073709551615, -9223372036854775808, 0.1234567890123456789]")) as (client, _):
        assert read(client) == [[18446744073709551615, -9223372036854775808, 0.12345678901234568]]


def test_a_slow_server_fails_after_the_time_out() -> None:
    enough = threading.Event()

    def slow(_: str) -> Response:
        enough.wait(5)
        return answer_json([])

    with source(slow, attempts=1, timeout=0.2) as (client, _):
        started = time.monotonic()
        with pytest.raises(SourceError) as error:
            read(client)
        assert time.monotonic() - started < 3
        enough.set()
    assert "/api/transactions does not answer completely within 0.2 s" in message(error)


def test_a_closed_port_is_an_error() -> None:
    with serving(Flask("gone")) as url:
        pass
    with SourceClient(url, attempts=2, limits=Limits(1)) as client, pytest.raises(SourceError) as error:
        read(client)
    assert f"{url}/api/transactions does not answer: ConnectError" in message(error)
    assert "(2 " in str(error.value) and "`fraud sources serve`" in str(error.value)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"[1, 2", {"Content-Length": "500"}),
        (b"[1, 2", {"Content-Length": "6"}),
        (b"", {"Content-Length": "0"}),
        (b"\x00" + gzip.compress(b"[1, 2]"), {"Content-Encoding": "gzip"}),
    ],
    ids=["truncated", "truncated before its length was set", "truncated to nothing", "damaged"],
)
def test_a_truncated_or_damaged_body_is_retried(body: bytes, headers: dict[str, str]) -> None:
    answers = iter([Response(iter([body]), headers=headers), answer_json([1])])
    with source(lambda _: next(answers)) as (client, asked):
        assert read(client) == [[1]]
    assert len(asked) == 2


@pytest.mark.parametrize("base", ["http://[::1", "http://127.0.0.1:port"])
def test_a_base_that_is_no_url_is_an_error(base: str) -> None:
    with pytest.raises(SourceError, match=r"'http://.*FRAUD_SOURCE_URL") as error:
        SourceClient(base, attempts=1)
    message(error)


def test_user_and_password_of_the_url_are_not_repeated() -> None:
    with (
        SourceClient("http://user:s3cret@127.0.0.1:1", attempts=1, limits=Limits(1)) as client,
        pytest.raises(SourceError) as error,
    ):
        read(client)
    assert "s3cret" not in message(error)
    assert "http://127.0.0.1:1/api/transactions does not answer" in str(error.value)


# --- snapshots ----------------------------------------------------------------------------------------------------------


def snapshots(client: SourceClient, as_of: dt.datetime) -> list[Any]:
    return [*client.customers(as_of), *client.external_snapshot("credit_scores", as_of)]


def _both(path: str, **headers: str) -> Response:
    return answer_json([] if path.endswith("customers") else {"credit_scores": []}, **headers)


def test_a_past_day_that_the_source_does_not_confirm_is_an_error() -> None:
    with source(_both) as (client, _):
        for ask in (client.customers(MIDNIGHT), client.external_snapshot("credit_scores", MIDNIGHT)):
            with pytest.raises(SourceError, match=r"2026-01-05 .*X-As-Of"):
                list(ask)


def test_today_needs_no_confirmation() -> None:
    today = dt.datetime.combine(dt.datetime.now(dt.UTC), dt.time.min, dt.UTC)
    with source(_both) as (client, _):
        assert snapshots(client, today) == [[], []]


@pytest.mark.parametrize("answered", ["2026-01-05T00:00:00Z", "2026-01-05T01:00:00+01:00", "2026-01-05T00:00:00.000000+00:00"])
def test_the_requested_instant_is_confirmed_in_any_notation(answered: str) -> None:
    with source(lambda path: _both(path, X_As_Of=answered)) as (client, _):
        assert snapshots(client, MIDNIGHT) == [[], []]


@pytest.mark.parametrize(
    "answered", ["2026-01-05T00:00:01Z", "2026-01-06T00:00:00Z", "2026-01-05T00:00:00", "yesterday", "now"]
)
def test_another_instant_is_an_error(answered: str) -> None:
    with (
        source(lambda path: _both(path, X_As_Of=answered)) as (client, _),
        pytest.raises(SourceError) as error,
    ):
        snapshots(client, MIDNIGHT)
    assert "2026-01-05T00:00:00Z" in str(error.value) and answered in str(error.value)


def test_every_page_of_a_snapshot_must_be_of_the_instant() -> None:
    def answer(_: str) -> Response:
        if "page" in request.args:
            return answer_json([], X_As_Of="2026-01-06T00:00:00Z")
        return answer_json([], X_As_Of="2026-01-05T00:00:00Z", Link=LINK.format("?page=2"))

    with source(answer) as (client, asked):
        with pytest.raises(SourceError, match=r"2026-01-06T00:00:00Z.*2026-01-05T00:00:00Z"):
            list(client.customers(MIDNIGHT))
        assert len(asked) == 2


def test_the_day_of_these_tests_is_past() -> None:
    assert dt.datetime.now(dt.UTC).date() > DAY
