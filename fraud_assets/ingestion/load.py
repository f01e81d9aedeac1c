"""Loads a source table for a span: fetch, audit, write."""

from __future__ import annotations

from collections.abc import Iterator

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.batch import Batch, Row, join_days, join_pages
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.ingestion.prefetch import prefetch
from fraud_assets.ingestion.validate import validate
from fraud_assets.schemas.sources import ApiTable
from hive_io import Span, Warehouse

_SNAPSHOT_FIELDS = {"blacklist": "blacklist_info", "credit_scores": "credit_scores"}


class RejectedShareTooHigh(SourceError):
    """So many rows were refused that the rest is not trusted: the good table stays as it was."""


def fetch(api: ApiTable, source: SourceClient, span: Span) -> Batch:
    """The rows of an API table in a span, from its source.

    Snapshots are those of the beginning of each day that the span touches.

    Raises:
        SourceError: the source does not answer, or not with what was agreed.
    """
    # the source is asked day by day, so that a range gives what its days give one by one
    served = prefetch((day, page) for day in _each_day(span) for page in _with_end(_pages(api, source, day)))
    days: list[Batch] = []
    pages: list[Batch] = []
    for day, page in served:
        if page is not None:
            pages.append(validate(api, page, day))
        else:
            days.append(join_pages(api, pages, day.first_day))
            pages = []
    return join_days(days)


def _pages(api: ApiTable, source: SourceClient, day: Span) -> Iterator[list[Row]]:
    name = api.table.name
    if name == "transactions":
        return source.transactions(day)
    if name == "fraud_reports":
        return source.fraud_reports(day)
    as_of = day.whole_days().start
    return source.customers(as_of) if name == "customers" else source.external_snapshot(_SNAPSHOT_FIELDS[name], as_of)


def _with_end(pages: Iterator[list[Row]]) -> Iterator[list[Row] | None]:
    yield from pages
    yield None


def _each_day(span: Span) -> Iterator[Span]:
    """The span, cut at midnights."""
    for day in span.each_day():
        whole = Span.days(day, day)
        yield Span(max(span.start, whole.start), min(span.end, whole.end))


def audit(api: ApiTable, batch: Batch, limit: float) -> None:
    """Hold the share of refused rows against a limit, before anything is committed.

    Raises:
        RejectedShareTooHigh: with what was refused most.
    """
    if batch.rejected_share > limit:
        claims: dict[str, int] = {}
        for row in batch.rejected.column("claims").to_pylist():
            for claim in row:
                claims[claim] = claims.get(claim, 0) + 1
        worst = max(sorted(claims), key=lambda name: claims[name])
        raise RejectedShareTooHigh(
            f"{batch.rejected.num_rows} of {batch.served} rows for {api.table.full_name} were refused, most by {worst}; the "
            f"limit is {limit:.0%}. The table is as it was, the refused rows are in {api.rejected.full_name}"
        )


def load(api: ApiTable, source: SourceClient, warehouse: Warehouse, span: Span, rejected_limit: float) -> None:
    """Bring an API table's rows of a span from its source: the refused ones, then, where the audit allows it, the others.

    Raises:
        SourceError, HiveIOError: the table is as it was.
    """
    batch = fetch(api, source, span)
    warehouse.upsert(api.rejected, batch.rejected)
    audit(api, batch, rejected_limit)
    warehouse.replace(api.table, batch.rows, span)
