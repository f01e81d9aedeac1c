"""Limits of what a source may send: time, size and number of pages; and where its user and password go."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread, Timer
from typing import Any

import pytest
from flask import Flask, Response, request

from fraud_assets.errors import SourceError
from fraud_assets.ingestion import http_client
from fraud_assets.ingestion.http_source import Limits, SourceClient
from mock_sources.serving import serving
from tests.fraud_assets.ingestion.test_http_source import LINK, MIDNIGHT, answer_json, read, source
from tests.fraud_fixtures import SPAN

ENDS = 20.0
"""Seconds after which a request that does not end is a failure; each test expects far less."""


# --- time ---------------------------------------------------------------------------------------------------------------


@contextmanager
def trickle(first: bytes, part: bytes, every: float = 0.05, asked: Event | None = None) -> Iterator[str]:
    """A server that answers some bytes at once and then a part again and again; yields its URL.

    Args:
        asked: set when a request has arrived.
    """
    stopped = Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(client: socket.socket) -> None:
        with client:
            client.recv(65536)
            if asked is not None:
                asked.set()
            try:
                client.sendall(first)
                while not stopped.wait(every):
                    client.sendall(part)
            except OSError:
                return  # the client has gone

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            Thread(target=answer, args=(client,), daemon=True).start()

    Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopped.set()
        listener.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SLOW = {
    "body": (HEAD + b"Content-Length: 100000\r\n\r\n[", b" "),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "headers": (HEAD, b"X-A: b\r\n"),
    "one header": (HEAD + b"X-A: ", b"a"),
    "nothing": (b"", b""),
}


@pytest.mark.parametrize("where", SLOW)
def test_an_answer_that_comes_byte_by_byte_ends_at_the_limit(where: str) -> None:
    with trickle(*SLOW[where]) as url, SourceClient(url, attempts=2, backoff=0.01, limits=Limits(page_seconds=0.5)) as client:
        began = time.monotonic()
        with pytest.raises(SourceError) as error:
            read(client)
        assert 1.0 <= time.monotonic() - began < ENDS
    assert "within 0.5 s" in str(error.value) and "FRAUD_SOURCE_PAGE_SECONDS" in str(error.value)


@pytest.mark.parametrize("where", SLOW)
def test_another_thread_can_abort_a_request(where: str) -> None:
    with trickle(*SLOW[where]) as url, SourceClient(url, attempts=5, limits=Limits(page_seconds=600)) as client:
        Timer(0.3, client.abort).start()
        began = time.monotonic()
        with pytest.raises(SourceError, match="abort"):
            read(client)
        assert time.monotonic() - began < ENDS
        with pytest.raises(SourceError, match="abort"):
            read(client)


def test_a_connection_that_was_kept_open_has_the_same_limit() -> None:
    slow = Event()

    def answer(_: str) -> Response:
        if slow.is_set():
            time.sleep(1.5)
        return answer_json([1])

    with source(answer, attempts=1, limits=Limits(page_seconds=0.5)) as (client, _):
        assert read(client) == [[1]]
        slow.set()
        with pytest.raises(SourceError, match=r"within 0\.5 s"):
            read(client)
        slow.clear()
        assert read(client) == [[1]], "the next request has a new connection"


def test_the_pages_of_a_load_have_a_limit_of_time() -> None:
    def answer(_: str) -> Response:
        time.sleep(0.1)
        page = int(request.args.get("page", 0))
        return answer_json([page], Link=LINK.format(f"?page={page + 1}"))

    with source(answer, limits=Limits(load_seconds=0.35)) as (client, asked), pytest.raises(SourceError) as error:
        read(client)
    assert "0.35 s" in str(error.value) and "FRAUD_SOURCE_LOAD_SECONDS" in str(error.value)
    assert 2 <= len(asked) <= 4


def test_the_time_that_the_caller_takes_does_not_count() -> None:
    with source(_numbered(4), limits=Limits(load_seconds=0.5)) as (client, _):
        rows = []
        for page in client.transactions(SPAN):
            rows += page
            time.sleep(0.3)
    assert rows == [0, 1, 2, 3]


# --- size ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [False, True])
def test_a_page_has_a_limit_of_size_after_decompression(compressed: bool) -> None:
    body = b"[" + b" " * 40 * 2**20 + b"]"

    def answer(_: str) -> Response:
        return answer_json(gzip.compress(body, 1), Content_Encoding="gzip") if compressed else answer_json(body)

    with source(answer, attempts=3, limits=Limits(page_megabytes=8)) as (client, asked), pytest.raises(SourceError) as error:
        read(client)
    assert "8 MB" in str(error.value) and "FRAUD_SOURCE_PAGE_MEGABYTES" in str(error.value)
    assert len(asked) == 1, "asking again would not help"
    with source(answer, limits=Limits(page_megabytes=41)) as (client, _):
        assert read(client) == [[]]


def test_several_encodings_are_refused() -> None:
    body = gzip.compress(gzip.compress(b"[" + b" " * 2**20 + b"]"))
    with (
        source(lambda _: answer_json(body, Content_Encoding="gzip, gzip")) as (client, _),
        pytest.raises(SourceError, match="several content encodings"),
    ):
        read(client)


# --- pages --------------------------------------------------------------------------------------------------------------


def _numbered(pages: int) -> Callable[[str], Response]:
    """Answers `[0]`, `[1]` … on so many pages."""

    def answer(_: str) -> Response:
        page = int(request.args.get("page", 0))
        following = {"Link": LINK.format(f"?page={page + 1}")} if page + 1 < pages else {}
        return answer_json([page], **following)

    return answer


def test_a_load_has_a_limit_of_pages() -> None:
    with source(_numbered(6), limits=Limits(pages=6)) as (client, _):
        assert len(read(client)) == 6
    with source(_numbered(7), limits=Limits(pages=6)) as (client, asked), pytest.raises(SourceError) as error:
        read(client)
    assert "more than 6 pages" in str(error.value) and "FRAUD_SOURCE_MAX_PAGES" in str(error.value)
    assert len(asked) == 6


@pytest.mark.parametrize("rows", [[], [{"id": 1}]], ids=["empty", "repeated"])
def test_pages_without_new_rows_end(rows: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "_MOST_IDLE_PAGES", 20)

    def answer(_: str) -> Response:
        return answer_json(rows, Link=LINK.format(f"?page={int(request.args.get('page', 0)) + 1}"), X_Cursor="the same")

    with source(answer) as (client, asked):
        with pytest.raises(SourceError, match="20 pages without a new row"):
            read(client)
        with pytest.raises(SourceError, match="20 pages without a new row"):
            list(client.arrivals("a", MIDNIGHT))
    assert 42 <= len(asked) <= 44


def test_a_link_whose_fragment_changes_is_the_same_page() -> None:
    def answer(_: str) -> Response:
        return answer_json([{"id": 1}], Link=LINK.format(f"?page=2#{time.monotonic_ns()}"))

    with source(answer) as (client, asked), pytest.raises(SourceError, match="twice"):
        read(client)
    assert len(asked) == 2


# --- cursors ------------------------------------------------------------------------------------------------------------


def test_a_cursor_that_is_too_long_for_a_url_is_an_error() -> None:
    with source(lambda _: answer_json([1], X_Cursor="c" * 5_000)) as (client, asked):
        with pytest.raises(SourceError, match=r"after has 66,000 characters"):
            list(client.arrivals("c" * 66_000, MIDNIGHT))
        assert asked == []
        with pytest.raises(SourceError, match=r"X-Cursor of 5,000 characters"):
            list(client.arrivals(None, MIDNIGHT))


def test_a_next_page_with_a_long_cursor_is_an_error() -> None:
    with (
        source(lambda _: answer_json([1], Link=LINK.format("?after=" + "c" * 66_000))) as (client, _),
        pytest.raises(SourceError, match=r"valid URL|does not answer"),
    ):
        read(client)


# --- user and password --------------------------------------------------------------------------------------------------


@contextmanager
def listener(answer: Callable[[], Response]) -> Iterator[tuple[str, list[str | None]]]:
    """A server and the Authorization header of each request."""
    app = Flask("test")
    headers: list[str | None] = []

    @app.get("/<path:path>")
    def anything(path: str) -> Response:
        headers.append(request.headers.get("Authorization"))
        return answer()

    with serving(app) as url:
        yield url, headers


@pytest.mark.parametrize("link", ["{base}/api/transactions?page=2", "?page=2", "{other}/api/transactions?page=2"])
def test_user_and_password_are_sent_with_every_page(link: str) -> None:
    def answer() -> Response:
        base = request.host_url.rstrip("/")
        following = link.format(base=base, other=base.replace("http://", "http://mallory:other@"))
        return answer_json([2]) if "page" in request.args else answer_json([1], Link=LINK.format(following))

    with (
        listener(answer) as (url, headers),
        SourceClient(url.replace("http://", "http://me:p%40ss%2Fword@"), attempts=1) as client,
    ):
        assert read(client) == [[1], [2]]
    assert headers == ["Basic " + base64.b64encode(b"me:p@ss/word").decode()] * 2


def test_user_and_password_are_sent_to_no_other_server() -> None:
    with (
        listener(lambda: answer_json([2])) as (elsewhere, seen),
        listener(lambda: answer_json([1], Link=LINK.format(f"{elsewhere}/api/transactions"))) as (url, headers),
        SourceClient(url.replace("http://", "http://me:word@"), attempts=1) as client,
        pytest.raises(SourceError, match="another server"),
    ):
        read(client)
    assert len(headers) == 1 and seen == []


@pytest.mark.parametrize(
    "url",
    [
        "http://me:s3c/ret@127.0.0.1:1",
        "http://me:s3c?ret@127.0.0.1:1",
        "http://me:s3c#ret@127.0.0.1:1",
        "http://me:s3c@ret@[::1",
    ],
)
def test_an_error_about_a_url_shows_no_part_of_a_password(url: str) -> None:
    with pytest.raises(SourceError) as error, SourceClient(url, attempts=1, limits=Limits(1)) as client:
        read(client)
    assert "s3c" not in json.dumps(str(error.value)) and "me:" not in str(error.value)
