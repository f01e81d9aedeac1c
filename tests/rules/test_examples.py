"""The examples beside the rule files: they pass, each rule has them, and every param of every rule has a boundary."""

from __future__ import annotations

import pytest

from fraud_assets.detection.rule_book import RULES_FOLDER, RuleBook, read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.workshop.examples import HIT, NO_HIT, SUFFIX, Examples, ExpectedHit, read_examples
from hive_io import EmbeddedWarehouse

RULES = sorted(path.stem for path in RULES_FOLDER.glob("*.sql"))


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return read_rule_book()


def examples_of(book: RuleBook, name: str) -> Examples:
    examples = read_examples(book.rules[name])
    assert examples is not None, f"write examples of {name} in {RULES_FOLDER / (name + SUFFIX)}"
    return examples


@pytest.mark.parametrize("name", RULES)
def test_the_examples_of_a_rule_pass(name: str, book: RuleBook) -> None:
    examples = examples_of(book, name)
    assert not examples.failures()
    said = {HIT if isinstance(each, ExpectedHit) else each for one in examples.examples for each in one.expect.values()}
    assert said >= {HIT, NO_HIT}
    assert any(isinstance(each, ExpectedHit) for one in examples.examples for each in one.expect.values()), "a reason"


@pytest.mark.parametrize("name", RULES)
def test_every_param_of_a_rule_has_a_boundary(name: str, book: RuleBook) -> None:
    assert examples_of(book, name).bounded == {*book.rules[name].file.meta.params}


def test_examples_without_a_rule_are_found() -> None:
    assert sorted(path.name.removesuffix(SUFFIX) for path in RULES_FOLDER.glob(f"*{SUFFIX}")) == RULES


@pytest.mark.parametrize("name", ["high_value", "structuring"])
def test_a_run_over_the_rows_of_an_example_stores_what_it_says(name: str, book: RuleBook, lake: EmbeddedWarehouse) -> None:
    """In memory and in a warehouse, the rule says the same."""
    example = examples_of(book, name).examples[0]
    engine = Engine(book)
    for table, rows in example.rows.items():
        days = sorted({*rows.column("ds").to_pylist()}) or [example.day.isoformat()]
        assert days == [example.day.isoformat()]
        lake.replace(engine.tables[table], rows, example.span)
    lake.replace(engine.tables[name], engine.query(name, example.span), example.span)
    stored = {row["transaction_id"]: row["reason"] for row in lake.read(f"fintech.{name}").to_pylist()}
    assert stored == {name: said.hit for name, said in example.expect.items() if isinstance(said, ExpectedHit)}
