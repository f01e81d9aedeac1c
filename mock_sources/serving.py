"""Serves a source over HTTP with waitress, in the foreground or in a thread for the duration of a block."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server

from mock_sources.app import Clock, create_app
from mock_sources.errors import BadConfiguration
from mock_sources.http_faults import HttpFaults
from mock_sources.source import Source

LOOPBACK = "127.0.0.1"
_OPTIONS: dict[str, Any] = {
    "ident": None,
    # a page of 50,000 rows has about 20 MB; up to this size, it is buffered in memory and not in a temporary file
    "outbuf_overflow": 64 * 2**20,
}


def serve(
    source: Source,
    host: str = LOOPBACK,
    port: int = 0,
    *,
    now: Clock | None = None,
    http_faults: HttpFaults | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until interrupted.

    Args:
        port: 0 for any free port.
        now: the server's clock; the system clock by default.
        http_faults: faults of responses; none by default.
        ready: called with the base URL once the socket listens.

    Raises:
        BadConfiguration: the address cannot be bound.
    """
    server, sockets = _listen(create_app(source, now, http_faults), host, port)
    if ready is not None:
        ready(_url(server))
    try:
        server.run()
    finally:
        _close(sockets)


@contextmanager
def running(source: Source, port: int = 0, *, now: Clock | None = None, http_faults: HttpFaults | None = None) -> Iterator[str]:
    """Serve on loopback in a daemon thread for the duration of the block; yields the base URL, without a trailing slash."""
    with serving(create_app(source, now, http_faults), port) as url:
        yield url


@contextmanager
def serving(app: Flask, port: int = 0, *, threads: int = 4) -> Iterator[str]:
    """Serve any Flask application as `running` serves a source; yields the base URL."""
    server, sockets = _listen(app, LOOPBACK, port, threads=threads)
    thread = Thread(target=server.run, name="mock_sources", daemon=True)
    thread.start()
    try:
        yield _url(server)
    finally:
        # requests in progress end first, since they write to the sockets of the loop's thread; without sockets, it ends
        server.task_dispatcher.shutdown()
        pulled = Event()

        def close() -> None:
            # the loop may be awake already and get here before the trigger is pulled, which needs an open trigger
            pulled.wait()
            _close(sockets)

        server.trigger.pull_trigger(close)
        pulled.set()
        thread.join(timeout=10)


def _close(sockets: dict[int, Any]) -> None:
    for each in list(sockets.values()):
        if isinstance(each, HTTPChannel):
            # also closes the file in which a long answer waits
            each.handle_close()
    wasyncore.close_all(sockets)


def _listen(app: Flask, host: str, port: int, *, threads: int = 4) -> tuple[Any, dict[int, Any]]:
    """A waitress server and its sockets by file descriptor. Untyped, since the stubs of waitress are incomplete."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # bound here, since waitress does not close a socket that it cannot bind
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise BadConfiguration(f"Cannot listen on {host}:{port} ({error}): choose another host or port.") from error
    sockets: dict[int, Any] = {}
    return create_server(app, map=sockets, sockets=[listener], threads=threads, **_OPTIONS), sockets


def _url(server: Any) -> str:
    host = f"[{server.effective_host}]" if ":" in server.effective_host else server.effective_host
    return f"http://{host}:{server.effective_port}"
