"""Background work: rounds, failures, a thread that ends, a round that hangs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from fraud_assets.clock import Clock
from fraud_assets.desk.background import BackgroundWork, Task
from fraud_assets.errors import FraudError
from tests.fraud_assets.desk.site import NOW

CLOCK = Clock(lambda: NOW)


def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_task_is_done_again_and_says_what_it_did() -> None:
    rounds: list[int] = []

    def action() -> str:
        rounds.append(1)
        return f"round {len(rounds)}"

    task = Task("counting", action, CLOCK, every=0.01)
    with BackgroundWork([task]) as work:
        until(lambda: len(rounds) > 2)
        (state,) = work.states()
        assert state.said is not None and state.said.startswith("round ") and state.succeeded_at == NOW
        assert state.problem is None and work.problems() == []
    done = len(rounds)
    time.sleep(0.1)
    assert len(rounds) == done


def test_a_failure_is_shown_and_logged_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fraud_assets")
    broken, tries = threading.Event(), []
    broken.set()

    def action() -> str:
        tries.append(1)
        if broken.is_set():
            raise FraudError("the warehouse is away")
        return "done"

    task = Task("reading", action, CLOCK, every=0.01)
    with BackgroundWork([task]) as work:
        until(lambda: len(tries) > 3)
        (state,) = work.problems()
        assert "failing since 2026-03-02 12:00 UTC" in (state.problem or "") and "the warehouse is away" in (
            state.problem or ""
        )
        broken.clear()
        until(lambda: task.state.said == "done")
        assert work.problems() == []
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == ["reading failed", "reading: works again"]


def test_an_unforeseen_error_shows_no_values(caplog: pytest.LogCaptureFixture) -> None:
    def action() -> str:
        raise ValueError("postgresql://me:secret@db")

    task = Task("reading", action, CLOCK, every=60)
    with BackgroundWork([task]):
        until(lambda: task.state.problem is not None)
        assert "ValueError" in (task.state.problem or "") and "secret" not in (task.state.problem or "")
    assert caplog.records[0].exc_info


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_is_shown() -> None:
    def action() -> str:
        raise SystemExit

    task = Task("reading", action, CLOCK)
    task.start()
    until(lambda: "thread has ended" in (task.state.problem or ""))


def test_a_round_that_hangs_is_shown() -> None:
    release = threading.Event()

    def action() -> str:
        release.wait(10)
        return "late"

    task = Task("reading", action, CLOCK, late=0.05)
    task.start()
    until(lambda: "has been running for" in (task.state.problem or ""))
    release.set()
    until(lambda: task.state.problem is None)
    task.stop()
    task.join(5)


def test_a_decision_begins_a_round_of_the_tasks_that_wait_for_it() -> None:
    rounds = {"reading": 0, "writing": 0}

    def count(name: str) -> str:
        rounds[name] += 1
        return ""

    tasks = [Task(name, partial(count, name), CLOCK, every=3600, on_decision=name == "writing") for name in rounds]
    with BackgroundWork(tasks) as work:
        until(lambda: rounds == {"reading": 1, "writing": 1})
        for _ in range(5):
            work.case_changed()
        until(lambda: rounds["writing"] == 2)
        assert rounds["reading"] == 1
