"""Two commands at a time on one warehouse, killed at random moments: every table equals that of an undisturbed warehouse.

`fraud run` of all days, `fraud watch` of the current day, `fraud upkeep` and `fraud rejected retry`, in pairs. Each has its own
process, and both are killed. The source's clock moves on between the kills, so transactions arrive all the time. In the end,
each command ends undisturbed.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from fraud_assets.clock import SYSTEM_CLOCK
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse
from mock_sources import Faults, LoadedWorld, running, timestamps
from tests.e2e.lakes import assert_same, rows_of
from tests.fraud_assets.live.test_service import without_latencies
from tests.services.processes import Process, wait_until

pytestmark = pytest.mark.slow

FIRST, TODAY = dt.date(2026, 3, 11), dt.date(2026, 3, 12)
BEGIN = dt.datetime(2026, 3, 12, 10, tzinfo=dt.UTC)
LOAD = 300
"""Seconds of load, spread over the kills."""
END = BEGIN + dt.timedelta(seconds=LOAD)
RELAXED = "currency_is_iso_4217"
"""The claim that the code of `rejected retry` lacks: rows that violate only this one are loaded by it."""
HANGS = 300
COMMANDS = {
    "run": ["run", "--from", str(FIRST), "--to", str(TODAY + dt.timedelta(days=1))],
    "watch": ["watch", "--reconcile", "1"],
    "upkeep": ["upkeep"],
    "retry": ["rejected", "retry", "transactions"],
}


@dataclass
class Site:
    """A source whose clock the test moves, and the commands that read it.

    Attributes:
        time: the source's clock.
    """

    url: str = ""
    time: dt.datetime = field(default=BEGIN)

    def start(self, command: str, lake: Path, log: Path) -> Process:
        env = {
            **os.environ,
            "FRAUD_WAREHOUSE": str(lake),
            "FRAUD_SOURCE_URL": self.url,
            "FRAUD_FIRST_DAY": str(FIRST),
            # one of fifteen malformations violates only the relaxed claim
            "FRAUD_REJECTED_LIMIT": "1",
            "SHIFT": str((self.time - SYSTEM_CLOCK.now()).total_seconds()),
            "WITHOUT_CLAIMS": RELAXED if command == "retry" else "",
        }
        return Process([sys.executable, "-m", "tests.e2e.shifted_fraud", *COMMANDS[command]], log, env, Path.cwd())

    def finish(self, commands: Sequence[str], lake: Path, folder: Path) -> dict[str, float]:
        """Let each command end, one after the other; return the seconds that each took."""
        # a log of its own: the messages of an earlier watch are not those of this one
        return {command: self._finish(command, lake, folder / f"{lake.name}.{command}.log") for command in commands}

    def _finish(self, command: str, lake: Path, log: Path) -> float:
        began = time.monotonic()
        process = self.start(command, lake, log)
        done = partial(_is_reconciled, lake, log) if command == "watch" else bool
        try:
            wait_until(command, lambda: process.ended or done(), HANGS, every=0.1)
            seconds = time.monotonic() - began
        finally:
            process.end()
        assert process.code == 0, process.output()
        return seconds


def _is_reconciled(lake: Path, log: Path) -> bool:
    return f"{TODAY}: every asset" in log.read_text() and json.loads((lake / "watch.json").read_text())["reopened"] == []


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    faults = Faults(late=0.1, duplicates=0.05, corrected=0.05, malformed=0.1)
    since = timestamps.from_datetime(BEGIN)
    world = LoadedWorld(3, since, LOAD, customers=60, merchants=60, fraud_rate=0.1, faults=faults, start=FIRST)
    site = Site()
    with running(world, now=lambda: site.time) as site.url:
        yield site


def end_one_by_one(processes: Sequence[tuple[str, Process]], moments: Sequence[float]) -> list[str]:
    """Kill each process so many seconds from now; return the commands that were still running.

    One that has ended before has succeeded, or another has written its days first.
    """
    began = time.monotonic()
    running = []
    for moment, (command, process) in sorted(zip(moments, processes, strict=True), key=lambda each: each[0]):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        process.end(signal.SIGKILL)
        said = f"{command}: {process.code}\n{process.output()}"
        if process.code == -signal.SIGKILL:
            running.append(command)
        else:
            assert process.code == 0 or "Another run wrote the same days" in said, said
        assert "Traceback" not in said, said
    return running


@pytest.mark.parametrize(
    ("kills", "pairs", "final"),
    [
        pytest.param(4, [("watch", "run")], ["run"], marks=pytest.mark.long),
        pytest.param(
            60,
            [("watch", "run"), ("run", "upkeep"), ("watch", "upkeep"), ("run", "run"), ("watch", "retry"), ("run", "retry")],
            ["run", "watch", "retry", "upkeep"],
            marks=pytest.mark.long,
        ),
    ],
    ids=["4", "60"],
)
def test_two_processes_killed_at_once(
    kills: int, pairs: Sequence[tuple[str, str]], final: Sequence[str], site: Site, tmp_path: Path
) -> None:
    site.time = END
    undisturbed, lake = tmp_path / "undisturbed", tmp_path / "lake"
    seconds = site.finish(final, undisturbed, tmp_path)
    expected = rows_of(EmbeddedWarehouse(undisturbed))
    assert expected["fraud_alerts"] and expected["transactions_rejected"]
    assert {dict(row)["ds"] for row in expected["transactions"]} == {"2026-03-11", "2026-03-12"}
    # only a retry, whose code lacks the claim, loads such rows
    assert ("XXQ1" in {dict(row)["currency"] for row in expected["transactions"]}) == ("retry" in final)

    draw = random.Random(17)
    killed: Counter[str] = Counter()
    for number, pair in enumerate(itertools.cycle(pairs)):
        if killed.total() >= kills:
            break
        assert number < 2 * kills, f"{killed}: most processes ended before they were killed"
        site.time = min(BEGIN + dt.timedelta(seconds=2 * number * LOAD / kills), END)
        processes = [
            (command, site.start(command, lake, tmp_path / f"{number}.{place}.log")) for place, command in enumerate(pair)
        ]
        # from the start of a process to its end, so that the kills hit every phase
        killed.update(end_one_by_one(processes, [seconds.get(command, seconds["run"]) * draw.random() for command in pair]))
        if lake.exists():
            rows_of(EmbeddedWarehouse(lake))  # every table can be read
    assert {*killed} == {command for pair in pairs for command in pair}
    site.time = END
    site.finish(final, lake, tmp_path)
    assert_same(without_latencies(rows_of(EmbeddedWarehouse(lake))), without_latencies(expected))
    with dagster_instance(read_settings(warehouse=str(lake))) as instance:
        assert all(run.is_finished for run in instance.get_runs())
