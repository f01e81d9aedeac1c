"""Readers beside writers of an embedded warehouse, and processes that are killed: each version is whole."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

from hive_io import EmbeddedWarehouse
from tests.hive_io.delta.samples import (
    CHECKOUT,
    GENERATIONS,
    NAME,
    files_by_day,
    generation,
    generations_by_day,
    write_in_pieces,
)
from tests.hive_io_fixtures import PAYMENTS, at, days, ds, payment, payments


def test_a_reader_sees_only_whole_commits(tmp_path: Path) -> None:
    writer, reader = EmbeddedWarehouse(tmp_path), EmbeddedWarehouse(tmp_path)
    writer.replace(GENERATIONS, generation(0, 1, 3), days(1, 3))
    done, reads = Event(), list[dict[str, list[tuple[int, int]]]]()
    errors: list[Exception] = []

    def read() -> None:
        try:
            while not done.is_set():
                reads.append(generations_by_day(reader.read("fintech.generations")))
        except Exception as error:  # the assertion below shows it
            errors.append(error)

    thread = Thread(target=read)
    thread.start()
    for number in range(1, 26):
        writer.replace(GENERATIONS, generation(number, 1, 3), days(1, 3))
    done.set()
    thread.join()
    assert errors == []
    assert len(reads) >= 10
    seen = []
    for by_day in reads:
        assert list(by_day) == [ds(1), ds(2), ds(3)]
        (found,) = {tuple(found) for found in by_day.values()}
        ((number, rows),) = found
        assert rows == 40
        seen.append(number)
    assert seen == sorted(seen)
    assert len(set(seen)) > 1, "the reader saw one generation only: the test shows nothing"


WRITE_FOREVER = """
import itertools, sys
from hive_io import EmbeddedWarehouse
from tests.hive_io.delta.samples import GENERATIONS, generation
from tests.hive_io_fixtures import days

warehouse = EmbeddedWarehouse(sys.argv[1])
for number in itertools.count(int(sys.argv[2])):
    warehouse.replace(GENERATIONS, generation(number, 1, 3, rows=2_000), days(1, 3))
    print(number, flush=True)
"""
COMPACT_FOREVER = """
import datetime, itertools, sys
from hive_io import EmbeddedWarehouse
from tests.hive_io.delta.samples import NAME
from tests.hive_io_fixtures import PAYMENTS, at, payment, payments

warehouse = EmbeddedWarehouse(sys.argv[1])
for number in itertools.count(int(sys.argv[2])):
    warehouse.upsert(PAYMENTS, payments(payment(f"r{number}", at(1, 0, number % 60))))
    print(number, flush=True)
    warehouse.compact(NAME, at(9).date())
    if number % 3 == 0:
        warehouse.vacuum(NAME, datetime.timedelta(hours=1))
"""


def last_confirmed(program: str, arguments: Sequence[str], steps: int, delay: float) -> int:
    """Run a program that prints a number after each step, and kill it `delay` seconds after `steps` steps.

    Returns the last number that it printed.
    """
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    with process:
        assert process.stdout is not None
        confirmed = [int(process.stdout.readline()) for _ in range(steps)]
        time.sleep(delay)
        process.kill()
        confirmed += [int(line) for line in process.stdout.read().split("\n") if line.isdigit()]
    return max(confirmed)


def test_a_killed_writer_leaves_whole_generations(tmp_path: Path) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / "lake")
    for round_, delay in enumerate([0.0, 0.011, 0.027], 1):
        committed = last_confirmed(WRITE_FOREVER, [str(warehouse.root), str(1_000 * round_)], 3, delay)
        (found,) = {tuple(found) for found in generations_by_day(warehouse.read("fintech.generations")).values()}
        # the writer may have committed one more, and been killed before it printed its number
        assert found in [((committed, 2_000),), ((committed + 1, 2_000),)]
        assert warehouse.partitions("fintech.generations") == {ds(1): 2_000, ds(2): 2_000, ds(3): 2_000}
    warehouse.replace(GENERATIONS, generation(7, 2, 2), days(2))
    assert generations_by_day(warehouse.read("fintech.generations", span=days(2))) == {ds(2): [(7, 40)]}


def test_a_killed_compaction_leaves_the_table_whole(lake: EmbeddedWarehouse) -> None:
    write_in_pieces(lake, 1, 2)
    start = 0
    for delay in (0.0, 0.009, 0.021):
        committed = last_confirmed(COMPACT_FOREVER, [str(lake.root), str(start)], 4, delay)
        names = set(lake.read(NAME, ["id"]).column("id").to_pylist())
        expected = {f"r{number}" for number in range(committed + 1)} | {f"p{n}" for n in range(4)}
        # the writer may have committed one more, and been killed before it printed its number
        assert names in (expected, expected | {f"r{committed + 1}"})
        assert sum(lake.partitions(NAME).values()) == lake.read(NAME).num_rows == len(names) + 4
        start = committed + 2
        lake.upsert(PAYMENTS, payments(payment(f"r{committed + 1}", at(1, 0, (committed + 1) % 60))))
    lake.compact(NAME, at(9).date())
    assert files_by_day(lake) == {f"ds={ds(1)}": 1, f"ds={ds(2)}": 1}
