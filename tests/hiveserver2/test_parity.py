"""The same days give the same rows in both warehouses: every table, doubles to 1e-9, everything else to the letter."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import pyarrow as pa

from fraud_assets.engine import Engine, refresh
from fraud_assets.latencies import Latencies
from fraud_assets.rule_book import read_rule_book
from fraud_assets.source_client import SourceClient
from hive_io import EmbeddedWarehouse, HiveServer, HiveServer2Warehouse, Span, Warehouse
from mock_sources import Faults, World, running

DAY = dt.date(2026, 4, 1)
LATER = dt.datetime(2026, 4, 20, tzinfo=dt.UTC)  # everything late has arrived
NOON = dt.datetime(2026, 4, 2, 12, 30, tzinfo=dt.UTC)
SPANS = (
    Span.days(DAY - dt.timedelta(days=6), DAY),
    Span(dt.datetime(2026, 4, 2, tzinfo=dt.UTC), NOON),
    Span(NOON, dt.datetime(2026, 4, 3, tzinfo=dt.UTC)),
)
NEED_MONTHS = {"dormant_account", "new_account_activity"}
"""Rules of whose kind a week of so few people has nothing."""
ODD = Faults(late=0.1, duplicates=0.05, corrected=0.05, malformed=0.05)


def test_features_rules_and_alerts(tmp_path: Path, server: HiveServer) -> None:
    engine = Engine(read_rule_book())
    embedded, remote = EmbeddedWarehouse(tmp_path / "lake"), HiveServer2Warehouse(server)
    with running(World(customers=150, merchants=60, fraud_rate=0.1, faults=ODD), now=lambda: LATER) as url:
        for warehouse in (embedded, remote):
            latencies = Latencies()
            latencies.add(pa.array([0.3, 2.5, 2.5, 70.0]), NOON)
            latencies.write(warehouse)
            with SourceClient(url) as client:
                for span in SPANS:
                    refresh(engine, client, warehouse, span, 1.0)
    _assert_equal(embedded, remote)
    assert embedded.read("fintech.transactions_rejected").num_rows
    hits = {rule.name: embedded.read(rule.table.full_name).num_rows for rule in engine.book.evaluated}
    assert {rule for rule, found in hits.items() if not found} <= NEED_MONTHS, f"a rule without a hit shows nothing: {hits}"
    remote.close()


def _assert_equal(one: Warehouse, other: Warehouse) -> None:
    names = one.tables("fintech")
    assert other.tables("fintech") == names
    for name in names:
        left, right = one.read(f"fintech.{name}"), other.read(f"fintech.{name}")
        assert left.schema == right.schema, name
        assert left.num_rows == right.num_rows, name
        for a, b in zip(_sorted(left.to_pylist()), _sorted(right.to_pylist()), strict=True):
            assert a.keys() == b.keys()
            for column in a:
                assert _same(a[column], b[column]), f"{name}.{column}: {a} and {b}"


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By everything but doubles, which may differ in their last digits."""
    return sorted(rows, key=lambda row: repr([value for value in row.values() if not isinstance(value, float)]))


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other
