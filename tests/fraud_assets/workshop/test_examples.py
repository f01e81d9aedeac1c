"""Files with examples: what they say, mistakes in them, and running them without tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fraud_assets.detection.overrides import Overrides
from fraud_assets.detection.rule import Rule
from fraud_assets.detection.rule_book import RULES_FOLDER, read_rule
from fraud_assets.errors import RuleError
from fraud_assets.workshop.examples import Examples, read_examples
from fraud_assets.workshop.mutants import mutate
from hive_io import EmbeddedWarehouse
from tests.fraud_assets.cli.test_main import fraud, refused

RULE = """\
-- title: Large
-- description: The amount is large.
-- blind_spot: Small amounts.
-- severity: low
-- weight: 0.1
-- params:
--   least: {type: decimal, default: 100, min: 1, max: 1000, description: Smallest amount that hits.}
-- reason: "{amount} is at least {least}"
-- source: None.
SELECT t.transaction_id, t.customer_id, t.event_time, t.amount >= :least AS hit, t.amount
FROM transactions t
WHERE t.currency = 'EUR'
"""
EXAMPLES = """\
defaults:
  transactions: {customer_id: c1, currency: EUR}
examples:
- example: Large and small
  rows:
    transactions:
    - {transaction_id: at, amount: 100.00}
    - {transaction_id: under, amount: 99.99}
    - {transaction_id: yen, amount: 5000.00, currency: JPY}
  expect:
    at: {hit: 100.00 is at least 100, weight: 0.1}
    under: no hit
    yen: not judged
"""

Write = Callable[[str], Rule]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a file with examples, and returns the rule beside it."""

    def written(text: str) -> Rule:
        (tmp_path / "large.sql").write_text(RULE, encoding="utf-8")
        (tmp_path / "large.examples.yaml").write_text(text, encoding="utf-8")
        return read_rule(tmp_path / "large.sql", Overrides())

    return written


def read(rule: Rule) -> Examples:
    examples = read_examples(rule)
    assert examples is not None
    return examples


