"""What labels say together: by SQL, and in the measures of quality."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from fraud_assets.evaluation.protocol import known_frauds
from fraud_assets.evaluation.rule_quality import read_facts
from fraud_assets.schemas.evaluation import LABELS
from fraud_assets.sql.known_labels import known_labels
from fraud_assets.sql.windows import hiveql
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, NOON, fill

REPORT, DECISION = "fraud report", "decision"
WEEK = Span.days(DAY, DAY + dt.timedelta(days=6))
SAID: dict[str, list[tuple[int, str, bool | None]]] = {
    "reported": [(1, REPORT, True)],
    "cleared": [(1, REPORT, True), (2, DECISION, False)],
    "cleared, then reported": [(1, DECISION, False), (2, REPORT, True)],
    "cleared by mistake": [(1, REPORT, True), (2, DECISION, False), (3, DECISION, None)],
    "decided by mistake": [(1, DECISION, True), (2, DECISION, None)],
    "decided twice": [(1, DECISION, True), (2, DECISION, None), (4, DECISION, False)],
    "decided late": [(6, DECISION, True)],
}
BY_DAY: list[tuple[int, dict[str, bool]]] = [
    (1, {"reported": True, "cleared": True, "cleared, then reported": False, "cleared by mistake": True}
        | {"decided by mistake": True, "decided twice": True}),
    (2, {"reported": True, "cleared": False, "cleared, then reported": True, "cleared by mistake": False}),
    (3, {"reported": True, "cleared": False, "cleared, then reported": True, "cleared by mistake": True}),
    (6, {"reported": True, "cleared": False, "cleared, then reported": True, "cleared by mistake": True}
        | {"decided twice": False, "decided late": True}),
]  # fmt: skip


@pytest.fixture
def labelled(lake: EmbeddedWarehouse) -> EmbeddedWarehouse:
    rows: list[dict[str, Any]] = []
    for name, labels in SAID.items():
        for day, origin, is_fraud in labels:
            known_at = NOON + dt.timedelta(days=day)
            rows.append(
                {"transaction_id": name, "is_fraud": is_fraud, "known_at": known_at, "origin": origin, "event_time": NOON}
                | {"ds": known_at.date().isoformat()}
            )
    fill(lake, LABELS, rows, WEEK)
    return lake


@pytest.mark.parametrize(("days", "expected"), BY_DAY)
def test_the_latest_label_that_stands_counts(labelled: EmbeddedWarehouse, days: int, expected: dict[str, bool]) -> None:
    last = DAY + dt.timedelta(days=days)
    rows = labelled.query(hiveql(known_labels(Span.days(DAY, last)))).to_pylist()
    assert {row["transaction_id"]: row["is_fraud"] for row in rows} == expected and len(rows) == len(expected)
    facts = read_facts(labelled, [], WEEK, WEEK.last_day)
    known = {name: label.is_fraud for name in SAID if (label := facts.known(name, last.isoformat()))}
    assert known == expected


def test_quality_measures_take_the_same_labels(labelled: EmbeddedWarehouse) -> None:
    frauds = {name for name, is_fraud in BY_DAY[-1][1].items() if is_fraud}
    assert known_frauds(labelled, DAY) == frauds
    facts = read_facts(labelled, [], WEEK, WEEK.last_day)
    # days until a fraud was known first, for those that are frauds at the end
    assert facts.delays == {(DAY, 1): 2, (DAY, 2): 1, (DAY, 6): 1}
    measured, _ = facts.measure(WEEK, WEEK.last_day)
    assert measured[0].known == len(frauds)
