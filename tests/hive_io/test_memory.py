"""Tables in memory: prepared queries are those of the warehouse, for every span of the day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
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


CUSTOMERS = pa.table({"customer": ["a", "b", "b", "cé", None], "country": ["NL", "BE", "FR", "NL", "DE"]})
SPENT = pa.table({"customer": ["a", "cé", "d"], "amount": [1, 2, 3]})


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relations are narrowed, however few rows they have."""
    monkeypatch.setattr("hive_io.memory.NARROWED_FROM", 0)


def narrowing(sql: str, customers: list[str]) -> tuple[list[dict[str, object]], list[dict[str, object]], frozenset[str]]:
    """The result of a query over tables held whole, the same over the rows of some customers, and what the query narrows."""
    results, narrowed = [], frozenset[str]()
    for changing in (None, {"fintech.spent"}):
        memory = MemoryTables()
        memory.put("fintech.customers", CUSTOMERS)
        memory.put("fintech.spent", SPENT.filter(pc.is_in(SPENT.column("customer"), pa.array(customers, pa.string()))))
        query = memory.translate(lambda span: HiveQL(sql), day(2), changing, ("fintech.spent", "customer"))
        memory.prepare("it", query)
        memory.narrow(pa.chunked_array([customers], pa.string()))
        rows = memory.query("it", Span(at(2), at(2, 1)))
        results.append(sorted(rows.to_pylist(), key=repr))
        narrowed = query.narrowed
        memory.close()
    return results[0], results[1], narrowed


ALL = "(SELECT * FROM fintech.customers)"
SELECT = "SELECT s.customer, s.amount, c.country FROM fintech.spent s"


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("customers", [["a", "d"], ["cé"], ["b", "a"], []])
@pytest.mark.parametrize(
    "sql",
    [
        f"{SELECT} JOIN {ALL} c ON c.customer = s.customer",
        f"{SELECT} LEFT JOIN {ALL} c ON s.amount > 0 AND s.customer = c.customer",
        f"SELECT s.amount FROM fintech.spent s LEFT SEMI JOIN {ALL} c ON c.customer = s.customer",
        f"WITH c AS {ALL}, s AS (SELECT t.customer, t.amount FROM fintech.spent t WHERE t.amount > 1) "
        "SELECT s.amount, c.country FROM s LEFT JOIN c ON c.customer = s.customer",
        "SELECT s.amount, n.n FROM (SELECT w.* FROM fintech.spent w) s "
        "LEFT JOIN (SELECT customer, COUNT(*) AS n FROM fintech.customers GROUP BY customer) n ON n.customer = s.customer",
    ],
)
def test_a_narrowed_relation_gives_the_rows_of_the_whole_one(sql: str, customers: list[str]) -> None:
    whole, few, narrowed = narrowing(sql, customers)
    assert few == whole
    assert len(narrowed) == 1


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT c.country FROM fintech.spent s RIGHT JOIN {ALL} c ON c.customer = s.customer",
        f"SELECT c.country FROM fintech.spent s FULL JOIN {ALL} c ON c.customer = s.customer",
        f"SELECT c.country FROM {ALL} c LEFT JOIN fintech.spent s ON c.customer = s.customer",
        f"{SELECT} LEFT JOIN {ALL} c ON c.customer = s.customer OR s.amount = 2",
        f"{SELECT} LEFT JOIN {ALL} c ON c.customer <=> s.customer",
        f"{SELECT} JOIN {ALL} c ON c.country = s.customer",
        f"SELECT s.amount, c.country FROM (SELECT 'b' AS customer, t.amount FROM fintech.spent t) s "
        f"LEFT JOIN {ALL} c ON c.customer = s.customer",
        f"SELECT s.amount, c.country FROM (SELECT u.country AS customer, 1 AS amount FROM {ALL} u) s "
        f"LEFT JOIN {ALL} c ON c.customer = s.customer",
        "SELECT s.customer, n.customers FROM fintech.spent s "
        "JOIN (SELECT COUNT(*) AS customers FROM fintech.customers) n ON n.customers > s.amount",
        f"SELECT s.amount, c.country FROM (SELECT t.customer, t.amount FROM fintech.spent t UNION ALL SELECT 'b', 5) s "
        f"LEFT JOIN {ALL} c ON c.customer = s.customer",
    ],
)
def test_a_relation_of_which_other_rows_are_needed_is_read_whole(sql: str) -> None:
    whole, few, narrowed = narrowing(sql, ["a", "d"])
    assert few == whole
    assert not narrowed


def test_what_does_not_change_is_computed_once(memory: MemoryTables) -> None:
    memory.put("fintech.limits", pa.table({"least": [7.0]}))
    memory.prepare(
        "above",
        memory.translate(
            lambda span: HiveQL(
                "SELECT p.id FROM fintech.payments p JOIN (SELECT MIN(l.least) AS least FROM fintech.limits l) m "
                "ON p.amount >= m.least WHERE p.at >= :since AND p.at < :until",
                {"since": span.start, "until": span.end},
            ),
            day(2),
            {PAYMENTS.full_name},
        ),
    )
    memory.drop_unread(["fintech.limits", PAYMENTS.full_name])
    with pytest.raises(QueryError, match="CatalogException"):
        memory.run('SELECT * FROM "fintech.limits"')
    memory.add(PAYMENTS.full_name, payments(payment("new", at(2, 8, 30), "6.99")))
    assert ids(memory.query("above", Span(at(2, 5), at(2, 9)))) == ["p07", "p08"]


def test_a_relation_whose_times_move_is_not_computed_once(memory: MemoryTables) -> None:
    def recent(span: Span) -> HiveQL:
        rows = "(SELECT * FROM fintech.payments q WHERE q.at >= :since AND q.at < :until)"
        return HiveQL(f"SELECT p.id FROM {rows} p", {"since": span.start, "until": span.end})

    memory.prepare("recent", memory.translate(recent, day(2), ()))
    assert ids(memory.query("recent", Span(at(2, 5), at(2, 6)))) == ["p05"]
    assert ids(memory.query("recent", Span(at(2, 7), at(2, 8)))) == ["p07"]


def test_queries_that_run_at_once_come_in_order(memory: MemoryTables) -> None:
    query = memory.translate(since_an_hour_before, day(2))
    names = [f"q{number}" for number in range(20)]
    for number, name in enumerate(names):
        memory.prepare(name, query, f"id = 'p{number:02}'")
    found = {name: ids(rows) for name, rows in memory.queries(names, Span(at(2), at(3)))}
    assert found == {name: [f"p{number:02}"] for number, name in enumerate(names)}


def test_an_error_of_one_of_several_queries_is_that_of_the_query(memory: MemoryTables) -> None:
    memory.prepare("good", memory.translate(since_an_hour_before, day(2)))
    memory.prepare("bad", memory.translate(since_an_hour_before, day(2)), "CAST(id AS INT) > 0")
    with pytest.raises(QueryError, match=r"^bad failed in memory"):
        list(memory.queries(["good", "bad", "good"], Span(at(2), at(3))))
    assert ids(memory.query("good", Span(at(2, 7), at(2, 7, 30)))) == ["p06", "p07"]