def test_examples_that_pass(write: Write) -> None:
    assert read(write(EXAMPLES)).failures() == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("under: no hit", "under: hit", "under: expected hit, found no hit"),
        ("under: no hit", "under: not judged", "under: expected not judged, found no hit"),
        ("yen: not judged", "yen: no hit", "yen: expected no hit, found not judged"),
        ("yen: not judged", "yen: {hit: x}", "yen: expected a hit, found not judged"),
        ("hit: 100.00 is", "hit: 100 is", "found '100.00 is at least 100'"),
        ("weight: 0.1", "weight: 0.2", "expected the weight 0.2, found 0.1"),
        ("amount: 99.99", "amount: 100.01", "under: expected no hit, found hit"),
        ("transaction_id: under", "transaction_id: at", "expected one row of the rule at most, found 2"),
    ],
)
def test_a_rule_that_says_something_else(write: Write, tmp_path: Path, right: str, wrong: str, said: str) -> None:
    text = EXAMPLES.replace(right, wrong).replace("    under: no hit\n" if wrong.endswith(": at") else "\0", "")
    [failure] = read(write(text)).failures()
    assert failure.startswith(f"{tmp_path}/large.examples.yaml:4: Large and small: ") and said in failure


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("amount: 99.99", "amonut: 99.99", "transactions has no column amonut"),
        ("amount: 99.99", "amount: many", "transactions.amount: expected a DECIMAL(18,2), found 'many'"),
        ("amount: 99.99", "amount: 99.999", "transactions.amount: expected a DECIMAL(18,2)"),
        ("transaction_id: under", "transaction_id: 7", "transactions.transaction_id: expected a STRING, found 7"),
        ("    transactions:\n", "    customers: []\n    transactions:\n", "does not read customers; it reads transactions"),
        ("under: no hit", "over: no hit", "expect names over"),
        ("under: no hit", "under: perhaps", "examples"),
        ("- example: Large", "- params: {most: 1}\n  example: Large", "unknown param most; known params: least"),
        ("- example: Large", "- params: {least: 0}\n  example: Large", "expected a number from 1 to 1000"),
        ("  expect:", "  boundary: {param: least, looser: 99.99, tighter: 100}\n  expect:", "tighter is the value"),
        ("  rows:", "  row:", "unknown key"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(write: Write, tmp_path: Path, right: str, wrong: str, said: str) -> None:
    rule = write(EXAMPLES.replace(right, wrong, 1))
    with pytest.raises(RuleError) as error:
        read_examples(rule)
    assert f"{tmp_path}/large.examples.yaml:4: " in str(error.value) and said in str(error.value)


def test_a_boundary_is_run_with_a_looser_and_a_tighter_value(write: Write) -> None:
    def bounded(looser: str, tighter: str) -> Examples:
        boundary = f"  boundary: {{param: least, looser: {looser}, tighter: {tighter}}}\n  expect:"
        return read(write(EXAMPLES.replace("    yen: not judged\n", "").replace("  expect:", boundary)))

    examples = bounded("99.99", "100.01")
    assert examples.bounded == {"least"} and len(examples.examples) == 3 and not examples.failures()
    [failure] = bounded("99.995", "100.01").failures()
    assert "with least looser: under: expected hit, found no hit" in failure
    [failure] = bounded("99.99", "99.995").failures()
    assert "with least tighter: at: expected no hit, or not judged, found hit" in failure


def test_examples_are_of_the_file_and_not_of_what_is_in_force(write: Write) -> None:
    rule = write(EXAMPLES)
    assert read(replace(rule.with_values({"least": 7}), weight=0.9)).failures() == []


def test_rows_that_are_alike_are_written_once(write: Write) -> None:
    alike = "- {transaction_id: at, amount: 100.00, times: 3, every: 0.5, after: 1}"
    examples = read(write(EXAMPLES.replace("- {transaction_id: at, amount: 100.00}", alike)))
    rows = examples.examples[0].rows["transactions"].to_pylist()[:3]
    assert [row["transaction_id"] for row in rows] == ["at, 1 of 3", "at, 2 of 3", "at"]
    assert [f"{row['event_time']:%H:%M:%S.%f}" for row in rows] == ["12:00:01.000000", "12:00:01.500000", "12:00:02.000000"]


def test_without_a_file_there_are_no_examples(write: Write, tmp_path: Path) -> None:
    rule = write(EXAMPLES)
    (tmp_path / "large.examples.yaml").unlink()
    assert read_examples(rule) is None


@pytest.mark.parametrize("name", ["blacklisted_merchants", "new_account_activity"])
def test_a_warehouse_runs_them_without_any_table(lake: EmbeddedWarehouse, name: str) -> None:
    """As on a HiveServer2: the rows stand in the query."""
    examples = read(read_rule(RULES_FOLDER / f"{name}.sql", Overrides()))
    assert examples.failures(on=lake) == []
    assert lake.tables("fintech") == []


def test_each_mistake_that_no_example_notices_is_shown(write: Write) -> None:
    complete = mutate(read(write(EXAMPLES)))
    assert (complete.rule, complete.mutants, complete.share) == ("large", 2, 1.0)
    weak = EXAMPLES.replace("amount: 100.00}", "amount: 100.01}").replace("{hit: 100.00 is at least 100, weight: 0.1}", "hit")
    found = mutate(read(write(weak)))
    [mutant] = found.unnoticed
    assert (mutant.line, mutant.change, found.share) == (10, "> for >= in t.amount >= :least", 0.5)
    assert "t.amount > :least" in mutant.select.sql("hive")


def test_a_mistake_that_changes_nothing_is_named_and_not_counted(write: Write) -> None:
    weak = EXAMPLES.replace("amount: 100.00}", "amount: 100.01}").replace("{hit: 100.00 is at least 100, weight: 0.1}", "hit")
    named = "equivalent:\n- {change: '> for >= in t.amount >= :least', why: no amount is exactly the limit}\n"
    found = mutate(read(write(named + weak)))
    assert (found.mutants, found.share, found.unnoticed, found.equivalent, found.stale) == (1, 1.0, [], 1, [])
    elsewhere = named.replace("why:", "line: 9, why:")
    found = mutate(read(write(elsewhere + weak)))
    assert (found.mutants, found.share, found.equivalent, found.stale) == (2, 0.5, 0, ["> for >= in t.amount >= :least"])
    noticed = mutate(read(write(named + EXAMPLES)))
    assert (noticed.mutants, noticed.share, noticed.equivalent) == (2, 1.0, 0)
    assert noticed.stale == ["> for >= in t.amount >= :least"], "an example notices it"


def test_the_command(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = fraud("rules", "test", "high_value", "--mutate")
    assert passed.exit_code == 0 and "high_value: 4 examples, all pass; 5 of 5 mistakes noticed (100%)" in passed.stdout
    assert "nosuch" in refused(fraud("rules", "test", "nosuch"))
    assert "hive://" in refused(fraud("rules", "test", "high_value", "--on", "folder"))
    assert "--mutate" in refused(fraud("rules", "test", "--mutate", "--on", "hive://localhost:1/fintech?staging=/tmp"))
