"""The HTTP client of the three source APIs: paging, retries, time-outs, and errors that say what to do."""

from __future__ import annotations

import datetime as dt
import json
import marshal
import sys
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx
import orjson
from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.batch import Row
from hive_io import Span

_DIGITS_AS_0 = bytes.maketrans(b"123456789", b"000000000")
_TWENTY_DIGITS = b"0" * 20


class _Transient(Exception):
    """Worth another try: no connection, a time-out, a cut answer, or a server that says it is busy or broken.

    Args:
        wait: seconds that the server asks to be left alone for.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


def _asked_wait(failure: BaseException | None) -> float:
    return failure.wait if isinstance(failure, _Transient) else 0.0


class SourceClient:
    """Reads `/api/transactions`, `/api/customers` and `/api/externalData`, page by page.

    Rows that the page before has given already, to the letter, are left out: a page that is served again, or that overlaps,
    gives only what is new. Other versions of a row are given; which one counts is for the reader to say.

    Args:
        base_url: where the three paths are, `http://127.0.0.1:5000` for example.
        page_size: rows a page.
        attempts: how often a page is asked for before it is given up.
        timeout: seconds for one answer.
        backoff: seconds; the first wait between two tries is at most this long, each further one at most twice the last, and
            none above 10. A server that names a longer wait in Retry-After gets it.
        longest_wait: seconds; where Retry-After names more, the page is given up at once.
    """

    def __init__(
        self,
        base_url: str,
        *,
        page_size: int = 20_000,
        attempts: int = 5,
        timeout: float = 60.0,
        backoff: float = 0.2,
        longest_wait: float = 60.0,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._page_size = page_size
        self._attempts = attempts
        self._backoff = wait_random_exponential(multiplier=backoff, max=10)
        self._longest_wait = longest_wait
        self._http = httpx.Client(timeout=timeout, follow_redirects=False)

    def transactions(self, span: Span) -> Iterator[list[Row]]:
        """Transactions that happened in the span, as known now.

        Raises:
            SourceError: as for every method here: no answer, or not what was agreed.
        """
        for rows, _ in self._pages("/api/transactions", _between(span), _list):
            yield rows

    def arrivals(self, after: str | None, since: dt.datetime) -> Iterator[tuple[list[Row], str]]:
        """Transactions in the order in which they arrived, page by page, each with the cursor of its last one.

        Args:
            after: a cursor of an earlier answer; what arrived later is given.
            since: where there is no cursor, everything that happened since then.
        """
        asked = {"since": _instant(since)} if after is None else {"after": after}
        for rows, headers in self._pages("/api/transactions", asked, _list):
            if rows:
                if "X-Cursor" not in headers:
                    raise SourceError("/api/transactions names no X-Cursor, so what arrives next cannot be asked for")
                yield rows, headers["X-Cursor"]

    def customers(self, as_of: dt.datetime) -> Iterator[list[Row]]:
        """Customers as they were known at an instant."""
        for rows, headers in self._pages("/api/customers", {"as_of": _instant(as_of)}, _list):
            self._check_as_of(headers, as_of)
            yield rows

    def external_snapshot(self, field: str, as_of: dt.datetime) -> Iterator[list[Row]]:
        """`blacklist_info` or `credit_scores` as they were known at an instant."""
        asked = {"as_of": _instant(as_of), "fields": field}
        for rows, headers in self._pages("/api/externalData", asked, _section_of(field)):
            self._check_as_of(headers, as_of)
            yield rows

    def fraud_reports(self, span: Span) -> Iterator[list[Row]]:
        """Fraud reports that were made in the span."""
        asked = {**_between(span), "fields": "fraud_reports"}
        for rows, _ in self._pages("/api/externalData", asked, _section_of("fraud_reports")):
            yield rows

    def labels(self, span: Span) -> list[Row]:
        """Transactions in the span that were fraud; for evaluation only, no asset reads them.

        Raises:
            SourceError: a source that has no labels, too.
        """
        return [row for rows, _ in self._pages("/labels", _between(span), _list, paging={}) for row in rows]

    def close(self) -> None:
        self._http.close()

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
        """The new rows of each page in order, following the Link header (RFC 8288)."""
        paging = {"limit": str(self._page_size)} if paging is None else paging
        first = _address(self._base + path)
        url: str | None = str(first.copy_merge_params({**params, **paging}))
        seen: set[str] = set()
        before: set[bytes] = set()
        while url is not None:
            if _server(url) != _server(str(first)):
                raise SourceError(f"{path} names a next page on another server ({_shown(url)}); it is not followed")
            if url in seen:
                raise SourceError(f"{path} names a page twice as the next one; the source's paging is broken")
            seen.add(url)
            page, response = self._get(url, path)
            rows = rows_of(page, path)
            following = response.links.get("next", {}).get("url")
            marks = [_mark(row) for row in rows] if before or following else []
            yield (
                [row for row, mark in zip(rows, marks, strict=True) if mark not in before] if before else rows,
                response.headers,
            )
            before = set(marks)
            url = str(_address(url, following)) if following else None

    def _get(self, url: str, path: str) -> tuple[Any, httpx.Response]:
        """A page as decoded from JSON, and the answer that it came in."""
        retrying = Retrying(retry=retry_if_exception_type(_Transient), stop=stop_after_attempt(self._attempts), wait=self._wait)
        try:
            return retrying(self._get_once, url, path)
        except RetryError as error:
            cause = error.last_attempt.exception()
            tried = "" if self._attempts == 1 else f" (tried {self._attempts} times)"
            raise SourceError(
                f"{cause}{tried}. Is the source running? `fraud sources serve` starts a synthetic one; FRAUD_SOURCE_URL "
                "names another",
                _asked_wait(cause),
            ) from cause

    def _wait(self, state: RetryCallState) -> float:
        return max(self._backoff(state), _asked_wait(state.outcome.exception() if state.outcome else None))

    def _get_once(self, url: str, path: str) -> tuple[Any, httpx.Response]:
        shown = _shown(url)
        try:
            response = self._http.get(url)
        except httpx.RequestError as error:
            raise _Transient(f"{shown} does not answer: {type(error).__name__} {error}".rstrip()) from error
        if response.status_code >= 500 or response.status_code == 429:
            wait = _retry_after(response.headers)
            if wait > self._longest_wait:
                raise SourceError(
                    f"{shown} answers {response.status_code}, and asks to be left alone for {wait:.0f} s; no more than "
                    f"{self._longest_wait:.0f} s are waited. Try again later, or ask for less"
                )
            raise _Transient(f"{shown} answers {response.status_code}", wait)
        if response.status_code != 200:
            raise SourceError(f"{shown} answers {response.status_code}. Is FRAUD_SOURCE_URL the address of the three APIs?")
        return _decode(response, path), response

    def _check_as_of(self, headers: httpx.Headers, as_of: dt.datetime) -> None:
        answered = headers.get("X-As-Of")
        if answered is not None:
            if not _is_instant(answered, as_of):
                raise SourceError(f"The source was asked for {_instant(as_of)} and answers for {answered}")
        elif as_of.date() < dt.datetime.now(dt.UTC).date():
            raise SourceError(
                f"The source cannot look back (it does not confirm as_of with an X-As-Of header), so the snapshot of "
                f"{as_of:%Y-%m-%d} cannot be had; today's would be wrong for it. Only today's can be materialized"
            )


def _decode(response: httpx.Response, path: str) -> Any:
    # what orjson refuses (lone surrogates) or rounds (integers beyond 64 bits): one odd row must not cost its page
    if _TWENTY_DIGITS not in response.content.translate(_DIGITS_AS_0):
        try:
            return orjson.loads(response.content)
        except orjson.JSONDecodeError:
            pass
    try:
        return json.loads(response.content, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        kind = response.headers.get("Content-Type", "no stated type")
        # not a word of the body itself, which may be personal data
        what = f"{path} answers {len(response.content)} bytes of {kind} that are not JSON ({error}); is this the right source?"
        # what begins as JSON was cut on its way, where the length was not said, or was that of the rest
        if response.content.lstrip()[:1] in (b"[", b"{", b""):
            raise _Transient(what) from error
        raise SourceError(what) from error


def _retry_after(headers: httpx.Headers) -> float:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3), a number or a date; 0 where it is missing or unreadable.

    A date is counted from the answer's own Date: the server's clock may differ from ours.
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


def _mark(row: Any) -> bytes:
    # as fast as a hash of texts, for whatever JSON holds; version 2 is the last one in which equal values are equal bytes
    return marshal.dumps(row, 2)


def _integer(digits: str) -> int | str:
    # Python refuses to read longer ones; as text, the row is refused and kept
    return int(digits) if len(digits) <= sys.int_info.default_max_str_digits else digits


def _address(url: str, following: str = "") -> httpx.URL:
    try:
        return httpx.URL(url).join(following) if following else httpx.URL(url)
    except httpx.InvalidURL as error:
        raise SourceError(f"{_shown(following or url)!r} is no address: {error}. FRAUD_SOURCE_URL names the source") from None


def _server(url: str) -> tuple[str, str, int | None]:
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host, parsed.port


def _shown(url: str) -> str:
    """An address without what may be secret: user, password, query."""
    start, slashes, rest = url.partition("?")[0].rpartition("//")
    server, slash, path = rest.partition("/")
    return start + slashes + server.rpartition("@")[2] + slash + path


def _is_instant(text: str, instant: dt.datetime) -> bool:
    try:
        return dt.datetime.fromisoformat(text) == instant
    except ValueError:
        return False


def _list(page: Any, path: str) -> list[Row]:
    if not isinstance(page, list):
        raise SourceError(f"{path} answers a JSON {type(page).__name__}, not an array; is this the right source?")
    return page


def _section_of(field: str) -> Callable[[Any, str], list[Row]]:
    def section(page: Any, path: str) -> list[Row]:
        if not isinstance(page, dict) or not isinstance(page.get(field), list):
            raise SourceError(f"{path} answers no array {field}; is this the right source?")
        return page[field]

    return section


def _between(span: Span) -> dict[str, str]:
    return {"since": _instant(span.start), "until": _instant(span.end)}


def _instant(value: dt.datetime) -> str:
    return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
