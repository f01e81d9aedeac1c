"""One HTTP request at a time, with limits of time and size; another thread can abort it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from threading import Event, Timer
from typing import Any

import httpx

_LONGEST_CONNECT = 10.0
"""Seconds to connect, at most."""


class TooSlow(Exception):
    """The answer was not complete in time."""


class TooLarge(Exception):
    """The answer has more bytes, after decompression, than allowed."""


class Aborted(Exception):
    """The request was aborted by another thread."""


@dataclass(frozen=True)
class Answer:
    """A complete answer.

    Attributes:
        content: the body, decompressed; empty unless the status is 200.
        links: the Link header (RFC 8288), by relation.
    """

    status: int
    headers: httpx.Headers
    links: Mapping[str | None, Mapping[str, str]]
    content: bytes


class Connection:
    """An HTTP connection that is kept open between requests.

    A time-out of the HTTP client covers one read, so a server that sends a byte a second defeats it. Here, the socket is shut
    down when the time is over, which ends a read in progress.

    Args:
        auth: user and password, sent with each request.
        headers: sent with each request.
    """

    def __init__(self, auth: tuple[str, str] | None, headers: Mapping[str, str] | None = None) -> None:
        self._http = httpx.Client(
            auth=auth, headers=headers, follow_redirects=False, verify=_tls_context(), limits=httpx.Limits(max_connections=1)
        )
        self._socket: socket.socket | None = None
        self._aborted = Event()

    def get(self, url: str, seconds: float, most_bytes: int) -> Answer:
        """Request a URL and read the answer.

        Args:
            seconds: for the whole answer.
            most_bytes: of the body, after decompression.

        Raises:
            TooSlow, TooLarge, Aborted, httpx.RequestError, httpx.InvalidURL
        """
        overdue = Event()

        def end() -> None:
            overdue.set()
            self._shut_down()

        timer = Timer(seconds, end)
        timer.daemon = True
        timer.start()
        timeout = httpx.Timeout(seconds, connect=min(seconds, _LONGEST_CONNECT))
        try:
            with self._http.stream("GET", url, timeout=timeout, extensions={"trace": self._keep_socket}) as response:
                content = _read(response, most_bytes) if response.status_code == httpx.codes.OK else b""
                if overdue.is_set():
                    raise TooSlow
                return Answer(response.status_code, response.headers, response.links, content)
        except httpx.RequestError as error:
            if self._aborted.is_set():
                raise Aborted from error
            if overdue.is_set() or isinstance(error, httpx.ReadTimeout):
                raise TooSlow from error
            raise
        finally:
            timer.cancel()

    def abort(self) -> None:
        """End the request in progress."""
        self._aborted.set()
        self._shut_down()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _keep_socket(self, event: str, info: Mapping[str, Any]) -> None:
        # the socket before TLS is detached when TLS starts, so the last one counts
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
        if self._aborted.is_set():
            raise Aborted

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # closed meanwhile
                # an SSL socket's own method is not made for being called by another thread
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _read(response: httpx.Response, most_bytes: int) -> bytes:
    if "," in response.headers.get("Content-Encoding", ""):
        # one layer multiplies a part by a thousand at most
        raise httpx.DecodingError("several content encodings")
    parts: list[bytes] = []
    size = 0
    for part in response.iter_bytes():
        size += len(part)
        if size > most_bytes:
            raise TooLarge
        parts.append(part)
    return b"".join(parts)


@lru_cache(1)
def _tls_context() -> ssl.SSLContext:
    """Made once, since reading the certificates takes longer than a request."""
    return httpx.create_ssl_context()
