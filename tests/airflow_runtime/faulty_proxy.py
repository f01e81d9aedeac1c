"""A proxy in front of Dagster's webserver that simulates network faults between Airflow and Dagster."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests


class FaultyProxy:
    """Forwards requests. The attributes configure its faults and may be changed at any time.

    Attributes:
        answer_delay: seconds by which the answers to launches are delayed.
        lost_answers: number of launches that reach Dagster and whose answers are dropped.
        statuses: HTTP status codes for the next requests, which are not forwarded.
        login: user and password that every request must have; None for no authentication.
        launches: number of launches forwarded so far.
    """

    def __init__(self, target: str) -> None:
        self.answer_delay = 0.0
        self.lost_answers = 0
        self.statuses: list[int] = []
        self.login: tuple[str, str] | None = None
        self.launches = 0
        self._target = target
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[FaultyProxy]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        required = requests.Request(auth=self.login, method="POST", url=self._target).prepare().headers.get("Authorization")
        if required is not None and handler.headers.get("Authorization") != required:
            _send(handler, 401, b"Log in first")
            return
        if self.statuses:
            _send(handler, self.statuses.pop(0), b"<html>not now</html>")
            return
        launch = b"launchRun(" in body
        self.launches += launch
        answer = requests.post(f"{self._target}{handler.path}", body, headers={"Content-Type": "application/json"}, timeout=120)
        if launch:
            time.sleep(self.answer_delay)
            if self.lost_answers:
                self.lost_answers -= 1
                handler.close_connection = True
                handler.connection.close()
                return
        _send(handler, answer.status_code, answer.content)


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            proxy.answer(self)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Handler


def _send(handler: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
