"""Expressions drawn from the allow-list mean on a HiveServer2 what they mean embedded; a fixed set of them."""

from __future__ import annotations

from pathlib import Path

from hive_io import EmbeddedWarehouse, HiveServer, HiveServer2Warehouse
from tests.hiveql.generator import compare, fill


def test_a_few_hundred_expressions(server: HiveServer, tmp_path: Path) -> None:
    embedded, there = EmbeddedWarehouse(tmp_path), HiveServer2Warehouse(server)
    fill(embedded)
    fill(there)
    found, judge = compare(embedded, there, seed=20, count=320)
    there.close()
    assert not found, "\n".join(map(str, found))
    assert judge.asked < 40, "a SELECT of many expressions failed, and was halved"
