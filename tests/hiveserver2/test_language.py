"""HiveQL in the allow-list has the same meaning on a real HiveServer2 and in the embedded warehouse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hive_io import HiveQL, HiveServer, HiveServer2Warehouse
from tests.hive_io_fixtures import PAYMENTS, days, payments
from tests.hiveql_meanings import MEANS, QUERIES, SHOP


@pytest.fixture
def shop(server: HiveServer) -> Iterator[HiveServer2Warehouse]:
    warehouse = HiveServer2Warehouse(server)
    warehouse.replace(PAYMENTS, payments(*SHOP), days(1, 2))
    yield warehouse
    warehouse.close()


def test_expressions(shop: HiveServer2Warehouse) -> None:
    selected = ", ".join(f"{expression} AS x{number}" for number, (expression, _) in enumerate(MEANS))
    (row,) = shop.query(HiveQL(f"SELECT {selected}")).to_pylist()
    expressions = [expression for expression, _ in MEANS]
    assert dict(zip(expressions, row.values(), strict=True)) == dict(MEANS)


def test_queries(shop: HiveServer2Warehouse) -> None:
    different = {}
    for what, (text, rows) in QUERIES.items():
        found = [tuple(row.values()) for row in shop.query(HiveQL(text)).to_pylist()]
        if sorted(found, key=repr) != sorted(rows, key=repr):
            different[what] = found, rows
    assert not different
