"""What goes wrong with whole answers: errors, slowness, a cut body, a page again. Drawn by seed and request number."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from werkzeug.http import http_date
from werkzeug.wrappers import Response

from mock_sources.errors import BadConfiguration
from mock_sources.hashed_random import Stream, uniform
from mock_sources.source import DEFAULT_LIMIT, MAX_LIMIT

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

AGAIN = "again"
"""A parameter of the addresses of pages that are served again; the source behind the faults never sees it."""

_SHARES = ("errors", "throttled", "slow", "cut", "repeated")
# One salt for each draw about a request.
_ERROR, _SLOW, _CUT, _THROTTLED, _AS_DATE, _REPEATED, _OVERLAPPING = range(7)


@dataclass(frozen=True)
class HttpFaults:
    """The share of requests below /api, 0 to 1 each, that meets a fault; a retry is a new request and drawn anew.

    errors: answered with status 500.
    throttled: answered with status 429 and a Retry-After of `retry_after` seconds, every other time as an HTTP-date.
    slow: answered after `seconds`.
    cut: the connection closes halfway in the body.
    repeated: of the pages that name a next one: that one serves the rows of this page again, half the time with half a
        page of new ones behind them. It is not repeated in turn, so that paging ends.

    Raises BadConfiguration for a share outside 0 to 1, or a negative time.
    """

    errors: float = 0.0
    throttled: float = 0.0
    slow: float = 0.0
    cut: float = 0.0
    repeated: float = 0.0
    seconds: float = 2.0
    retry_after: int = 1
    seed: int = 7

    def __post_init__(self) -> None:
        for name in _SHARES:
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise BadConfiguration(f"{name} is {share}: give a share from 0 to 1.")
        for name in ("seconds", "retry_after"):
            if not getattr(self, name) >= 0:
                raise BadConfiguration(f"{name} is {getattr(self, name)}: give 0 or more.")

    def around(self, app: WSGIApplication) -> WSGIApplication:
        """The application behind these faults."""
        numbers = count()

        def faulty(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if not environ["PATH_INFO"].startswith("/api/"):
                return app(environ, start_response)
            number = next(numbers)

            def drawn(salt: int) -> float:
                return float(uniform(number, self.seed, Stream.HTTP_FAULT, salt)[0])

            if drawn(_SLOW) < self.slow:
                time.sleep(self.seconds)
            if drawn(_ERROR) < self.errors:
                return _refusal(500, "The source is out of order: try again.")(environ, start_response)
            if drawn(_THROTTLED) < self.throttled:
                return self._throttling(drawn(_AS_DATE) < 0.5)(environ, start_response)
            if not (self.repeated or self.cut):
                return app(environ, start_response)
            asked, limit = _without_again(environ["QUERY_STRING"])
            response = Response.from_app(app, {**environ, "QUERY_STRING": asked})
            if limit is not None:
                _change_next(response, {"limit": limit})
            elif drawn(_REPEATED) < self.repeated:
                _name_again(response, asked, overlapping=drawn(_OVERLAPPING) < 0.5)
            if drawn(_CUT) < self.cut:
                # The Content-Length stays, so the client can tell; the server closes the connection.
                body = response.get_data()
                start_response(response.status, response.headers.to_wsgi_list())
                return [body[: len(body) // 2]]
            return response(environ, start_response)

        return faulty

    def _throttling(self, as_date: bool) -> Response:
        response = _refusal(429, "Too many requests: try again later.")
        # A date has whole seconds: one that is cut off would be too early.
        date = http_date(datetime.now(UTC) + timedelta(seconds=self.retry_after + 1))
        response.headers["Retry-After"] = date if as_date and self.retry_after else str(self.retry_after)
        return response


def _refusal(status: int, text: str) -> Response:
    return Response(f'{{"error": "{text}"}}', status, mimetype="application/json")


def _without_again(query: str) -> tuple[str, str | None]:
    """A query as the source knows it; and, where it asks for a page again, the limit of the pages after that."""
    pairs = parse_qsl(query, keep_blank_values=True)
    limits = [value for name, value in pairs if name == AGAIN]
    return (urlencode([pair for pair in pairs if pair[0] != AGAIN]), limits[0]) if limits else (query, None)


def _name_again(response: Response, asked: str, overlapping: bool) -> None:
    """Let a page's next one be itself once more, as known at the same instant."""
    if "Link" not in response.headers:
        return
    parameters = dict(parse_qsl(asked))
    limit = int(parameters.get("limit", DEFAULT_LIMIT))
    rows = min(limit * 3 // 2, MAX_LIMIT) if overlapping else limit
    _change_next(response, {"after": parameters.get("after"), "limit": str(rows), AGAIN: str(limit)})


def _change_next(response: Response, changes: dict[str, str | None]) -> None:
    """Other parameters for the next page that a page names, None for without; nothing for a last page."""
    link = response.headers.get("Link")
    if link is None:
        return
    base, _, query = link.removeprefix("<").partition(">")[0].partition("?")
    changed = {**dict(parse_qsl(query)), **changes}
    query = urlencode({name: value for name, value in changed.items() if value is not None})
    response.headers["Link"] = f'<{base}?{query}>; rel="next"'
