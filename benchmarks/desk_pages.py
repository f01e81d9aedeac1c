"""Twenty people at the pages of `fraud desk`, which is killed meanwhile: what they wait for, and what is lost.

    python -m benchmarks.desk_pages WAREHOUSE [--database URL] [--kills N] [--people N] [--seconds N]

The database is filled as by `benchmarks.desk`. A desk of its own is served on loopback, signed in by a header as of a proxy;
each person reads the queue, opens one of its cases, looks at it, and sends the form that decides it. A decision is confirmed
when the desk has answered with the way to the next case. `--kills` ends the desk by SIGKILL that often, evenly, and starts it
again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import httpx

from benchmarks.desk import FIRST, alerts, timed
from fraud_assets.cases.model import EventKind, QueueFilter, Status
from fraud_assets.cases.store import CaseStore

HEADER = "X-Forwarded-User"
_CASE = re.compile(r'href="(/cases/\d+)')
_FIELD = re.compile(r'name="(csrf_token|version)" value="([^"]*)"')
_REFUSAL = re.compile(r'(?:role="alert"[^>]*><p class="error">|<h1>[^<]*</h1>\s*<p>)([^<]+)<')
"""Text of an answer that refuses a form."""


class Desk:
    """`fraud desk` as a process, on one port."""

    def __init__(self, warehouse: Path, database: str, folder: Path, people: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._words = [sys.executable, "-m", "fraud_assets", "desk"]
        self._log = folder / "log"
        own = {
            "FRAUD_WAREHOUSE": str(warehouse),
            "FRAUD_DESK_DATABASE": database,
            "FRAUD_DESK_USERS": str(folder / "users.json"),
        }
        proxy = {"FRAUD_DESK_USER_HEADER": HEADER, "FRAUD_DESK_PROXY": "127.0.0.1"}
        self._env = {**os.environ, **own, **proxy}
        for number in range(people):
            words = [*self._words, "user", "add", f"person{number}", "--role", "investigator", "--no-password"]
            subprocess.run(words, env=self._env, check=True, stdout=subprocess.DEVNULL)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*self._words, "--port", str(self._port)], env=self._env, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/health", timeout=5).status_code < 500:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise SystemExit(f"fraud desk did not start:\n{self._log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


class Person:
    """Someone who works with the pages."""

    def __init__(self, url: str, name: str, think: float) -> None:
        self._client = httpx.Client(base_url=url, headers={HEADER: name}, timeout=30, follow_redirects=False)
        self._draw = random.Random(name)
        self._think = think
        self.name = name
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.confirmed: list[str] = []
        self.answers: Counter[int] = Counter()
        self.refusals: Counter[str] = Counter()
        self.broken = 0

    def work(self, until: float) -> None:
        """Go from case to case; when the desk does not answer, try again."""
        while time.monotonic() < until:
            try:
                self._one_case()
            except httpx.TransportError:
                self.broken += 1
                time.sleep(0.2)

    def _answer(self, what: str, method: str, path: str, form: dict[str, str] | None = None) -> httpx.Response:
        """Send a request, and record how long the answer took if there was one."""
        start = time.perf_counter()
        answer = self._client.request(method, path, data=form, headers={"Referer": str(self._client.base_url)})
        self.seconds[what].append(time.perf_counter() - start)
        return answer

    def _one_case(self) -> None:
        page = self._answer("queue", "GET", "/")
        cases = _CASE.findall(page.text)
        if not cases:
            self.answers[page.status_code] += 1
            time.sleep(0.2)
            return
        case = self._draw.choice(cases)
        page = self._answer("case", "GET", case)
        if f'action="{case}/decide' not in page.text:
            self.refusals["someone else had decided the case when its page was opened"] += 1
            return
        fields = dict(_FIELD.findall(page.text))
        time.sleep(self._think * self._draw.random() * 2)
        form = {**fields, "decision": "honest", "reason_honest": "customer_confirms", "note": ""}
        answer = self._answer("decide", "POST", f"{case}/decide", form)
        self.answers[answer.status_code] += 1
        if (said := _REFUSAL.search(answer.text)) and answer.status_code >= 400:
            self.refusals[re.sub(r"\d[\d:TZ-]*", "N", said[1])] += 1
        if answer.status_code in (302, 303):
            self.confirmed.append(case.rpartition("/")[2])


def check(store: CaseStore, people: list[Person]) -> tuple[int, int]:
    """Confirmed decisions that are not stored as that person's, and cases decided more than once."""
    lost = sum(store.case(case).decided_by != person.name for person in people for case in person.confirmed)
    decided = store.queue(QueueFilter(status=Status.DECIDED), limit=10**9)
    counts = (sum(event.kind is EventKind.DECIDED for event in store.history(case.case_id)) for case in decided)
    return lost, sum(count != 1 for count in counts)


def main() -> None:
    """Fill the database, serve the desk, let people work, and print what they waited for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warehouse", type=Path)
    parser.add_argument(
        "--database", help="SQLAlchemy URL of an empty database; by default a SQLite file in a temporary folder"
    )
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=1, help="mean seconds for which a person looks at a case")
    parser.add_argument("--kills", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = given.database or f"sqlite:///{folder / 'desk.sqlite'}"
        store = CaseStore.open(database)
        done = store.sync(alerts(0, given.alerts, given.customers), FIRST)
        print(f"{done.opened:,} cases", flush=True)
        desk = Desk(given.warehouse.absolute(), database, folder, given.people)
        people = [Person(desk.url, f"person{number}", given.think) for number in range(given.people)]
        began = time.monotonic()
        until = began + given.seconds
        threads = [threading.Thread(target=person.work, args=(until,)) for person in people]
        for thread in threads:
            thread.start()
        starts: list[float] = []
        for number in range(given.kills):
            time.sleep(max(0, began + (number + 1) * given.seconds / (given.kills + 1) - time.monotonic()))
            desk.kill()
            with timed(starts):
                desk.start()
        for thread in threads:
            thread.join()
        desk.kill()
        seconds: dict[str, list[float]] = defaultdict(list)
        answers: Counter[int] = Counter()
        refusals: Counter[str] = Counter()
        for person in people:
            answers.update(person.answers)
            refusals.update(person.refusals)
            for what, took in person.seconds.items():
                seconds[what] += took
        if starts:
            seconds["start"] = starts
        for what, took in seconds.items():
            took.sort()
            print(
                f"{what:8} {len(took):7,} times  median {took[len(took) // 2] * 1000:6.0f} ms  "
                f"p95 {took[int(len(took) * 0.95)] * 1000:6.0f} ms  longest {took[-1] * 1000:6.0f} ms"
            )
        lost, doubled = check(store, people)
        confirmed = sum(len(person.confirmed) for person in people)
        broken = sum(person.broken for person in people)
        print(f"{given.kills} kills; answers {dict(sorted(answers.items()))}, {broken:,} requests without an answer")
        for said, count in refusals.most_common(10):
            print(f"{count:5,} without a decision: {said}")
        print(
            f"{confirmed:,} decisions confirmed; {lost} lost, {doubled} doubled; ended {dt.datetime.now(dt.UTC):%H:%M:%S} UTC"
        )
        store.close()


if __name__ == "__main__":
    main()
