"""Decisions in the lake: each once, on its day; written again, by two at once, and after a failure."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fraud_assets.cases.lake import cases_daily_of, decisions_of, desk_at, write_decisions
from fraud_assets.cases.model import Decision, ReasonCode
from fraud_assets.cases.store import CaseStore
from fraud_assets.errors import DeskDatabaseError
from fraud_assets.schemas.cases import DECISIONS
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_assets.cases.alerts import alert

A_DAY = dt.timedelta(days=1)


def in_lake(lake: EmbeddedWarehouse) -> list[tuple[str, str, str]]:
    rows = lake.read(DECISIONS.full_name).to_pylist()
    return [(row["ds"], row["transaction_id"], row["decision"]) for row in sorted(rows, key=lambda row: row["number"])]


def test_decisions_are_written_once_on_their_day(store: CaseStore, lake: EmbeddedWarehouse, now: dt.datetime) -> None:
    store.sync([alert(1), alert(2, "c2")], now)
    late = dt.datetime(2026, 3, 2, 23, 59, 59, 999999, dt.UTC)
    store.decide("1", Decision.FRAUD, ReasonCode.MULE, "a note", "ann", 1, late)
    assert write_decisions(store, lake) == 1
    [row] = lake.read(DECISIONS.full_name).to_pylist()
    assert (row["case_id"], row["customer_id"], row["decided_by"], row["decided_at"], row["note"], row["reason_code"]) == (
        "1", "c1", "ann", late.replace(tzinfo=None), "a note", "mule",
    )  # fmt: skip
    store.undo("1", "bob", 2, late + dt.timedelta(microseconds=1))
    store.decide("2", Decision.HONEST, ReasonCode.RULE_TOO_WIDE, None, "ann", 1, now)
    assert write_decisions(store, lake) == 2
    assert write_decisions(store, lake) == 0
    assert in_lake(lake) == [
        ("2026-03-02", "t1", "fraud"), ("2026-03-03", "t1", "undecided"), ("2026-03-02", "t2", "honest"),
    ]  # fmt: skip
    before = lake.read(DECISIONS.full_name).sort_by("number")
    store.set_marks({"decisions": "0"})
    assert write_decisions(store, lake) == 3
    assert lake.read(DECISIONS.full_name).sort_by("number") == before
    of_day = decisions_of(store, Span.days(now.date(), now.date()))
    assert of_day.column("transaction_id").to_pylist() == ["t1", "t2"]


def test_two_writers_at_once_lose_nothing(store: CaseStore, lake: EmbeddedWarehouse, now: dt.datetime) -> None:
    store.sync([alert(n, f"c{n}") for n in range(40)], now)

    def decide(numbers: range) -> None:
        for n in numbers:
            case = store.cases_of_customer(f"c{n}")[0]
            store.decide(case.case_id, Decision.FRAUD, ReasonCode.MULE, None, "ann", case.version, now)
            write_decisions(store, EmbeddedWarehouse(lake.root))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decide, [range(k, 40, 4) for k in range(4)]))
    assert sorted(name for _, name, _ in in_lake(lake)) == sorted(f"t{n}" for n in range(40))


def test_a_desk_that_does_not_exist_and_one_that_cannot_be_used(tmp_path: Path) -> None:
    assert desk_at(f"sqlite:///{tmp_path / 'none.sqlite'}") is None
    assert not list(tmp_path.iterdir())
    with pytest.raises(DeskDatabaseError, match="port 9"):
        desk_at("postgresql://me@127.0.0.1:9/desk")


def test_the_days_of_the_desk(store: CaseStore, now: dt.datetime) -> None:
    store.sync([alert(1), alert(2, "c2")], now - 9 * A_DAY)
    store.decide("1", Decision.FRAUD, ReasonCode.MULE, None, "ann", 1, now)
    rows = cases_daily_of(store, Span.days((now - A_DAY).date(), (now + A_DAY).date()), now).to_pylist()
    assert [(row["ds"], row["frauds"], row["backlog"], row["backlog_over_7_days"], row["precision"]) for row in rows] == [
        ("2026-03-01", 0, 2, 2, None),
        ("2026-03-02", 1, 1, 1, 1.0),
    ]
    assert rows[1]["oldest_days"] == pytest.approx(9, abs=1e-6)
