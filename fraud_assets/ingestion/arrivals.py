"""Arrivals: rows that reached the source after a cursor, validated, page by page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from fraud_assets.ingestion.batch import Batch
from fraud_assets.ingestion.load import Source
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.validate import validate
from fraud_assets.schemas.sources import ApiTable
from hive_io import Span


def arrivals(api: ApiTable, source: Source, cursor: str | None, today: dt.date, allowed: Span) -> Iterator[tuple[Batch, str]]:
    """Transactions in order of arrival, in pages, each with the cursor of its last row.

    Args:
        cursor: of an earlier page; without one, only transactions from the beginning of today on are read.
        today: UTC; the day of rejected rows without a readable arrival time.
        allowed: times outside of this span break a claim.

    Raises:
        SourceError: the source does not answer, or its answer breaks the protocol.
    """
    since = Span.days(today, today).start
    if isinstance(source, MappedSource):
        if source.apis is None or source.describes(api.table.name):
            yield from source.arrivals(api, cursor, since, allowed, today)
            return
        source = source.apis
    for rows, last in source.arrivals(cursor, since):
        yield validate(api, rows, allowed, arrived_on=today, ahead=source.limits.ahead), last
