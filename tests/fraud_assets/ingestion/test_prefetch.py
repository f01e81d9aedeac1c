"""The prefetching iterator: the same items in order, errors too, and no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.prefetch import prefetch


def _source_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "source"]


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_the_same_items_come_in_order(depth: int) -> None:
    items: list[Any] = [*range(20), None, False, [], Exception("an item")]
    assert list(prefetch(iter(items), depth)) == items
    assert list(prefetch([], depth)) == []
    assert _source_threads() == []


def test_an_exception_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise SourceError("gone")

    seen = []
    with pytest.raises(SourceError, match="gone"):
        for item in prefetch(items()):
            seen.append(item)
    assert seen == [1, 2]
    assert _source_threads() == []


def test_items_are_computed_no_further_ahead_than_the_depth() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    given = prefetch(items(), 2)
    assert next(given) == 0
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    # one in use, two waiting, one in hand
    assert made == [0, 1, 2, 3]
    given.close()  # type: ignore[attr-defined]
    assert _source_threads() == []
    assert len(made) == 4


def test_the_thread_ends_when_the_caller_stops() -> None:
    for item in prefetch(iter(range(100))):
        if item == 3:
            break
    deadline = time.monotonic() + 5
    while _source_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _source_threads() == []
