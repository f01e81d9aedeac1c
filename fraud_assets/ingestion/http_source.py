"""HTTP client of the three source APIs: paging, retries, time-outs, and errors that say what to do."""

from __future__ import annotations

import datetime as dt
import json
import marshal
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx
import orjson
from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from fraud_assets.addresses import public
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.batch import RawRow, Row
from fraud_assets.ingestion.http_connection import Aborted, Answer, Connection, TooLarge, TooSlow
from hive_io import Span

_DIGITS_AS_0 = bytes.maketrans(b"123456789", b"000000000")
_TWENTY_DIGITS = b"0" * 20
MOST_NESTED = 200
"""Levels of nesting below a row; no row of the three APIs has more than two."""
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
"""Brackets outside of JSON strings."""
_RAW = "\0raw row "
"""Prefix of the placeholder of a row that is not decoded."""


_LONGEST_BACKOFF = 10
"""Seconds; upper bound of the random wait between two attempts."""
_WHICH_SOURCE = "check FRAUD_SOURCE_URL"
_LONGEST_CURSOR = 4096
"""Characters of a cursor, which becomes part of a URL."""
_MOST_IDLE_PAGES = 100
"""Pages in a row that bring no new row and name a next page."""


@dataclass(frozen=True)
class Limits:
    """Limits of what a source may send; beyond them, a load fails.

    Attributes:
        page_seconds: for a page, from the request to its last byte.
        page_megabytes: of a page, after decompression.
        load_seconds: for all pages of a load.
        pages: of a load.
        ahead_seconds: by which an event may be later than its arrival; a row beyond it is rejected, and the load goes on.
    """

    page_seconds: float = 60.0
    page_megabytes: int = 256
    load_seconds: float = 3600.0
    pages: int = 10_000
    ahead_seconds: float = 600.0

    @property
    def ahead(self) -> dt.timedelta:
        """`ahead_seconds` as a timedelta."""
        return dt.timedelta(seconds=self.ahead_seconds)


