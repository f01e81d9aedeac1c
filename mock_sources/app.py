"""HTTP API of a source, as a Flask application."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlencode

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from mock_sources import cursors, timestamps
from mock_sources.errors import BadParameter
from mock_sources.http_faults import HttpFaults
from mock_sources.source import DEFAULT_LIMIT, EXTERNAL_KEYS, MAX_LIMIT, Row, Source, Window

Clock = Callable[[], datetime]
"""Returns the server's current time. A naive datetime is in UTC."""

_TRANSACTIONS = "/api/transactions"
_CUSTOMERS = "/api/customers"
_EXTERNAL = "/api/externalData"
_LABELS = "/labels"
_PARAMETERS = {
    _TRANSACTIONS: ("since", "until", "after", "as_of", "limit"),
    _CUSTOMERS: ("as_of", "after", "limit"),
    _EXTERNAL: ("as_of", "since", "until", "fields", "after", "limit"),
    _LABELS: ("since", "until"),
}


def create_app(source: Source, now: Clock | None = None, http_faults: HttpFaults | None = None) -> Flask:
    """Application with the endpoints of a source.

    Every response is JSON, except the index. An invalid parameter is answered with status 400 and `{"error": ...}`.

    Args:
        now: clock for the default of as_of; the system clock by default.
        http_faults: faults of responses; none by default.
    """
    app = Flask("mock_sources", static_folder=None)
    clock = now or (lambda: datetime.now(UTC))

    @app.get("/")
    def index() -> Response:
        items = "".join(
            f'<li><a href="{path}">{path}</a> <small>{", ".join(names)}</small></li>' for path, names in _PARAMETERS.items()
        )
        return Response(f"<!doctype html><title>mock sources</title><h1>mock sources</h1><ul>{items}</ul>")

    @app.get(_TRANSACTIONS)
    def transactions() -> Response:
        parameters = _arguments(_TRANSACTIONS)
        window, limit = _window(parameters, clock), _limit(parameters)
        after = cursors.arrival_key(_TRANSACTIONS, parameters["after"]) if "after" in parameters else None
        page = source.transactions(window, after, limit)
        return _answer(page.rows, window, parameters, page.last and cursors.encode(_TRANSACTIONS, page.last), page.more)

    @app.get(_CUSTOMERS)
    def customers() -> Response:
        parameters = _arguments(_CUSTOMERS)
        window, limit = _window(parameters, clock), _limit(parameters)
        keyed: list[_Keyed] = [((row["customer_id"],), row) for row in source.customers(window.as_of)]
        rows, cursor, more = _slice(_CUSTOMERS, keyed, parameters, limit)
        return _answer([row for _, row in rows], window, parameters, cursor, more)

    @app.get(_EXTERNAL)
    def external_data() -> Response:
        parameters = _arguments(_EXTERNAL)
        window, limit, sections = _window(parameters, clock), _limit(parameters), _sections(parameters)
        found = source.external_data(window, sections)
        order = list(EXTERNAL_KEYS)
        keyed = [
            ((order.index(name), *(row[field] for field in EXTERNAL_KEYS[name])), row)
            for name in sections
            for row in found[name]
        ]
        rows, cursor, more = _slice(_EXTERNAL, keyed, parameters, limit)
        body: dict[str, list[Row]] = {name: [] for name in sections}
        for key, row in rows:
            body[order[int(key[0])]].append(row)
        return _answer(body, window, parameters, cursor, more)

    @app.get(_LABELS)
    def labels() -> Response:
        parameters = _arguments(_LABELS)
        window = _window(parameters, clock)
        return _answer(source.labels(window), window, parameters, None, False)

    @app.errorhandler(BadParameter)
    def bad_parameter(error: BadParameter) -> Response:
        return _json({"error": str(error)}, 400)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        return _json({"error": error.description}, error.code or 500)

    if http_faults is not None:
        app.wsgi_app = http_faults.around(app.wsgi_app)  # type: ignore[assignment, method-assign]
    return app


def _arguments(path: str) -> dict[str, str]:
    allowed = _PARAMETERS[path]
    parameters = {}
    for name, values in request.args.lists():
        if name not in allowed:
            raise BadParameter(f"{path} has no parameter {name!r}: use {', '.join(allowed)}.")
        if len(values) > 1:
            raise BadParameter(f"{name} is given {len(values)} times: give it once.")
        parameters[name] = values[0]
    return parameters


def _window(parameters: dict[str, str], clock: Clock) -> Window:
    since, until, as_of = (
        timestamps.parse(parameters[name], name) if name in parameters else None for name in ("since", "until", "as_of")
    )
    if since is not None and until is not None and since > until:
        raise BadParameter("since is later than until: swap them, or omit one.")
    return Window(timestamps.from_datetime(clock()) if as_of is None else as_of, since, until)


def _limit(parameters: dict[str, str]) -> int:
    value = parameters.get("limit", str(DEFAULT_LIMIT))
    if not (value.isascii() and value.isdigit() and len(value) < 10 and 1 <= int(value) <= MAX_LIMIT):
        raise BadParameter(f"limit is {value!r}: give a whole number from 1 to {MAX_LIMIT}.")
    return int(value)


def _sections(parameters: dict[str, str]) -> list[str]:
    named = parameters.get("fields", ",".join(EXTERNAL_KEYS)).split(",")
    unknown = [name for name in named if name not in EXTERNAL_KEYS]
    if unknown:
        raise BadParameter(f"fields has {unknown[0]!r}: give a comma-separated list of any of {', '.join(EXTERNAL_KEYS)}.")
    return [name for name in EXTERNAL_KEYS if name in named]


_Keyed = tuple[tuple[str | int, ...], Row]


def _slice(path: str, keyed: list[_Keyed], parameters: dict[str, str], limit: int) -> tuple[list[_Keyed], str | None, bool]:
    """The rows after the requested cursor, the cursor of the last row, and True if more follow."""
    if "after" in parameters:
        after = cursors.decode(path, parameters["after"])
        try:
            keyed = [(key, row) for key, row in keyed if key > after]
        except TypeError:
            raise BadParameter(
                f"after is not a cursor of {path}: give the X-Cursor of an earlier response, unchanged."
            ) from None
    rows = keyed[:limit]
    return rows, cursors.encode(path, rows[-1][0]) if rows else None, len(keyed) > limit


def _answer(content: object, window: Window, parameters: dict[str, str], cursor: str | None, more: bool) -> Response:
    response = _json(content, 200)
    as_of = timestamps.text(window.as_of)
    response.headers["X-As-Of"] = as_of
    if cursor is not None:
        response.headers["X-Cursor"] = cursor
        if more:
            # the next page has the same as_of, so that rows that arrive meanwhile do not change the result
            query = urlencode({**parameters, "as_of": as_of, "after": cursor})
            response.headers["Link"] = f'<{request.base_url}?{query}>; rel="next"'
    return response


def _json(content: object, status: int) -> Response:
    return Response(orjson.dumps(content), status=status, mimetype="application/json")
