"""Tables, states and steps that tests of the embedded warehouse share."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest

from hive_io import Column, EmbeddedWarehouse, Table
from tests.hive_io_fixtures import PAYMENTS, at, ds, payment, payments, table_of

NAME = PAYMENTS.full_name
CHECKOUT = Path(__file__).parents[3]
GENERATIONS = Table("fintech", "generations", (Column("generation", "BIGINT"), Column("n", "BIGINT")))


def generation(number: int, first: int, last: int, rows: int = 40) -> pa.Table:
    """The same number of rows on each day, all of one generation."""
    return table_of(GENERATIONS, *[(number, n, ds(day)) for day in range(first, last + 1) for n in range(rows)])


def generations_by_day(found: pa.Table) -> dict[str, list[tuple[int, int]]]:
    """The generations of each day, with their numbers of rows."""
    counts = found.group_by(["ds", "generation"]).aggregate([([], "count_all")]).to_pylist()
    by_day: dict[str, list[tuple[int, int]]] = {}
    for row in sorted(counts, key=repr):
        by_day.setdefault(row["ds"], []).append((row["generation"], row["count_all"]))
    return by_day


def write_in_pieces(warehouse: EmbeddedWarehouse, *numbers: int, pieces: int = 4) -> None:
    """Write days of PAYMENTS, each in as many files as pieces."""
    for number in numbers:
        for piece in range(pieces):
            warehouse.upsert(PAYMENTS, payments(payment(f"p{piece}", at(number, piece))))


def files_by_day(warehouse: EmbeddedWarehouse) -> dict[str, int]:
    """Files of PAYMENTS with current rows, by the name of their folder."""
    files = deltalake.DeltaTable(str(folder_of(warehouse))).file_uris()
    return dict(sorted(Counter(Path(file).parent.name for file in files).items()))


def folder_of(warehouse: EmbeddedWarehouse) -> Path:
    """The folder of PAYMENTS."""
    return warehouse.root / "fintech.db" / "payments"


def make_old(age: dt.timedelta, *files: Path) -> None:
    """Set the time of files back."""
    then = time.time() - age.total_seconds()
    for file in files:
        os.utime(file, (then, then))


def before_the_commit(monkeypatch: pytest.MonkeyPatch, step: Callable[[], object]) -> None:
    """Run a step once, between the reads of the next write and its commit."""
    write = deltalake.write_deltalake

    def late(*args: Any, **options: Any) -> None:
        monkeypatch.setattr(deltalake, "write_deltalake", write)
        step()
        write(*args, **options)

    monkeypatch.setattr(deltalake, "write_deltalake", late)
