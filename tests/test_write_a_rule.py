"""The examples of docs/write-a-rule.md: its rule, its error message, and its override with shadow status."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.catalog import FEATURE_TABLES
from fraud_assets.schemas.detection import FRAUD_ALERTS
from hive_io import EmbeddedWarehouse
from tests.fraud_assets.cli.test_main import fraud, refused
from tests.fraud_fixtures import all_tables, book_with, compute, judge, transaction

TEXT = (Path(__file__).parent.parent / "docs" / "write-a-rule.md").read_text(encoding="utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL))
FILE = "round_amounts.sql"
ROWS = [transaction("999", amount="999.00"), transaction("1000", amount="1000.00"), transaction("1000.50", amount="1000.50")]


def test_each_kind_of_block_occurs_once() -> None:
    assert sorted(re.findall(r"```(\w+)\n", TEXT)) == ["sql", "text", "yaml"] == sorted(BLOCKS)


def test_a_new_file_is_a_rule_that_alerts(lake: EmbeddedWarehouse, tmp_path: Path) -> None:
    book = book_with(tmp_path, {FILE: BLOCKS["sql"]})
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
    book = book_with(tmp_path, {FILE: BLOCKS["sql"]}, BLOCKS["yaml"])
    rule = book.rules["round_amounts"]
    assert (rule.status, rule.file.values) == ("shadow", {"from_amount": Decimal(1000)})
    engine = Engine(book)
    assert judge(engine, all_tables(lake, book), "round_amounts", transactions=ROWS).hits.keys() == {"1000"}
    assert compute(engine, lake, FRAUD_ALERTS.name) == []


def test_the_error_of_the_text_is_reported(tmp_path: Path) -> None:
    good = "  t.amount\nFROM"
    assert BLOCKS["sql"].count(good) == 1
    (tmp_path / FILE).write_text(BLOCKS["sql"].replace(good, "  t.amuont\nFROM"), encoding="utf-8")
    said = refused(fraud("rules", "check", str(tmp_path)))
    assert f"{tmp_path}/{BLOCKS['text'].strip()}" in said
