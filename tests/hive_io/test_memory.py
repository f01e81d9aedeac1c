"""Tables in memory: prepared queries are those of the warehouse, for every span of the day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest

from hive_io import EmbeddedWarehouse, HiveQL, QueryError, Span
from hive_io.memory import MemoryTables
from tests.hive_io_fixtures import PAYMENTS, at, day, days, ds, payment, payments

ROWS = payments(*(payment(f"p{hour:02}", at(2, hour), f"{hour}.50") for hour in range(24)), payment("old", at(1, 23, 30)))


def since_an_hour_before(span: Span) -> HiveQL:
    """Payments of the span and of the hour before it."""
    since = span.start - dt.timedelta(hours=1)
    return HiveQL(
        "SELECT id, amount FROM fintech.payments WHERE ds >= :first AND at >= :since AND at < :until",
        {"first": since.date().isoformat(), "since": since, "until": span.end},
    )


def ids(rows: pa.Table) -> list[str]:
    return sorted(rows.column("id").to_pylist())


@pytest.fixture
def memory() -> MemoryTables:
    made = MemoryTables()
    made.put(PAYMENTS.full_name, ROWS)
    return made


@pytest.mark.parametrize("span", [Span(at(2), at(2, 0, 1)), Span(at(2, 7), at(2, 9)), Span(at(2, 23, 59, 59, 999_999), at(3))])
def test_a_prepared_query_is_that_of_the_warehouse(memory: MemoryTables, tmp_path: Path, span: Span) -> None:
    lake = EmbeddedWarehouse(tmp_path)
    lake.replace(PAYMENTS, ROWS, days(1, 2))
    memory.prepare("recent", memory.translate(since_an_hour_before, day(2)))
    found = memory.query("recent", span)
    assert ids(found) == ids(lake.query(since_an_hour_before(span)))
    assert found.schema.field("amount").type == pa.decimal128(18, 2)


def test_a_prepared_query_sees_rows_that_came_later(memory: MemoryTables) -> None:
    memory.prepare("recent", memory.translate(since_an_hour_before, day(2)))
    memory.add(PAYMENTS.full_name, payments(payment("new", at(2, 7, 30))))
    memory.run('DELETE FROM "fintech.payments" WHERE id = $$p07$$')
    assert ids(memory.query("recent", Span(at(2, 7), at(2, 8)))) == ["new", "p06"]


def test_a_condition_on_the_result_and_other_rows(memory: MemoryTables) -> None:
    memory.put(PAYMENTS.full_name, payments(payment("a", at(2, 7)), payment("b", at(2, 7))))
    query = memory.translate(since_an_hour_before, day(2))
    memory.prepare("recent", query, "id <> 'b'")
    assert ids(memory.query("recent", Span(at(2, 7), at(2, 8)))) == ["a"]


def test_a_query_that_depends_on_more_than_the_edges_is_refused(memory: MemoryTables) -> None:
    def by_length(span: Span) -> HiveQL:
        length = (span.end - span.start) // dt.timedelta(microseconds=1)
        return HiveQL("SELECT id FROM fintech.payments WHERE UNIX_MICROS(at) > :length", {"length": length})

    with pytest.raises(QueryError, match="depends on more"):
        memory.translate(by_length, day(2))


def test_a_key_is_held_once(memory: MemoryTables) -> None:
    memory.put("keyed", payments(payment("a", at(2, 7))), key="id")
    with pytest.raises(QueryError, match="ConstraintException"):
        memory.add("keyed", payments(payment("a", at(2, 8))))
    memory.run("INSERT OR REPLACE INTO keyed BY NAME SELECT * FROM rows", rows=payments(payment("a", at(2, 9))))
    assert memory.run('SELECT "at" FROM keyed').column(0).to_pylist() == [at(2, 9).replace(tzinfo=None)]


def test_rows_are_not_shown_in_errors(memory: MemoryTables) -> None:
    with pytest.raises(QueryError) as raised:
        memory.run("SELECT CAST(id AS INT) FROM rows", rows=payments(payment("secret", at(2))))
    assert "secret" not in str(raised.value) and ds(2) not in str(raised.value)
