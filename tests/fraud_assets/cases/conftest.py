"""A store in a SQLite file, and alerts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud_assets.cases.store import CaseStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CaseStore]:
    made = CaseStore.open(f"sqlite:///{tmp_path / 'desk.sqlite'}")
    yield made
    made.close()


@pytest.fixture
def now() -> dt.datetime:
    return dt.datetime(2026, 3, 2, 10, tzinfo=dt.UTC)
