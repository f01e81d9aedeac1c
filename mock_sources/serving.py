"""waitress in front of the application: in the foreground, or in a thread for as long as a block lasts."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.server import create_server

from mock_sources.app import Clock, create_app
from mock_sources.errors import BadConfiguration
from mock_sources.http_faults import HttpFaults
from mock_sources.source import Source

LOOPBACK = "127.0.0.1"
_OPTIONS: dict[str, Any] = {
    "threads": 4,
    "ident": None,
    # A page of 50,000 rows has about 20 MB; below this it stays in memory instead of going through a temporary file.
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
    """Serve until interrupted. Port 0 takes a free one; `ready` is told the base URL once the socket listens.

    Raises BadConfiguration when the address cannot be bound.
    """
    server, sockets = _listen(create_app(source, now, http_faults), host, port)
    if ready is not None:
        ready(_url(server))
    try:
        server.run()
    finally:
        wasyncore.close_all(sockets)


@contextmanager
def running(source: Source, port: int = 0, *, now: Clock | None = None, http_faults: HttpFaults | None = None) -> Iterator[str]:
    """Serve on loopback from a daemon thread and give the base URL (no trailing slash); stop when the block ends."""
    server, sockets = _listen(create_app(source, now, http_faults), LOOPBACK, port)
    thread = Thread(target=server.run, name="mock_sources", daemon=True)
    thread.start()
    try:
        yield _url(server)
    finally:
        # Answers under way end first: they write to sockets, which belong to the loop's thread. With none left it ends.
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: wasyncore.close_all(sockets))
        thread.join(timeout=10)


def _listen(app: Flask, host: str, port: int) -> tuple[Any, dict[int, Any]]:
    """A waitress server, untyped as its stubs lack what we need of it, and all its sockets by file descriptor."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Bound here, since waitress leaves its sockets open when it cannot bind them.
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise BadConfiguration(f"Cannot listen on {host}:{port} ({error}): choose another host or port.") from error
    sockets: dict[int, Any] = {}
    return create_server(app, map=sockets, sockets=[listener], **_OPTIONS), sockets


def _url(server: Any) -> str:
    host = f"[{server.effective_host}]" if ":" in server.effective_host else server.effective_host
    return f"http://{host}:{server.effective_port}"
