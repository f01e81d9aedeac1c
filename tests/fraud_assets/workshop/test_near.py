"""Near misses: how far each kind of condition is from a hit, who comes closer, and the command."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from fraud_assets.errors import RuleError
from fraud_assets.explain.comparisons import Condition
from fraud_assets.workshop.near import NearMiss, creeping, near_misses
from hive_io import EmbeddedWarehouse
from tests.fraud_assets.cli.test_main import fraud
from tests.fraud_fixtures import NOON, SPAN, book_with, fill, transaction

HEAD = """\
-- title: Near
-- description: x
-- blind_spot: x
-- severity: low
-- weight: 0.1
-- params:
--   limit: {type: decimal, default: 100, min: 1, max: 1000, description: x}
-- reason: "{amount}"
-- source: x
"""
SELECT = """\
SELECT t.transaction_id, t.customer_id, t.event_time, %s AS hit, t.amount, 7 AS distance, CAST(:limit AS DECIMAL(18,2)) AS lim
FROM transactions t
"""


def found(lake: EmbeddedWarehouse, folder: Path, hit: str, within: float = 0.2) -> dict[str, float]:
    amounts = ["79.99", "80.00", "95.00", "100.00", "100.01"]
    fill(lake, "transactions", [transaction(amount, amount=amount) for amount in amounts])
    book = book_with(folder, {"near.sql": HEAD + SELECT % hit})
    misses = near_misses(book.rules["near"], book.tables(), lake, SPAN, within)
    return {each.transaction_id: round(each.distance, 6) for each in misses}


@pytest.mark.parametrize(
    ("hit", "expected"),
    [
        ("t.amount > :limit", {"100.00": 0, "95.00": 0.05, "80.00": 0.2}),
        ("t.amount >= :limit", {"95.00": 0.05, "80.00": 0.2}),
        # all must hold: the farthest; one is enough: the nearest
        ("t.amount >= :limit AND t.amount * 10 >= :limit * 9.6", {"95.00": 0.05, "80.00": 0.2}),
        ("t.amount >= :limit AND t.amount >= 110", {"95.00": 0.136364, "100.00": 0.090909, "100.01": 0.090818}),
        ("t.amount >= :limit OR t.amount >= 96", {"95.00": 0.010417, "80.00": 0.166667, "79.99": 0.166771}),
        # what is no number is near only if it holds
        ("t.amount >= :limit AND t.status = 'declined'", {}),
        ("t.amount >= :limit AND t.status = 'approved'", {"95.00": 0.05, "80.00": 0.2}),
        # unknown is no hit, and has no distance
        ("t.amount >= :limit AND t.merchant_latitude > 1", {}),
    ],
)
def test_the_distance_of_conditions(lake: EmbeddedWarehouse, tmp_path: Path, hit: str, expected: dict[str, float]) -> None:
    assert found(lake, tmp_path, hit) == expected


@pytest.mark.parametrize("hit", ["t.status = 'declined'", "t.event_time > TIMESTAMP '2026-01-05 13:00:00'"])
def test_a_rule_that_compares_no_numbers_is_refused(lake: EmbeddedWarehouse, tmp_path: Path, hit: str) -> None:
    with pytest.raises(RuleError, match="compares no numbers"):
        found(lake, tmp_path, hit)


def miss(customer: str, hour: int, distance: float) -> NearMiss:
    time = dt.datetime(2026, 1, 5, hour, tzinfo=dt.UTC)
    return NearMiss(f"{customer}-{hour}", customer, time, distance, Condition("x", False))


def test_customers_whose_last_three_came_closer() -> None:
    closer = [miss("a", 1, 0.05), miss("a", 3, 0.02), miss("a", 2, 0.03)]
    away_at_last = [miss("b", 1, 0.05), miss("b", 2, 0.03), miss("b", 3, 0.02), miss("b", 4, 0.02)]
    two = [miss("c", 1, 0.05), miss("c", 2, 0.03)]
    after_a_break = [miss("d", 1, 0.01), miss("d", 2, 0.05), miss("d", 3, 0.03), miss("d", 4, 0)]
    runs = creeping([*closer, *away_at_last, *two, *after_a_break])
    assert {customer: [each.distance for each in run] for customer, run in runs.items()} == {
        "a": [0.05, 0.03, 0.02],
        "d": [0.05, 0.03, 0],
    }


def test_the_command_shows_what_was_missed(lake: EmbeddedWarehouse) -> None:
    amounts = ["1800.00", "1900.00", "1990.00", "2500.00", "1000.00"]
    rows = [transaction(f"t{n}", amount=amount, event_time=NOON + dt.timedelta(hours=n)) for n, amount in enumerate(amounts)]
    fill(lake, "transactions", rows)
    command = ["rules", "near", "high_value", "--warehouse", lake.root]
    shown = fraud(*command)
    assert "c1 3 near misses, each closer" in " ".join(shown.output.split()), shown.output
    assert "amount 1990.00 > thresholds 2000.00, by 10.00" in shown.output and "t3" not in shown.output
    told = json.loads(fraud(*command, "--within", "0.06", "--format", "json").output)
    assert [(each["transaction_id"], each["distance"]) for each in told] == [("t2", 0.005), ("t1", 0.05)]
    assert fraud(*command, "--set", "thresholds.EUR=5000", "--format", "json").output == "[]\n"
    assert fraud(*command, "--format", "csv").output.count("\n") == 4
