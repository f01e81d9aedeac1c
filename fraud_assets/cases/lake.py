"""Decisions back into the lake, where they become labels: `decisions`, and `cases_daily`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import pyarrow as pa
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from fraud_assets.cases.database import is_missing
from fraud_assets.cases.model import DaySummary, Decision, DecisionRow
from fraud_assets.cases.store import CaseStore
from fraud_assets.schemas.cases import CASES_DAILY, DECISIONS
from hive_io import PARTITION, PartitionConflict, Span, Table, Warehouse

_MARK = "decisions"
"""Name of the mark with the number of the last decision that is in the lake."""

_AT_ONCE = 5000
"""Decisions that are written in one commit a day, at most."""


def desk_at(url: str) -> CaseStore | None:
    """The store of cases at an address; None if there is no desk: its SQLite file does not exist.

    Raises:
        DeskDatabaseError: there is one that cannot be used.
    """
    return None if is_missing(url) else CaseStore.open(url)


def write_decisions(store: CaseStore, warehouse: Warehouse) -> int:
    """Write the decisions that the lake lacks; return how many. Writing some of them twice leaves the same rows.

    Raises:
        HiveIOError: those before the failure are written, and the next call writes the others.
    """
    written = 0
    while rows := store.decisions_since(int(store.marks(_MARK).get(_MARK, "0")), _AT_ONCE):
        upsert(warehouse, DECISIONS, decisions_table(rows))
        store.set_marks({_MARK: str(rows[-1].number)})
        written += len(rows)
    return written


@retry(
    retry=retry_if_exception_type(PartitionConflict),
    wait=wait_random_exponential(multiplier=0.2, max=5),
    stop=stop_after_attempt(8),
    reraise=True,
)
def upsert(warehouse: Warehouse, table: Table, rows: pa.Table) -> None:
    """Add rows by key, again if another writer was first."""
    warehouse.ensure_table(table)
    warehouse.upsert(table, rows)


def decisions_of(store: CaseStore, span: Span) -> pa.Table:
    """Rows of `decisions` for a span."""
    return decisions_table(store.decisions_between(span.start, span.end))


def decisions_table(rows: Iterable[DecisionRow]) -> pa.Table:
    """Decisions as rows of `decisions`."""
    return pa.Table.from_pylist(
        [
            {
                "decision_id": row.decision_id,
                "case_id": row.case_id,
                "transaction_id": row.transaction_id,
                "customer_id": row.customer_id,
                "decision": row.decision.value,
                "decided_by": row.decided_by,
                "decided_at": row.decided_at.astimezone(dt.UTC).replace(tzinfo=None),
                "note": row.note,
                "reason_code": row.reason_code.value if row.reason_code else None,
                "number": row.number,
                PARTITION: row.decided_at.astimezone(dt.UTC).date().isoformat(),
            }
            for row in rows
        ],
        DECISIONS.arrow_schema,
    )


def cases_daily_of(store: CaseStore, span: Span, now: dt.datetime) -> pa.Table:
    """Rows of `cases_daily` for the days of a span that have begun."""
    days = [day for day in span.each_day() if day <= now.date()]
    return pa.Table.from_pylist([_day_row(summary) for summary in store.days(days, now)], CASES_DAILY.arrow_schema)


def _day_row(summary: DaySummary) -> dict[str, object]:
    day = summary.day.isoformat()
    return {
        "day": day,
        "opened": summary.opened,
        "frauds": summary.decided.get(Decision.FRAUD, 0),
        "honest": summary.decided.get(Decision.HONEST, 0),
        "undecided": summary.decided.get(Decision.UNDECIDED, 0),
        "precision": summary.precision,
        "backlog": summary.backlog,
        "backlog_over_7_days": summary.backlog_by_age["over 7 days"],
        "oldest_days": summary.oldest / dt.timedelta(days=1) if summary.oldest is not None else None,
        PARTITION: day,
    }
