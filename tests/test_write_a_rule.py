"""The examples of docs/write-a-rule.md: its rule, its error message, and its override with shadow status."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from fraud_assets.cli.rule_trial import try_rule
from fraud_assets.clock import Clock
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.catalog import FEATURE_TABLES
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.workshop.examples import read_examples
from fraud_assets.workshop.mutants import mutate
from hive_io import EmbeddedWarehouse
from tests.fraud_assets.cli.test_main import fraud, refused
from tests.fraud_fixtures import all_tables, book_with, compute, judge, transaction

EXAMPLE_RULES = Path(__file__).parent.parent / "examples" / "rules"
TEXT = (Path(__file__).parent.parent / "docs" / "write-a-rule.md").read_text(encoding="utf-8")
FOUND: list[tuple[str, str]] = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
BEGIN, SQL, ERROR, EXAMPLES, UNNOTICED, EQUIVALENT, TRIALS, OVERRIDE, LISTS = (text for _, text in FOUND)
FILE = "round_amounts.sql"
ROWS = [transaction("999", amount="999.00"), transaction("1000", amount="1000.00"), transaction("1000.50", amount="1000.50")]


def test_the_blocks_are_the_ones_tested_here() -> None:
    assert [kind for kind, _ in FOUND] == ["console", "sql", "text", "yaml", "text", "yaml", "console", "yaml", "console"]


def test_a_new_file_is_a_rule_that_alerts(lake: EmbeddedWarehouse, tmp_path: Path) -> None:
    book = book_with(tmp_path, {FILE: SQL})
    assert fraud("rules", "check", str(tmp_path / "rules")).stdout.startswith(
        f"1 rules and {len(FEATURE_TABLES)} features are valid"
    )
    engine = Engine(book)
    hits = judge(engine, all_tables(lake, book), "round_amounts", transactions=ROWS).hits
    assert {name: hit["reason"] for name, hit in hits.items()} == {
        "999": "999.00 is a round amount of at least 500",
        "1000": "1000.00 is a round amount of at least 500",
    }
    assert {alert["transaction_id"] for alert in compute(engine, lake, FRAUD_ALERTS.name)} == {"999", "1000"}


def test_an_override_tries_a_param_in_shadow(lake: EmbeddedWarehouse, tmp_path: Path) -> None:
    book = book_with(tmp_path, {FILE: SQL}, OVERRIDE)
    rule = book.rules["round_amounts"]
    assert (rule.status, rule.file.values) == ("shadow", {"from_amount": Decimal(1000)})
    engine = Engine(book)
    assert judge(engine, all_tables(lake, book), "round_amounts", transactions=ROWS).hits.keys() == {"1000"}
    assert compute(engine, lake, FRAUD_ALERTS.name) == []


def test_the_error_of_the_text_is_reported(tmp_path: Path) -> None:
    good = "  t.amount\nFROM"
    assert SQL.count(good) == 1
    (tmp_path / FILE).write_text(SQL.replace(good, "  t.amuont\nFROM"), encoding="utf-8")
    said = refused(fraud("rules", "check", str(tmp_path)))
    assert f"{tmp_path}/{ERROR.strip()}" in said


def test_the_examples_pass_and_notice_every_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FILE).write_text(SQL, encoding="utf-8")
    examples = tmp_path / "round_amounts.examples.yaml"
    examples.write_text(EXAMPLES, encoding="utf-8")
    monkeypatch.setenv("FRAUD_RULES_FOLDER", str(tmp_path))
    monkeypatch.setenv("FRAUD_SHIPPED_RULES", "off")
    complete = fraud("rules", "test", "round_amounts", "--mutate")
    assert complete.stdout == "round_amounts: 4 examples, all pass; 3 of 3 mistakes noticed (100%)\n"
    examples.write_text(EXAMPLES[: EXAMPLES.index("- example: At the boundary")], encoding="utf-8")
    assert fraud("rules", "test", "round_amounts", "--mutate").stdout.replace(f"{tmp_path}/", "") == UNNOTICED


def test_the_options_of_the_trials_exist() -> None:
    options = {option for each in try_rule.params for option in each.opts}
    assert {word for word in TRIALS.split() if word.startswith("--")} <= options


def test_the_commands_about_lists_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRAUD_RULES_FOLDER", str(tmp_path))
    monkeypatch.setenv("FRAUD_SHIPPED_RULES", "off")
    (tmp_path / "cards.csv").write_text("key,value\ncard,tok_12\n")
    clock = Clock(lambda: dt.datetime(2026, 12, 6, 12, tzinfo=dt.UTC))
    for line in LISTS.strip().splitlines():
        result = fraud(*shlex.split(line)[1:], clock=clock)
        assert result.exit_code == 0, result.output
    assert "all pass" in fraud("rules", "test", "stolen_card_used").stdout
    [entry] = json.loads(fraud("lists", "show", "--format", "json", clock=clock).stdout)
    assert entry["value"] == "tok_12"


def test_the_first_commands_run_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in BEGIN.strip().splitlines():
        if line.startswith("fraud "):
            result = fraud(*shlex.split(line)[1:])
            assert result.exit_code == 0, result.output
        elif line.startswith("export "):
            for word in line.split()[1:]:
                monkeypatch.setenv(*word.split("="))
        else:
            subprocess.run(line, shell=True, check=True)
    assert "1 of them in rules" in result.stdout
    assert "merchant_key STRING" in " ".join(fraud("rules", "tables", "transactions").stdout.split())
    assert "email" not in fraud("rules", "tables", "customers").stdout
    assert "may read" in refused(fraud("rules", "tables", "fraud_alerts"))
    (tmp_path / "rules.yaml").unlink()
    assert "an empty one will do" in refused(fraud("rules", "list"))


@pytest.mark.parametrize("name", ["shared_amount", "night_abroad"])
def test_the_examples_of_complete_rules_notice_every_mistake(name: str) -> None:
    examples = read_examples(read_rule_book(EXAMPLE_RULES).rules[name])
    assert examples is not None and examples.failures() == []
    assert examples.bounded == {*examples.rule.file.meta.params}
    assert [mutant.change for mutant in mutate(examples).unnoticed] == []
