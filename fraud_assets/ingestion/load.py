"""Loads a source table for a span: fetch, audit, write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.batch import Batch, QueriedBatch, Row, join_days, join_pages
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.ingestion.loads import load_records, with_first_seen
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.prefetch import prefetch
from fraud_assets.ingestion.stages import dropped_if_failed
from fraud_assets.ingestion.validate import validate
from fraud_assets.schemas.sources import ApiTable
from hive_io import Span, Warehouse

_SNAPSHOT_FIELDS = {"blacklist": "blacklist_info", "credit_scores": "credit_scores"}

Source = SourceClient | MappedSource
"""The three APIs, or what a source file describes."""


class RejectedShareTooHigh(SourceError):
    """The share of rejected rows exceeds the limit, so the other rows are not trusted either and the table is unchanged."""


def load(
    api: ApiTable,
    source: Source,
    warehouse: Warehouse,
    span: Span,
    rejected_limit: float,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Fetch a table's rows of a span and write them: rejected rows first, then, if the audit passes, the valid rows.

    Args:
        rejected_limit: largest share of rejected rows, from 0 to 1.
        clock: the time of the load, for rows that are served late.

    Raises:
        SourceError, HiveIOError: the table is unchanged.
    """
    write(api, warehouse, fetch(api, source, span, warehouse, clock), span, rejected_limit)


def write(api: ApiTable, warehouse: Warehouse, batch: Batch | QueriedBatch, span: Span, rejected_limit: float) -> None:
    """Write what `fetch` returned for a span, as `load` does.

    Raises:
        RejectedShareTooHigh, HiveIOError: the table is unchanged.
    """
    with stage_of(warehouse, batch):
        warehouse.upsert(api.rejected, batch.rejected)
        audit(api, batch, rejected_limit)
        receipt = warehouse.replace(api.table, with_first_seen(api, warehouse, batch.rows, batch.asked_at), span)
    if api.loads is not None:
        # after the rows: a load that ends in between is not recorded, and is repeated
        records = load_records(api, warehouse, batch, span, receipt.partitions)
        warehouse.replace(api.loads, records, span.whole_days())


def fetch(api: ApiTable, source: Source, span: Span, warehouse: Warehouse, clock: Clock = SYSTEM_CLOCK) -> Batch | QueriedBatch:
    """Fetch and validate a table's rows of a span. Snapshots are those of the start of each day in the span.

    Args:
        warehouse: runs the queries of a source that is read in place.

    Raises:
        SourceError: the source does not answer, or its answer breaks the protocol.
    """
    asked_at = clock.now()
    if isinstance(source, MappedSource):
        if source.apis is None or source.describes(api.table.name):
            return replace(source.fetch(api, span, warehouse, clock), asked_at=asked_at)
        source = source.apis
    # one request series per day, so that a range returns the same rows as its days one by one
    served = prefetch((day, page) for day in _each_day(span) for page in _with_end(_pages(api, source, day)))
    days: list[Batch] = []
    pages: list[Batch] = []
    for day, page in served:
        if page is not None:
            pages.append(validate(api, page, day, ahead=source.limits.ahead))
        else:
            days.append(join_pages(api, pages, day.first_day))
            pages = []
    return replace(join_days(days), asked_at=asked_at)


def audit(api: ApiTable, batch: Batch | QueriedBatch, limit: float) -> None:
    """Compare the share of rejected rows with the limit.

    Raises:
        RejectedShareTooHigh: names the claim that most rows violate.
    """
    if batch.rejected_share > limit:
        claims = batch.broken_claims
        worst = max(sorted(claims), key=lambda name: claims[name])
        raise RejectedShareTooHigh(
            f"{batch.rejected_rows} of {batch.served} rows for {api.table.full_name} rejected, most by {worst}; "
            f"the limit is {limit:.0%}. The table is unchanged; the rejected rows are in {api.rejected.full_name}, list them "
            f"with `fraud rejected {api.table.name}`"
        )


@contextmanager
def stage_of(warehouse: Warehouse, batch: Batch | QueriedBatch) -> Iterator[None]:
    """Within the context, the rows that a source that is read in place has staged can be read. Other batches stage none.

    Raises:
        HiveIOError: the stage cannot be dropped at the end.
    """
    if not isinstance(batch, QueriedBatch):
        yield
        return
    with dropped_if_failed(warehouse, batch.stage):
        yield
    warehouse.drop(batch.stage)


def _pages(api: ApiTable, source: SourceClient, day: Span) -> Iterator[list[Row]]:
    name = api.table.name
    if name == "transactions":
        return source.transactions(day)
    if name == "fraud_reports":
        return source.fraud_reports(day)
    as_of = day.whole_days().start
    return source.customers(as_of) if name == "customers" else source.external_snapshot(_SNAPSHOT_FIELDS[name], as_of)


def _with_end(pages: Iterator[list[Row]]) -> Iterator[list[Row] | None]:
    """The pages, then None."""
    yield from pages
    yield None


def _each_day(span: Span) -> Iterator[Span]:
    """The span, cut at midnight UTC."""
    for day in span.each_day():
        whole = Span.days(day, day)
        yield Span(max(span.start, whole.start), min(span.end, whole.end))
