"""Twenty people at the desk: 100,000 alerts in 20,000 cases, decided for a minute.

    python -m benchmarks.desk [--database URL] [--alerts N] [--customers N] [--people N] [--seconds N]

Each person repeats what the desk does for one: read the counts and a page of the queue, open a case with its alerts and
history, decide it (or snooze, or undo), and go on. The store is used directly, by threads of one process as the desk has
them. Meanwhile a sync takes new alerts every five seconds. At the end, every confirmed decision is looked for.
"""

from __future__ import annotations

import argparse
import datetime as dt
import random
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from fraud_assets.cases.model import Alert, Decision, EventKind, QueueFilter, ReasonCode, Status
from fraud_assets.cases.store import CaseStore
from fraud_assets.errors import CaseError

FIRST = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
RULES = ("high_value", "velocity", "unusual_transaction", "card_testing", "risky_merchant")
SEVERITIES = ("low", "medium", "high", "critical")


def alerts(start: int, count: int, customers: int) -> Iterator[Alert]:
    """Alerts of customers drawn at random, each with one or two rules."""
    draw = random.Random(start)
    for number in range(start, start + count):
        rules = tuple(draw.sample(RULES, draw.randint(1, 2)))
        yield Alert(
            transaction_id=f"t{number}",
            # each customer at least once
            customer_id=f"c{number if number < customers else draw.randrange(customers)}",
            event_time=FIRST + dt.timedelta(seconds=number),
            amount=Decimal(draw.randrange(100, 900_000)) / 100,
            currency=draw.choice(("EUR", "USD", "GBP")),
            merchant_id=f"m{draw.randrange(2000)}",
            score=draw.randrange(1, 10**6) / 10**6,
            severity=draw.choice(SEVERITIES),
            rules=rules,
            reasons=tuple(f"{rule}: an amount far above what this customer usually pays" for rule in rules),
            rule_versions=tuple("0" * 8 for _ in rules),
        )


@contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    """Append how long the block took."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds.append(time.perf_counter() - start)


class Person:
    """Someone at the desk: how long each thing took them, and what the store confirmed."""

    def __init__(self, store: CaseStore, name: str, think: float) -> None:
        self._store = store
        self._name = name
        self._draw = random.Random(name)
        self._think = think
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.confirmed: Counter[str] = Counter()
        self.refused = 0

    def work(self, until: float) -> None:
        """Go from case to case."""
        while time.monotonic() < until:
            try:
                self._one_case()
            except CaseError:  # someone else was first: the desk says so, and the person goes on
                self.refused += 1

    def _one_case(self) -> None:
        waiting = QueueFilter(status=Status.OPEN)
        with timed(self.seconds["queue"]):
            page = self._store.queue(waiting, limit=25)
            self._store.count(waiting)
            self._store.counts()
        chosen = self._draw.choice(page)
        with timed(self.seconds["case"]):
            case = self._store.case(chosen.case_id)
            self._store.alerts(case.case_id)
            self._store.history(case.case_id)
            self._store.cases_of_customer(case.customer_id)
        time.sleep(self._think * self._draw.random() * 2)
        now = dt.datetime.now(dt.UTC)
        if self._draw.random() < 0.1:
            with timed(self.seconds["snooze"]):
                self._store.snooze(case.case_id, now + dt.timedelta(days=1), self._name, case.version, now)
            return
        with timed(self.seconds["decide"]):
            decided = self._store.decide(
                case.case_id, Decision.HONEST, ReasonCode.CUSTOMER_CONFIRMS, None, self._name, case.version, now
            )
        self.confirmed[case.case_id] += 1
        if self._draw.random() < 0.05:
            with timed(self.seconds["undo"]):
                self._store.undo(case.case_id, self._name, decided.version, now)
            self.confirmed[case.case_id] -= 1


def check(store: CaseStore, people: list[Person]) -> tuple[int, int]:
    """Confirmed decisions that the database lacks, and cases that it has more often than they were confirmed."""
    confirmed: Counter[str] = Counter()
    for person in people:
        confirmed.update(person.confirmed)
    stored: Counter[str] = Counter()
    for case in store.queue(QueueFilter(), limit=10**9):
        if case.status is Status.DECIDED or confirmed[case.case_id]:
            for event in store.history(case.case_id):
                stored[case.case_id] += event.kind is EventKind.DECIDED
                stored[case.case_id] -= event.kind is EventKind.UNDONE and event.detail["what"] == EventKind.DECIDED
    lost = sum(count > stored[case] for case, count in confirmed.items())
    return lost, sum(count > confirmed[case] for case, count in stored.items())


def main() -> None:
    """Fill the database, let people work, and print what they waited for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--database", help="SQLAlchemy URL of an empty database; by default a SQLite file in a temporary folder"
    )
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=0, help="mean seconds for which a person looks at a case")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = CaseStore.open(given.database or f"sqlite:///{Path(folder) / 'desk.sqlite'}")
        start = time.perf_counter()
        done = store.sync(alerts(0, given.alerts, given.customers), FIRST)
        print(f"sync of {given.alerts:,} alerts: {time.perf_counter() - start:.1f} s, {done.opened:,} cases opened")
        start = time.perf_counter()
        store.sync(alerts(0, given.alerts, given.customers), FIRST)
        print(f"the same again: {time.perf_counter() - start:.1f} s")
        people = [Person(store, f"person {n}", given.think) for n in range(given.people)]
        until = time.monotonic() + given.seconds
        threads = [threading.Thread(target=person.work, args=(until,)) for person in people]
        for thread in threads:
            thread.start()
        syncs: list[float] = []
        number = given.alerts
        while time.monotonic() < until:
            with timed(syncs):
                store.sync(alerts(number, 100, given.customers), dt.datetime.now(dt.UTC))
            number += 100
            time.sleep(max(0, min(5, until - time.monotonic())))
        for thread in threads:
            thread.join()
        seconds: dict[str, list[float]] = defaultdict(list)
        for person in people:
            for what, took in person.seconds.items():
                seconds[what] += took
        seconds["sync of 100"] = syncs
        for what, took in seconds.items():
            took.sort()
            print(
                f"{what:12} {len(took):7,} times  median {took[len(took) // 2] * 1000:6.1f} ms  "
                f"p95 {took[int(len(took) * 0.95)] * 1000:6.1f} ms  longest {took[-1] * 1000:6.1f} ms"
            )
        lost, doubled = check(store, people)
        confirmed = sum(person.confirmed.total() for person in people)
        refused = sum(person.refused for person in people)
        print(f"{confirmed:,} decisions stand; {refused:,} refused; {lost} lost, {doubled} doubled")
        store.close()


if __name__ == "__main__":
    main()
