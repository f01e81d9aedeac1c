"""People who decide cases, as a process: `python -m tests.fraud_assets.cases.people ADDRESS PROCESS PEOPLE`.

Each of them decides every open case of the queue as soon as they see it, and prints `person case` when the store has
confirmed it.
"""

from __future__ import annotations

import datetime as dt
import sys
import threading

from fraud_assets.cases.model import Decision, QueueFilter, ReasonCode, Status
from fraud_assets.cases.store import CaseStore
from fraud_assets.errors import CaseError


def decide_all(store: CaseStore, person: str) -> None:
    while open_cases := store.queue(QueueFilter(status=Status.OPEN), limit=5):
        for case in open_cases:
            try:
                store.decide(
                    case.case_id, Decision.FRAUD, ReasonCode.MULE, person, person, case.version, dt.datetime.now(dt.UTC)
                )
            except CaseError:
                continue
            sys.stdout.write(f"{person} {case.case_id}\n")
            sys.stdout.flush()


def main(address: str, process: str, people: int) -> None:
    store = CaseStore.open(address)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    threads = [threading.Thread(target=decide_all, args=(store, f"p{process}.{n}")) for n in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
