"""The query of one rule for one transaction: when it runs, what it returns, and what it names as left out."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlglot import exp

from fraud_assets.engine.engine import Engine
from fraud_assets.explain.rule_query import RuleQuery
from fraud_assets.explain.tolerant_reader import TolerantReader
from hive_io import EmbeddedWarehouse
from tests.fraud_fixtures import all_tables, book_with, fill, transaction

HEAD = "-- title: N\n-- description: N\n-- blind_spot: N\n-- severity: low\n-- weight: 0.1\n-- reason: N\n-- source: N\n"
KEY = "t.transaction_id, t.customer_id, t.event_time"
OVER_100 = f"SELECT {KEY}, t.amount > 100 AS hit, t.amount FROM transactions t"


class CountingReader(TolerantReader):
    """Counts the queries that it runs."""

    def __init__(self, lake: EmbeddedWarehouse, engine: Engine) -> None:
        super().__init__(lake, engine.tables)
        self.queries = 0

    def rows(self, query: exp.Query) -> list[dict[str, Any]]:
        self.queries += 1
        return super().rows(query)


def query_of(
    folder: Path, lake: EmbeddedWarehouse, select: str, row: Mapping[str, Any], create: bool = True
) -> tuple[RuleQuery, CountingReader]:
    engine = Engine(book_with(folder, {"odd.sql": f"{HEAD}{select}\n"}))
    if create:
        all_tables(lake, engine.book)
    fill(lake, "transactions", [row])
    reader = CountingReader(lake, engine)
    return RuleQuery(engine.book.rules["odd"], engine.tables, reader, row), reader


def test_the_query_runs_once_for_row_hit_and_evidence(tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    query, reader = query_of(tmp_path, lake, OVER_100, transaction("t", amount="12.00"))
    assert reader.queries == 0
    assert query.row is not None and query.row["hit"] is False
    assert query.hit is not None and (query.hit.holds, query.hit.off) == (False, "88.00")
    assert query.evidence == {"amount": Decimal("12.00")}, "without key, hit and probes"
    assert reader.queries == 1


def test_nothing_runs_while_a_table_is_missing(tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    join = "JOIN customer_profiles p ON p.ds = t.ds AND p.customer_id = t.customer_id"
    select = f"SELECT {KEY}, p.amount_mean FROM transactions t {join}"
    query, reader = query_of(tmp_path, lake, select, transaction("t"), create=False)
    assert query.missing_tables == ["customer_profiles"]
    assert (query.row, query.hit, query.evidence) == (None, None, {})
    assert reader.queries == 0


def test_a_select_without_hit_returns_a_row_and_no_condition(tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    query, _ = query_of(tmp_path, lake, f"SELECT {KEY}, t.amount FROM transactions t", transaction("t"))
    assert query.row is not None and query.hit is None


def test_the_innermost_filter_that_drops_the_transaction_is_the_reason(tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    inner = f"SELECT {KEY}, t.amount, t.status FROM transactions t WHERE t.amount > 50"
    select = f"SELECT {KEY} FROM ({inner}) t WHERE t.status = 'declined'"
    query, _ = query_of(tmp_path / "inner", lake, select, transaction("t", amount="10.00"))
    [reason] = query.reasons_not_judged()
    assert "amount 10.00 > 50" in reason and "status" not in reason
    query, _ = query_of(tmp_path / "outer", lake, select, transaction("t", amount="60.00"))
    [reason] = query.reasons_not_judged()
    assert "status approved = declined" in reason and "amount" not in reason


def test_having_is_the_reason_if_no_other_filter_is(tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    others = "JOIN transactions o ON o.customer_id = t.customer_id AND o.ds = t.ds"
    select = f"SELECT {KEY}, COUNT(*) AS together FROM transactions t {others} GROUP BY {KEY} HAVING COUNT(*) > 1"
    query, _ = query_of(tmp_path, lake, select, transaction("t"))
    [reason] = query.reasons_not_judged()
    assert "HAVING COUNT(*) > 1" in reason


def test_a_missing_row_is_the_reason_and_not_what_depends_on_it(tmp_path: Path, lake: EmbeddedWarehouse) -> None:
    joins = (
        "JOIN customer_profiles p ON p.ds = t.ds AND p.customer_id = t.customer_id "
        "JOIN merchant_profiles m ON m.ds = p.ds AND m.merchant_id = t.merchant_id"
    )
    select = f"SELECT {KEY}, p.amount_mean FROM transactions t {joins} WHERE p.transactions > 5"
    query, _ = query_of(tmp_path, lake, select, transaction("t"))
    [reason] = query.reasons_not_judged()
    assert "customer_profiles" in reason and "customer_id c1" in reason and "2026-01-05" in reason
    assert "merchant_profiles" not in reason and "transactions >" not in reason