class SourceClient:
    """Reads `/api/transactions`, `/api/customers` and `/api/externalData`, page by page.

    Rows that are identical to a row of the previous page are skipped, so that a page that is served again or overlaps the
    previous one yields only its new rows. Other versions of a row are yielded; the caller decides which version counts.

    Args:
        base_url: base URL of the three paths, such as `http://127.0.0.1:5000`.
        page_size: rows per page.
        attempts: maximum number of requests for a page.
        limits: of a page and of a load.
        backoff: seconds; upper bound of the first random wait between two attempts. The bound doubles with each attempt, up to
            10 seconds. A longer Retry-After of the server takes precedence.
        longest_wait: seconds; a longer Retry-After fails at once.
    """

    def __init__(
        self,
        base_url: str,
        *,
        page_size: int = 20_000,
        attempts: int = 5,
        limits: Limits = Limits(),
        backoff: float = 0.2,
        longest_wait: float = 60.0,
    ) -> None:
        address = _address(base_url)
        # kept out of the URL, which appears in errors and logs
        self._auth = (address.username, address.password) if address.userinfo else None
        self._base = str(address.copy_with(userinfo=b"")).rstrip("/")
        self.limits = limits
        self._page_size = page_size
        self._attempts = attempts
        self._backoff = wait_random_exponential(multiplier=backoff, max=_LONGEST_BACKOFF)
        self._longest_wait = longest_wait
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._aborted = False

    def transactions(self, span: Span) -> Iterator[list[Row]]:
        """Transactions with a time in the span, in their current versions.

        Raises:
            SourceError: like every method here: no response, or one that breaks the protocol.
        """
        for rows, _ in self._pages("/api/transactions", _between(span), _list):
            yield rows

    def arrivals(self, after: str | None, since: dt.datetime) -> Iterator[tuple[list[Row], str]]:
        """Transactions in order of arrival, in pages, each with the cursor of its last transaction.

        Args:
            after: cursor of an earlier page; only later arrivals are read.
            since: without a cursor, only transactions with a time from here on are read.
        """
        params = {"since": _instant(since)} if after is None else {"after": after}
        for rows, headers in self._pages("/api/transactions", params, _list):
            if rows:
                if "X-Cursor" not in headers:
                    raise SourceError("/api/transactions has no X-Cursor header, so later arrivals cannot be requested")
                cursor = headers["X-Cursor"]
                if len(cursor) > _LONGEST_CURSOR:
                    raise SourceError(
                        f"/api/transactions answered an X-Cursor of {len(cursor):,} characters; {_LONGEST_CURSOR:,} are allowed"
                    )
                yield rows, cursor

    def customers(self, as_of: dt.datetime) -> Iterator[list[Row]]:
        """Customers as of an instant."""
        for rows, headers in self._pages("/api/customers", {"as_of": _instant(as_of)}, _list):
            self._check_as_of(headers, as_of)
            yield rows

    def external_snapshot(self, field: str, as_of: dt.datetime) -> Iterator[list[Row]]:
        """`blacklist_info` or `credit_scores` as of an instant."""
        params = {"as_of": _instant(as_of), "fields": field}
        for rows, headers in self._pages("/api/externalData", params, _section_of(field)):
            self._check_as_of(headers, as_of)
            yield rows

    def fraud_reports(self, span: Span) -> Iterator[list[Row]]:
        """Fraud reports with a time in the span."""
        params = {**_between(span), "fields": "fraud_reports"}
        for rows, _ in self._pages("/api/externalData", params, _section_of("fraud_reports")):
            yield rows

    def labels(self, span: Span) -> list[Row]:
        """Fraudulent transactions in the span; for evaluation only, no asset reads them.

        Raises:
            SourceError: also if the source has no labels.
        """
        return [row for rows, _ in self._pages("/labels", _between(span), _list, paging={}) for row in rows]

    def abort(self) -> None:
        """End the requests in progress, and refuse further ones. May be called by any thread."""
        self._aborted = True
        for connection in [*self._busy]:
            connection.abort()

    def close(self) -> None:
        self.abort()
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- pages --------------------------------------------------------------------------------------------------------

    def _pages(
        self,
        path: str,
        params: Mapping[str, str],
        rows_of: Callable[[Any, str], list[Row]],
        paging: Mapping[str, str] | None = None,
    ) -> Iterator[tuple[list[Row], httpx.Headers]]:
        """The new rows and the headers of each page, in the order of the Link header (RFC 8288)."""
        paging = {"limit": str(self._page_size)} if paging is None else paging
        first = _address(self._base + path)
        url: httpx.URL | None = _with_params(first, {**params, **paging})
        seen: set[httpx.URL] = set()
        before: set[bytes] = set()
        seconds, idle = 0.0, 0
        while url is not None:
            if _server(url) != _server(first):
                raise SourceError(f"{path} links to a next page on another server ({public(str(url))}), which is not followed")
            if url in seen:
                raise SourceError(f"{path} links to the same next page twice; the source's paging is broken")
            if len(seen) >= self.limits.pages:
                raise SourceError(
                    f"{path} has more than {self.limits.pages:,} pages, the limit that FRAUD_SOURCE_MAX_PAGES sets"
                )
            if seconds > self.limits.load_seconds:
                raise SourceError(
                    f"{path} took {seconds:.1f} s for {len(seen):,} pages and has more; the limit is "
                    f"{self.limits.load_seconds:g} s, which FRAUD_SOURCE_LOAD_SECONDS sets"
                )
            seen.add(url)
            began = time.monotonic()
            page, answer = self._get(str(url), path)
            seconds += time.monotonic() - began
            rows = rows_of(page, path)
            following = answer.links.get("next", {}).get("url")
            prints = [_fingerprint(row) for row in rows] if before or following else []
            new = [row for row, print_ in zip(rows, prints, strict=True) if print_ not in before] if before else rows
            idle = 0 if new else idle + 1
            if idle > _MOST_IDLE_PAGES:
                raise SourceError(
                    f"{path} answered {_MOST_IDLE_PAGES} pages without a new row, each with a next page; its paging is broken"
                )
            yield new, answer.headers
            before = set(prints)
            # what follows # is not sent, so it makes no other page; user and password come from FRAUD_SOURCE_URL only
            url = _address(str(url), following).copy_with(fragment=None, userinfo=b"") if following else None

    def _get(self, url: str, path: str) -> tuple[Any, Answer]:
        """A page as decoded JSON, and the answer that holds it."""
        retrying = Retrying(retry=retry_if_exception_type(_Transient), stop=stop_after_attempt(self._attempts), wait=self._wait)
        try:
            return retrying(self._get_once, url, path)
        except RetryError as error:
            cause = error.last_attempt.exception()
            attempts = "" if self._attempts == 1 else f" ({self._attempts} attempts)"
            raise SourceError(
                f"{cause}{attempts}. Check that the source is running and that FRAUD_SOURCE_URL names it; "
                "`fraud sources serve` starts a synthetic source",
                _requested_wait(cause),
            ) from cause

    def _wait(self, state: RetryCallState) -> float:
        return max(self._backoff(state), _requested_wait(state.outcome.exception() if state.outcome else None))

    def _get_once(self, url: str, path: str) -> tuple[Any, Answer]:
        try:
            with self._connection() as connection:
                answer = connection.get(url, self.limits.page_seconds, self.limits.page_megabytes * 2**20)
        except TooSlow as error:
            raise _Transient(
                f"{public(url)} does not answer completely within {self.limits.page_seconds:g} s, the limit that "
                "FRAUD_SOURCE_PAGE_SECONDS sets"
            ) from error
        except TooLarge as error:
            raise SourceError(
                f"{public(url)} answers more than {self.limits.page_megabytes:,} MB for {self._page_size:,} rows, the limit "
                "that FRAUD_SOURCE_PAGE_MEGABYTES sets"
            ) from error
        except Aborted:
            raise SourceError(f"The request of {public(url)} was aborted, because the process is being stopped") from None
        except httpx.InvalidURL:
            raise SourceError(f"{path}: the URL of a page has {len(url):,} characters, which is too long") from None
        except httpx.RequestError as error:
            raise _Transient(f"{public(url)} does not answer: {type(error).__name__} {error}".rstrip()) from error
        answered = f"{public(url)} answered {_status(answer.status)}"
        if answer.status >= 500 or answer.status == 429:
            wait = _retry_after(answer.headers)
            if wait > self._longest_wait:
                raise SourceError(
                    f"{answered}: Retry-After of {wait:.0f} s exceeds the limit of {self._longest_wait:.0f} s. "
                    "Try again later, or request fewer days",
                    wait,
                )
            raise _Transient(answered, wait)
        if answer.status != 200:
            raise SourceError(f"{answered}. Check that FRAUD_SOURCE_URL is the base URL of the three APIs")
        return _decode(answer, path), answer

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A connection that no other thread uses."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = Connection(self._auth)
        self._busy.add(connection)
        try:
            if self._aborted:
                raise Aborted
            yield connection
        finally:
            self._busy.discard(connection)
            if self._aborted:
                connection.close()
            else:
                self._idle.append(connection)

    def _check_as_of(self, headers: httpx.Headers, as_of: dt.datetime) -> None:
        confirmed = headers.get("X-As-Of")
        if confirmed is not None:
            if not _is_instant(confirmed, as_of):
                raise SourceError(f"The snapshot is as of {confirmed}, but {_instant(as_of)} was requested")
        elif as_of.date() < dt.datetime.now(dt.UTC).date():
            raise SourceError(
                f"The snapshot as of {as_of:%Y-%m-%d} is not available: the source does not confirm as_of in an X-As-Of "
                "header, so it may have returned today's rows. Load today's snapshot instead"
            )


