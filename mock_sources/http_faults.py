"""What goes wrong with whole answers: status 500, slowness, a body cut short. Drawn by seed and request number."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from mock_sources.draws import Stream, uniform
from mock_sources.errors import BadConfiguration

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_ERROR_BODY = b'{"error": "The source is out of order: try again."}'


@dataclass(frozen=True)
class HttpFaults:
    """The share of requests below /api, 0 to 1 each, that meets a fault; a retry is a new request and drawn anew.

    errors: answered with status 500. slow: answered after `seconds`. cut: the connection closes halfway in the body.

    Raises BadConfiguration for a share outside 0 to 1, or a negative time.
    """

    errors: float = 0.0
    slow: float = 0.0
    cut: float = 0.0
    seconds: float = 2.0
    seed: int = 7

    def __post_init__(self) -> None:
        for name, share in {"errors": self.errors, "slow": self.slow, "cut": self.cut}.items():
            if not 0 <= share <= 1:
                raise BadConfiguration(f"{name} is {share}: give a share from 0 to 1.")
        if self.seconds < 0:
            raise BadConfiguration(f"seconds is {self.seconds}: give 0 or more.")

    def around(self, app: WSGIApplication) -> WSGIApplication:
        """The application behind these faults."""
        numbers = count()

        def faulty(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if not environ["PATH_INFO"].startswith("/api/"):
                return app(environ, start_response)
            number = next(numbers)
            error, slow, cut = (float(uniform(number, self.seed, Stream.HTTP_FAULT, salt)[0]) for salt in range(3))
            if slow < self.slow:
                time.sleep(self.seconds)
            if error < self.errors:
                start_response("500 Internal Server Error", [("Content-Type", "application/json")])
                return [_ERROR_BODY]
            answer = app(environ, start_response)
            if cut < self.cut:
                # The Content-Length stays, so the client can tell; the server closes the connection.
                body = b"".join(answer)
                return [body[: len(body) // 2]]
            return answer

        return faulty
