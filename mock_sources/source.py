"""Interface between `app` and a source: the synthetic world or a replay."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

Row = dict[str, Any]
"""One JSON object of a response."""

DEFAULT_LIMIT = 1_000
"""Rows per page by default."""
MAX_LIMIT = 50_000
"""Most rows per page."""

EXTERNAL_KEYS: dict[str, tuple[str, ...]] = {
    "blacklist_info": ("listed_at", "merchant_id"),
    "credit_scores": ("customer_id",),
    "fraud_reports": ("reported_at", "report_id"),
}
"""The lists of /api/externalData in paging order, each with the fields by which it is ordered."""


@dataclass(frozen=True)
class Window:
    """Requested rows: those known at `as_of` with a time in [`since`, `until`). In microseconds since the epoch."""

    as_of: int
    since: int | None = None
    until: int | None = None


class ArrivalKey(NamedTuple):
    """Sort key of a transaction in the order of arrival."""

    arrival: int
    transaction_id: str
    version: int


@dataclass(frozen=True)
class Page:
    """A page of transactions.

    Attributes:
        rows: in the order of arrival.
        last: key of the last row; None without rows.
        more: True if more rows follow.
    """

    rows: list[Row]
    last: ArrivalKey | None
    more: bool


class Source(Protocol):
    """A source with a history: it answers as of any time. Every answer is a pure function of its arguments."""

    def transactions(self, window: Window, after: ArrivalKey | None, limit: int) -> Page:
        """Up to `limit` rows with event time in the window that arrived after the key `after`, at `as_of` at the latest.

        Raises:
            BadParameter: `after` is not a key of this source.
        """
        ...

    def customers(self, as_of: int) -> list[Row]:
        """Every customer known at `as_of`, ordered by customer_id."""
        ...

    def external_data(self, window: Window, sections: Collection[str]) -> dict[str, list[Row]]:
        """The named lists, each ordered by its `EXTERNAL_KEYS`. The window restricts only fraud reports, by `reported_at`."""
        ...

    def labels(self, window: Window) -> list[Row]:
        """Fraudulent transactions, ordered by event time. For evaluation only."""
        ...