class _Transient(Exception):
    """A failure that is worth a retry: no connection, a time-out, a truncated body, or a busy or failing server.

    Args:
        wait: seconds of the server's Retry-After header.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


def _requested_wait(failure: BaseException | None) -> float:
    return failure.wait if isinstance(failure, _Transient) else 0.0


def _status(code: int) -> str:
    """A status with its standard phrase; the server's own phrase could hold personal data."""
    return f"{code} {httpx.codes.get_reason_phrase(code)}".rstrip()


def _decode(response: Answer, path: str) -> Any:
    # json reads what orjson rejects (lone surrogates) or rounds (integers above 64 bits): an odd row must not fail its page
    if _TWENTY_DIGITS not in response.content.translate(_DIGITS_AS_0):
        try:
            return orjson.loads(response.content)
        except orjson.JSONDecodeError:
            pass
    try:
        return _decode_carefully(response.content)
    except (ValueError, RecursionError) as error:
        kind = response.headers.get("Content-Type", "an unstated type")
        # the body is not quoted: it may hold personal data
        message = f"{path} answered {len(response.content)} bytes of {kind} that are not JSON ({error}); {_WHICH_SOURCE}"
        # a body that begins like JSON was truncated, by a server that stated no length or that of the truncated body
        if response.content.lstrip()[:1] in (b"[", b"{", b""):
            raise _Transient(message) from error
        raise SourceError(message) from error


