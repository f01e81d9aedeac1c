"""HTTP client of the three source APIs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import httpx

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.batch import Row
from fraud_assets.ingestion.http_client import DEFAULT_LIMITS, Advice, JsonClient, Limits, address, with_params
from hive_io import Span

_WHICH_SOURCE = "check FRAUD_SOURCE_URL"
_LONGEST_CURSOR = 4096
"""Characters of a cursor, which becomes part of a URL."""


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
        limits: Limits = DEFAULT_LIMITS,
        backoff: float = 0.2,
        longest_wait: float = 60.0,
    ) -> None:
        advice = Advice(
            unreachable="Check that the source is running and that FRAUD_SOURCE_URL names it; `fraud sources serve` starts a "
            "synthetic source",
            check=_WHICH_SOURCE,
            url="Check FRAUD_SOURCE_URL",
            refused={0: "Check that FRAUD_SOURCE_URL is the base URL of the three APIs"},
            rows=f"{page_size:,} rows",
        )
        base = address(base_url, "", advice)
        # kept out of the URL, which appears in errors and logs
        auth = (base.username, base.password) if base.userinfo else None
        self._base = str(base.copy_with(userinfo=b"")).rstrip("/")
        self.limits = limits
        self._page_size = page_size
        self._client = JsonClient(
            advice, auth=auth, attempts=attempts, limits=limits, backoff=backoff, longest_wait=longest_wait
        )

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
        self._client.abort()

    def close(self) -> None:
        self._client.close()

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
        first = with_params(self._client.address(self._base + path), {**params, **paging})
        for page in self._client.pages(first, rows_of, lambda page: page.next_link):
            yield page.new, page.answer.headers

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
