"""What a source must be able to answer; the synthetic world and the replay both do, and `app` asks nothing else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

Row = dict[str, Any]
"""One JSON object of an answer."""

DEFAULT_LIMIT = 1_000
MAX_LIMIT = 50_000
"""Rows a page, unless asked for otherwise, and at most."""

EXTERNAL_KEYS: dict[str, tuple[str, ...]] = {
    "blacklist_info": ("listed_at", "merchant_id"),
    "credit_scores": ("customer_id",),
    "fraud_reports": ("reported_at", "report_id"),
}
"""The lists of /api/externalData in the order in which they are paged, and the fields that each is ordered by."""


@dataclass(frozen=True)
class Window:
    """What was asked for, in microseconds since the epoch: known at `as_of`, inside [`since`, `until`)."""

    as_of: int
    since: int | None = None
    until: int | None = None


class ArrivalKey(NamedTuple):
    """The place of a transaction in the order of arrival."""

    arrival: int
    transaction_id: str
    version: int


@dataclass(frozen=True)
class Page:
    """Some transactions in the order of arrival, the key of the last of them, and whether more are there."""

    rows: list[Row]
    last: ArrivalKey | None
    more: bool


class Source(Protocol):
    """A world that can be asked how it was at any instant. Every answer is a pure function of its arguments."""

    def transactions(self, window: Window, after: ArrivalKey | None, limit: int) -> Page:
        """Up to `limit` rows with event time in the window, arrived by `as_of` and later than `after`.

        Raises BadParameter when `after` is not a key this source can have given.
        """
        ...

    def customers(self, as_of: int) -> list[Row]:
        """Every customer known at `as_of`, ordered by customer_id."""
        ...

    def external_data(self, window: Window, sections: Collection[str]) -> dict[str, list[Row]]:
        """The named lists, each ordered by its `EXTERNAL_KEYS`; the window bounds `reported_at` of reports only."""
        ...

    def labels(self, window: Window) -> list[Row]:
        """Fraudulent transactions by event time, for evaluation only."""
        ...