def _decode_carefully(content: bytes) -> Any:
    """Decode JSON with lone surrogates, integers of any length, and rows nested too deep to be decoded.

    Raises:
        ValueError, RecursionError: the content is no JSON, or nested too deep outside of a row.
    """
    try:
        return json.loads(content, parse_int=_integer)
    except RecursionError:
        return _decode_shallow(content)


def _decode_shallow(content: bytes) -> Any:
    """Decode a page row by row; a row nested deeper than `MOST_NESTED` becomes a `RawRow`, and the others are decoded."""
    # a page is an array of rows, or an object with such arrays
    row_level = 3 if content.lstrip()[:1] == b"{" else 2
    level = deepest = start = copied = 0
    kept: list[bytes] = []
    raw: dict[str, RawRow] = {}
    for token in _STRUCTURE.finditer(content):
        mark = token.group()
        if mark in b"[{":
            level += 1
            deepest = max(deepest, level)
            if level == row_level:
                start, deepest = token.start(), level
        elif mark in b"]}":
            if level == row_level and deepest - row_level >= MOST_NESTED:
                name = f"{_RAW}{len(raw)}"
                raw[name] = RawRow(content[start : token.end()].decode("utf-8", "backslashreplace"))
                kept += [content[copied:start], json.dumps(name).encode()]
                copied = token.end()
            level -= 1
    page = json.loads(b"".join([*kept, content[copied:]]), parse_int=_integer)
    for rows in page.values() if isinstance(page, dict) else [page]:
        if isinstance(rows, list):
            rows[:] = [raw.get(row, row) if isinstance(row, str) else row for row in rows]
    return page


def _retry_after(headers: httpx.Headers) -> float:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3), given as a number or a date; 0 if it is missing or unreadable.

    A date counts from the response's own Date header, since the server's clock may differ from the client's.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        now = _http_date(headers["Date"]) if "Date" in headers else dt.datetime.now(dt.UTC)
        return max(0.0, (_http_date(text) - now).total_seconds())
    except (ValueError, OverflowError):
        return 0.0


def _http_date(text: str) -> dt.datetime:
    date = parsedate_to_datetime(text)
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)


def _fingerprint(row: Any) -> bytes:
    # as fast as hashing text, and works for any JSON value; version 2 is the last in which equal values have equal bytes
    return marshal.dumps(str(row) if isinstance(row, RawRow) else row, 2)


def _integer(digits: str) -> int | str:
    # Python does not convert longer integers; as text, the value makes its row a rejected one
    return int(digits) if len(digits) <= sys.int_info.default_max_str_digits else digits


def _address(url: str, following: str = "") -> httpx.URL:
    try:
        return httpx.URL(url).join(following) if following else httpx.URL(url)
    except httpx.InvalidURL as error:
        shown = following or url
        # the error may quote a part of a password
        why = "" if "@" in shown else f": {error}"
        raise SourceError(f"{public(shown)!r} is not a valid URL{why}. Check FRAUD_SOURCE_URL") from None


def _with_params(url: httpx.URL, params: Mapping[str, str]) -> httpx.URL:
    try:
        return url.copy_merge_params(params)
    except httpx.InvalidURL as error:
        longest = max(params, key=lambda name: len(params[name]))
        raise SourceError(
            f"{url.path}: {longest} has {len(params[longest]):,} characters, which is too long for a URL ({error})"
        ) from None


def _server(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _is_instant(text: str, instant: dt.datetime) -> bool:
    try:
        return dt.datetime.fromisoformat(text) == instant
    except ValueError:
        return False


def _list(page: Any, path: str) -> list[Row]:
    if not isinstance(page, list):
        raise SourceError(f"{path} answered a JSON {type(page).__name__} instead of an array; {_WHICH_SOURCE}")
    return page


def _section_of(field: str) -> Callable[[Any, str], list[Row]]:
    def section(page: Any, path: str) -> list[Row]:
        if not isinstance(page, dict) or not isinstance(page.get(field), list):
            raise SourceError(f"{path} answered no array {field}; {_WHICH_SOURCE}")
        return page[field]

    return section


def _between(span: Span) -> dict[str, str]:
    return {"since": _instant(span.start), "until": _instant(span.end)}


def _instant(value: dt.datetime) -> str:
    return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
