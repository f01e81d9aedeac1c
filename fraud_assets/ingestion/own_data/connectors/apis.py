"""The three APIs as a connector: the HTTP client's rows as pages of text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.ingestion.own_data.connectors.base import RawPage, page_of_records
from hive_io import Span

_PATHS = {
    "transactions": "/api/transactions",
    "customers": "/api/customers",
    "blacklist": "/api/externalData",
    "credit_scores": "/api/externalData",
    "fraud_reports": "/api/externalData",
}
_SECTIONS = {"blacklist": "blacklist_info", "credit_scores": "credit_scores"}
_BEGINNING = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_END = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


class ApiConnector:
    """Reads one table from the three APIs.

    Args:
        client: closed by the caller.
        table: `transactions`, `customers`, `blacklist`, `credit_scores` or `fraud_reports`.
    """

    looks_back = True

    def __init__(self, client: SourceClient, table: str) -> None:
        self._client = client
        self._table = table

    def pages(self, span: Span | None = None) -> Iterator[RawPage]:
        span = span or Span(_BEGINNING, _END)
        if self._table == "transactions":
            yield from self._numbered(self._client.transactions(span))
        elif self._table == "fraud_reports":
            yield from self._numbered(self._client.fraud_reports(span))
        else:
            raise SourceError(f"{self._table} is a snapshot of each day and has no rows of a span; read its snapshot")

    def arrivals(self, cursor: str | None, since: dt.datetime | None = None) -> Iterator[tuple[RawPage, str]]:
        if self._table != "transactions":
            raise SourceError(f"{_PATHS[self._table]} does not serve {self._table} in order of arrival; only transactions")
        for rows, last in self._client.arrivals(cursor, _BEGINNING):
            yield from ((page, last) for page in self._numbered([rows]))

    def snapshot(self, day: dt.date) -> Iterator[RawPage]:
        as_of = dt.datetime.combine(day, dt.time.min, dt.UTC)
        if self._table == "customers":
            yield from self._numbered(self._client.customers(as_of))
        elif self._table in _SECTIONS:
            yield from self._numbered(self._client.external_snapshot(_SECTIONS[self._table], as_of))
        else:
            raise SourceError(f"{self._table} has rows of a span and no snapshot; read its pages")

    def sample(self, rows: int, today: dt.date) -> Iterator[tuple[RawPage, bool]]:
        for page in self.pages():
            if rows <= 0:
                yield RawPage(page.rows.slice(0, 0), page.day, page.optional), False
                return
            yield RawPage(page.rows.slice(0, rows), page.day, page.optional), page.rows.num_rows <= rows
            rows -= page.rows.num_rows

    def abort(self) -> None:
        self._client.abort()

    def close(self) -> None:
        """The client is closed by the caller."""

    def places(self) -> list[str]:
        return [_PATHS[self._table]]

    def _numbered(self, pages: Iterable[list[Any]]) -> Iterator[RawPage]:
        last = 0
        for rows in pages:
            if rows:
                numbers = range(last + 1, last + 1 + len(rows))
                lines = [None if isinstance(row, dict) else str(row) for row in rows]
                yield page_of_records(rows, _PATHS[self._table], list(numbers), lines)
                last += len(rows)
