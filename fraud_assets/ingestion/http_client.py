"""HTTP client of JSON pages: retries, limits of time and size, paging that ends, and errors that say what to do."""

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
from typing import Any

import httpx
import orjson
from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from fraud_assets.addresses import public
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.batch import RawRow, Row
from fraud_assets.ingestion.http_connection import Aborted, Answer, Connection, TooLarge, TooSlow

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


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Advice:
    """What to do about an answer that is not the one expected; each text ends a message.

    Attributes:
        unreachable: after a sentence, about a server that does not answer.
        check: after a semicolon, about an answer that is no JSON or has no rows.
        url: after a sentence, about an address that is none.
        refused: about a status that no retry changes, by status; 0 for any other.
        rows: what a page is asked for, such as `20,000 rows`.
    """

    unreachable: str
    check: str
    url: str
    refused: Mapping[int, str]
    rows: str


@dataclass(frozen=True)
class Page:
    """A page of rows.

    Attributes:
        url: its address.
        content: the decoded answer.
        rows: all its rows.
        new: those that the page before does not have.
    """

    url: httpx.URL
    content: Any
    answer: Answer
    rows: list[Row]
    new: list[Row]

    @property
    def next_link(self) -> str | None:
        """The next page of the Link header (RFC 8288)."""
        return self.answer.links.get("next", {}).get("url")


class JsonClient:
    """Reads pages of JSON, one request at a time in each thread.

    Args:
        advice: what errors advise.
        auth: user and password, sent with each request.
        headers: sent with each request; they may hold secrets and appear in no message.
        attempts: maximum number of requests for a page.
        limits: of a page and of a load.
        backoff: seconds; upper bound of the first random wait between two attempts. The bound doubles with each attempt, up to
            10 seconds. A longer Retry-After of the server takes precedence.
        longest_wait: seconds; a longer Retry-After fails at once.
    """

    def __init__(
        self,
        advice: Advice,
        *,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        attempts: int = 5,
        limits: Limits = DEFAULT_LIMITS,
        backoff: float = 0.2,
        longest_wait: float = 60.0,
    ) -> None:
        self.limits = limits
        self._advice = advice
        self._auth = auth
        self._headers = headers
        self._attempts = attempts
        self._backoff = wait_random_exponential(multiplier=backoff, max=_LONGEST_BACKOFF)
        self._longest_wait = longest_wait
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._aborted = False

    def abort(self) -> None:
        """End the requests in progress, and refuse further ones. May be called by any thread."""
        self._aborted = True
        for connection in [*self._busy]:
            connection.abort()

    def close(self) -> None:
        self.abort()
        while self._idle:
            self._idle.pop().close()

    def address(self, url: str, following: str = "") -> httpx.URL:
        """A URL, or the one that `following` is beside it.

        Raises:
            SourceError: it is not valid.
        """
        return address(url, following, self._advice)

    def pages(
        self, first: httpx.URL, rows_of: Callable[[Any, str], list[Row]], following: Callable[[Page], str | httpx.URL | None]
    ) -> Iterator[Page]:
        """Pages of rows, from the first on. Rows that are identical to a row of the previous page are not new.

        Args:
            rows_of: the rows of a decoded page, given with the path for messages.
            following: the address of the page after this one, absolute or relative; None after the last page.

        Raises:
            SourceError: no response, one that breaks the protocol, or a limit.
        """
        path = first.path
        url: httpx.URL | None = first
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
            content, answer = self.get(url)
            seconds += time.monotonic() - began
            rows = rows_of(content, path)
            after = following(Page(url, content, answer, rows, []))
            prints = [_fingerprint(row) for row in rows] if before or after else []
            new = [row for row, print_ in zip(rows, prints, strict=True) if print_ not in before] if before else rows
            idle = 0 if new else idle + 1
            if idle > _MOST_IDLE_PAGES:
                raise SourceError(
                    f"{path} answered {_MOST_IDLE_PAGES} pages without a new row, each with a next page; its paging is broken"
                )
            yield Page(url, content, answer, rows, new)
            before = set(prints)
            # what follows # is not sent, so it makes no other page; user and password come from the source's address only
            url = self.address(str(url), str(after)).copy_with(fragment=None, userinfo=b"") if after else None

    def get(self, url: httpx.URL) -> tuple[Any, Answer]:
        """A page as decoded JSON, and the answer that holds it.

        Raises:
            SourceError: as for `pages`.
        """
        retrying = Retrying(retry=retry_if_exception_type(_Transient), stop=stop_after_attempt(self._attempts), wait=self._wait)
        try:
            return retrying(self._get_once, str(url), url.path)
        except RetryError as error:
            cause = error.last_attempt.exception()
            attempts = "" if self._attempts == 1 else f" ({self._attempts} attempts)"
            raise SourceError(
                f"{cause}{attempts}. {self._advice.unreachable}",
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
                f"{public(url)} answers more than {self.limits.page_megabytes:,} MB for {self._advice.rows}, the limit "
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
            problem = NotFound if answer.status == 404 else SourceError
            raise problem(f"{answered}. {self._advice.refused.get(answer.status, self._advice.refused[0])}")
        return _decode(answer, path, self._advice.check), answer

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A connection that no other thread uses."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = Connection(self._auth, self._headers)
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


class NotFound(SourceError):
    """The server answers 404: it has nothing at this address."""


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


def _decode(response: Answer, path: str, advice: str) -> Any:
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
        message = f"{path} answered {len(response.content)} bytes of {kind} that are not JSON ({error}); {advice}"
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


def address(url: str, following: str, advice: Advice) -> httpx.URL:
    """A URL, or the one that `following` is beside it.

    Raises:
        SourceError: it is not valid.
    """
    try:
        return httpx.URL(url).join(following) if following else httpx.URL(url)
    except httpx.InvalidURL as error:
        shown = following or url
        # the error may quote a part of a password
        why = "" if "@" in shown else f": {error}"
        raise SourceError(f"{public(shown)!r} is not a valid URL{why}. {advice.url}") from None


def with_params(url: httpx.URL, params: Mapping[str, str]) -> httpx.URL:
    """A URL with more parameters; one that is there is replaced.

    Raises:
        SourceError: a value is too long for a URL.
    """
    try:
        return url.copy_merge_params(params)
    except httpx.InvalidURL as error:
        longest = max(params, key=lambda name: len(params[name]))
        raise SourceError(
            f"{url.path}: {longest} has {len(params[longest]):,} characters, which is too long for a URL ({error})"
        ) from None


def _server(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
