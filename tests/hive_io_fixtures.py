"""Tables and rows shared by the tests of `hive_io`."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal
from threading import Barrier, Thread
from typing import Any

import pyarrow as pa

from hive_io import Column, Span, Table

PAYMENTS = Table(
    "fintech",
    "payments",
    (Column("id", "STRING"), Column("at", "TIMESTAMP"), Column("amount", "DECIMAL(18,2)")),
    key=("id",),
    time_column="at",
    description="Payments.",
)

Payment = tuple[Any, ...]


def day(number: int) -> dt.date:
    """A day of January 2026."""
    return dt.date(2026, 1, number)


def ds(number: int) -> str:
    return day(number).isoformat()


def at(number: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> dt.datetime:
    """A time in January 2026, aware, in UTC."""
    return dt.datetime(2026, 1, number, hour, minute, second, micro, tzinfo=dt.UTC)


def days(first: int, last: int | None = None) -> Span:
    return Span.days(day(first), day(last or first))


def payment(name: str | None, when: dt.datetime, amount: str | None = "1.00") -> Payment:
    """A row of PAYMENTS, on the day of its time."""
    return (name, when.replace(tzinfo=None), None if amount is None else Decimal(amount), f"{when:%Y-%m-%d}")


def payments(*rows: Payment) -> pa.Table:
    return table_of(PAYMENTS, *rows)


def table_of(table: Table, *rows: Payment) -> pa.Table:
    """Build a table from rows in the column order of the description, `ds` last."""
    names = table.arrow_schema.names
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=table.arrow_schema)


def rows_of(found: pa.Table) -> list[Payment]:
    """Return rows as tuples, sorted, because a table has no order."""
    return sorted((tuple(row.values()) for row in found.to_pylist()), key=repr)


def at_once(*steps: Callable[[], Any]) -> list[Any]:
    """Run steps at the same moment. Return what each returned or raised."""
    gate, outcomes = Barrier(len(steps)), [None] * len(steps)

    def run(index: int, step: Callable[[], Any]) -> None:
        gate.wait()
        try:
            outcomes[index] = step()
        except Exception as error:  # the test asserts on it
            outcomes[index] = error  # type: ignore[call-overload]

    threads = [Thread(target=run, args=pair) for pair in enumerate(steps)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def pause() -> dt.datetime:
    """A moment between two commits, whose times are in milliseconds."""
    time.sleep(0.005)
    moment = dt.datetime.now(dt.UTC)
    time.sleep(0.005)
    return moment
