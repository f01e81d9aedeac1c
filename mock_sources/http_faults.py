"""Faults of whole responses: errors, throttling, slowness, truncation, repeated pages. Drawn by seed and request number."""

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
"""Query parameter that marks the URL of a repeated page. It is removed before the request reaches the source."""

_SHARES = ("errors", "throttled", "slow", "cut", "repeated")
# one salt for each draw of a request
_ERROR, _SLOW, _CUT, _THROTTLED, _AS_DATE, _REPEATED, _OVERLAPPING = range(7)


@dataclass(frozen=True)
class HttpFaults:
    """Shares of requests below /api with a fault, each from 0 to 1. A retry is a new request with new draws.

    Attributes:
        errors: requests that are answered with status 500.
        throttled: requests that are answered with status 429 and a Retry-After, half of them as an HTTP-date.
        slow: requests that are answered after `seconds`.
        cut: responses whose connection closes halfway through the body.
        repeated: pages whose next page serves the same rows again, half the time followed by half a page of new rows. A
            repeated page is not repeated again, so that paging ends.
        seconds: delay of slow responses, in seconds.
        retry_after: Retry-After of throttled requests, in seconds.

    Raises:
        BadConfiguration: a share is not from 0 to 1, or a time is negative.
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
        """Wrap an application in these faults."""
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
            query, limit = _without_again(environ["QUERY_STRING"])
            response = Response.from_app(app, {**environ, "QUERY_STRING": query})
            if limit is not None:
                _change_next(response, {"limit": limit})
            elif drawn(_REPEATED) < self.repeated:
                _link_to_itself(response, query, overlapping=drawn(_OVERLAPPING) < 0.5)
            if drawn(_CUT) < self.cut:
                # Content-Length is unchanged, so the client notices when the server closes the connection
                body = response.get_data()
                start_response(response.status, response.headers.to_wsgi_list())
                return [body[: len(body) // 2]]
            return response(environ, start_response)

        return faulty

    def _throttling(self, as_date: bool) -> Response:
        response = _refusal(429, "Too many requests: try again later.")
        # an HTTP-date has whole seconds; truncation would make it too early
        date = http_date(datetime.now(UTC) + timedelta(seconds=self.retry_after + 1))
        response.headers["Retry-After"] = date if as_date and self.retry_after else str(self.retry_after)
        return response


def _refusal(status: int, text: str) -> Response:
    return Response(f'{{"error": "{text}"}}', status, mimetype="application/json")


def _without_again(query: str) -> tuple[str, str | None]:
    """The query without `AGAIN`, and the value of `AGAIN`: the limit of the pages after a repeated one; None if absent."""
    pairs = parse_qsl(query, keep_blank_values=True)
    limits = [value for name, value in pairs if name == AGAIN]
    return (urlencode([pair for pair in pairs if pair[0] != AGAIN]), limits[0]) if limits else (query, None)


def _link_to_itself(response: Response, query: str, overlapping: bool) -> None:
    """Make a page its own next page, with the same as_of."""
    if "Link" not in response.headers:
        return
    parameters = dict(parse_qsl(query))
    limit = int(parameters.get("limit", DEFAULT_LIMIT))
    rows = min(limit * 3 // 2, MAX_LIMIT) if overlapping else limit
    _change_next(response, {"after": parameters.get("after"), "limit": str(rows), AGAIN: str(limit)})


def _change_next(response: Response, changes: dict[str, str | None]) -> None:
    """Change parameters of the link to the next page, or remove those that are None. Does nothing on a last page."""
    link = response.headers.get("Link")
    if link is None:
        return
    base, _, query = link.removeprefix("<").partition(">")[0].partition("?")
    changed = {**dict(parse_qsl(query)), **changes}
    query = urlencode({name: value for name, value in changed.items() if value is not None})
    response.headers["Link"] = f'<{base}?{query}>; rel="next"'
