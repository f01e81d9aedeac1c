"""A translation from memory is that of the query itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from hive_io import HiveQL, QueryError, Span
from hive_io.delta import translation_cache
from hive_io.delta.file_pruning import bounds
from hive_io.delta.translation_cache import TranslationCache
from hive_io.dialect import columns_in, to_duckdb

Translate = Callable[[HiveQL], str]
NOON = dt.datetime(2026, 3, 12, 12, tzinfo=dt.UTC)
TABLES = {table.full_name: table for table in Engine(read_rule_book()).tables.values()}
COLUMNS = columns_in(TABLES)


@pytest.fixture
def misses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were translated, not found."""
    made: list[str] = []

    def counted(*args: object, **more: object) -> str:
        made.append(to_duckdb(*args, **more))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(translation_cache, "to_duckdb", counted)
    return made


def translate(cache: TranslationCache, query: HiveQL) -> str:
    tree = query.bound()
    return cache.to_duckdb(tree, bounds(tree), str, COLUMNS, strict=query.is_text)


def test_every_query_of_the_engine_is_translated_once_for_spans_of_a_form(misses: list[str]) -> None:
    engine, cache = Engine(read_rule_book()), TranslationCache()
    second = dt.timedelta(seconds=1)
    spans = [Span(NOON + n * dt.timedelta(hours=7), NOON + n * dt.timedelta(hours=7) + 3 * second) for n in range(3)]
    tables = [table.name for table in engine.per_transaction if table.name != "transaction_scores"]
    for span in spans:
        for table in tables:
            query = engine.query(table, span)
            assert translate(cache, query) == to_duckdb(query.bound(), str, COLUMNS), table
    # the lookback of the last span reaches the day before, that of the others, too: one form each, or two
    assert len(tables) <= len(misses) <= 2 * len(tables)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM fintech.transactions t WHERE t.ds >= '{0}' AND t.ds <= '{1}'",
        "SELECT * FROM fintech.transactions t WHERE t.event_time >= CAST('{0} 10:00:00' AS TIMESTAMP)",
        "SELECT DATE_SUB('{0}', 7) AS a, '{1}' AS b, DATE_FORMAT(CAST('{0}' AS DATE), 'yyyy') AS c",
        "SELECT CONCAT('it''s ', '{0}', ' ''{0}'' ') AS a, '{1}' AS b",
    ],
)
def test_dates_are_filled_in(misses: list[str], text: str) -> None:
    cache = TranslationCache()
    for days in [("2026-03-01", "2026-03-12"), ("2025-12-31", "2026-01-01"), ("2026-03-12", "2026-03-01")]:
        query = HiveQL(text.format(*days))
        assert translate(cache, query) == to_duckdb(query.bound(), str, COLUMNS, strict=True)
    assert len(misses) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT '2026-03-01' AS a, '2026-03-01' AS b", "SELECT '2026-03-01' AS a, '2026-03-02' AS b"),
        ("SELECT '2026-03-01' AS a", "SELECT '2026-03-01 00:00:00' AS a"),
        ("SELECT '2026-03-01 00:00:00.1' AS a", "SELECT '2026-03-01 00:00:00.12' AS a"),
        ("SELECT '2026-03-01' AS a", "SELECT '2026-02-30' AS a"),
        ("SELECT 1 AS a", "SELECT 2 AS a"),
        ("SELECT amount AS a FROM fintech.transactions", "SELECT amount AS a FROM fintech.fraud_alerts"),
    ],
)
def test_what_differs_in_more_than_a_date_is_translated_itself(misses: list[str], one: str, other: str) -> None:
    cache = TranslationCache()
    for text in (one, other, one, other):
        assert translate(cache, HiveQL(text)) == to_duckdb(HiveQL(text).bound(), str, COLUMNS, strict=True)
    assert len(misses) == 2


def test_columns_of_other_types_are_another_query() -> None:
    cache, query = TranslationCache(), HiveQL("SELECT amount / 3 AS a FROM fintech.transactions").bound()
    without = cache.to_duckdb(query, bounds(query), str, lambda name: None)
    assert cache.to_duckdb(query, bounds(query), str, COLUMNS) != without
    assert cache.to_duckdb(query, bounds(query), str, lambda name: None) == without


def test_an_error_is_the_same_each_time() -> None:
    cache = TranslationCache()
    for _ in range(2):
        with pytest.raises(QueryError, match="no table payments"):
            translate(cache, HiveQL("SELECT a FROM payments"))


def test_only_so_many_are_kept(misses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation_cache, "MOST", 2)
    cache = TranslationCache()
    for number in (1, 2, 3, 3, 1):
        translate(cache, HiveQL(f"SELECT {number} AS a"))
    assert len(misses) == 4
