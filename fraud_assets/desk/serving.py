"""Serves the desk with waitress."""

from __future__ import annotations

import logging
import socket
from threading import Event, Thread
from typing import Any, Self

from flask import Flask
from waitress import wasyncore
from waitress.server import create_server

from fraud_assets.errors import FraudError

THREADS = 8
"""Requests that are answered at once."""
_CHANNEL_SECONDS = 60
"""Seconds after which a connection without a request is closed."""


_BODY_BYTES = 2**20
"""Largest body that is read from a connection; the application refuses most of them sooner."""


class CannotListen(FraudError):
    """The address cannot be listened on."""


class Server:
    """Listens from the start; serves in a thread for the duration of a `with` block.

    Args:
        port: 0 for any free port.

    Raises:
        CannotListen: another program uses the port, or the machine has no such address.
    """

    def __init__(self, app: Flask, host: str, port: int) -> None:
        try:
            listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except (OSError, OverflowError) as error:
            other = f"; name another with --port, for example {port + 1}" if 0 < port < 65535 else ""
            raise CannotListen(
                f"Port {port} of {host} cannot be used: {getattr(error, 'strerror', None) or error}{other}"
            ) from None
        # it warns of each request that waits for a thread
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._sockets: dict[int, Any] = {}
        # untyped, since the stubs of waitress are incomplete
        self._server: Any = create_server(
            app,
            map=self._sockets,
            sockets=[listener],
            threads=THREADS,
            ident=None,
            channel_timeout=_CHANNEL_SECONDS,
            max_request_body_size=_BODY_BYTES,
        )
        self._thread = Thread(target=self._server.run, name="desk-server", daemon=True)

    @property
    def url(self) -> str:
        """Base URL, without a trailing slash."""
        host = self._server.effective_host
        return (
            f"http://[{host}]:{self._server.effective_port}" if ":" in host else f"http://{host}:{self._server.effective_port}"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # requests in progress end first; without sockets, the loop's thread ends
        self._server.task_dispatcher.shutdown()
        pulled = Event()

        def close() -> None:
            pulled.wait()
            wasyncore.close_all(self._sockets)

        self._server.trigger.pull_trigger(close)
        pulled.set()
        self._thread.join(timeout=10)
