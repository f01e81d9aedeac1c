"""Malformed rows of the smaller lists: their share, their malformations, the same rows on every page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from mock_sources import Faults, World, running
from mock_sources.list_faults import LIST_MALFORMATIONS, spoiled
from mock_sources.source import Row

IDS = ("customer_id", "merchant_id", "report_id")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def lists(malformed_others: float, limit: int = 50_000) -> dict[str, list[Row]]:
    """Every list of a world, over HTTP."""
    world = World(seed=5, customers=200, merchants=60, fraud_rate=0.05, faults=Faults(malformed_others=malformed_others))
    found: dict[str, list[Row]] = {name: [] for name in LIST_MALFORMATIONS}
    with running(world, now=lambda: NOW) as url, httpx.Client(base_url=url, timeout=30) as client:
        for page in pages(client, "/api/customers", limit):
            found["customers"] += page
        for page in pages(client, "/api/externalData?since=2026-02-01", limit):
            for name, rows in page.items():
                found[name] += rows
    return found


def pages(client: httpx.Client, path: str, limit: int) -> Iterator[Any]:
    answer = client.get(httpx.URL(path).copy_merge_params({"limit": str(limit)}))
    yield answer.json()
    while (following := answer.links.get("next")) is not None:
        answer = client.get(following["url"])
        yield answer.json()


@pytest.mark.parametrize("name", LIST_MALFORMATIONS)
def test_malformed_rows_have_one_of_the_malformations(name: str) -> None:
    clean: list[Row] = [{**dict.fromkeys(IDS, f"id {number}"), "other": {"a": 1}} for number in range(500)]
    kinds: Counter[int] = Counter()
    for good, row in zip(clean, spoiled(name, clean, 0.3, 7), strict=True):
        if row != good:
            kinds.update(way for way, changes in enumerate(LIST_MALFORMATIONS[name]) if row == {**good, **changes})
    assert kinds.total() / len(clean) == pytest.approx(0.3, abs=0.06)
    assert set(kinds) == set(range(len(LIST_MALFORMATIONS[name])))


def test_a_row_is_malformed_in_every_response_or_in_none() -> None:
    rows: list[Row] = [{"customer_id": f"c{number}", "score": 700} for number in range(200)]
    whole = spoiled("credit_scores", rows, 0.3, 7)
    assert spoiled("credit_scores", rows[50:], 0.3, 7) == whole[50:]
    assert spoiled("credit_scores", rows, 0.3, 8) != whole


def test_pages_add_up_to_a_single_page() -> None:
    assert lists(0.1, limit=40) == lists(0.1)


def test_all_rows_can_be_malformed() -> None:
    clean, served = lists(0.0), lists(1.0)
    assert all(row != good for name in clean for good, row in zip(clean[name], served[name], strict=True))
